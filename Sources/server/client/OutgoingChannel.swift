// OutgoingChannel: an outgoing connection for a protocol that is no HTTP: made as a client's connections are (name, addresses in turn, TLS), then its owner's alone. Used by a gateway for Redis. The loop's
// thread; once.

internal import UringBase
package import UringTLS

/// What speaks on a channel. Called on the loop's thread.
package protocol ChannelOwner: AnyObject {
    /// The connection stands, TLS included.
    func opened(_ link: TunnelLink)
    /// As `Tunnel.received`.
    func received(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ link: TunnelLink) -> Int
    /// The time of `TunnelLink.wake` has come.
    func timer(_ link: TunnelLink)
    /// The server is stopping: end soon.
    func drain()
    /// It could not be made, or is over. Last of all calls; may come within `connect`, never behind `close`.
    /// - Parameter reason: a clause for a log.
    func ended(_ reason: String)
}

@safe
package final class OutgoingChannel: ClientConnectorOwner, OutgoingTunnel, @unchecked Sendable {
    let clients: LoopClients
    let key: ClientPool.Key
    let options: HTTPClientOptions
    /// Let go of at the end.
    private var owner: (any ChannelOwner)?
    private var handle: Handle?

    /// - Parameters:
    ///   - host: a name or address, which TLS verifies; where to connect, unless `options` say otherwise.
    ///   - client: as in `UpstreamPool`: channels with the same number share what TLS needs.
    ///   - options: the time to connect, TLS, and where to connect; nothing of HTTP.
    /// - Throws: `CancellationError` when the loop is over.
    package init(on loop: ServerLoop, isSecure: Bool, host: String, port: UInt16, client: UInt64, _ options: HTTPClientOptions, owner: any ChannelOwner) throws {
        clients = try loop.executor.makeClients()
        key = ClientPool.Key(client: client, scheme: isSecure ? .https : .http, host: host, port: port)
        (self.options, self.owner) = (options, owner)
    }

    /// Begins to connect. Once.
    package func connect() { ClientConnector(self).begin() }

    /// The way to the connection; nil before it stands, and when it is over.
    package var link: TunnelLink? { clients.isOver ? nil : handle.flatMap { clients.loop.tunnelLink($0) } }

    /// ns, of this turn.
    package var now: UInt64 { unsafe clients.loop.state.pointee.now }

    /// The server is stopping: no connection may stay behind what is under way.
    package var isDraining: Bool { clients.isDraining }

    /// Ends it at once, or as soon as it stands. The owner is told nothing more.
    package func close() {
        owner = nil
        link?.close()
        handle = nil
    }

    private func end(_ reason: String) {
        handle = nil
        guard let owner else { return }
        self.owner = nil
        owner.ended(reason)
    }

    // MARK: connecting

    func connected(_ connector: ClientConnector, _ handle: Handle, _ link: TunnelLink) {
        guard owner != nil else { return link.close() }
        self.handle = handle
        link.handOver(to: self)
    }

    func connectFailed(_ connector: ClientConnector, _ failure: HTTPClientError) { end("\(failure)") }

    // MARK: OutgoingTunnel

    package var security: OutgoingSecurity? { nil }
    package func connectFailed(_ code: Int32) {}
    package func opened(_ link: TunnelLink) { owner?.opened(link) }
    package func received(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ link: TunnelLink) -> Int { unsafe owner?.received(bytes, count, link) ?? count }
    package func timer(_ link: TunnelLink) { owner?.timer(link) }
    package func drain(_ link: TunnelLink) { owner?.drain() }
    package func roomAgain(_ link: TunnelLink) {}
    package func take(_ order: any TunnelOrder, _ link: TunnelLink) {}
    package func inputEnded(_ link: TunnelLink) {
        link.close()
        end("the other side closed the connection")
    }
    package func closed(_ link: TunnelLink) { end("the connection broke") }
    package func securityFailed(_ failure: TLSFailure) { end("TLS: \(HandshakeFailure(failure))") }
}
