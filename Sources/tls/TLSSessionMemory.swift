// What one session keeps: OpenSSL's object, or what has taken its place, the caller's memory of the current call, what the ClientHello offered, times and
// byte counts. At a fixed address, because OpenSSL's callbacks find it there and cannot capture. Loop's thread.

/// Which side of the connection a session is. What it points to outlives every session.
@unsafe enum TLSRole {
    case server(UnsafeMutablePointer<TLSContextState>)
    case client(UnsafeMutablePointer<TLSClientContextState>)
}

/// A session's memory. Made by `TLSContext` or `TLSClientContext`, freed by `TLSSession.destroy`.
@unsafe struct TLSSessionMemory {
    let role: TLSRole
    /// OpenSSL's session, owned; nil once `established` has taken its place.
    var ssl: OpaquePointer?
    /// The secrets of a TLS 1.3 handshake, owned, until the connection is established or ends without.
    var secrets: UnsafeMutablePointer<RecordSecrets>?
    /// An established connection whose records are made here; owned.
    var established: UnsafeMutablePointer<EstablishedTLS>?
    /// The protocol that ALPN chose, in the context's list.
    var chosenProtocol: UnsafeBufferPointer<UInt8>?
    /// The server that a client's session is with: sessions are kept under it.
    var peer: TLSPeerName?

    /// The unread rest of the caller's ciphertext. The caller keeps it alive until the session has taken all of it.
    var input: UnsafePointer<UInt8>?
    var inputCount = 0
    /// The sink of the current call; nil between calls.
    var output: UnsafeMutablePointer<TLSOutput>?
    /// malloc refused room for a spill: the connection is lost, and the failure must not be taken for one of the peer.
    var outOfMemory = false

    var bytesIn: UInt64 = 0
    var bytesOut: UInt64 = 0
    var times = TLSHandshakeTimes()
    var offer = TLSOffer()
    var isEstablished = false
    /// Set once, then the answer to every further call.
    var failure: TLSFailure?
    /// The peer's close_notify has been read.
    var isClosedByPeer = false
    var isShutDown = false

    init(role: TLSRole) { unsafe self.role = role }

    /// For the callbacks of a server's context, which no client has.
    var context: UnsafeMutablePointer<TLSContextState> {
        guard case .server(let context) = unsafe role else { preconditionFailure("BUG: a server's callback for a client's session") }
        return unsafe context
    }

    var tick: (@convention(c) () -> UInt64)? {
        switch unsafe role {
        case .server(let context): unsafe context.pointee.tick
        case .client(let context): unsafe context.pointee.tick
        }
    }

    /// Changes the counters of the context.
    func count(_ change: (inout TLSCounters) -> Void) {
        switch unsafe role {
        case .server(let context): unsafe change(&context.pointee.counters)
        case .client(let context): unsafe change(&context.pointee.counters)
        }
    }
}

/// When the phases of a handshake began, in ticks of the context's function; 0 for a phase that was not reached.
package struct TLSHandshakeTimes: Sendable {
    /// The first bytes were handed in.
    package fileprivate(set) var firstBytes: UInt64 = 0
    /// The ClientHello is complete and parsed; what follows is ours until the flight is written.
    package fileprivate(set) var helloReceived: UInt64 = 0
    /// Key exchange, certificate and signature are done and written; what follows is the client's time.
    package fileprivate(set) var flightWritten: UInt64 = 0
    package fileprivate(set) var finished: UInt64 = 0
}

/// What the ClientHello offered to resume.
struct TLSOffer {
    var sessionID = false
    var ticket = false
    var preSharedKey = false
    var version13 = false
    /// The ticket callback found the key of what the client sent.
    var ticketOpened = false
}

extension TLSHandshakeTimes {
    mutating func begin(_ tick: (@convention(c) () -> UInt64)?) { if firstBytes == 0, let tick { firstBytes = tick() } }

    /// A second ClientHello, after a HelloRetryRequest, begins the phase anew.
    mutating func hello(_ tick: (@convention(c) () -> UInt64)?) {
        guard let tick else { return }
        helloReceived = tick()
        flightWritten = 0
    }

    mutating func flight(_ tick: (@convention(c) () -> UInt64)?) { if helloReceived != 0, flightWritten == 0, let tick { flightWritten = tick() } }

    mutating func finish(_ tick: (@convention(c) () -> UInt64)?) { if let tick { finished = tick() } }
}
