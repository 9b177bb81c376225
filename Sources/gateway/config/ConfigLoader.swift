// The way from a path to a `Configuration`, or to every problem at once. Called at start, by `uringd check`, and on a
// reload from a thread that is not a loop: it reads files.

/// One of the files that a configuration comes from, with the number that positions have.
package struct ConfigSource: Sendable {
    package let name: String
    /// Nil when it could not be read.
    package let bytes: [UInt8]?
}

package struct ConfigLoadResult: Sendable {
    /// Nil when there is at least one error.
    package let configuration: Configuration?
    /// Errors and warnings in the order of the files.
    package let diagnostics: [Diagnostic]
    /// The file that was asked for, and what it includes.
    package let sources: [ConfigSource]
    /// Where each route has its name.
    package var routePlaces: [String: SourcePosition] = [:]

    /// The name of the file that was asked for.
    package var file: String { sources[0].name }

    /// One line per problem, `FILE:LINE:COL: message`; with `excerpts`, the line of the file and a caret below each.
    package func render(excerpts: Bool = false) -> String {
        DiagnosticRenderer.render(diagnostics, sources, excerpts: excerpts)
    }

    /// For programs: `uringd check --format json`.
    package var json: JSONValue { DiagnosticRenderer.json(diagnostics, sources) }

    /// With what the command line says, which wins over the file.
    package func overriding(loops: LoopSelection?) -> ConfigLoadResult {
        guard let loops, var configuration else { return self }
        configuration.loops = loops
        return ConfigLoadResult(configuration: configuration, diagnostics: diagnostics, sources: sources, routePlaces: routePlaces)
    }

    /// With more to say, which may speak of one more file.
    package func adding(_ more: [Diagnostic], about source: ConfigSource) -> ConfigLoadResult {
        var list = DiagnosticList()
        for diagnostic in diagnostics + more { list.add(diagnostic) }
        return ConfigLoadResult(
            configuration: list.hasErrors ? nil : configuration, diagnostics: list.sorted(), sources: sources + [source], routePlaces: routePlaces)
    }
}

/// What a load depends on besides the bytes.
package struct ConfigLoadOptions: Sendable {
    var checks = ConfigFileChecks.system
    var environment = ConfigEnvironment.process
    /// Paths of keys that are refused as not supported yet.
    var unwired = ConfigSchema.unwired

    package init() {}

    /// Judges everything, also what this version does not act on: for `explain`, which runs nothing.
    package static var offline: ConfigLoadOptions {
        var options = ConfigLoadOptions()
        options.unwired = []
        return options
    }
}

package enum ConfigLoader {
    /// Reads and judges a file. Relative paths in it start at its directory.
    package static func load(path: String, _ options: ConfigLoadOptions = ConfigLoadOptions()) -> ConfigLoadResult {
        switch ConfigFileChecks.read(path) {
        case .failure(let problem):
            return ConfigLoadResult(
                configuration: nil, diagnostics: [.error(.fileStart, problem.reason)], sources: [ConfigSource(name: path, bytes: nil)])
        case .success(let bytes):
            let directory = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
            return load(bytes: bytes, file: path, directory: directory, options)
        }
    }

    /// Judges bytes. `file` is only a name for messages; `directory` is where relative paths start, "" for the working directory.
    package static func load(
        bytes: [UInt8], file: String, directory: String, _ options: ConfigLoadOptions = ConfigLoadOptions()
    ) -> ConfigLoadResult {
        var files = ConfigFiles(directory: directory, options: options)
        let root = files.read(ConfigSource(name: file, bytes: bytes))
        // A file that YAML cannot read has no values: "the key `listen` is missing" would be noise after that.
        if root == nil && files.diagnostics.hasErrors {
            return ConfigLoadResult(configuration: nil, diagnostics: files.diagnostics.sorted(), sources: files.sources)
        }
        var validator = ConfigValidator(diagnostics: files.diagnostics, unwired: options.unwired)
        let table = validator.root(root)
        var builder = ConfigurationBuilder(directory: directory, files: options.checks, diagnostics: validator.diagnostics)
        builder.fileNames = files.sources.map(\.name)
        let configuration = builder.build(table)
        // What is not served yet for some values of a key.
        if !options.unwired.isEmpty {
            for route in configuration.routes {
                let place = builder.routePlaces[route.name] ?? .fileStart
                if case .proxy = route.action { continue }
                if route.filters.deadlineNs > 0 {
                    builder.diagnostics.error(place, "timeout of `\(route.name)`: only routes with `proxy` have one in this version; remove it")
                }
            }
        }
        if !builder.diagnostics.hasErrors {
            for diagnostic in ExpectationCheck.problems(configuration) { builder.diagnostics.add(diagnostic) }
        }
        return ConfigLoadResult(
            configuration: builder.diagnostics.hasErrors ? nil : configuration, diagnostics: builder.diagnostics.sorted(), sources: files.sources,
            routePlaces: builder.routePlaces)
    }
}
