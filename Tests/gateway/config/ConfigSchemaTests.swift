// The JSON Schema against values: what the loader takes, an editor takes too. With an evaluator of the few keywords that the schema uses.

import Testing

@testable import UringGateway

/// JSON Schema (draft 2020-12), as far as `uringd schema` goes. An unknown keyword is a failure of the test, not ignored.
private struct SchemaEvaluator {
    private static let annotations: Set<String> = ["$schema", "title", "description", "default", "examples"]

    func accepts(_ schema: JSONValue, _ value: JSONValue) -> Bool {
        guard case .object(let members) = schema else { return false }
        return members.allSatisfy { accepts($0.name, $0.value, schema, value) }
    }

    private func accepts(_ keyword: String, _ argument: JSONValue, _ schema: JSONValue, _ value: JSONValue) -> Bool {
        switch keyword {
        case "type": return list(argument).contains { isOfType($0, value) }
        case "enum": return list(argument).contains(value)
        case "const": return argument == value
        case "pattern": return matches(argument, value)
        case "minimum": return compare(value, argument) { $0 >= $1 }
        case "maximum": return compare(value, argument) { $0 <= $1 }
        case "minItems": return count(value, isArray: true).map { $0 >= number(argument) } ?? true
        case "maxItems": return count(value, isArray: true).map { $0 <= number(argument) } ?? true
        case "minProperties": return count(value, isArray: false).map { $0 >= number(argument) } ?? true
        case "maxProperties": return count(value, isArray: false).map { $0 <= number(argument) } ?? true
        case "uniqueItems": return true
        case "items":
            guard case .array(let items) = value else { return true }
            return items.allSatisfy { accepts(argument, $0) }
        case "required": return list(argument).allSatisfy { name in members(value)?.contains { .string($0.name) == name } ?? true }
        case "properties": return members(value)?.allSatisfy { member in argument[member.name].map { accepts($0, member.value) } ?? true } ?? true
        case "propertyNames": return members(value)?.allSatisfy { accepts(argument, .string($0.name)) } ?? true
        case "additionalProperties":
            let others = members(value)?.filter { schema["properties"]?[$0.name] == nil } ?? []
            return argument == .boolean(false) ? others.isEmpty : others.allSatisfy { accepts(argument, $0.value) }
        case "anyOf": return list(argument).contains { accepts($0, value) }
        case "oneOf": return list(argument).count { accepts($0, value) } == 1
        case "allOf": return list(argument).allSatisfy { accepts($0, value) }
        case "not": return !accepts(argument, value)
        default: return Self.annotations.contains(keyword)
        }
    }

    private func list(_ value: JSONValue) -> [JSONValue] {
        if case .array(let items) = value { items } else { [value] }
    }

    private func members(_ value: JSONValue) -> [JSONValue.Member]? {
        if case .object(let members) = value { members } else { nil }
    }

    private func count(_ value: JSONValue, isArray: Bool) -> Int? {
        switch value {
        case .array(let items): isArray ? items.count : nil
        case .object(let members): isArray ? nil : members.count
        default: nil
        }
    }

    private func number(_ value: JSONValue) -> Int {
        if case .number(let digits) = value { Int(digits) ?? 0 } else { 0 }
    }

    private func compare(_ value: JSONValue, _ bound: JSONValue, _ isGood: (Double, Double) -> Bool) -> Bool {
        guard case .number(let text) = value, case .number(let limit) = bound, let number = Double(text), let limit = Double(limit) else { return true }
        return isGood(number, limit)
    }

    private func isOfType(_ type: JSONValue, _ value: JSONValue) -> Bool {
        switch (type, value) {
        case (.string("object"), .object), (.string("array"), .array), (.string("string"), .string), (.string("boolean"), .boolean), (.string("number"), .number): true
        case (.string("integer"), .number(let text)): !text.contains(".")
        default: false
        }
    }

    private func matches(_ pattern: JSONValue, _ value: JSONValue) -> Bool {
        guard case .string(let text) = value else { return true }
        guard case .string(let pattern) = pattern, let regex = try? Regex(pattern) else { return false }
        return text.firstMatch(of: regex) != nil
    }
}

@Suite struct ConfigSchemaTests {
    private let schema = ConfigSchema.jsonSchema
    private let evaluator = SchemaEvaluator()

    private func value(_ yaml: String) throws -> JSONValue { try #require(YAMLDocument.parse(Array(yaml.utf8)).root).json { _, _ in } }

    @Test func takesWhatTheLoaderTakes() throws {
        #expect(evaluator.accepts(schema, try value(GatewayExample.text)))
        #expect(evaluator.accepts(schema, try value(ConfigSchema.example)))
    }

    /// One slip each, in every part: neither takes it.
    @Test(arguments: [
        ("balance: least-requests", "balance: lest"), ("weight: 2", "weight: 0"), ("rate: 100/s", "rate: 100"), ("key: jwt.sub", "key: sub"),
        ("budget: 20%", "budget: 20"), ("error-rate: 5%", "eror-rate: 5%"), ("proxy:\n", "prox:\n"), ("forwarded: both", "forwarded: all"),
        ("request-buffering: 64KiB", "request-buffering: true"), ("subjects: [\"URI", "subjects: [\"URL"), ("deny: [192", "deny: [x192"),
        ("status: [\"200\", \"204\"]", "status: [\"20\"]"), ("websocket: false", "websocket: off"), ("protocol: auto", "protocol: h3"),
        ("database: 1", "database: -1"), ("algorithms: [RS256", "algorithms: [none"), ("endpoint: \"http", "endpoint: \"ftp"),
        ("header: x-left-ms", "header: \"x left\""), ("{ file: redis.password }", "{ fil: redis.password }"), ("interval: 2s", "interval: 2 s"),
        ("upstream: orders", "upstream: \"or ders\""), ("request: \"GET http://127", "request: \"http://127"),
    ])
    func refusesWhatTheLoaderRefuses(good: String, bad: String) throws {
        let text = try #require(GatewayExample.text.firstRange(of: good).map { GatewayExample.text.replacingCharacters($0, with: bad) })
        #expect(load(text).configuration == nil, "the loader takes \(bad)")
        #expect(!evaluator.accepts(schema, try value(text)), "the schema takes \(bad)")
    }

    @Test func everyExampleAndDefaultIsTaken() throws {
        func walk(_ schema: JSONValue, _ path: String) {
            guard case .object(let members) = schema else { return }
            for case let member in members where member.name == "properties" {
                guard case .object(let properties) = member.value else { continue }
                for property in properties {
                    for example in [property.value["examples"], property.value["default"].map { .array([$0]) }].compactMap({ $0 }) {
                        guard case .array(let values) = example else { continue }
                        for value in values { #expect(evaluator.accepts(property.value, value), "\(path).\(property.name)") }
                    }
                    walk(property.value, "\(path).\(property.name)")
                }
            }
            for member in members where ["items", "additionalProperties"].contains(member.name) { walk(member.value, path) }
            for member in members where member.name == "anyOf" {
                if case .array(let choices) = member.value { for choice in choices { walk(choice, path) } }
            }
        }
        walk(schema, "")
    }
}

extension String {
    fileprivate func replacingCharacters(_ range: Range<String.Index>, with text: String) -> String {
        String(self[..<range.lowerBound]) + text + String(self[range.upperBound...])
    }
}
