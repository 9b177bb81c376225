// ProxyTunnel: what is left of a proxied exchange when its server has switched protocols (101): bytes go to and fro between two connections, unread. The loop's thread.
//
// Pointers: bytes are readable during the call that hands them over; links are made for each call (`Loop.tunnelLink`) and used in it alone.

internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1

/// One of the two sides: the tunnel of one connection, which writes to the other's.
@safe
final class ProxyTunnel: Tunnel {
    private unowned let loop: Loop
    /// nil: one of the two is over.
    private var other: ProxyTunnel?
    /// Of this side's connection, from `opened` to the end.
    private var handle: Handle?
    /// The other side waits until there is room on this one.
    private var holdsOther = false

    private init(_ loop: Loop) { self.loop = loop }

    /// Two sides, joined.
    static func pair(_ loop: Loop) -> (client: ProxyTunnel, server: ProxyTunnel) {
        let (client, server) = (ProxyTunnel(loop), ProxyTunnel(loop))
        (client.other, server.other) = (server, client)
        return (client, server)
    }

    private var link: TunnelLink? { handle.flatMap { loop.tunnelLink($0) } }

    func opened(_ link: TunnelLink) { handle = unsafe link.connection.pointee.handle }

    func received(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ link: TunnelLink) -> Int {
        // Not opened yet: its bytes wait.
        guard let other else { return count }
        guard let there = other.link else { return other.handle == nil ? 0 : count }
        guard let out = unsafe there.reserve(count) else { return count }
        unsafe out.update(from: bytes, count: count)
        there.commit(count)
        if there.isOpen, !there.hasRoom {
            other.holdsOther = true
            there.tellWhenRoom()
            link.pause()
        }
        return count
    }

    func roomAgain(_ link: TunnelLink) {
        guard holdsOther else { return }
        holdsOther = false
        other?.link?.resume()
    }

    /// Whoever ends first ends both, behind what was said: protocols that are tunnelled end by a word of their own.
    func inputEnded(_ link: TunnelLink) {
        let there = other?.link
        part()
        there?.end()
        link.end()
    }

    func closed(_ link: TunnelLink) {
        let there = other?.link
        part()
        // Not in order on this side, so not on that.
        there?.abort()
    }

    private func part() {
        other?.other = nil
        other = nil
    }

    func timer(_ link: TunnelLink) {}
    /// What is tunnelled knows nothing of a drain: it has the drain's time.
    func drain(_ link: TunnelLink) {}
    func take(_ order: any TunnelOrder, _ link: TunnelLink) {}
}

extension ProxyExchange {
    /// The server has switched protocols: the client is told so, and the two are joined.
    package func upgraded(_ head: ClientResponseHead, _ fields: RequestHeaders, _ link: TunnelLink) {
        guard phase == .awaiting, let director else { return }
        if request.isConnect, !request.isAccepted(by: fields) {
            // Nobody takes the connection over, so its transport closes it.
            exchange = nil
            return refusedSwitch()
        }
        director.attempted(self, .status(head.status), nanoseconds: sinceAttempt)
        exchange = nil
        guard let waiting = loop.link(self) else { return finish() }
        take(head, switches: !request.isConnect, fields)
        // On HTTP/2 a tunnel begins with a 2xx (RFC 8441 section 5).
        if request.isConnect { unsafe state.pointee.status = .ok } else { unsafe state.pointee.fields.append("connection: upgrade\r\n") }
        edit()
        let (client, server) = ProxyTunnel.pair(loop)
        link.handOver(to: server)
        unsafe (state.pointee.content, state.pointee.hasSpecialContent) = (.tunnel(client), true)
        waiting.answer(self)
        finish()
    }
}
