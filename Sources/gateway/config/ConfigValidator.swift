// Nodes against the option table. One walk that reports every problem and goes on: a refused value is replaced by its
// default, so that what depends on it can still be judged. Runs where the configuration is loaded.

struct ConfigValidator {
    var diagnostics = DiagnosticList()
    /// Paths of keys that are refused as not supported yet (`ConfigSchema.unwired`).
    var unwired: Set<String> = []
    /// The place in the table: `routes[].match`.
    var path = ""

    init(diagnostics: DiagnosticList = DiagnosticList(), unwired: Set<String> = []) {
        self.diagnostics = diagnostics
        self.unwired = unwired
    }

    /// Judges the whole document; a missing root (an empty file) counts as an empty mapping.
    mutating func root(_ node: YAMLNode?) -> ConfigTable {
        let node = node.flatMap { $0.isNull ? nil : $0 } ?? YAMLNode(.mapping([]), at: .fileStart)
        return group(node, ConfigSchema.root, label: "") ?? Self.defaults(of: ConfigSchema.root)
    }

    /// The table of a mapping that says nothing; required keys are absent and not complained about.
    static func defaults(of group: ConfigGroup) -> ConfigTable {
        var validator = ConfigValidator()
        var table = ConfigTable(position: .fileStart)
        validator.complete(&table, group, "")
        return table
    }

    // MARK: Mappings

    mutating func group(_ node: YAMLNode, _ group: ConfigGroup, label: String) -> ConfigTable? {
        guard case .mapping(let entries) = node.content else {
            let required = group.options.filter(\.isRequired).map { "\($0.key): \($0.example)" }.joined(separator: ", ")
            // The example of the root would be a page.
            refuse(node, label, .group(group), hint: required.isEmpty || label.isEmpty ? "" : "; for example `{ \(required) }`")
            return nil
        }
        var table = ConfigTable(position: node.position)
        for entry in entries {
            guard let option = group.option(entry.key) else {
                if let guess = unknownKey(entry, in: group, label) { table.guessed.insert(guess) }
                continue
            }
            table.given[entry.key] = entry.keyPosition
            let outer = path
            path = Self.join(path, entry.key)
            if unwired.contains(path) {
                diagnostics.error(
                    entry.keyPosition, "the key `\(entry.key)`\(Self.place(label)) is not supported by this version yet; remove it")
            }
            table.items[entry.key] = value(entry.value, option.type, label: Self.join(label, entry.key), at: entry.keyPosition)
            path = outer
        }
        complete(&table, group, label)
        return table
    }

    /// Defaults, required keys and rules.
    mutating func complete(_ table: inout ConfigTable, _ group: ConfigGroup, _ label: String) {
        for option in group.options where table.items[option.key] == nil {
            if let text = option.defaultText {
                table.items[option.key] = defaultItem(option, text, at: table.given[option.key] ?? table.position)
            } else if option.isRequired, table.given[option.key] == nil, !table.guessed.contains(option.key) {
                diagnostics.error(
                    table.position,
                    "the key `\(option.key)` is missing\(Self.place(label)); for example `\(option.key): \(option.example)`")
            }
        }
        for rule in group.rules { check(rule, table, group, label) }
    }

    private mutating func defaultItem(_ option: ConfigOption, _ text: String, at position: SourcePosition) -> ConfigItem {
        var validator = ConfigValidator()
        guard let node = YAMLDocument.parse(Array(text.utf8)).root,
            let item = validator.value(node, option.type, label: option.key, at: position), !validator.diagnostics.hasErrors
        else { preconditionFailure("BUG: the default of `\(option.key)` breaks its own rules") }
        return ConfigItem(value: item.value, position: position, isDefault: true)
    }

    private mutating func check(_ rule: ConfigGroup.Rule, _ table: ConfigTable, _ group: ConfigGroup, _ label: String) {
        let keys: [String]
        switch rule {
        case .exactlyOne(let all), .atMostOne(let all): keys = all
        }
        let given = keys.compactMap { key in table.given[key].map { (key: key, position: $0) } }.sorted { $0.position < $1.position }
        if given.isEmpty, table.guessed.isDisjoint(with: keys), case .exactlyOne = rule {
            diagnostics.error(
                table.position, "\(group.isRoute ? "nothing says how to answer" : "a key is missing")\(Self.place(label)); accepted: \(keys.map { "`\($0)`" }.joinedWithOr)")
        }
        for extra in given.dropFirst() {
            diagnostics.error(extra.position, "`\(extra.key)` stands beside `\(given[0].key)`\(Self.place(label)); only one of them is possible")
        }
    }

    /// Returns the key that was probably meant.
    private mutating func unknownKey(_ entry: YAMLNode.Entry, in group: ConfigGroup, _ label: String) -> String? {
        // Merge keys and empty keys were reported by the parser.
        if entry.key == "<<" || entry.key.isEmpty { return nil }
        let names = group.options.map(\.key)
        let guess = NearMiss.find(entry.key, in: names)
        let question = guess.map { ", did you mean `\($0)`?" } ?? ";"
        let accepted = names.joined(separator: ", ")
        diagnostics.error(
            entry.keyPosition, "unknown key `\(YAMLScalar.shown(entry.key))`\(Self.place(label))\(question) accepted: \(accepted)")
        return guess
    }

    // MARK: Values

    /// `position` is the key's: an empty value has no place of its own worth showing.
    mutating func value(_ node: YAMLNode, _ type: ConfigType, label: String, at position: SourcePosition) -> ConfigItem? {
        if node.isUnresolved { return nil }
        if node.isNull, case .json = type {} else if node.isNull {
            diagnostics.error(position, "\(label): found \(node.found), accepted: \(type.accepted)")
            return nil
        }
        let value: ConfigValue? =
            switch type {
            case .integer(let range): integer(node, range, type, label)
            case .unit(let unit, let range): unitValue(node, unit, range, type, label)
            case .boolean: boolean(node, label)
            case .booleanOr(let word): booleanOr(node, word, label)
            case .choice(let names): choice(node, names, label)
            case .text(let format): text(node, format, label)
            case .loops: loops(node, label)
            case .list(let element, let counts): list(node, element, counts, type, label)
            case .oneOrMany(let element, let counts): oneOrMany(node, element, counts, type, label)
            case .group(let group): self.group(node, group, label: label).map { .group($0) }
            case .wordOrGroup(let words, let group): wordOrGroup(node, words, group, type, label)
            case .headers(let direction): headers(node, direction, label)
            case .map(let key, let element, let counts): map(node, key, element, counts, type, label)
            case .shorthand(let key, let group): shorthand(node, key, group, type, label)
            case .wordOr(let words, let type): wordOr(node, words, type, label, at: position)
            case .secret: secret(node, label)
            case .json: .json(json(node, label))
            }
        return value.map { ConfigItem(value: $0, position: node.position, node: node) }
    }

    private mutating func integer(_ node: YAMLNode, _ range: ConfigRange, _ type: ConfigType, _ label: String) -> ConfigValue? {
        guard case .scalar(let scalar) = node.content, case .integer(let digits) = scalar.typed else {
            refuse(node, label, type)
            return nil
        }
        // Digits that do not fit are out of every range; a negative number does not parse.
        guard let number = UInt64(digits), range.contains(number) else {
            refuse(node, label, type)
            return nil
        }
        return .number(number)
    }

    private mutating func unitValue(
        _ node: YAMLNode, _ unit: ConfigUnit, _ range: ConfigRange, _ type: ConfigType, _ label: String
    ) -> ConfigValue? {
        guard case .scalar(let scalar) = node.content else {
            refuse(node, label, type)
            return nil
        }
        switch unit.parse(scalar.text) {
        case .malformed(let suggestion):
            refuse(node, label, type, hint: suggestion.map { "; did you mean `\($0)`?" } ?? "")
            return nil
        case .value(let number):
            guard range.contains(number) else {
                refuse(node, label, type)
                return nil
            }
            return .number(number)
        }
    }

    private mutating func boolean(_ node: YAMLNode, _ label: String) -> ConfigValue? {
        if case .scalar(let scalar) = node.content, case .boolean(let flag) = scalar.typed { return .boolean(flag) }
        refuse(node, label, .boolean)
        return nil
    }

    private mutating func booleanOr(_ node: YAMLNode, _ word: String, _ label: String) -> ConfigValue? {
        guard case .scalar(let scalar) = node.content else {
            refuse(node, label, .booleanOr(word))
            return nil
        }
        if case .boolean(let flag) = scalar.typed { return .boolean(flag) }
        if scalar.text == word { return .text(word) }
        // `on` and `off` are what other programs say.
        let synonym = ["on": "true", "off": "false", "yes": "true", "no": "false"][scalar.text]
        let guess = synonym ?? NearMiss.find(scalar.text, in: ["true", "false", word])
        refuse(node, label, .booleanOr(word), hint: guess.map { "; did you mean `\($0)`?" } ?? "")
        return nil
    }

    mutating func choice(_ node: YAMLNode, _ names: [String], _ label: String) -> ConfigValue? {
        guard case .scalar(let scalar) = node.content, names.contains(scalar.text) else {
            var hint = ""
            if case .scalar(let scalar) = node.content, let guess = NearMiss.find(scalar.text, in: names) { hint = "; did you mean `\(guess)`?" }
            refuse(node, label, .choice(names), hint: hint)
            return nil
        }
        return .text(scalar.text)
    }

    private mutating func wordOrGroup(
        _ node: YAMLNode, _ words: [String], _ group: ConfigGroup, _ type: ConfigType, _ label: String
    ) -> ConfigValue? {
        if case .mapping = node.content { return self.group(node, group, label: label).map { .group($0) } }
        if case .scalar(let scalar) = node.content, words.contains(scalar.text) { return .text(scalar.text) }
        refuse(node, label, type)
        return nil
    }

    private mutating func text(_ node: YAMLNode, _ format: ConfigText, _ label: String) -> ConfigValue? {
        guard case .scalar(let scalar) = node.content else {
            refuse(node, label, .text(format))
            return nil
        }
        if let problem = format.problem(in: scalar.text) {
            refuse(node, label, .text(format), reason: problem)
            return nil
        }
        return .text(scalar.text)
    }

    private mutating func json(_ node: YAMLNode, _ label: String) -> JSONValue {
        var problems: [(YAMLNode, String)] = []
        let value = node.json { problems.append(($0, $1)) }
        for (node, message) in problems { diagnostics.error(node.position, "\(label): \(message)") }
        return value
    }

    private mutating func loops(_ node: YAMLNode, _ label: String) -> ConfigValue? {
        switch node.content {
        case .scalar(let scalar) where scalar.text == "auto": return .loops(.auto)
        case .scalar(let scalar):
            if case .integer(let digits) = scalar.typed, let count = Int(digits), (1...ConfigLimits.loopsMax).contains(count) {
                return .loops(.count(count))
            }
        case .sequence(let nodes):
            let cores = nodes.compactMap { core($0, label) }
            guard cores.count == nodes.count else { return nil }
            if !cores.isEmpty && cores.count <= ConfigLimits.loopsMax {
                if let twice = Self.firstRepeated(cores) {
                    diagnostics.error(nodes[twice].position, "\(label): the core \(cores[twice]) appears twice")
                    return nil
                }
                return .loops(.cores(cores))
            }
        case .mapping: break
        }
        refuse(node, label, .loops)
        return nil
    }

    private mutating func core(_ node: YAMLNode, _ label: String) -> Int? {
        if case .scalar(let scalar) = node.content, case .integer(let digits) = scalar.typed, let core = Int(digits),
            (0...ConfigLimits.coreMax).contains(core)
        { return core }
        diagnostics.error(node.position, "\(label): found \(node.found), accepted: the number of a core, from 0 to \(ConfigLimits.coreMax)")
        return nil
    }

    // MARK: Lists and headers

    private mutating func list(
        _ node: YAMLNode, _ element: ConfigType, _ counts: ClosedRange<Int>, _ type: ConfigType, _ label: String
    ) -> ConfigValue? {
        guard case .sequence(let nodes) = node.content else {
            // A single value where a list belongs: show the list.
            var hint = ""
            if case .scalar(let scalar) = node.content, case .text = element { hint = "; did you mean `[\(YAMLScalar.shown(scalar.text))]`?" }
            if case .scalar(let scalar) = node.content, case .choice = element { hint = "; did you mean `[\(YAMLScalar.shown(scalar.text))]`?" }
            refuse(node, label, type, hint: hint)
            return nil
        }
        guard counts.contains(nodes.count) else {
            let found = nodes.isEmpty ? "an empty list" : "\(nodes.count) entries"
            diagnostics.error(node.position, "\(label): found \(found), accepted: \(counts.lowerBound) to \(counts.upperBound) entries")
            return nil
        }
        var items: [ConfigItem] = []
        let outer = path
        path += "[]"
        for (index, node) in nodes.enumerated() {
            if let item = value(node, element, label: "\(label)[\(index)]", at: node.position) { items.append(item) }
        }
        path = outer
        reportRepeated(items, element, label)
        return .list(items)
    }

    private mutating func oneOrMany(
        _ node: YAMLNode, _ element: ConfigType, _ counts: ClosedRange<Int>, _ type: ConfigType, _ label: String
    ) -> ConfigValue? {
        switch node.content {
        case .sequence: return list(node, element, counts, type, label)
        case .scalar: return value(node, element, label: label, at: node.position).map { .list([$0]) }
        case .mapping:
            if element.inner != nil { return value(node, element, label: label, at: node.position).map { .list([$0]) } }
            refuse(node, label, type)
            return nil
        }
    }

    private mutating func reportRepeated(_ items: [ConfigItem], _ element: ConfigType, _ label: String) {
        var seen: Set<String> = []
        for item in items {
            guard case .text(let text) = item.value else { continue }
            if !seen.insert(text).inserted {
                diagnostics.error(item.position, "\(label): `\(YAMLScalar.shown(item.node?.rawText ?? text))` appears twice")
            }
        }
    }

    private mutating func headers(_ node: YAMLNode, _ direction: HeaderDirection, _ label: String) -> ConfigValue? {
        guard case .mapping(let entries) = node.content else {
            refuse(node, label, .headers(direction))
            return nil
        }
        var headers: [ConfigHeader] = []
        var seen: [String: String] = [:]
        for entry in entries {
            let shown = YAMLScalar.shown(entry.key)
            if let problem = HeaderSyntax.nameProblem(entry.key, direction) {
                diagnostics.error(entry.keyPosition, "\(label): found the header name `\(shown)` (\(problem))")
                continue
            }
            if let first = seen.updateValue(entry.key, forKey: entry.key.lowercased()) {
                diagnostics.error(
                    entry.keyPosition, "\(label): `\(shown)` is the same header as `\(first)`; give one of them a list of values")
                continue
            }
            headers += headerValues(entry, Self.join(label, entry.key)).map { ConfigHeader(name: entry.key, value: $0.value, raw: $0.raw) }
        }
        if headers.count > ConfigLimits.headersMax {
            diagnostics.error(node.position, "\(label): found \(headers.count) header fields, accepted: up to \(ConfigLimits.headersMax)")
        }
        return .headers(headers)
    }

    private mutating func headerValues(_ entry: YAMLNode.Entry, _ label: String) -> [(value: String, raw: String?)] {
        let type = ConfigType.oneOrMany(.text(.headerValue), counts: 1...ConfigLimits.headersMax)
        guard let item = value(entry.value, type, label: label, at: entry.keyPosition), case .list(let items) = item.value else { return [] }
        return items.compactMap { item in
            if case .text(let text) = item.value { return (text, item.node?.rawText) }
            return nil
        }
    }

    // MARK: Messages

    mutating func refuse(_ node: YAMLNode, _ label: String, _ type: ConfigType, reason: String? = nil, hint: String = "") {
        let prefix = label.isEmpty ? "" : "\(label): "
        // Reasons and hints may have pieces of the text in them, which is not to be shown when the environment gave it.
        let (reason, hint) = node.isSubstituted ? (nil, "") : (reason, hint)
        let why = reason.map { " (\($0))" } ?? ""
        diagnostics.error(node.position, "\(prefix)found \(node.found)\(why), accepted: \(type.accepted)\(hint)")
    }

    static func join(_ label: String, _ key: String) -> String { label.isEmpty ? key : "\(label).\(key)" }
    static func place(_ label: String) -> String { label.isEmpty ? "" : " in `\(label)`" }

    private static func firstRepeated(_ values: [Int]) -> Int? {
        var seen: Set<Int> = []
        return values.firstIndex { !seen.insert($0).inserted }
    }
}
