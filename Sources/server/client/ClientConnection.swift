// ClientConnection: a connection of ours to a server, as its pool and the owners of requests see it; what is spoken on it is a subclass's business (HTTP1ClientTransport,
// HTTP2ClientTransport). Made by ClientConnector when the connection stands. The loop's thread.

internal import UringBase
package import UringTLS

/// Its loop's thread alone calls it; it is Sendable so that tasks of that loop can be handed one.
@safe
package class ClientConnection: OutgoingTunnel, @unchecked Sendable {
    let pool: ClientPool
    let clients: LoopClients
    /// The connection's slot in its loop; nil when it is over.
    private(set) var handle: Handle?
    /// Granted by the pool, and neither started nor given back.
    var granted = 0
    /// Its place in the pool's lists; the pool's.
    var place = 0
    var isListed = false
    /// To be closed behind what is under way.
    var isRetiring = false

    /// Its loop tells it of the connection's end, and is looked at before that alone: nothing is counted.
    private unowned(unsafe) let loop: Loop

    init(_ pool: ClientPool, _ handle: Handle) {
        (self.pool, clients, self.handle) = (pool, pool.clients, handle)
        unsafe loop = pool.clients.loop
    }

    var link: TunnelLink? { handle.flatMap { unsafe loop.tunnelLink($0) } }
    var now: UInt64 { unsafe loop.state.pointee.now }

    /// It is over, or somebody else's: the pool forgets it. May be repeated.
    func leave() {
        guard handle != nil else { return }
        handle = nil
        pool.closed(self)
    }

    // MARK: for the pool

    /// One connection has many requests at a time.
    var isShared: Bool { false }
    /// No exchange is under way, and none is about to start.
    var isIdle: Bool { false }
    /// How many requests it takes now, beside those that are granted.
    var room: Int { 0 }
    /// Takes no more requests and ends with the last that is under way, or at once.
    func retire() {}

    // MARK: for the owners of requests

    /// Starts an exchange, on a connection that was granted. The head is written straight into the output.
    /// - Parameter fields: writes the field lines that are not the connection's.
    package func start(_ consumer: any ClientConsumer, _ head: ClientRequestHead, fields: (inout ClientFieldWriter) -> Void) -> ClientStart { .gone }
    /// Grants are for one request: this one is not used.
    package final func giveBack() {
        guard granted > 0 else { return }
        granted -= 1
        pool.hasRoom(self)
    }
    func sendBody(_ number: UInt64, _ bytes: UnsafeRawBufferPointer, isLast: Bool) -> Bool { false }
    func endBody(_ number: UInt64) {}
    func endBody(_ number: UInt64, trailers: (inout ClientFieldWriter) -> Void) {}
    func resumeBody(_ number: UInt64) {}
    func cancel(_ number: UInt64) {}

    // MARK: Tunnel

    package final var security: OutgoingSecurity? { nil }
    package final func connectFailed(_ code: Int32) {}
    package func opened(_ link: TunnelLink) {}
    package func received(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ link: TunnelLink) -> Int { count }
    package func roomAgain(_ link: TunnelLink) {}
    package func inputEnded(_ link: TunnelLink) {}
    package func timer(_ link: TunnelLink) {}
    package func drain(_ link: TunnelLink) { retire() }
    package func take(_ order: any TunnelOrder, _ link: TunnelLink) {}
    package func closed(_ link: TunnelLink) {}
    package func securityFailed(_ failure: TLSFailure) {}
}
