// Tunnel: what has a connection, or a stream of HTTP/2, after a response has switched protocols (101, or 2xx to CONNECT). The seam between the loop and
// other protocols: it knows none of them. All on the thread of the loop that owns the connection.
//
//   bytes of the client ──▶ received ──▶ the tunnel ──▶ TunnelLink.reserve, commit ──▶ the connection's output, or the stream's
//
// Who ends it: the tunnel by `TunnelLink.end` (what it has written leaves first) or `abort`, and is told nothing then; or the loop, because the client
// has reset, a limit of the transport was met, or a drain took too long, and calls `closed`, once and last.

internal import UringBase
internal import UringHTTP
internal import UringHTTP1

/// A protocol on a connection. A class, held by the loop from the response until the connection's slot is free again.
package protocol Tunnel: AnyObject {
    /// The head of the response is in the output. First of all calls.
    func opened(_ link: TunnelLink)
    /// Bytes have arrived. Answers how many were used; what is left comes again, at the front of more, unchanged but for what this call itself has changed.
    /// - Parameter bytes: `count` bytes, readable and writable for this call. More are needed than lie here: answer 0 as often as that takes.
    func received(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ link: TunnelLink) -> Int
    /// There is room in the output again, after `TunnelLink.tellWhenRoom`.
    func roomAgain(_ link: TunnelLink)
    /// The client sends nothing more. Output can still be sent.
    func inputEnded(_ link: TunnelLink)
    /// The time of `TunnelLink.wake` has come.
    func timer(_ link: TunnelLink)
    /// The server is stopping: end soon.
    func drain(_ link: TunnelLink)
    /// Somebody sent an order to this tunnel's handle.
    func take(_ order: any TunnelOrder, _ link: TunnelLink)
    /// The connection is gone; nothing can be sent. Not called when the tunnel itself has ended it.
    func closed(_ link: TunnelLink)
}

/// What other threads ask of a tunnel, by its `ExchangeHandle`. Only the tunnel knows what it means.
package protocol TunnelOrder: AnyObject, Sendable {}

/// A tunnel as a connection holds it: one pointer, called through without reference counting.
final class TunnelBox {
    let tunnel: any Tunnel
    /// Of the tunnel that had the connection before.
    private let earlier: TunnelBox?
    init(_ tunnel: any Tunnel, behind earlier: TunnelBox? = nil) { (self.tunnel, self.earlier) = (tunnel, earlier) }
}

/// A tunnel's way to its connection. Good for the call that it is passed to; a tunnel that keeps it, or uses it elsewhere, works on somebody else's
/// connection.
@safe
package struct TunnelLink {
    // The loop keeps the connection's slot in place until the end of the turn; links do not outlive a call of a tunnel.
    let loop: Unmanaged<Loop>
    let connection: UnsafeMutablePointer<Connection>

    init(_ loop: Loop, _ connection: UnsafeMutablePointer<Connection>) {
        unsafe self.loop = .passUnretained(loop)
        unsafe self.connection = unsafe connection
    }

    /// Nobody has ended the tunnel yet, and what is written can be sent.
    package var isOpen: Bool {
        unsafe connection.pointee.body.mode == .tunnel && connection.pointee.flags.isDisjoint(with: .closing)
    }
    /// The output is below the size from which more is not worth writing (`KeepAlivePolicy.outputBytesMax`).
    package var hasRoom: Bool {
        unsafe loop._withUnsafeGuaranteedRef { unsafe connection.pointee.machine.hasRoom($0.settings.pointee.policy) }
    }
    /// Written and not taken by the kernel yet, on HTTP/2 not by the connection.
    package var pendingBytes: UInt64 { unsafe connection.pointee.machine.pendingBytes }
    /// Bytes that `received` has not used wait for the rest of them, or for room.
    package var hasInput: Bool { unsafe connection.pointee.carryCount > 0 }
    /// ns, of this turn.
    package var now: UInt64 { unsafe loop._withUnsafeGuaranteedRef { unsafe $0.state.pointee.now } }

    /// Room for `count` bytes at the end of the output; `commit` says how many were written, at once and before any other call. nil when memory is
    /// refused: the connection is gone then.
    package func reserve(_ count: Int) -> UnsafeMutablePointer<UInt8>? {
        guard isOpen else { return nil }
        return unsafe loop._withUnsafeGuaranteedRef { unsafe $0.reserveTunnel(connection, count) }
    }
    package func commit(_ count: Int) {
        unsafe loop._withUnsafeGuaranteedRef { loop in
            unsafe loop.commitTunnel(connection, count)
            if unsafe connection.pointee.flags.contains(.outgoing) { unsafe loop.state.pointee.relayedTo = unsafe connection }
        }
    }

    /// Takes bytes that a bulk receive of another connection has just brought into the output, without a copy. False: they are none; write them.
    func give(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        guard isOpen else { return false }
        return unsafe loop._withUnsafeGuaranteedRef { loop in
            guard unsafe loop.queueBulk(connection, bytes, count) else { return false }
            unsafe connection.pointee.machine.outputQueued(UInt64(count), now: loop.state.pointee.now, loop.settings.pointee.policy)
            unsafe loop.state.pointee.relayedTo = unsafe connection
            return true
        }
    }

    /// The tunnel watches the time in which the peer takes nothing, and not the server's `timeouts.write` and `timeouts.write-rate`, for as long as it has the connection and has not ended it.
    func watchesOutput(_ watches: Bool) {
        guard isOpen else { return }
        unsafe connection.pointee.machine.outputTimed(!watches)
        if !watches { unsafe loop._withUnsafeGuaranteedRef { unsafe $0.armTimer(connection) } }
    }

    /// Ends the tunnel when all that was written has left.
    package func end() { unsafe loop._withUnsafeGuaranteedRef { unsafe $0.endTunnel(connection) } }
    /// Ends it at once, so that the client sees that something was cut off.
    package func abort() { unsafe loop._withUnsafeGuaranteedRef { unsafe $0.perform(connection, connection.pointee.machine.abort()) } }

    /// Gives the connection to another tunnel, whose `opened` is called. Bytes that the call under way does not use, and all that follow, are the other's; this one is told
    /// nothing more, and the link is not its any more.
    package func handOver(to tunnel: any Tunnel) { unsafe loop._withUnsafeGuaranteedRef { unsafe $0.handOver(connection, tunnel) } }
    /// Nobody else has the connection yet.
    package func belongs(to tunnel: any Tunnel) -> Bool {
        guard isOpen, let box = unsafe connection.pointee.tunnel else { return false }
        return unsafe box._withUnsafeGuaranteedRef { $0.tunnel === tunnel }
    }

    /// Of an outgoing connection: so many bytes are still to come, `.max` when nobody knows; large ones are received in large pieces.
    func expect(_ bytes: UInt64) {
        guard unsafe connection.pointee.body.mode == .tunnel, unsafe !connection.pointee.flags.contains(.stream) else { return }
        unsafe connection.pointee.body.remaining = bytes
    }

    /// Takes no input for now: the client is held back. What came already waits.
    package func pause() { unsafe loop._withUnsafeGuaranteedRef { unsafe $0.pauseBody(connection) } }
    /// After `pause`.
    package var isPaused: Bool { unsafe connection.pointee.flags.contains(.bodyPaused) }
    package func resume() { unsafe loop._withUnsafeGuaranteedRef { unsafe $0.resumeTunnel(connection) } }
    /// Asks for `roomAgain`, once.
    package func tellWhenRoom() { unsafe connection.pointee.flags.insert(.awaitsRoom) }
    /// Asks for `timer` at that time, ns, in place of what was asked for before; `.max` = never.
    package func wake(at time: UInt64) { unsafe loop._withUnsafeGuaranteedRef { unsafe $0.wakeTunnel(connection, at: time) } }
    /// What other threads reach the tunnel by.
    package var handle: ExchangeHandle { unsafe loop._withUnsafeGuaranteedRef { unsafe $0.exchangeHandle(connection) } }
}

extension Response {
    /// Hands the connection, on HTTP/2 the stream, to a tunnel behind this response. Its status is 101 where the request has asked for an upgrade, or 2xx where its
    /// method is CONNECT; with any other, and behind a body that was not read, the answer becomes 500. The fields that say so (Upgrade, Connection) are the caller's.
    package func beginTunnel(_ tunnel: any Tunnel) {
        unsafe state.pointee.content = .tunnel(tunnel)
        unsafe state.pointee.hasSpecialContent = true
    }
}

extension Request {
    /// What an extended CONNECT asks for (RFC 8441 section 4), such as `websocket`; nil for other requests. HTTP/2 only.
    public var connectProtocol: ByteView? {
        @_lifetime(borrow self) get {
            guard unsafe context.pointee.head.pointee.connectProtocolLength > 0 else { return nil }
            return unsafe view(Int(context.pointee.head.pointee.connectProtocolOffset), Int(context.pointee.head.pointee.connectProtocolLength))
        }
    }
}
