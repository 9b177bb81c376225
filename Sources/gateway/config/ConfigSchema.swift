// The shape of the option table: what an option is and which types it can have. The table itself is in
// ConfigSchema+Options.swift; validation, defaults, JSON Schema and the reference page are all read from it.

/// One row of the table.
struct ConfigOption: Sendable {
    let key: String
    let type: ConfigType
    /// YAML text of the value that stands when the key is missing; nil when there is none.
    let defaultText: String?
    let isRequired: Bool
    /// One or two sentences for operators.
    let meaning: String
    /// YAML text of a good value.
    let example: String

    init(
        _ key: String, _ type: ConfigType, default defaultText: String? = nil, required: Bool = false, _ meaning: String,
        example: String
    ) {
        self.key = key
        self.type = type
        self.defaultText = defaultText
        isRequired = required
        self.meaning = meaning
        self.example = example
    }
}

/// A mapping with fixed keys.
struct ConfigGroup: Sendable {
    enum Rule: Sendable {
        case exactlyOne([String])
        case atMostOne([String])
    }

    let options: [ConfigOption]
    let rules: [Rule]

    init(_ options: [ConfigOption], rules: [Rule] = []) {
        self.options = options
        self.rules = rules
    }

    /// Its one choice is how to answer.
    var isRoute: Bool { option("match") != nil }
    func option(_ key: String) -> ConfigOption? { options.first { $0.key == key } }
}

/// Bounds are inclusive. `zeroIsOff` accepts 0 besides them: no limit, no timeout.
struct ConfigRange: Sendable {
    let min: UInt64
    let max: UInt64
    let zeroIsOff: Bool

    init(_ min: UInt64, _ max: UInt64, zeroIsOff: Bool = false) {
        self.min = min
        self.max = max
        self.zeroIsOff = zeroIsOff
    }

    func contains(_ value: UInt64) -> Bool { (zeroIsOff && value == 0) || (value >= min && value <= max) }
}

indirect enum ConfigType: Sendable {
    case integer(ConfigRange)
    case unit(ConfigUnit, ConfigRange)
    case boolean
    /// True, false, or a word for a third way.
    case booleanOr(String)
    case choice([String])
    case text(ConfigText)
    case loops
    case list(ConfigType, counts: ClosedRange<Int>)
    /// One value, or a list of them.
    case oneOrMany(ConfigType, counts: ClosedRange<Int>)
    case group(ConfigGroup)
    /// A mapping, or one of some words in its place.
    case wordOrGroup([String], ConfigGroup)
    /// Header names to a value or a list of values.
    case headers(HeaderDirection)
    /// Names of one's own to values.
    case map(ConfigText, ConfigType, counts: ClosedRange<Int>)
    /// A mapping, or the value of one of its keys alone.
    case shorthand(String, ConfigGroup)
    /// One of some words, or a value.
    case wordOr([String], ConfigType)
    /// Text that must not be printed, or a mapping that names the file it is in.
    case secret
    /// Any value.
    case json

    /// What a message says after "accepted:".
    var accepted: String {
        switch self {
        case .integer(let range): "a number \(rangeText(range, String.init))"
        case .unit(let unit, let range): "\(unit.accepted), \(rangeText(range, unit.format))"
        case .boolean: "true or false"
        case .booleanOr(let word): "true, false or \(word)"
        case .choice(let names): names.joinedWithOr
        case .text(let text): text.accepted
        case .loops: "auto, a number from 1 to \(ConfigLimits.loopsMax), or a list of cores such as [0, 2]"
        case .list(let type, _): "a list; each entry \(type.accepted)"
        case .oneOrMany(let type, _): "\(type.accepted), or a list of such"
        case .group(let group): "a mapping with the keys \(group.options.map(\.key).joined(separator: ", "))"
        case .wordOrGroup(let words, let group): "\(words.joined(separator: ", ")), or \(ConfigType.group(group).accepted)"
        case .headers: "a mapping of header names to values"
        case .map(let key, let value, _): "a mapping; each key \(key.accepted); each value \(value.accepted)"
        case .shorthand(let key, let group): "\(group.option(key)?.type.accepted ?? ""), or \(ConfigType.group(group).accepted)"
        case .wordOr(let words, let type): "\(words.joined(separator: ", ")), or \(type.accepted)"
        case .secret: "text, or { file: PATH }"
        case .json: "any value"
        }
    }

    /// The mapping that the type has in it, and what stands for the step to it in paths such as `routes[].match`.
    var inner: (step: String, group: ConfigGroup)? {
        switch self {
        case .integer, .unit, .boolean, .booleanOr, .choice, .text, .loops, .headers, .secret, .json: nil
        case .group(let group), .wordOrGroup(_, let group), .shorthand(_, let group): ("", group)
        case .list(let type, _): type.inner.map { ("[]" + $0.step, $0.group) }
        case .oneOrMany(let type, _), .wordOr(_, let type): type.inner
        case .map(_, let type, _): type.inner.map { (".NAME" + $0.step, $0.group) }
        }
    }

    private func rangeText(_ range: ConfigRange, _ format: (UInt64) -> String) -> String {
        "from \(format(range.min)) to \(format(range.max))\(range.zeroIsOff ? ", or 0 for off" : "")"
    }
}

extension [String] {
    /// `a, b or c`
    var joinedWithOr: String {
        guard count > 1, let last else { return first ?? "" }
        return dropLast().joined(separator: ", ") + " or " + last
    }
}

/// Bounds that more than one place needs.
enum ConfigLimits {
    /// More loops than any machine this was thought for has cores.
    static let loopsMax = 1024
    /// CPU_SETSIZE is 1024 in glibc; kernels are built for up to 8192 cores.
    static let coreMax = 8191
    static let listenersMax = 64
    /// Route patterns are held in one table per process; ten thousand is beyond what a person maintains.
    static let routesMax = 10_000
    static let hostsPerRouteMax = 256
    static let pathsPerRouteMax = 256
    static let headersMax = 64
    /// Every loop makes OpenSSL objects of each certificate, a few KiB; beyond this many one serves other people's sites.
    static let certificatesMax = 1000
    /// Tickets live through one rotation more than their key; TLS keeps 16 keys.
    static let ticketKeysMax = 16
    /// As routes: beyond what a person maintains.
    static let upstreamsMax = 1000
    static let serversMax = 1000
}

package enum ConfigSchema {}
