// What is generated from the option table: the table itself is sound, the committed page is current, the schema is JSON.

import Glibc
import Testing

@testable import UringGateway

@Suite struct ConfigReferenceTests {
    private var groups: [(path: String, group: ConfigGroup)] { [("", ConfigSchema.root)] + ConfigSchema.sections }

    /// An option with its value as a file would give it, alone in a mapping.
    private func problems(_ option: ConfigOption, _ yaml: String) -> [String] {
        var validator = ConfigValidator()
        let group = ConfigGroup([option])
        let node = YAMLDocument.parse(Array("\(option.key): \(yaml)".utf8))
        let table = validator.group(node.root!, group, label: "")
        #expect(table?[option.key] != nil)
        return (node.diagnostics + validator.diagnostics.sorted()).map(\.message)
    }

    @Test func everyDefaultAndExampleIsGood() {
        for (path, group) in groups {
            for option in group.options {
                #expect(problems(option, option.example) == [], "example of \(path).\(option.key)")
                if let text = option.defaultText { #expect(problems(option, text) == [], "default of \(path).\(option.key)") }
                #expect(option.meaning.hasSuffix(".") , "\(path).\(option.key)")
                #expect(!(option.isRequired && option.defaultText != nil), "\(path).\(option.key)")
            }
            #expect(Set(group.options.map(\.key)).count == group.options.count, "a key twice in \(path)")
        }
    }

    /// A path that is in no group any more would refuse nothing.
    @Test func everyUnwiredKeyExists() {
        let known = Set(groups.flatMap { path, group in group.options.map { path.isEmpty ? $0.key : "\(path).\($0.key)" } })
        #expect(ConfigSchema.unwired.subtracting(known) == [])
    }

    @Test func theExampleOfThePageLoads() {
        #expect(load(ConfigSchema.example).render() == "")
    }

    /// `UPDATE_REFERENCE=1 swift test --filter ConfigReferenceTests` writes the page.
    @Test func theCommittedPageIsTheGeneratedOne() throws {
        let up = "/../../../../docs/operators/configuration.md"
        let path = String(#filePath) + up
        let page = ConfigSchema.referencePage
        let file = path.split(separator: "/").reduce(into: [Substring]()) { parts, part in
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }.map { "/" + $0 }.joined()
        if unsafe getenv("UPDATE_REFERENCE") != nil {
            let descriptor = unsafe open(file, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
            try #require(descriptor >= 0)
            let bytes = Array(page.utf8)
            #expect(unsafe write(descriptor, bytes, bytes.count) == bytes.count)
            close(descriptor)
        }
        let committed = try ConfigFileChecks.read(file).get()
        #expect(String(decoding: committed, as: UTF8.self) == page, "run UPDATE_REFERENCE=1 swift test --filter ConfigReferenceTests")
    }

    /// JSON is YAML: the project's own reader takes the schema apart again.
    @Test func theSchemaIsOneJSONObjectWithEveryKey() throws {
        let text = ConfigSchema.jsonSchemaText
        let root = try #require(YAMLDocument.parse(Array(text.utf8)).root)
        #expect(YAMLDocument.parse(Array(text.utf8)).diagnostics == [])
        guard case .mapping(let entries) = root.content else {
            Issue.record("no object")
            return
        }
        #expect(entries.map(\.key) == ["$schema", "title", "type", "properties", "required", "additionalProperties"])
        guard case .mapping(let properties)? = entries.first(where: { $0.key == "properties" })?.value.content else {
            Issue.record("no properties")
            return
        }
        #expect(properties.map(\.key) == ConfigSchema.root.options.map(\.key))
        // Reading and writing again gives the same bytes: the writer escapes what the reader unescapes.
        #expect(root.json { _, _ in }.prettyText == text)
    }
}
