// ProxyDoor: connections of listeners with `proxy-protocol`: who may send a PROXY protocol header, what it says, and what is counted and told of those that are refused. One for
// the gateway's life; called on loops' threads, by several at once, when connections begin.

internal import Synchronization
internal import UringBase
internal import UringPolicy
internal import UringServer

final class ProxyDoor: Sendable {
    /// Of each reason; in the order of `ListenerPreamble.Refusal.allCases`.
    private let counts = Locked([UInt64](repeating: 0, count: ListenerPreamble.Refusal.allCases.count))
    private let lines = Locked(RefusalLines())
    private let log: OperationalLog?

    init(_ log: OperationalLog?) { self.log = log }

    /// What connections of a listener begin with.
    /// - Parameter trusted: who may speak for others; everybody, when there are none.
    func preamble(_ listener: ListenAddress, trusted: [AddressPrefix]) -> ListenerPreamble {
        let (believed, trustsAll) = (TrustedProxies(trusted), trusted.isEmpty)
        let name = "\(listener)"
        return unsafe ListenerPreamble(
            admits: { peer in trustsAll || believed.contains(peer) },
            read: { bytes in unsafe Self.read(bytes) },
            refused: { [self] reason, peer in refused(reason, peer, name) })
    }

    private static func read(_ bytes: UnsafeBufferPointer<UInt8>) -> ListenerPreamble.Outcome {
        // SAFETY: the loop's bytes are readable during the call, which is all that the span lives for.
        switch unsafe ProxyHeader.parse(Span(_unsafeElements: bytes)) {
        case .needMore: return .needMore
        case .malformed: return .malformed
        case .complete(let header): return .complete(length: header.length, client: header.addresses.flatMap { RequestPeer($0) })
        }
    }

    // MARK: who is refused

    func count(_ reason: ListenerPreamble.Refusal) -> UInt64 { counts.withLock { $0[reason.number] } }

    private func refused(_ reason: ListenerPreamble.Refusal, _ peer: RequestPeer, _ listener: String) {
        counts.withLock { $0[reason.number] += 1 }
        // Load balancers see by a connection without a byte whether somebody listens: those are counted alone.
        guard let log, reason != .incomplete, let more = lines.withLock({ $0.admit(reason.number, now: MonotonicClock.now) }) else { return }
        let who = peer.address.map { "\($0)" } ?? "a local socket"
        let what = reason == .untrusted ? "it is none of trusted-proxies" : "what it began with is no PROXY protocol header"
        log.warning("a connection of \(who) to \(listener) was closed: \(what)\(more > 0 ? "; \(more) more since the last such line" : "")")
    }
}

/// One line a second for each reason.
private struct RefusalLines {
    private var written = [UInt64?](repeating: nil, count: ListenerPreamble.Refusal.allCases.count)
    private var unwritten = [UInt64](repeating: 0, count: ListenerPreamble.Refusal.allCases.count)

    /// nil: not now. Otherwise how many were not written since the last that was.
    mutating func admit(_ reason: Int, now: UInt64) -> UInt64? {
        if let last = written[reason], now &- last < 1_000_000_000 {
            unwritten[reason] += 1
            return nil
        }
        defer { (written[reason], unwritten[reason]) = (now, 0) }
        return unwritten[reason]
    }
}

extension ListenerPreamble.Refusal {
    /// Its label in metrics.
    var word: String {
        switch self {
        case .untrusted: "untrusted"
        case .malformed: "malformed"
        case .incomplete: "incomplete"
        }
    }

    fileprivate var number: Int {
        switch self {
        case .untrusted: 0
        case .malformed: 1
        case .incomplete: 2
        }
    }
}

extension RequestPeer {
    /// nil for what is no TCP connection.
    fileprivate init?(_ addresses: ProxyHeader.Addresses) {
        guard !addresses.isDatagram else { return nil }
        self =
            addresses.source.isIPv4
            ? .ipv4(addresses.source.ipv4, port: addresses.sourcePort)
            : .ipv6(high: addresses.source.high, low: addresses.source.low, port: addresses.sourcePort)
    }
}
