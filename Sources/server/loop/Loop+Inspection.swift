// Inspection: what a loop holds, for whoever looks for leaks (simulations, tests). The loop's thread.

internal import UringBase
internal import UringRing
package import UringTLS

extension Loop {
    /// Pool chunks that connections hold. 0 when no request or response is under way.
    package var chunksHeld: Int { unsafe pool.pointee.outstanding &- Self.arenaChunks }
    /// The request arena keeps its first chunk for the loop's life.
    static var arenaChunks: Int { 1 }
    /// The most pool chunks that were ever held at once.
    package var chunksHighWater: Int { unsafe pool.pointee.highWater &- Self.arenaChunks }
    package var connectionsOpen: Int { unsafe connections.pointee.count }
    /// Slots that are streams of HTTP/2 connections, counted in `connectionsOpen` too.
    package var streamsOpen: Int { unsafe state.pointee.streams }
    /// Connections within a TLS handshake.
    package var handshakesOpen: Int { unsafe state.pointee.handshakes }
    /// What the next connections of a listener make their TLS sessions of; nil in clear.
    package func tlsContext(ofListener number: Int = 0) -> TLSContext? { unsafe state.pointee.listeners[number].context }
    /// Receive buffers that completions have named and that are not given back yet. 0 between turns.
    package var buffersHeld: Int { unsafe buffers.pointee.outstanding }
    /// Completions that named a connection which was gone: each one is a close before the last operation's end.
    package var staleCompletions: UInt64 { unsafe meter.pointee.staleCompletions }
    /// Pieces of files that a disk was waited for, by the ring.
    package var coldReads: UInt64 { unsafe meter.pointee.coldReads }
    /// Async handlers that have been called and have not returned, whether anybody waits for them or not.
    package var handlersRunning: Int { unsafe executor.workers &- state.pointee.parkedWorkers.count }
}
