// UpstreamNames: the addresses of an upstream's servers that are given by host name, looked up at intervals by a task of one loop. The question itself runs on the resolver's threads; what is
// new is put together off the loop, and each loop goes over to it on its own thread.
//
//   ask all names ─ the same addresses ─────────────────────────────▶ wait
//                 ├ others ─▶ Upstream.replace ─▶ every loop: adopt ─▶ wait
//                 └ no answer ─▶ the addresses stay as they were ─────▶ wait

internal import UringBase
internal import UringPolicy
internal import UringServer

struct UpstreamNames {
    /// How soon a name is asked for again that has had no answer yet; its interval may be hours.
    static let firstAnswerNs: UInt64 = 1_000_000_000

    private let upstream: Upstream
    /// As in the configuration, each once.
    private let names: [UpstreamAddress]
    private var known: [UpstreamAddress: [UpstreamAddress]]
    private var failing: Set<UpstreamAddress> = []
    private var answered: Set<UpstreamAddress> = []
    private var crowded: Set<UpstreamAddress> = []

    init(_ upstream: Upstream) {
        self.upstream = upstream
        var seen: Set<UpstreamAddress> = []
        names = upstream.configuration.servers.map(\.address).filter { $0.isName && seen.insert($0).inserted }
        known = upstream.servers.known
    }

    /// Ends with its task, and with the loop.
    consuming func follow(on loop: ServerLoop, of loops: [ServerLoop]) async {
        var names = self
        repeat {
            let answers = await names.ask()
            guard !Task.isCancelled, ServerLoop.current != nil else { return }
            if names.take(answers) { await names.change(on: loop, of: loops) }
            guard !Task.isCancelled, let wait = names.waitNs else { return }
            guard (try? await loop.sleep(for: .nanoseconds(Int64(clamping: wait)))) != nil else { return }
        } while true
    }

    /// nil: never again.
    private var waitNs: UInt64? {
        let interval = upstream.configuration.resolveNs
        if answered.count == names.count { return interval == 0 ? nil : interval }
        return interval == 0 ? Self.firstAnswerNs : min(interval, Self.firstAnswerNs)
    }

    // MARK: asking

    private func ask() async -> [(UpstreamAddress, Result<[RequestPeer], ResolutionFailure>)] {
        let lookup = upstream.lookup
        return await withTaskGroup { group in
            for name in names { group.addTask { (name, await lookup.ask(name.host ?? "")) } }
            return await group.reduce(into: []) { $0.append($1) }
        }
    }

    /// What has come of it, told and counted.
    /// - Returns: whether a name stands for other addresses than before.
    private mutating func take(_ answers: [(UpstreamAddress, Result<[RequestPeer], ResolutionFailure>)]) -> Bool {
        var isChanged = false
        let counters = upstream.servers.counters
        for (name, answer) in answers {
            counters.add(.lookups)
            switch answer {
            case .failure(let reason):
                counters.add(.failedLookups)
                if failing.insert(name).inserted {
                    upstream.log?.warning(
                        "upstream \(upstream.configuration.name): \(name.host ?? "") cannot be looked up: \(reason)\(answered.contains(name) || known[name] != nil ? "; its addresses stay as they were" : "")")
                }
            case .success(let found):
                if failing.remove(name) != nil { upstream.log?.notice("upstream \(upstream.configuration.name): \(name.host ?? "") can be looked up again") }
                answered.insert(name)
                isChanged = take(name, found) || isChanged
            }
        }
        return isChanged
    }

    private mutating func take(_ name: UpstreamAddress, _ found: [RequestPeer]) -> Bool {
        let all = Self.servers(found, upstream.configuration.resolvesTo, port: name.port ?? 0)
        let most = UpstreamServers.addressesMax(upstream.configuration)
        if (all?.count ?? 0) <= most { crowded.remove(name) } else if crowded.insert(name).inserted {
            upstream.log?.warning("upstream \(upstream.configuration.name): \(name.host ?? "") has \(all?.count ?? 0) addresses, of which \(most) are used")
        }
        let next = all.map { Array($0.prefix(most)) }
        let before = known[name]
        guard next != before else { return false }
        known[name] = next
        guard let next, before != nil || next != [name] else { return true }
        let (joined, gone) = (next.filter { !(before ?? []).contains($0) }, (before ?? []).filter { !next.contains($0) })
        upstream.log?.notice(
            "upstream \(upstream.configuration.name): \(name.host ?? "") is \(Self.text(next))\(before == nil ? "" : " now: \(joined.count) new, \(gone.count) gone")")
        return true
    }

    /// More are not read by anybody.
    private static let namedMax = 8

    private static func text(_ addresses: [UpstreamAddress]) -> String {
        let shown = addresses.prefix(namedMax).map { "\($0)" }.joined(separator: ", ")
        return addresses.count > namedMax ? "\(shown) and \(addresses.count - namedMax) more" : shown
    }

    /// The servers that a name's addresses are, in an order that does not depend on that of the answer, which is often another each time. nil: it stays one server, by name.
    static func servers(_ found: [RequestPeer], _ wanted: ResolvedAddresses, port: UInt16) -> [UpstreamAddress]? {
        let all = found.compactMap { UpstreamAddress($0, port: port) }
        let chosen: [UpstreamAddress]
        switch wanted {
        case .first: return all.first.map { [$0] }
        case .both: chosen = all
        case .ipv4: chosen = all.filter { !$0.isIPv6 }
        case .ipv6: chosen = all.filter(\.isIPv6)
        case .all:
            if all.allSatisfy(\.isLocal) { return nil }
            chosen = all.filter { $0.isIPv6 == all[0].isIPv6 }
        }
        // By number: the same whatever the resolver begins with.
        let servers = chosen.sorted { $0.bytes.count == $1.bytes.count ? $0.bytes.lexicographicallyPrecedes($1.bytes) : $0.bytes.count < $1.bytes.count }
        // No address of the family: by name it can be reached, perhaps.
        return servers.isEmpty ? nil : servers
    }

    // MARK: going over

    private func change(on loop: ServerLoop, of loops: [ServerLoop]) async {
        let (upstream, known) = (upstream, known)
        // A table for `balance: hash` takes milliseconds.
        guard (try? await loop.offload({ upstream.replace(known: known, now: MonotonicClock.now) })) == true else { return }
        await withDiscardingTaskGroup { group in
            for (index, other) in loops.enumerated() {
                group.addTask(executorPreference: other.taskExecutor) {
                    // A loop that has ended leaves its tasks to other threads, which must not touch what was its own.
                    guard ServerLoop.current != nil else { return }
                    upstream.adopt(loop: index, other)
                }
            }
        }
        upstream.watch.follow(upstream)
    }
}

extension Upstream {
    var hasNames: Bool { configuration.servers.contains { $0.address.isName } }
}

extension ListenAddress {
    /// nil for Unix sockets.
    fileprivate init?(_ address: RequestPeer, port: UInt16) {
        func bytes(_ number: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: number >> UInt64(56 - 8 * $0)) } }
        switch address {
        case .ipv4(let number, _): self = .ipv4(Array(bytes(UInt64(number)).suffix(4)), port: port)
        case .ipv6(let high, let low, _): self = .ipv6(bytes(high) + bytes(low), zone: "", port: port)
        case .local: return nil
        }
    }

    fileprivate var bytes: [UInt8] {
        switch self {
        case .ipv4(let bytes, _), .ipv6(let bytes, _, _): bytes
        case .name, .unix: []
        }
    }
}
