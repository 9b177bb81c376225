// Sessions that a client can resume, by server. Owned by a TLSClientContext, used on its loop's thread; no locks, because OpenSSL's sessions
// count references in atomics but are changed in place by handshakes, and sharing them between loops would save one handshake per server.

internal import CUringTLS
internal import Glibc

/// Who a session was made with.
struct TLSPeerName: Hashable {
    let host: String
    let port: UInt16
}

/// A bounded store of OpenSSL's sessions.
@unsafe struct TLSClientSessionStore {
    /// Of one server: a burst of connections uses a ticket each (below), and servers hand out two per handshake. More would push out other
    /// servers' for connections that a pool will not open at once.
    static let sessionsPerPeerMax = 4

    @unsafe private struct Entry {
        /// Owned.
        let session: OpaquePointer
        let sequence: UInt64
    }

    private var entries: [TLSPeerName: [Entry]] = unsafe [:]
    private(set) var count = 0
    private var sequence: UInt64 = 0
    private let sessionsMax: Int

    init(sessionsMax: Int) { unsafe self.sessionsMax = max(sessionsMax, 0) }

    /// Takes over a reference when it answers true.
    mutating func insert(_ session: OpaquePointer, _ peer: TLSPeerName, nowSeconds: Int64) -> Bool {
        guard unsafe sessionsMax > 0, unsafe SSL_SESSION_is_resumable(session) == 1 else { return false }
        unsafe sequence &+= 1
        unsafe entries[peer, default: []].append(unsafe Entry(session: session, sequence: sequence))
        unsafe count += 1
        if let list = unsafe entries[peer], unsafe list.count > Self.sessionsPerPeerMax { unsafe removeOldest(of: peer) }
        while unsafe count > sessionsMax, let oldest = unsafe entries.min(by: { unsafe $0.value[0].sequence < $1.value[0].sequence }) { unsafe removeOldest(of: oldest.key) }
        return true
    }

    /// The newest session with the server whose time is not over; its reference is the caller's. One of TLS 1.3 is gone then: a ticket that is
    /// shown twice lets an onlooker tell that both connections are one client's (RFC 8446 C.4).
    mutating func take(_ peer: TLSPeerName, nowSeconds: Int64) -> OpaquePointer? {
        while let newest = unsafe entries[peer]?.last {
            let ends = unsafe Int64(SSL_SESSION_get_time(newest.session)).addingReportingOverflow(Int64(SSL_SESSION_get_timeout(newest.session)))
            let isAlive = unsafe (ends.overflow || ends.partialValue > nowSeconds) && SSL_SESSION_is_resumable(newest.session) == 1
            if unsafe isAlive && SSL_SESSION_get_protocol_version(newest.session) < TLS1_3_VERSION {
                unsafe SSL_SESSION_up_ref(newest.session)
                return unsafe newest.session
            }
            _ = unsafe entries[peer]?.removeLast()
            unsafe forgetIfEmpty(peer)
            unsafe count -= 1
            if isAlive { return unsafe newest.session }
            unsafe SSL_SESSION_free(newest.session)
        }
        return nil
    }

    mutating func removeAll() {
        for unsafe list in unsafe entries.values { for unsafe entry in unsafe list { unsafe SSL_SESSION_free(entry.session) } }
        unsafe entries.removeAll()
        unsafe count = 0
    }

    private mutating func removeOldest(of peer: TLSPeerName) {
        guard let oldest = unsafe entries[peer]?.removeFirst() else { return }
        unsafe SSL_SESSION_free(oldest.session)
        unsafe count -= 1
        unsafe forgetIfEmpty(peer)
    }

    private mutating func forgetIfEmpty(_ peer: TLSPeerName) { if unsafe entries[peer]?.isEmpty == true { unsafe entries[peer] = nil } }
}
