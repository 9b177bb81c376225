// Short ways to load a configuration from text and to compare what the loader says, in full text.

import Testing

@testable import UringGateway

extension ConfigLoadOptions {
    /// Neither the file system nor the environment is looked at, and every key is taken.
    static var test: ConfigLoadOptions { test([:]) }

    static func test(_ environment: [String: String], files: [String: String] = [:]) -> ConfigLoadOptions {
        var options = ConfigLoadOptions()
        options.checks = .none
        options.checks.include = { path in files[path].map { .success(Array($0.utf8)) } ?? .failure(TextProblem(reason: "not there")) }
        options.checks.glob = { pattern in
            let (start, end) = (pattern.prefix { $0 != "*" }, pattern.drop { $0 != "*" }.dropFirst())
            return files.keys.filter { $0.hasPrefix(start) && $0.hasSuffix(end) }.sorted()
        }
        options.environment = ConfigEnvironment { environment[$0] }
        options.unwired = []
        return options
    }
}

/// Loads text as `test.yaml` without looking at the file system.
func load(_ text: String) -> ConfigLoadResult {
    ConfigLoader.load(bytes: Array(text.utf8), file: "test.yaml", directory: "", .test)
}

/// The lines that `uringd check` prints, without the file name.
func messages(_ text: String) -> [String] {
    load(text).render().split(separator: "\n").map { String($0.dropFirst("test.yaml:".count)) }
}

/// A whole configuration around one more line, which becomes line 1.
func withBase(_ line: String) -> String {
    """
    \(line)
    listen: [{ address: 127.0.0.1:8080 }]
    routes: []
    """
}

/// A configuration whose only route has the given block lines, the first of which is line 3, column 5.
func withRoute(_ lines: String) -> String {
    let indented = lines.split(separator: "\n", omittingEmptySubsequences: false).map { "    \($0)" }.joined(separator: "\n")
    return "listen: [{ address: 127.0.0.1:8080 }]\nroutes:\n  - name: r\n\(indented)\n"
}

/// Expects exactly these lines.
func expectMessages(_ text: String, _ expected: [String], sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(messages(text) == expected, sourceLocation: sourceLocation)
}

/// Expects a configuration without any message.
func good(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> Configuration {
    let result = load(text)
    #expect(result.render() == "", sourceLocation: sourceLocation)
    return try #require(result.configuration, sourceLocation: sourceLocation)
}

/// A configuration that listens on the given address; the value starts in column 21.
func withAddress(_ address: String) -> String {
    "listen: [{ address: \(address) }]\nroutes: []\n"
}
