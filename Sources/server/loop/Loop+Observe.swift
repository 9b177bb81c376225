// Observation: what the loop tells at the boundaries that a connection and its requests pass, and of finished exchanges for the access log. The loop's thread.

internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringRing

/// The request of a response that is produced later than its handler call: head bytes and offsets, copied.
final class LoggedExchange {
    /// Memory for a head that is as long is given up with it.
    private static let keptBytesMax = 4 * 1024

    private(set) var bytes: [UInt8]
    private(set) var head: RequestHead
    private(set) var fields: [FieldSlot]
    var status: UInt16
    var route: RouteName?
    var mark: (UInt64, UInt64)
    var trace: ExchangeTrace
    var grpcStatus: UInt8
    private(set) var began: UInt64
    private(set) var sentBefore: UInt64
    var headBytes: UInt64

    /// Takes another request in place of the one before: no memory is taken when it is not longer. Nobody else may refer to this object.
    func take(_ context: UnsafeMutablePointer<RequestContext>, _ response: UnsafeMutablePointer<ResponseState>, began: UInt64) {
        head = unsafe context.pointee.head.pointee
        bytes.removeAll(keepingCapacity: bytes.capacity <= Self.keptBytesMax)
        fields.removeAll(keepingCapacity: true)
        // SAFETY: the request's bytes and slots are readable as long as its context is laid out; they are copied.
        unsafe bytes.append(contentsOf: UnsafeBufferPointer(start: context.pointee.base, count: head.headLength))
        unsafe fields.append(contentsOf: UnsafeBufferPointer(start: context.pointee.fields, count: head.fieldCount))
        status = unsafe response.pointee.status.code
        route = unsafe response.pointee.routeName
        mark = unsafe response.pointee.mark
        trace = unsafe response.pointee.trace
        grpcStatus = unsafe response.pointee.grpcStatus
        sentBefore = unsafe context.pointee.connection.pointee.bytesSent
        headBytes = unsafe response.pointee.headBytes
        self.began = began
    }

    init(_ context: UnsafeMutablePointer<RequestContext>, _ response: UnsafeMutablePointer<ResponseState>, began: UInt64) {
        head = unsafe context.pointee.head.pointee
        bytes = unsafe Array(UnsafeBufferPointer(start: context.pointee.base, count: head.headLength))
        fields = unsafe Array(UnsafeBufferPointer(start: context.pointee.fields, count: head.fieldCount))
        status = unsafe response.pointee.status.code
        route = unsafe response.pointee.routeName
        mark = unsafe response.pointee.mark
        trace = unsafe response.pointee.trace
        grpcStatus = unsafe response.pointee.grpcStatus
        sentBefore = unsafe context.pointee.connection.pointee.bytesSent
        headBytes = unsafe response.pointee.headBytes
        self.began = began
    }
}

// MARK: boundaries

/// One place for each boundary, whoever looks: a tracer from outside by its probe, an application by its hooks. Nobody, nearly always: then each costs two tests.
extension Loop {
    @inline(__always)
    func connectionOpened(_ connection: UnsafeMutablePointer<Connection>) {
        if ur_probe_accept() { unsafe ur_fire_accept(connection.pointee.id, connection.pointee.fd, state.pointee.now) }
        unsafe note(.accept, connection: connection.pointee.id, value: UInt64(UInt32(bitPattern: connection.pointee.fd)))
        if unsafe state.pointee.traces { unsafe beginTrace(connection) }
    }

    @inline(__always)
    func connectionEnded(_ connection: UnsafeMutablePointer<Connection>) {
        if ur_probe_close() { unsafe ur_fire_close(connection.pointee.id, connection.pointee.bytesSent, state.pointee.now) }
        if unsafe flight != nil, unsafe connection.pointee.flags.isDisjoint(with: [.outgoing, .stream]) {
            unsafe note(.close, connection: connection.pointee.id, small: reason(connection).rawValue, value: connection.pointee.bytesSent)
        }
        if unsafe connection.pointee.trace != nil { unsafe traceUnfinished(connection) }
    }

    /// - Parameter stream: its identifier; 0 on HTTP/1.1.
    @inline(__always)
    func requestParsed(_ connection: UnsafeMutablePointer<Connection>, stream: @autoclosure () -> UInt32 = 0) {
        if ur_probe_parse() { unsafe ur_fire_parse(connection.pointee.id, UInt64(head.pointee.headLength), kernel.now()) }
        if unsafe meter.pointee.phases.isSampling { unsafe meter.pointee.phases.parsed(kernel.ticks(), kernel.nanoseconds) }
        if unsafe connection.pointee.trace != nil { unsafe traceParsed(connection, stream()) }
    }

    @inline(__always)
    func handlerBegins(_ connection: UnsafeMutablePointer<Connection>) {
        if ur_probe_handler_start() { unsafe ur_fire_handler_start(connection.pointee.id, UInt64(context.pointee.bodyCount), kernel.now()) }
        if unsafe connection.pointee.trace != nil { unsafe traceHandlerBegan(connection) }
    }

    /// The call is over. A handler that goes on asynchronously ends later: for hooks, which are told of handlers; the probe tells of the call.
    @inline(__always)
    func handlerReturned(_ connection: UnsafeMutablePointer<Connection>, threw: Bool) {
        if ur_probe_handler_end() { unsafe fireHandlerEnd(connection) }
        if unsafe meter.pointee.phases.isSampling { unsafe meter.pointee.phases.handled(kernel.ticks(), kernel.nanoseconds) }
        if unsafe connection.pointee.trace != nil, !goesOnAsync { unsafe traceHandlerEnded(connection, threw ? .threw : .returned) }
    }

    @inline(never)
    private func fireHandlerEnd(_ connection: UnsafeMutablePointer<Connection>) {
        let (id, count) = unsafe (connection.pointee.id, UInt64(response.pointee.body.count))
        guard let route = unsafe response.pointee.routeName else { return ur_fire_handler_end(id, count, kernel.now(), nil, 0) }
        // SAFETY: names of routes live as long as the process.
        unsafe route.bytes.withUnsafeBufferPointer { name in unsafe ur_fire_handler_end(id, count, kernel.now(), name.baseAddress, UInt64(name.count)) }
    }

    /// The loop is about to work off what the kernel had ready.
    @inline(__always)
    func turnBegins(_ ready: UInt32) {
        if ur_probe_turn_start() { unsafe ur_fire_turn_start(UInt64(index), UInt64(ready), state.pointee.now) }
    }

    /// It has; what it has written is handed to the kernel at the beginning of the next turn.
    @inline(__always)
    func turnEnded(handled: UInt64) {
        if ur_probe_turn_end() { ur_fire_turn_end(UInt64(index), handled, kernel.now()) }
    }

    @inline(__always)
    func asyncHandlerReturned(_ connection: UnsafeMutablePointer<Connection>, _ worker: AsyncWorker) {
        if unsafe connection.pointee.trace != nil { unsafe traceHandlerEnded(connection, worker.error == nil ? .returned : .threw) }
    }

    /// A final response's head is in the output.
    @inline(__always)
    func responseBegun(_ connection: UnsafeMutablePointer<Connection>) {
        if unsafe connection.pointee.trace != nil { unsafe traceHead(connection) }
    }

    /// The last byte of a response is in the output, and counted as pending.
    @inline(__always)
    func responseWritten(_ connection: UnsafeMutablePointer<Connection>, on carrier: UnsafeMutablePointer<Connection>) {
        mark(.serialise)
        if unsafe connection.pointee.trace != nil { unsafe traceWritten(connection, on: carrier) }
    }

    /// The kernel has taken bytes; `bytesSent` has them already.
    @inline(__always)
    func bytesLeft(_ connection: UnsafeMutablePointer<Connection>, _ count: UInt64) {
        if ur_probe_send() { unsafe ur_fire_send(connection.pointee.id, count, kernel.now()) }
        if unsafe connection.pointee.trace != nil { unsafe traceSent(connection) }
    }
}

// MARK: finished exchanges

extension Loop {
    private func tell(_ request: borrowing Request, _ record: ExchangeRecord) {
        noteRequest(request.connectionID, record)
        unsafe state.pointee.handler._withUnsafeGuaranteedRef { $0.observe?(request, record) }
        if unsafe state.pointee.flushAt == .max, unsafe state.pointee.flushNs != .max {
            unsafe state.pointee.flushAt = unsafe state.pointee.now &+ state.pointee.flushNs
        }
    }

    /// Lets the application write what it collected of observed exchanges.
    func flushObserver() {
        unsafe state.pointee.flushAt = .max
        unsafe state.pointee.handler._withUnsafeGuaranteedRef { $0.flush?(index) }
    }

    private func record(_ status: UInt16, _ bytes: UInt64, head: UInt64, _ nanoseconds: UInt64, _ route: RouteName?, _ mark: (UInt64, UInt64) = (0, 0)) -> ExchangeRecord {
        unsafe ExchangeRecord(
            status: status, bytes: bytes, bodyBytes: bytes > head ? bytes &- head : 0, nanoseconds: nanoseconds,
            time: state.pointee.unixSeconds, route: route, loop: index, mark: mark)
    }

    /// A response was written, or its head was and the rest is produced later.
    func observeResponse(_ connection: UnsafeMutablePointer<Connection>, _ written: UInt64, _ elapsed: UInt64, ended: Bool) {
        if let logged = unsafe connection.pointee.exchange?.takeUnretainedValue().logged {
            // It was made before the response was complete.
            logged.status = unsafe response.pointee.status.code
            logged.route = unsafe response.pointee.routeName
            logged.mark = unsafe response.pointee.mark
            logged.trace = unsafe response.pointee.trace
            logged.grpcStatus = unsafe response.pointee.grpcStatus
            logged.headBytes = unsafe response.pointee.headBytes
            if ended { unsafe observe(logged, connection) }
        } else if unsafe connection.pointee.exchange?.takeUnretainedValue().responder != nil {
            // Nobody watched when the request came, and its bytes are gone.
        } else if ended {
            observe(written, elapsed)
        } else {
            unsafe makeExchange(connection).logged = unsafe LoggedExchange(context, response, began: state.pointee.now)
        }
    }

    /// The exchange that `context` describes is complete.
    func observe(_ bytes: UInt64, _ elapsed: UInt64) {
        var record = unsafe record(
            response.pointee.status.code, bytes, head: response.pointee.headBytes, kernel.nanoseconds(ticks: elapsed), response.pointee.routeName, response.pointee.mark)
        record.trace = unsafe response.pointee.trace
        record.grpcStatus = unsafe response.pointee.grpcStatus
        unsafe tell(Request(context), record)
    }

    /// A produced response is complete; its request is a copy.
    func observe(_ logged: LoggedExchange, _ connection: UnsafeMutablePointer<Connection>) {
        let bytes = unsafe connection.pointee.bytesSent &+ connection.pointee.machine.pendingBytes &- logged.sentBefore
        var record = unsafe record(logged.status, bytes, head: logged.headBytes, state.pointee.now &- logged.began, logged.route, logged.mark)
        record.trace = logged.trace
        record.grpcStatus = logged.grpcStatus
        var head = logged.head
        unsafe logged.bytes.withUnsafeBufferPointer { bytes in
            unsafe logged.fields.withUnsafeBufferPointer { fields in
                unsafe withUnsafePointer(to: &head) { head in
                    var copy = unsafe context.pointee
                    unsafe copy.base = bytes.baseAddress!
                    unsafe copy.head = unsafe head
                    unsafe copy.fields = unsafe fields.baseAddress ?? UnsafePointer(self.fields)
                    unsafe copy.bodyCount = 0
                    unsafe copy.captures = nil
                    unsafe copy.connection = unsafe connection
                    unsafe withUnsafePointer(to: &copy) { unsafe tell(Request($0), record) }
                }
            }
        }
    }

    /// A request that never reached a handler: logged with an empty head.
    func observeFault(_ connection: UnsafeMutablePointer<Connection>, _ status: HTTPStatus, _ bytes: UInt64) {
        // Nothing of the request that was laid out last, which may be another connection's.
        unsafe captures.pointee.count = 0
        unsafe context.pointee.contentLength = nil
        unsafe context.pointee.bodyCount = 0
        unsafe context.pointee.connection = unsafe connection
        unsafe context.pointee.connectionID = unsafe connection.pointee.id
        unsafe tell(Request(context), record(status.code, bytes, head: response.pointee.headBytes, 0, .fault))
    }

    func remoteAddressText(_ connection: UnsafeMutablePointer<Connection>) -> String {
        guard unsafe connection.pointee.flags.contains(.open) else { return "" }
        if unsafe connection.pointee.flags.contains(.stream) {
            guard let (carrier, _) = unsafe carrier(connection) else { return "" }
            return unsafe peerAddress(carrier)?.description ?? ""
        }
        return unsafe peerAddress(connection)?.description ?? ""
    }
}
