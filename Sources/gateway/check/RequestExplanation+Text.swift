// An explanation as text for people and as JSON for programs: `uringd explain`.

extension RequestExplanation {
    package var text: String {
        var lines = ["\(request.method) \(request.url.text)"]
        lines.append("listener   \(listener ?? "none")")
        lines += notes.map { "note       \($0)" }
        let width = trials.map { $0.route.count }.max() ?? 0
        for trial in trials {
            let name = trial.route + String(repeating: " ", count: width - trial.route.count)
            lines.append("route      \(name)  \(trial.reason.map { "no: \($0)" } ?? "yes")")
        }
        for step in steps {
            lines.append("filter     \(step.filter)\(step.verdict.map { ": \($0)" } ?? "")")
            lines += step.settings.map { "             \($0)" }
        }
        lines += answer.map { "answer     \($0)" }
        if let upstream { lines += Self.lines(upstream) }
        lines += limits.map { "limits     \($0)" }
        if let status { lines.append("status     \(status)") }
        lines += responseHeaders.map { "response   \($0.name): \(HeaderSyntax.isSensitive($0.name) ? Secret.placeholder : $0.value)" }
        return lines.map { $0 + "\n" }.joined()
    }

    private static func lines(_ upstream: UpstreamPreview) -> [String] {
        upstream.servers.map { "server     \($0)" } + upstream.settings.map { "             \($0)" }
            + ["sent       \(upstream.method) \(upstream.target)", "             host: \(upstream.host)"]
            + upstream.addedHeaders.map { "             \($0.name): \($0.value)" } + upstream.removedHeaders.map { "             without \($0)" }
    }

    package var json: JSONValue {
        .object([
            "method": .string(request.method), "url": .string(request.url.text), "listener": listener.map { .string($0) } ?? .null,
            "notes": .array(notes.map { .string($0) }),
            "tried": .array(trials.map { .object(["route": .string($0.route), "matches": .boolean($0.reason == nil), "reason": $0.reason.map { .string($0) }]) }),
            "route": route.map { .string($0) } ?? .null,
            "filters": .array(
                steps.map {
                    .object([
                        "filter": .string($0.filter), "settings": .array($0.settings.map { .string($0) }), "verdict": $0.verdict.map { .string($0) },
                    ])
                }),
            "answer": .array(answer.map { .string($0) }), "upstream": upstream.map(Self.json), "limits": .array(limits.map { .string($0) }),
            "status": status.map { .integer(UInt64($0)) } ?? .null, "response-headers": Self.json(responseHeaders),
        ])
    }

    private static func json(_ upstream: UpstreamPreview) -> JSONValue {
        .object([
            "name": .string(upstream.name), "servers": .array(upstream.servers.map { .string($0) }),
            "settings": .array(upstream.settings.map { .string($0) }), "method": .string(upstream.method), "target": .string(upstream.target),
            "host": .string(upstream.host), "added-headers": json(upstream.addedHeaders),
            "removed-headers": .array(upstream.removedHeaders.map { .string($0) }),
        ])
    }

    private static func json(_ fields: [HeaderField]) -> JSONValue {
        .array(fields.map { .object(["name": .string($0.name), "value": .string(HeaderSyntax.isSensitive($0.name) ? Secret.placeholder : $0.value)]) })
    }
}
