// What a configuration says after defaults, includes and the environment, as one JSON value without a secret: for the administration's
// `/config` and for saying what a reload would change. Made by the loader from what it validated.

/// Two configurations are equal by what they mean, not by how they would be printed: this always equals itself.
package struct EffectiveConfiguration: Sendable, Equatable {
    /// Keys in the order of the option table; defaults included.
    package let value: JSONValue

    package static func == (a: Self, b: Self) -> Bool { true }

    package init(_ value: JSONValue) { self.value = value }

    /// Indented JSON, which is YAML too.
    package var text: String { value.prettyText }
}

extension EffectiveConfiguration {
    init(_ table: ConfigTable, _ group: ConfigGroup) { value = Self.render(table, group) }

    private static func render(_ table: ConfigTable, _ group: ConfigGroup) -> JSONValue {
        .object(
            group.options.compactMap { option in
                guard let item = table[option.key] else { return nil }
                return .init(name: option.key, value: render(item, option.type))
            })
    }

    private static func render(_ item: ConfigItem, _ type: ConfigType) -> JSONValue {
        // What the environment said may be a secret wherever it stands.
        if let raw = item.node?.rawText { return .string(raw) }
        switch item.value {
        case .number(let number): return type.unit.map { .string($0.format(number)) } ?? .integer(number)
        case .boolean(let flag): return .boolean(flag)
        case .text(let text): return .string(text)
        case .loops(let loops): return render(loops)
        case .list(let items): return .array(items.map { render($0, type.element) })
        case .group(let table): return type.inner.map { render(table, $0.group) } ?? .null
        case .headers(let headers): return render(headers)
        case .map(let members): return .object(members.map { .init(name: $0.name, value: render($0.item, type.element)) })
        case .secret(let source): return render(source)
        case .json(let value): return item.node?.redactedJSON ?? value
        }
    }

    private static func render(_ source: SecretSource) -> JSONValue {
        switch source {
        case .file(let path): .object(["file": .string(path)])
        case .text: .string(Secret.placeholder)
        }
    }

    private static func render(_ loops: LoopSelection) -> JSONValue {
        switch loops {
        case .auto: .string("auto")
        case .count(let count): .integer(UInt64(count))
        case .cores(let cores): .array(cores.map { .integer(UInt64($0)) })
        }
    }

    private static func render(_ headers: [ConfigHeader]) -> JSONValue {
        var members: [JSONValue.Member] = []
        for name in headers.map(\.name).uniqued {
            let values = headers.filter { $0.name == name }.map { header -> JSONValue in
                .string(header.raw ?? (HeaderSyntax.isSensitive(name) ? Secret.placeholder : header.value))
            }
            members.append(.init(name: name, value: values.count == 1 ? values[0] : .array(values)))
        }
        return .object(members)
    }
}

extension ConfigType {
    /// Of entries of a list, or of values of a mapping.
    fileprivate var element: ConfigType {
        switch self {
        case .list(let type, _), .oneOrMany(let type, _), .map(_, let type, _): type
        default: self
        }
    }

    fileprivate var unit: ConfigUnit? {
        switch self {
        case .unit(let unit, _): unit
        case .wordOr(_, let type): type.unit
        default: nil
        }
    }
}

extension [String] {
    /// Each once, in order.
    var uniqued: [String] {
        var seen: Set<String> = []
        return filter { seen.insert($0).inserted }
    }
}

extension HeaderSyntax {
    /// Fields whose values are credentials, or are named as if.
    static func isSensitive(_ name: String) -> Bool {
        let folded = name.lowercased()
        return ["authorization", "cookie", "token", "secret", "password", "api-key", "apikey"].contains { folded.contains($0) }
    }
}

extension Configuration {
    /// The effective configuration with its defaults and without its secrets, as JSON (which is YAML too); an empty object when it came from
    /// arguments.
    package var redacted: JSONValue { effective.value }
}
