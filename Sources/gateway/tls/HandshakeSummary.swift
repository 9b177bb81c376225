// What a server's TLS handshakes came to, in one line for its log. Made when the server has drained, from the last figures of its loops.

package import UringServer

package struct HandshakeSummary {
    private var counts = [(name: String, count: UInt64)]()
    private var failures: [String: UInt64] = [:]
    private var started: UInt64 = 0
    private var refused: UInt64 = 0

    package init(_ loops: [LoopSnapshot]) {
        func sum(_ value: (LoopSnapshot) -> UInt64) -> UInt64 { loops.reduce(0) { $0 &+ value($1) } }
        started = sum(\.handshakes.started)
        refused = sum(\.handshakesRefused)
        counts = [
            ("full", sum(\.handshakes.full)), ("of them fall-backs", sum(\.handshakes.fallback)), ("by ticket", sum(\.handshakes.ticket)),
            ("by session id", sum(\.handshakes.sessionID)), ("by pre-shared key", sum(\.handshakes.preSharedKey)),
            ("failed", sum(\.handshakes.failed)), ("abandoned", sum(\.handshakes.abandoned)), ("refused", refused),
        ]
        for loop in loops { for failure in loop.handshakes.failures { failures[failure.reason, default: 0] &+= failure.count } }
    }

    /// nil when nobody spoke TLS.
    package var line: String? {
        guard started > 0 || refused > 0 else { return nil }
        let parts = counts.map { name, count in
            guard name == "failed", !failures.isEmpty else { return "\(count) \(name)" }
            // The most frequent first: what an operator looks for.
            let reasons = failures.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($0.key) \($0.value)" }
            return "\(count) failed (\(reasons.joined(separator: ", ")))"
        }
        return "TLS handshakes: \(parts.joined(separator: ", "))"
    }
}
