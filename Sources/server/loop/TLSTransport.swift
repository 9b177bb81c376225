// TLSTransport: what a loop keeps for a connection with TLS. The loop's thread.

internal import UringTLS

/// Made with the connection's first bytes, ended with it.
@unsafe
struct TLSTransport {
    let session: TLSSession
    /// The listener's context that made the session: it outlives its sessions, also when a reload brings another. nil: one of ours to a server.
    var context: Unmanaged<TLSContext>?
    /// The same of a connection of ours.
    var client: Unmanaged<TLSClientContext>?
    /// Runs when somebody looks at the handshake.
    var clock = HandshakeClock()
    /// The handshake is complete.
    var isEstablished = false
    /// Our close_notify is in the output, or there will be none.
    var isShutDown = false
    /// The subject of the client's verified certificate; from malloc, freed with the connection. nil: it has none.
    var clientSubject: UnsafeMutablePointer<UInt8>?
    var clientSubjectCount = 0
    /// The names in that certificate, read when a request first asks for them; `clientNames` as `TLSClientNames.texts` has them, from malloc, freed with the connection.
    var clientNamesState: ClientNamesState?
    var clientNames: UnsafeMutablePointer<UInt8>?
    var clientNamesCount = 0
}
