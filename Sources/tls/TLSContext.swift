// A loop's own OpenSSL contexts, made from a TLSConfiguration: nothing that a handshake or a record touches is shared between
// loops, the session cache apart. Made and used on the loop's thread.

internal import CUringTLS
internal import Glibc

/// Makes sessions. It must outlive them: a reload makes a new context and keeps the old one until its `sessionCount` is 0.
@safe package final class TLSContext {
    // Owned: allocated in init, freed in deinit, and before that read and written by this context's sessions.
    let state: UnsafeMutablePointer<TLSContextState>
    private let tickets: SessionTickets
    /// Kept because `state` points to it without a reference of its own.
    private let cache: TLSSessionCache?

    /// - Parameters:
    ///   - nowSeconds: seconds since 1970, see `update`.
    ///   - tick: a counter that is read at the phases of a handshake; nil leaves `TLSSession.times` 0.
    package init(
        _ configuration: TLSConfiguration, nowSeconds: Int64, tick: (@convention(c) () -> UInt64)? = nil
    ) throws(TLSLoadError) {
        tickets = configuration.sessionTickets
        cache = configuration.sessionCache
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(to: TLSContextState(configuration, tick: tick))
        _ = unsafe state.pointee.ticketKeys.update(tickets, nowSeconds: nowSeconds)
        unsafe state.pointee.nowSeconds = nowSeconds
        try unsafe state.pointee.build(configuration, state: state)
    }

    deinit {
        unsafe precondition(state.pointee.sessionCount == 0, "BUG: a TLS context ended before its sessions")
        unsafe state.pointee.destroy()
        unsafe state.deinitialize(count: 1)
        unsafe state.deallocate()
    }

    /// Tells the time: once a second is often enough. Rotates ticket keys when their epoch has changed.
    package func update(nowSeconds: Int64) {
        unsafe state.pointee.nowSeconds = nowSeconds
        if unsafe state.pointee.ticketKeys.update(tickets, nowSeconds: nowSeconds) { unsafe state.pointee.counters.ticketKeyRotations &+= 1 }
    }

    /// A session for a connection that was accepted; nil when malloc refuses.
    package func makeSession() -> TLSSession? { unsafe TLSSession(state) }

    package var counters: TLSCounters { unsafe state.pointee.counters }
    /// Sessions made and not yet destroyed.
    package var sessionCount: Int { unsafe state.pointee.sessionCount }
}
