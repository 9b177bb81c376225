// Tracing: the calls of an application's hooks (ServerTrace). Loop+Observe asks whether a connection is traced; what is here runs for those alone. The loop's thread.
//
// A response is sent when the kernel has its last byte. Each that is written to its end is noted with where it ends among all the bytes of its connection
// (`bytesSent` and what is pending); what TLS adds in front of them moves the notes, so that they may come late by what one encryption adds, and never early.
//
// Pointers: a connection's slot stays valid until the turn that ends it is over, its trace as long as its slot.

internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringHTTP2
internal import UringRing

extension Loop {
    // MARK: calls

    @inline(__always)
    private func moment(_ connection: UnsafeMutablePointer<Connection>, _ trace: UnsafeMutablePointer<ConnectionTrace>) -> TracedConnection {
        unsafe TracedConnection(
            id: connection.pointee.id, loop: index, moment: TraceMoment(ticks: kernel.ticks(), ticksPerSecond: trace.pointee.ticksPerSecond))
    }

    @inline(__always)
    private func traced(_ connection: UnsafeMutablePointer<Connection>, _ trace: UnsafeMutablePointer<ConnectionTrace>, _ number: UInt32) -> TracedRequest {
        unsafe TracedRequest(
            connection: moment(connection, trace), number: number, isHTTP2: connection.pointee.http2 != nil || connection.pointee.flags.contains(.stream))
    }

    /// Calls `body` with the hooks of a traced connection. They are its trace's: no reference is counted.
    @inline(__always)
    private func withHooks(_ connection: UnsafeMutablePointer<Connection>, _ body: (borrowing ServerTrace, UnsafeMutablePointer<ConnectionTrace>) -> Void) {
        guard let trace = unsafe connection.pointee.trace else { return }
        unsafe trace.pointee.box._withUnsafeGuaranteedRef { unsafe body($0.hooks, trace) }
    }

    // MARK: connections

    /// A connection is open: it is traced by this application's hooks to its end.
    @inline(never)
    func beginTrace(_ connection: UnsafeMutablePointer<Connection>) {
        guard let box = unsafe state.pointee.handler._withUnsafeGuaranteedRef({ $0.trace }) else { return }
        let trace = UnsafeMutablePointer<ConnectionTrace>.allocate(capacity: 1)
        unsafe trace.initialize(to: ConnectionTrace(box, ticksPerSecond: kernel.ticksPerSecond))
        unsafe connection.pointee.trace = unsafe trace
        unsafe box.hooks.connectionAccepted?(moment(connection, trace))
    }

    /// Before the memory of a connection goes: what was under way is over.
    @inline(never)
    func traceUnfinished(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe withHooks(connection) { hooks, trace in
            let reason = unsafe self.reason(connection)
            unsafe traceSent(connection)
            while unsafe trace.pointee.count > 0 {
                unsafe hooks.responseAborted?(traced(connection, trace, trace.pointee.oldest.number), reason)
                unsafe trace.pointee.removeOldest()
            }
            unsafe traceAborted(connection, reason)
        }
    }

    /// The last word, when the rest of a connection's memory is gone: that may be in the middle of its handshake.
    @inline(never)
    func endTrace(_ connection: UnsafeMutablePointer<Connection>) {
        guard let trace = unsafe connection.pointee.trace else { return }
        // A stream's is its connection's.
        guard unsafe !connection.pointee.flags.contains(.stream) else { return }
        unsafe withHooks(connection) { unsafe $0.connectionClosed?(moment(connection, $1), reason(connection)) }
        unsafe connection.pointee.trace = nil
        unsafe trace.deinitialize(count: 1)
        unsafe trace.deallocate()
    }

    /// Says why a connection or stream is about to end; what was said first counts.
    func because(_ connection: UnsafeMutablePointer<Connection>, _ reason: TraceEnd) {
        if unsafe connection.pointee.mark.reason == nil { unsafe connection.pointee.mark.reason = reason }
    }

    func reason(_ connection: UnsafeMutablePointer<Connection>) -> TraceEnd {
        if let reason = unsafe connection.pointee.mark.reason { return reason }
        if unsafe connection.pointee.flags.contains(.upgrading) { return .handedOver }
        if unsafe !connection.pointee.flags.isDisjoint(with: [.resetOnClose, .endOfInput]) { return .client }
        return unsafe state.pointee.phase == .draining ? .stopped : .server
    }

    // MARK: handshakes

    @inline(never)
    func traceHandshakeBegan(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe withHooks(connection) { unsafe $0.handshakeBegan?(moment(connection, $1)) }
    }

    @inline(never)
    func traceHandshakeFlight(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe withHooks(connection) { unsafe $0.handshakeFlight?(moment(connection, $1)) }
    }

    /// Somebody wants the record of this connection's handshake.
    func tracesHandshake(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        guard let trace = unsafe connection.pointee.trace else { return false }
        return unsafe trace.pointee.box._withUnsafeGuaranteedRef { $0.hooks.handshakeEnded != nil }
    }

    func traceHandshakeEnded(_ connection: UnsafeMutablePointer<Connection>, _ record: HandshakeRecord) {
        unsafe withHooks(connection) { unsafe $0.handshakeEnded?(moment(connection, $1), record) }
    }

    // MARK: requests

    /// - Parameter stream: 0 on HTTP/1.1.
    @inline(never)
    func traceParsed(_ connection: UnsafeMutablePointer<Connection>, _ stream: UInt32) {
        unsafe traceNumber(connection, stream)
        unsafe connection.pointee.mark.flags = .request
        unsafe withHooks(connection) {
            unsafe $0.requestParsed?(traced(connection, $1, connection.pointee.mark.number), head.pointee.method, head.pointee.headLength)
        }
    }

    /// The number of the request that begins.
    func traceNumber(_ connection: UnsafeMutablePointer<Connection>, _ stream: UInt32) {
        unsafe connection.pointee.mark.number = unsafe stream == 0 ? connection.pointee.mark.number &+ 1 : stream
    }

    /// A stream has a slot: its request is told of by that from now on.
    func adoptMark(_ stream: UnsafeMutablePointer<Connection>, from connection: UnsafeMutablePointer<Connection>) {
        guard let trace = unsafe connection.pointee.trace, unsafe stream.pointee.trace == nil else { return }
        unsafe (stream.pointee.trace, stream.pointee.mark) = unsafe (trace, connection.pointee.mark)
        unsafe connection.pointee.mark.flags = []
    }

    /// Answered in place of a handler.
    @inline(never)
    func traceRefused(_ connection: UnsafeMutablePointer<Connection>, _ status: HTTPStatus) {
        unsafe withHooks(connection) { hooks, trace in
            if unsafe !connection.pointee.mark.flags.contains(.request) {
                // A stream has its number by now.
                if unsafe !connection.pointee.flags.contains(.stream) { unsafe connection.pointee.mark.number &+= 1 }
                unsafe connection.pointee.mark.flags = .request
            }
            unsafe traceHandlerEnded(connection, .abandoned)
            unsafe hooks.requestRefused?(traced(connection, trace, connection.pointee.mark.number), status)
        }
    }

    @inline(never)
    func traceHandlerBegan(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe connection.pointee.mark.flags.insert(.handler)
        unsafe withHooks(connection) { unsafe $0.handlerBegan?(traced(connection, $1, connection.pointee.mark.number), Request(context)) }
    }

    @inline(never)
    func traceRoute(_ connection: UnsafeMutablePointer<Connection>, _ name: RouteName) {
        unsafe withHooks(connection) { unsafe $0.routeChosen?(traced(connection, $1, connection.pointee.mark.number), name) }
    }

    /// Does nothing when no handler runs.
    @inline(never)
    func traceHandlerEnded(_ connection: UnsafeMutablePointer<Connection>, _ how: TracedHandlerEnd) {
        guard unsafe connection.pointee.mark.flags.contains(.handler) else { return }
        unsafe connection.pointee.mark.flags.remove(.handler)
        unsafe withHooks(connection) { unsafe $0.handlerEnded?(traced(connection, $1, connection.pointee.mark.number), how) }
    }

    // MARK: responses

    @inline(never)
    func traceHead(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe withHooks(connection) { unsafe $0.responseBegan?(traced(connection, $1, connection.pointee.mark.number), response.pointee.status) }
    }

    /// All of a response is in the output of `carrier`, which is the connection itself or the one that carries the stream.
    @inline(never)
    func traceWritten(_ connection: UnsafeMutablePointer<Connection>, on carrier: UnsafeMutablePointer<Connection>) {
        guard let trace = unsafe connection.pointee.trace, unsafe connection.pointee.mark.flags.contains(.request) else { return }
        unsafe traceHandlerEnded(connection, .abandoned)
        unsafe connection.pointee.mark.flags.remove(.request)
        unsafe trace.pointee.append(connection.pointee.mark.number, end: carrier.pointee.bytesSent &+ carrier.pointee.machine.pendingBytes)
        // Content of a known length may have left before its producer said that this was all.
        if unsafe carrier.pointee.machine.pendingBytes == 0 { unsafe traceSent(carrier) }
    }

    /// Bytes of a connection have left.
    @inline(never)
    func traceSent(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe withHooks(connection) { hooks, trace in
            while unsafe trace.pointee.count > 0 {
                let oldest = unsafe trace.pointee.oldest
                guard unsafe oldest.end <= connection.pointee.bytesSent else { return }
                unsafe trace.pointee.removeOldest()
                unsafe hooks.responseSent?(traced(connection, trace, oldest.number))
            }
        }
    }

    /// A request is over without a whole response, if one is under way.
    @inline(never)
    func traceAborted(_ connection: UnsafeMutablePointer<Connection>, _ reason: TraceEnd) {
        unsafe traceHandlerEnded(connection, .abandoned)
        guard unsafe connection.pointee.mark.flags.contains(.request) else { return }
        unsafe connection.pointee.mark.flags.remove(.request)
        unsafe withHooks(connection) { unsafe $0.responseAborted?(traced(connection, $1, connection.pointee.mark.number), reason) }
    }

    /// A stream ends, with its response or without.
    @inline(never)
    func traceStreamEnded(_ stream: UnsafeMutablePointer<Connection>) {
        let above = unsafe connections.pointee.pointer(stream.pointee.carrier).flatMap { unsafe $0.pointee.mark.reason }
        unsafe traceAborted(stream, stream.pointee.mark.reason ?? above ?? .client)
        unsafe stream.pointee.trace = nil
    }
}
