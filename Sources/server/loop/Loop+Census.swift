// Census: what a loop's connections are doing, and how far away their clients are. A part of them is looked at each time somebody asks, so that the answer takes a loop with
// a hundred thousand connections no longer than one with a few hundred. The loop's thread.

internal import UringBase
internal import UringHTTP1
internal import UringRing

/// What a connection is doing, as its keep-alive machine has it (`docs/ARCHITECTURE.md`).
public enum ConnectionActivity: UInt8, CaseIterable, Sendable {
    /// In its TLS handshake.
    case handshake
    /// Between requests.
    case idle
    /// Within a request's head, or new and silent.
    case head
    /// Within a request's body.
    case body
    /// Its handler runs, or an upstream is being waited for.
    case handling
    /// Its response is under way.
    case responding
    /// Its last response is being sent, or it waits for the client to close.
    case closing
    /// HTTP/2; what its streams do is not told here.
    case multiplexed
    /// A WebSocket or another protocol.
    case tunnel
}

/// A sample of a loop's connections.
public struct LoopCensus: Sendable {
    /// Connections that were looked at.
    public let sample: Int
    /// How many of those did what, in the order of `ConnectionActivity.allCases`.
    public let counts: [Int]
    /// Smoothed round-trip times of some of them as the kernel knows them (tcp_info), in microseconds. Without those on Unix sockets.
    public let roundTripsUs: [UInt32]
}

extension Loop {
    /// Connections looked at for one answer, and of those the ones whose round trip is asked for, a system call each.
    private static var censusMax: Int { 512 }
    private static var roundTripsMax: Int { 32 }

    /// Goes on where the last one ended, so that all connections have their turn.
    func census() -> LoopCensus {
        var counts = [Int](repeating: 0, count: ConnectionActivity.allCases.count)
        var roundTrips: [UInt32] = []
        var sample = 0
        let slots = unsafe connections.pointee.slotsEver
        var index = unsafe state.pointee.censusPlace
        for _ in 0..<min(Int(slots), Self.censusMax) {
            index = index >= slots &- 1 ? 0 : index &+ 1
            // Free slots keep what was in them; they are not open.
            let connection = unsafe connections.pointee.pointer(at: index)
            guard unsafe connection.pointee.flags.contains(.open), unsafe connection.pointee.flags.isDisjoint(with: [.stream, .outgoing, .closing]) else { continue }
            sample += 1
            unsafe counts[Int(activity(connection).rawValue)] += 1
            if roundTrips.count < Self.roundTripsMax, let microseconds = unsafe kernel.roundTripUs(connection.pointee.fd) { roundTrips.append(microseconds) }
        }
        unsafe state.pointee.censusPlace = index
        return LoopCensus(sample: sample, counts: counts, roundTripsUs: roundTrips)
    }

    private func activity(_ connection: UnsafeMutablePointer<Connection>) -> ConnectionActivity {
        if unsafe connection.pointee.flags.contains(.secure), unsafe connection.pointee.tls.map({ unsafe !$0.pointee.isEstablished }) ?? true { return .handshake }
        if unsafe connection.pointee.tunnel != nil { return .tunnel }
        switch unsafe (connection.pointee.machine.reading, connection.pointee.machine.writing) {
        case (_, .upgraded): return .tunnel
        case (_, .multiplexed): return .multiplexed
        case (_, .closing), (_, .lingering), (_, .closed), (_, .answered): return .closing
        case (_, .responding): return .responding
        case (.body, _), (.expecting, _), (.paused, _): return .body
        case (_, .handling): return .handling
        case (.head, .none): return .head
        case (.idle, .none): return .idle
        case (.done, .none), (.ended, .none): return .closing
        }
    }
}
