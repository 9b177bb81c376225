// FlightEvent: what a loop's flight recorder keeps. Four words each, written by the loop as it goes (Loop+Flight), read by anybody (RunningServer.flightRecords).

internal import UringBase
internal import UringHTTP1

/// Something that happened on a loop.
public struct FlightEvent: Sendable {
    /// What happened. The numbers are those of the recorder's memory.
    public enum Kind: UInt8, Sendable, CaseIterable {
        /// A connection was accepted; `value` is its descriptor.
        case accept = 1
        /// A connection has ended; `end` says why, `value` how many bytes it sent.
        case close
        /// A handler's call has returned and its response comes later; `value` is how long the call took, ns.
        case begun
        /// A response is written; `status`, `route`, `value` is the time from the handler's call, ns.
        case request
        /// A turn that took longer than a millisecond: `value` ns; `completions`, `requests`.
        case turn
        /// A turn that was looked at closely; `layers`.
        case layers
        /// A handler held the loop longer than the threshold: `value` ns, `route`.
        case stall
        /// A receive found no buffer (-ENOBUFS) and waits for one.
        case noBuffers
        /// A connection was closed at once: no slot, or it may not connect.
        case refused
        /// An accept failed; `value` is the error's number.
        case acceptFailed
        /// Accepting pauses: clients wait in the backlog.
        case backlog
        /// A time limit of a connection is over; `value` is its place in `LoopSnapshot.timeouts`.
        case timeout
        /// A TLS handshake has ended; `value` is how, as the probe `tls_handshake` has it.
        case handshake
        /// A connection told its client to go away (HTTP/2).
        case goAway
        /// The loop took over another application.
        case replaced
        /// The loop stops accepting and finishes what it has.
        case drain
        /// The submission queue was full: what was in it went to the kernel first.
        case queueFull
    }

    /// What happened.
    public let kind: Kind
    /// The number of the loop.
    public let loop: Int
    /// The number of the connection, as in traces; 0 for what concerns none.
    public let connection: UInt64
    /// CLOCK_MONOTONIC, ns. Of what happened between two handlers, that of the end of the one before.
    public let nanoseconds: UInt64
    /// Depends on the kind; 0 where it says nothing.
    public let value: UInt64
    /// The response's, of `request`.
    public let status: UInt16
    /// The name that the handler gave its route, of `request`, `begun` and `stall`.
    public let route: String?
    /// Of `close`.
    public let end: TraceEnd?
    /// Of `turn`: what one reap found, and requests that were handled.
    public let completions: Int
    /// Of `turn` and `layers`.
    public let requests: Int
    /// Nanoseconds by layer, of `layers`; in the order of `LoopPhase.allCases`, each at most 4.2 s.
    public let layers: [UInt32]
}

/// What a loop's recorder had at one moment.
public struct FlightRecord: Sendable {
    /// The number of the loop.
    public let loop: Int
    /// Events that the loop ever wrote.
    public let written: UInt64
    /// The last of them, oldest first.
    public let events: [FlightEvent]
}

/// The words of an event: [0] ticks, [1] kind << 56 | small << 48 | connection, [2] value, [3] status << 48 | address of the route's name, or what the kind has instead.
enum FlightWords {
    static let connectionMask: UInt64 = 0xFFFF_FFFF_FFFF

    /// Two numbers of 32 bits; what is more is their maximum.
    @inline(__always)
    static func pair(_ high: UInt64, _ low: UInt64) -> UInt64 { UInt64(UInt32(clamping: high)) << 32 | UInt64(UInt32(clamping: low)) }

    private static func halves(_ word: UInt64) -> [UInt32] { [UInt32(word >> 32), UInt32(truncatingIfNeeded: word)] }

    /// - Parameter clock: CLOCK_MONOTONIC at a count of ticks.
    static func events(_ words: [(UInt64, UInt64, UInt64, UInt64)], loop: Int, clock: (_ ticks: UInt64) -> UInt64) -> [FlightEvent] {
        var events: [FlightEvent] = []
        events.reserveCapacity(words.count)
        var names: [UInt64: String] = [:]
        // The layers of a turn are three events, written one behind the other.
        var layers: [UInt32] = []
        for word in words {
            let (raw, small) = (UInt8(word.1 >> 56), UInt8(truncatingIfNeeded: word.1 >> 48))
            guard let kind = FlightEvent.Kind(rawValue: raw) else { continue }
            if kind == .layers {
                if small == 0 { layers = [] }
                layers += halves(word.2) + halves(word.3)
                guard small == 2, layers.count == 12 else { continue }
            }
            let hasRoute = kind == .request || kind == .begun || kind == .stall
            let address = hasRoute ? word.3 & connectionMask : 0
            if address != 0, names[address] == nil { names[address] = RouteName.text(at: UInt(address)) }
            let number = word.1 & connectionMask
            events.append(
                FlightEvent(
                    kind: kind, loop: loop, connection: number == 0 ? 0 : UInt64(loop) << 48 | number, nanoseconds: clock(word.0),
                    value: kind == .layers ? 0 : word.2, status: kind == .request ? UInt16(word.3 >> 48) : 0, route: names[address],
                    end: kind == .close ? TraceEnd(rawValue: small) : nil, completions: kind == .turn ? Int(word.3 >> 32) : 0,
                    requests: kind == .turn ? Int(word.3 & 0xFFFF_FFFF) : kind == .layers ? Int(layers[9]) : 0, layers: kind == .layers ? Array(layers.prefix(9)) : []))
        }
        return events
    }
}

extension FlightEvent {
    /// Of `timeout`: the clock, as `LoopSnapshot.timeouts` names it.
    package var timeoutName: String { KeepAliveTimeout(rawValue: UInt8(truncatingIfNeeded: value)).map { "\($0)" } ?? "unknown" }

    /// Of `handshake`.
    package var handshakeName: String {
        switch value {
        case 0: "full"
        case 1: "fallback"
        case 2: "ticket"
        case 3: "session_id"
        case 4: "psk"
        case 5: "failed"
        default: "abandoned"
        }
    }
}
