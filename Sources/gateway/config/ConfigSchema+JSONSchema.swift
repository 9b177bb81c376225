// The option table as JSON Schema (draft 2020-12), for editors: `uringd schema`. It says what a schema can say; what needs
// more than one value (duplicate names, files that exist) is left to `uringd check`.

extension ConfigSchema {
    /// The text of `uringd schema`.
    package static var jsonSchemaText: String { jsonSchema.prettyText }

    static var jsonSchema: JSONValue {
        guard case .object(let members) = schema(root) else { preconditionFailure("BUG: the root of the schema is no object") }
        let head: [JSONValue.Member] = [
            .init(name: "$schema", value: .string("https://json-schema.org/draft/2020-12/schema")),
            .init(name: "title", value: .string("Configuration of uringd")),
        ]
        return .object(head + members)
    }

    private static func schema(_ group: ConfigGroup) -> JSONValue {
        let required = group.options.filter(\.isRequired).map { JSONValue.string($0.key) }
        return .object([
            "type": .string("object"),
            "properties": .object(group.options.map { .init(name: $0.key, value: schema($0)) }),
            "required": required.isEmpty ? nil : .array(required),
            "additionalProperties": .boolean(false),
            "allOf": group.rules.isEmpty ? nil : .array(group.rules.map { schema($0, group) }),
        ])
    }

    private static func schema(_ rule: ConfigGroup.Rule, _ group: ConfigGroup) -> JSONValue {
        func requires(_ keys: [String]) -> [JSONValue] {
            keys.map { .object(["required": .array([.string($0)])]) }
        }
        switch rule {
        case .exactlyOne(let keys): return .object(["oneOf": .array(requires(keys))])
        case .atMostOne(let keys):
            let none = JSONValue.object(["not": .object(["anyOf": .array(requires(keys))])])
            return .object(["oneOf": .array(requires(keys) + [none])])
        }
    }

    private static func schema(_ option: ConfigOption) -> JSONValue {
        guard case .object(let members) = schema(option.type) else { preconditionFailure("BUG: a schema that is no object") }
        var all: [JSONValue.Member] = [.init(name: "description", value: .string(option.meaning))]
        if let value = option.defaultText.flatMap(value) { all.append(.init(name: "default", value: value)) }
        if let value = value(option.example) { all.append(.init(name: "examples", value: .array([value]))) }
        return .object(all + members)
    }

    private static func value(_ yaml: String) -> JSONValue? {
        YAMLDocument.parse(Array(yaml.utf8)).root.map { $0.json { _, _ in } }
    }

    private static func schema(_ type: ConfigType) -> JSONValue {
        switch type {
        case .integer(let range): integerSchema(range)
        case .unit(let unit, let range): unitSchema(unit, range)
        case .boolean: .object(["type": .string("boolean")])
        case .booleanOr(let word): .object(["enum": .array([.boolean(true), .boolean(false), .string(word)])])
        case .choice(let names): .object(["enum": .array(names.map { .string($0) } + names.filter(isNumber).map { .number($0) })])
        case .text(let text): textSchema(text)
        case .loops: loopsSchema
        case .list(let element, let counts): listSchema(element, counts)
        case .oneOrMany(let element, let counts): .object(["anyOf": .array([schema(element), listSchema(element, counts)])])
        case .group(let group): schema(group)
        case .wordOrGroup(let words, let group):
            .object(["anyOf": .array([.object(["enum": .array(words.map { .string($0) })]), schema(group)])])
        case .headers: headersSchema
        case .map(let key, let element, let counts): mapSchema(key, element, counts)
        case .shorthand(let key, let group): .object(["anyOf": .array([group.option(key).map { schema($0.type) } ?? .object([]), schema(group)])])
        case .wordOr(let words, let type): .object(["anyOf": .array([.object(["enum": .array(words.map { .string($0) })]), schema(type)])])
        case .secret: secretSchema
        case .json: .object([])
        }
    }

    /// `1.2` without quotes is a number to editors; the validator looks at the text.
    private static func isNumber(_ name: String) -> Bool { name.utf8.allSatisfy { $0 == UInt8(ascii: ".") || ($0 >= 0x30 && $0 <= 0x39) } }

    private static func integerSchema(_ range: ConfigRange) -> JSONValue {
        let bounds: [JSONValue.Member] = [
            .init(name: "type", value: .string("integer")), .init(name: "minimum", value: .integer(range.min)),
            .init(name: "maximum", value: .integer(range.max)),
        ]
        guard range.zeroIsOff else { return .object(bounds) }
        return .object(["anyOf": .array([.object(["const": .number("0")]), .object(bounds)])])
    }

    /// Bounds of values with units cannot be said in a schema; the pattern and, for plain numbers, the bounds are.
    private static func unitSchema(_ unit: ConfigUnit, _ range: ConfigRange) -> JSONValue {
        var choices: [JSONValue] = [.object(["type": .string("string"), "pattern": .string(unit.pattern)])]
        if case .size = unit {
            choices.append(integerSchema(range))
        } else if range.zeroIsOff {
            choices.append(.object(["const": .number("0")]))
        }
        return choices.count == 1 ? choices[0] : .object(["anyOf": .array(choices)])
    }

    /// YAML reads `80` and `true` as something else than text; header values and bodies may look like that.
    private static func textSchema(_ text: ConfigText) -> JSONValue {
        let pattern = text.pattern.map { JSONValue.string($0) }
        switch text {
        case .headerValue, .body:
            return .object(["type": .array([.string("string"), .string("number"), .string("boolean")]), "pattern": pattern])
        default: return .object(["type": .string("string"), "pattern": pattern])
        }
    }

    private static func listSchema(_ element: ConfigType, _ counts: ClosedRange<Int>) -> JSONValue {
        .object([
            "type": .string("array"), "items": schema(element),
            "minItems": counts.lowerBound > 0 ? .number(String(counts.lowerBound)) : nil,
            "maxItems": .number(String(counts.upperBound)),
        ])
    }

    private static func mapSchema(_ key: ConfigText, _ element: ConfigType, _ counts: ClosedRange<Int>) -> JSONValue {
        .object([
            "type": .string("object"), "propertyNames": .object(["pattern": key.pattern.map { .string($0) }]),
            "additionalProperties": schema(element), "minProperties": counts.lowerBound > 0 ? .number(String(counts.lowerBound)) : nil,
            "maxProperties": .number(String(counts.upperBound)),
        ])
    }

    private static var secretSchema: JSONValue {
        .object([
            "anyOf": .array([
                .object(["type": .array([.string("string"), .string("number")])]),
                .object([
                    "type": .string("object"), "properties": .object(["file": .object(["type": .string("string"), "pattern": .string("^.+$")])]),
                    "required": .array([.string("file")]), "additionalProperties": .boolean(false),
                ]),
            ])
        ])
    }

    private static var loopsSchema: JSONValue {
        let core = ConfigRange(0, UInt64(ConfigLimits.coreMax))
        return .object([
            "anyOf": .array([
                .object(["const": .string("auto")]), integerSchema(ConfigRange(1, UInt64(ConfigLimits.loopsMax))),
                .object([
                    "type": .string("array"), "items": integerSchema(core), "minItems": .number("1"),
                    "maxItems": .number(String(ConfigLimits.loopsMax)), "uniqueItems": .boolean(true),
                ]),
            ])
        ])
    }

    private static var headersSchema: JSONValue {
        .object([
            "type": .string("object"),
            "propertyNames": .object(["pattern": .string("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]),
            "additionalProperties": schema(ConfigType.oneOrMany(.text(.headerValue), counts: 1...ConfigLimits.headersMax)),
        ])
    }
}
