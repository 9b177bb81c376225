// Validated values on their way from nodes to `Configuration`: typed by the option table, each with its place.

/// A value with the place it was read from, or with the place of its mapping when it is a default.
struct ConfigItem: Sendable {
    let value: ConfigValue
    let position: SourcePosition
    var isDefault = false
    /// What the file has; nil for a default.
    var node: YAMLNode?
}

/// An entry of a mapping whose keys are names of one's own.
struct ConfigMember: Sendable {
    let name: String
    let position: SourcePosition
    let item: ConfigItem
}

enum SecretSource: Sendable {
    case text(String)
    case file(String)
}

indirect enum ConfigValue: Sendable {
    /// Nanoseconds, bytes, bytes per second or a plain number, as the table says.
    case number(UInt64)
    case boolean(Bool)
    case text(String)
    case loops(LoopSelection)
    case list([ConfigItem])
    case group(ConfigTable)
    case headers([ConfigHeader])
    case map([ConfigMember])
    case secret(SecretSource)
    case json(JSONValue)
}

struct ConfigHeader: Sendable {
    let name: String
    let value: String
    /// What may be shown in place of the value, when the environment gave it.
    var raw: String?
}

/// The values of one mapping. An accessor that asks for a key or type the table does not have is a bug of this module.
/// A key is absent when it was not given and has no default, or when its value was refused and has none.
struct ConfigTable: Sendable {
    let position: SourcePosition
    var items: [String: ConfigItem] = [:]
    /// Keys that the file has here, good or bad, with their places.
    var given: [String: SourcePosition] = [:]
    /// Keys that unknown ones were probably meant to be: they are not complained about as missing.
    var guessed: Set<String> = []

    subscript(key: String) -> ConfigItem? { items[key] }

    func number(_ key: String) -> UInt64 {
        guard case .number(let value)? = items[key]?.value else { preconditionFailure("BUG: `\(key)` is no number with a default") }
        return value
    }

    func integer(_ key: String) -> Int { Int(clamping: number(key)) }

    func boolean(_ key: String) -> Bool {
        guard case .boolean(let value)? = items[key]?.value else { preconditionFailure("BUG: `\(key)` is no boolean with a default") }
        return value
    }

    func text(_ key: String) -> String? {
        guard let item = items[key] else { return nil }
        guard case .text(let value) = item.value else { preconditionFailure("BUG: `\(key)` is no text") }
        return value
    }

    func list(_ key: String) -> [ConfigItem] {
        guard let item = items[key] else { return [] }
        guard case .list(let value) = item.value else { preconditionFailure("BUG: `\(key)` is no list") }
        return value
    }

    func texts(_ key: String) -> [String] {
        list(key).map { item in
            guard case .text(let value) = item.value else { preconditionFailure("BUG: `\(key)` is no list of texts") }
            return value
        }
    }

    func group(_ key: String) -> ConfigTable? {
        guard let item = items[key] else { return nil }
        guard case .group(let value) = item.value else { preconditionFailure("BUG: `\(key)` is no mapping") }
        return value
    }

    func members(_ key: String) -> [ConfigMember] {
        guard let item = items[key] else { return [] }
        guard case .map(let value) = item.value else { preconditionFailure("BUG: `\(key)` is no mapping of names") }
        return value
    }

    func percentage(_ key: String) -> Percentage { Percentage(hundredths: UInt32(clamping: number(key))) }

    func headers(_ key: String) -> [HeaderField] {
        guard let item = items[key] else { return [] }
        guard case .headers(let value) = item.value else { preconditionFailure("BUG: `\(key)` has no headers") }
        return value.map { HeaderField(name: $0.name, value: $0.value) }
    }

    /// The mapping of a key that takes a word in its place; nil for a word or nothing.
    func groupUnlessWord(_ key: String) -> ConfigTable? {
        guard case .group(let value)? = items[key]?.value else { return nil }
        return value
    }

    /// The number of a key that has no default.
    func numberIfGiven(_ key: String) -> UInt64? {
        guard case .number(let value)? = items[key]?.value else { return nil }
        return value
    }

    func groups(_ key: String) -> [ConfigTable] {
        list(key).map { item in
            guard case .group(let value) = item.value else { preconditionFailure("BUG: `\(key)` is no list of mappings") }
            return value
        }
    }
}
