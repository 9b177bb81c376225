// ExchangeHandle: how the rest of a program wakes an exchange that waits. Any thread.

internal import UringBase
internal import UringHTTP1
internal import UringHTTP2
internal import UringRing

/// Names one exchange: a request and its response under way. Made in a handler (`Response.exchange`), kept as long as one likes, used from
/// any thread; when the exchange is over it does nothing.
public struct ExchangeHandle: Sendable {
    package let port: LoopPort
    let connection: Handle
    /// Connection and number of the request on it.
    let id: UInt64
    let request: UInt32

    /// Calls a producer that waits (`StreamStep.wait`) again, and goes on reading a body that was paused (`BodyStep.pause`), on the
    /// exchange's own loop.
    public func resume() { port.post(.resume(self)) }
}

extension Response {
    /// The handle of this exchange.
    public var exchange: ExchangeHandle {
        // SAFETY: the loop keeps context and connection in place during the handler's call.
        let handle = unsafe context.pointee.liveLoop?._withUnsafeGuaranteedRef { loop in
            unsafe loop.exchangeHandle(loop.exchangeSlot(context.pointee.connection))
        }
        // Of a handler that has outlived its loop: it names nothing.
        return handle ?? ExchangeHandle(port: LoopPort(mailbox: nil), connection: Handle(index: .max, generation: 0), id: 0, request: 0)
    }
}

extension Loop {
    func exchangeHandle(_ connection: UnsafeMutablePointer<Connection>) -> ExchangeHandle {
        unsafe ExchangeHandle(
            port: port, connection: connection.pointee.handle, id: connection.pointee.id, request: requestNumber(connection))
    }

    /// What names the exchange under way: its connection, or on HTTP/2 its stream, which is given a slot now. When none is left the
    /// handle names the connection, none of whose requests has that number, and does nothing.
    func exchangeSlot(_ connection: UnsafeMutablePointer<Connection>) -> UnsafeMutablePointer<Connection> {
        let slot = unsafe state.pointee.requestSlot
        guard slot != .none, let http2 = unsafe connection.pointee.http2 else { return unsafe connection }
        return unsafe openStream(connection, http2, slot, refuses: false) ?? connection
    }

    /// Number of the request under way on its connection. On the fast path the machine counts a request when it is answered, otherwise when
    /// its head was parsed: both ways it has this number from its handler's call until its end.
    func requestNumber(_ connection: UnsafeMutablePointer<Connection>) -> UInt32 {
        unsafe connection.pointee.machine.isBetweenExchanges
            ? connection.pointee.machine.requests &+ 1 : connection.pointee.machine.requests
    }

    /// Takes up `ExchangeHandle.resume`.
    func resumeExchange(_ handle: ExchangeHandle) {
        guard let connection = unsafe connections.pointee.pointer(handle.connection), unsafe connection.pointee.id == handle.id,
            unsafe connection.pointee.machine.requests == handle.request, unsafe !connection.pointee.flags.contains(.closing)
        else { return }
        if let body = unsafe connection.pointee.exchange?.takeUnretainedValue().body {
            // A task reads it, and resumes the client when it has room: on behalf of a receiver that rests, perhaps.
            body.endRest()
        } else if unsafe connection.pointee.flags.contains(.bodyPaused) {
            unsafe resumeBody(connection)
        }
        if unsafe connection.pointee.producerWakeAt != .max { unsafe produce(connection) }
    }

    /// The receiver takes no more for now: TCP holds the client back.
    func pauseBody(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe connection.pointee.flags.insert(.bodyPaused)
        unsafe connection.pointee.machine.bodyPaused(now: state.pointee.now, settings.pointee.policy)
        unsafe pauseReading(connection)
    }

    func resumeBody(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe connection.pointee.flags.remove(.bodyPaused)
        unsafe connection.pointee.machine.bodyResumed(now: state.pointee.now, settings.pointee.policy)
        unsafe processCarry(connection)
        guard unsafe connection.pointee.flags.contains(.open), unsafe !connection.pointee.flags.contains(.closing),
            unsafe !connection.pointee.flags.contains(.bodyPaused)
        else { return }
        unsafe resumeReading(connection)
        unsafe finishInput(connection)
        unsafe armTimer(connection)
    }
}
