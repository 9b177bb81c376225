// LoopMeter: a loop's own figures (M11). Written by the loop alone; read by others through a snapshot the loop makes on request, so nothing
// is atomic.

internal import UringBase
internal import UringRing

@unsafe
struct LoopMeter {
    var connectionsAccepted: UInt64 = 0
    var connectionsClosed: UInt64 = 0
    var connectionsAborted: UInt64 = 0
    var connectionsRefused: UInt64 = 0
    var connectionsShed: UInt64 = 0
    var requests: UInt64 = 0
    var requestFaults: UInt64 = 0
    var handlerErrors: UInt64 = 0
    var stalls: UInt64 = 0
    var acceptErrors: UInt64 = 0
    var receiveErrors: UInt64 = 0
    var staleCompletions: UInt64 = 0
    var buffersExhausted: UInt64 = 0
    var submissionQueueFull: UInt64 = 0
    /// By `KeepAliveTimeout`.
    var timeouts: InlineArray<8, UInt64> = .init(repeating: 0)

    mutating func record(batch: Int, handled: Int) { unsafe requests &+= UInt64(handled) }
    mutating func recordLag(_ nanoseconds: UInt64) {}
}

/// One loop's figures at one moment.
public struct LoopSnapshot: Sendable {
    public var loop = 0
    public var connections = 0
    public var requests: UInt64 = 0
}

extension Loop {
    func snapshot() -> LoopSnapshot {
        var snapshot = LoopSnapshot()
        snapshot.loop = index
        snapshot.connections = unsafe connections.pointee.count
        snapshot.requests = unsafe meter.pointee.requests
        return snapshot
    }
}
