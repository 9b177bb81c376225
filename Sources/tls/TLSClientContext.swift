// A loop's own OpenSSL context for connections to servers, made from a TLSClientConfiguration: nothing is shared between loops. Made and
// used on the loop's thread.

internal import CUringTLS
internal import Glibc

/// Makes client sessions, and keeps those that can be resumed. It must outlive the sessions it makes.
@safe package final class TLSClientContext {
    // Owned: allocated in init, freed in deinit, and before that read and written by this context's sessions.
    let state: UnsafeMutablePointer<TLSClientContextState>

    /// - Parameters:
    ///   - nowSeconds: seconds since 1970, see `update`.
    ///   - tick: a counter that is read at the beginning and the end of a handshake; nil leaves `TLSSession.times` 0.
    package init(
        _ configuration: TLSClientConfiguration, nowSeconds: Int64, tick: (@convention(c) () -> UInt64)? = nil
    ) throws(TLSLoadError) {
        let context = unsafe try TLSClientContextBuilder(configuration: configuration).make()
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(
            to: TLSClientContextState(context: context, nowSeconds: nowSeconds, tick: tick, sessionsMax: configuration.sessionsMax))
        unsafe state.pointee.verifies = configuration.trust.verifies
    }

    deinit {
        unsafe precondition(state.pointee.sessionCount == 0, "BUG: a TLS context ended before its sessions")
        unsafe state.pointee.destroy()
        unsafe state.deinitialize(count: 1)
        unsafe state.deallocate()
    }

    /// Tells the time: once a second is often enough. Sessions that are too old are not offered.
    package func update(nowSeconds: Int64) { unsafe state.pointee.nowSeconds = nowSeconds }

    /// A session for a connection to `host`, which its certificate must name (RFC 9110 4.3.4).
    ///
    /// - Parameters:
    ///   - host: a DNS name, or an IPv4 or IPv6 address without brackets. Names are sent to the server (SNI), addresses are not (RFC 6066 3).
    ///   - port: with the host it tells whose sessions may be resumed.
    ///   - resumes: false for a full handshake, as after one that failed.
    /// - Returns: nil when malloc refuses, or `host` is neither name nor address.
    package func makeSession(host: String, port: UInt16, resumes: Bool = true) -> TLSSession? {
        unsafe TLSSession(client: state, host: host, port: port, resumes: resumes)
    }

    package var counters: TLSCounters { unsafe state.pointee.counters }
    /// Sessions (connections) made and not yet destroyed.
    package var sessionCount: Int { unsafe state.pointee.sessionCount }
    /// Sessions kept for resumption.
    package var resumableCount: Int { unsafe state.pointee.store.count }
    /// Forgets them: a server's certificate or our trust has changed.
    package func forgetSessions() { unsafe state.pointee.store.removeAll() }
}

/// What sessions and OpenSSL's callback see of a context: plain memory at a fixed address, because callbacks cannot capture.
@unsafe struct TLSClientContextState {
    let context: OpaquePointer
    var nowSeconds: Int64
    let tick: (@convention(c) () -> UInt64)?
    var store: TLSClientSessionStore
    var counters = TLSCounters()
    var sessionCount = 0
    var verifies = true

    init(context: OpaquePointer, nowSeconds: Int64, tick: (@convention(c) () -> UInt64)?, sessionsMax: Int) {
        unsafe self.context = context
        unsafe self.nowSeconds = nowSeconds
        unsafe self.tick = tick
        unsafe store = unsafe TLSClientSessionStore(sessionsMax: sessionsMax)
    }

    mutating func destroy() {
        unsafe store.removeAll()
        unsafe SSL_CTX_free(context)
    }
}

extension TLSClientConfiguration.Trust {
    var verifies: Bool { if case .unverified = self { false } else { true } }
}
