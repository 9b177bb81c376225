// Observation: finished exchanges for the access log, and the loop's figures. The loop's thread.

internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringRing

/// The request of a response that is produced later than its handler call: head bytes and offsets, copied.
final class LoggedExchange {
    let bytes: [UInt8]
    let head: RequestHead
    let fields: [FieldSlot]
    var status: UInt16
    var route: RouteName?
    let began: UInt64
    let sentBefore: UInt64
    var headBytes: UInt64

    init(_ context: UnsafeMutablePointer<RequestContext>, _ response: UnsafeMutablePointer<ResponseState>, began: UInt64) {
        head = unsafe context.pointee.head.pointee
        bytes = unsafe Array(UnsafeBufferPointer(start: context.pointee.base, count: head.headLength))
        fields = unsafe Array(UnsafeBufferPointer(start: context.pointee.fields, count: head.fieldCount))
        status = unsafe response.pointee.status.code
        route = unsafe response.pointee.routeName
        sentBefore = unsafe context.pointee.connection.pointee.bytesSent
        headBytes = unsafe response.pointee.headBytes
        self.began = began
    }
}

extension Loop {
    private func tell(_ request: borrowing Request, _ record: ExchangeRecord) {
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

    private func record(_ status: UInt16, _ bytes: UInt64, head: UInt64, _ nanoseconds: UInt64, _ route: RouteName?) -> ExchangeRecord {
        unsafe ExchangeRecord(
            status: status, bytes: bytes, bodyBytes: bytes > head ? bytes &- head : 0, nanoseconds: nanoseconds,
            time: state.pointee.unixSeconds, route: route, loop: index)
    }

    /// A response was written, or its head was and the rest is produced later.
    func observeResponse(_ connection: UnsafeMutablePointer<Connection>, _ written: UInt64, _ elapsed: UInt64, ended: Bool) {
        if let logged = unsafe connection.pointee.exchange?.takeUnretainedValue().logged {
            // It was made before the response was complete.
            logged.status = unsafe response.pointee.status.code
            logged.route = unsafe response.pointee.routeName
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
        let record = unsafe record(response.pointee.status.code, bytes, head: response.pointee.headBytes, kernel.nanoseconds(ticks: elapsed), response.pointee.routeName)
        unsafe tell(Request(context), record)
    }

    /// A produced response is complete; its request is a copy.
    func observe(_ logged: LoggedExchange, _ connection: UnsafeMutablePointer<Connection>) {
        let bytes = unsafe connection.pointee.bytesSent &+ connection.pointee.machine.pendingBytes &- logged.sentBefore
        let record = unsafe record(logged.status, bytes, head: logged.headBytes, state.pointee.now &- logged.began, logged.route)
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
        unsafe tell(Request(context), record(status.code, bytes, head: response.pointee.headBytes, 0, RouteName("fault")))
    }

    func remoteAddressText(_ connection: UnsafeMutablePointer<Connection>) -> String {
        guard unsafe connection.pointee.flags.contains(.open) else { return "" }
        if unsafe connection.pointee.flags.contains(.stream) {
            guard let (carrier, _) = unsafe carrier(connection) else { return "" }
            return unsafe kernel.peerAddress(carrier.pointee.fd)?.description ?? ""
        }
        return unsafe kernel.peerAddress(connection.pointee.fd)?.description ?? ""
    }
}
