// BanGate: turns away who is banned: a connection when it is accepted, where its peer is; a request where its client is, behind trusted proxies or on a connection that is older than the ban. Made at
// start and on reloads, immutable; the loops' threads, without allocation.

internal import UringHTTP
internal import UringPolicy
internal import UringServer

final class BanGate: Sendable {
    private let loops: BanLoops
    private let clients: ClientAddresses

    init(_ book: BanBook, _ clients: ClientAddresses) { (loops, self.clients) = (book.loops, clients) }

    /// Whether a peer may connect.
    func admits(_ peer: RequestPeer, loop: Int) -> Bool {
        guard loops.hasBans(loop), let address = peer.address, loops.bannedUntil(address, loop, now: MonotonicClock.now) != nil else { return true }
        loops.countConnection(loop)
        return false
    }

    /// Answers a request of somebody who is banned, and closes the connection behind it: 403, since it is for the client and no error of the server's.
    func turnsAway(_ request: borrowing Request, _ response: inout Response) -> Bool {
        let loop = response.loopIndex
        guard loops.hasBans(loop), let client = clients.client(of: request), let until = loops.bannedUntil(client, loop, now: response.monotonicNanoseconds) else { return false }
        loops.countRequest(loop)
        response.problem(.forbidden, "this address is banned")
        // As short as to need no memory of its own.
        if until != .max { response.headers["retry-after"] = "\((until &- response.monotonicNanoseconds) / 1_000_000_000 &+ 1)" }
        response.closeConnection()
        return true
    }
}
