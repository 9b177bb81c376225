// ClientConnector: a connection that is being made: name, addresses in turn, TLS, and what ALPN has chosen. When it stands, it hands it to the transport of that protocol
// and is done. The loop's thread.

internal import Glibc
internal import UringBase
internal import UringRing
internal import UringTLS

/// Whom a connection is made for.
protocol ClientConnectorOwner: AnyObject {
    var clients: LoopClients { get }
    var key: ClientPool.Key { get }
    var options: HTTPClientOptions { get }
    /// It stands, TLS included, and still is the connector's: the owner hands it over within this call.
    func connected(_ connector: ClientConnector, _ handle: Handle, _ link: TunnelLink)
    /// No address of the server could be connected to.
    func connectFailed(_ connector: ClientConnector, _ failure: HTTPClientError)
}

extension ClientPool: ClientConnectorOwner {}

final class ClientConnector: OutgoingTunnel, @unchecked Sendable {
    private let owner: any ClientConnectorOwner
    private(set) var security: OutgoingSecurity?
    private var addresses: [SocketAddress] = []
    /// Of the address that is tried.
    private var next = 0
    private var deadline = UInt64.max
    private var handle: Handle?
    /// Why the last address did not do.
    private var failure: HTTPClientError
    /// What it makes is to be closed behind its first requests: its pool was retired meanwhile.
    var isRetiring = false

    init(_ owner: any ClientConnectorOwner) {
        self.owner = owner
        failure = HTTPClientError(.resolve, "\(owner.key.host) has no address")
    }

    /// May fail within the call, which the pool is told.
    func begin() {
        do throws(HTTPClientError) {
            security = try owner.clients.security(owner.key, owner.options)
            if let known = try owner.clients.known(owner.key, owner.options) {
                addresses = known
                return tryNext()
            }
        } catch {
            return owner.connectFailed(self, error)
        }
        owner.clients.resolve(owner.key) { [self] result in
            switch result {
            case .success(let found): addresses = NameResolver.interleaved(found)
            case .failure(let reason): failure = HTTPClientError(.resolve, "\(owner.key.host): \(reason)")
            }
            tryNext()
        }
    }

    private func tryNext() {
        while next < addresses.count, !owner.clients.isOver {
            let loop = owner.clients.loop
            let address = addresses[next]
            next += 1
            switch loop.connect(address, self) {
            case .failure(let error): failure = HTTPClientError(.connect(error.code), error.description)
            case .success(let made):
                handle = made
                deadline = owner.clients.deadline(in: owner.options.connectTimeoutNs)
                loop.tunnelLink(made)?.wake(at: deadline)
                return
            }
        }
        owner.connectFailed(self, failure)
    }

    private func fail(_ reason: HTTPClientError) {
        failure = reason
        handle = nil
        tryNext()
    }

    private var place: String { "\(owner.key.host) (\(addresses[next - 1].description))" }

    // MARK: OutgoingTunnel

    func opened(_ link: TunnelLink) {
        guard let handle else { return }
        self.handle = nil
        owner.connected(self, handle, link)
    }

    func connectFailed(_ code: Int32) { fail(HTTPClientError(.connect(code), "connecting to \(place): \(SystemError.text(of: code))")) }

    func securityFailed(_ failure: TLSFailure) { fail(HTTPClientError(.tls, "the TLS handshake with \(place): \(HandshakeFailure(failure))")) }

    func closed(_ link: TunnelLink) { if handle != nil { connectFailed(ECONNRESET) } }

    func timer(_ link: TunnelLink) {
        guard handle != nil else { return }
        guard unsafe owner.clients.loop.state.pointee.now >= deadline else { return link.wake(at: deadline) }
        link.close()
        connectFailed(ETIMEDOUT)
    }

    func received(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ link: TunnelLink) -> Int { count }
    func roomAgain(_ link: TunnelLink) {}
    func inputEnded(_ link: TunnelLink) {
        guard handle != nil else { return }
        link.close()
        connectFailed(ECONNRESET)
    }
    /// Whoever waits for it finishes.
    func drain(_ link: TunnelLink) {}
    func take(_ order: any TunnelOrder, _ link: TunnelLink) {}
}
