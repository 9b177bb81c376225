// ReloadOutcome: what came of reading the configuration again: by SIGHUP, or by the administration, which answers with it. Plain values.

internal import UringHTTP

/// Where the configuration comes from. Called on threads that are no loop's.
package struct ConfigurationSource: Sendable {
    package let load: @Sendable () -> ConfigLoadResult

    package init(_ load: @escaping @Sendable () -> ConfigLoadResult) { self.load = load }
}

package enum ReloadOutcome: Sendable {
    /// It is in use. With the `listening on …` lines of new listeners, and what takes effect at the next start only.
    case changed(ConfigurationDiff, listening: [String], remarks: [String], ConfigLoadResult)
    /// Nothing was done but to compare.
    case planned(ConfigurationDiff, remarks: [String], ConfigLoadResult)
    /// The configuration is wrong.
    case problems(ConfigLoadResult)
    /// It is good, and cannot be used here and now: an address in use, a file that is gone.
    case failed(String)
    /// The server was started from arguments.
    case noFile
    /// The server is about to end.
    case stopping
}

extension ReloadOutcome {
    /// The status of the administration's answer, which is 200 where all is well.
    package var status: Int { Int(answer.0.code) }

    /// One JSON object, for programs.
    package var jsonText: String { answer.1.prettyText }

    /// For people: what has changed or would, what takes effect at the next start only, and what is wrong as `FILE:LINE:COL: message`.
    package var text: String {
        switch self {
        case .changed(let diff, let listening, let remarks, let result):
            result.render() + "reloaded \(result.file)\n" + diff.text + Self.lines(remarks) + Self.lines(listening)
        case .planned(let diff, let remarks, let result):
            result.render() + "a reload of \(result.file) would change this:\n" + diff.text + diff.untouchedText + Self.lines(remarks)
        case .problems(let result): result.render() + "the old configuration goes on: \(result.file) is wrong\n"
        case .failed(let reason): "the old configuration goes on: \(reason)\n"
        case .noFile, .stopping: Self.lines([answer.1["detail"]?.text ?? ""])
        }
    }

    private static func lines(_ texts: [String]) -> String { texts.map { $0 + "\n" }.joined() }

    var answer: (HTTPStatus, JSONValue) {
        switch self {
        case .changed(let diff, let listening, let remarks, let result):
            (.ok, Self.document(applied: true, diff, remarks, result, listening))
        case .planned(let diff, let remarks, let result): (.ok, Self.document(applied: false, diff, remarks, result, []))
        case .problems(let result):
            (
                .unprocessableContent,
                .problem(.unprocessableContent, "the configuration is wrong, the old one goes on", Self.members(result.json).filter { $0.name == "file" || $0.name == "diagnostics" })
            )
        case .failed(let reason): (.conflict, .problem(.conflict, "the old configuration goes on: \(reason)"))
        case .noFile: (.conflict, .problem(.conflict, "there is no configuration file to read again"))
        case .stopping: (.serviceUnavailable, .problem(.serviceUnavailable, "the server is stopping"))
        }
    }

    private static func document(applied: Bool, _ diff: ConfigurationDiff, _ remarks: [String], _ result: ConfigLoadResult, _ listening: [String]) -> JSONValue {
        var members: [JSONValue.Member] = [.init(name: "applied", value: .boolean(applied))] + Self.members(diff.json)
        members.append(.init(name: "remarks", value: .array(remarks.map { .string($0) })))
        if applied { members.append(.init(name: "listening", value: .array(listening.map { .string($0) }))) }
        return .object(members + Self.members(result.json).filter { $0.name == "diagnostics" })
    }

    private static func members(_ value: JSONValue) -> [JSONValue.Member] {
        if case .object(let members) = value { members } else { [] }
    }
}
