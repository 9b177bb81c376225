// What happens to the servers of an upstream, as lines of the operational log and counts. Rare by nature or made rare here: who fails writes a line a second. Any thread
// that says nothing else.

internal import UringPolicy
internal import UringServer

extension Upstream {
    /// A server was ejected, or spared, or came back.
    func note(_ event: OutlierEvent, _ servers: UpstreamServers) {
        let (counters, names) = (servers.counters, servers.names)
        switch event {
        case .ejected(let server, let cause, let failures, let until, let ejections):
            counters.add(.ejections, server: server)
            let now = MonotonicClock.now
            let seconds = until > now ? (until - now + 500_000_000) / 1_000_000_000 : 0
            log?.warning(
                "upstream \(names[server]) is ejected for \(seconds) s: \(failures) \(Self.words(cause)) in a row\(ejections > 1 ? ", ejection number \(ejections) in close succession" : "")", .ejection)
            reporter?.flight.dump(.ejection)
        case .spared(let server, let cause, let failures, let ejected):
            counters.add(.spared, server: server)
            // It would come with every few failures; the count tells the rest.
            guard counters.event(.spared, server: server) & 63 == 1 else { return }
            log?.warning("upstream \(names[server]) would be ejected (\(failures) \(Self.words(cause)) in a row), but \(ejected) of \(servers.list.count) servers are already", .ejection)
        case .returned(let server): log?.notice("upstream \(names[server]) is used again: its ejection is over", .ejection)
        }
    }

    private static func words(_ cause: OutlierEvent.Cause) -> String {
        switch cause {
        case .consecutive5xx: "failures or answers with 5xx"
        case .consecutiveGatewayFailures: "requests without an answer of its own"
        }
    }
}

/// Lines about failed attempts: of each server and kind one a second. A loop's own.
struct FailureLines {
    private var written: [UInt64]
    private var unwritten: [UInt64]

    init(servers: Int) {
        written = Array(repeating: 0, count: servers * ProxyFailure.allCases.count)
        unwritten = written
    }

    /// nil: not now. Otherwise how many were not written since the last that was.
    mutating func admit(_ server: Int, _ failure: ProxyFailure, now: UInt64) -> UInt64? {
        let place = server * ProxyFailure.allCases.count + Int(failure.rawValue)
        guard written[place] == 0 || now &- written[place] >= 1_000_000_000 else {
            unwritten[place] += 1
            return nil
        }
        defer { (written[place], unwritten[place]) = (max(now, 1), 0) }
        return unwritten[place]
    }
}
