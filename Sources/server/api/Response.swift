// Response: what a handler fills in. A view over the loop's ResponseState, valid during the handler call it is passed to.

public import UringHTTP
internal import Glibc
internal import UringHTTP1

/// The answer to one request. Set status and fields, then write the content; the server adds `Date`, the framing
/// (`Content-Length` or chunked) and `Connection` as RFC 9110 and 9112 ask.
///
/// Valid during the call it is passed to; keeping it does not compile. Nothing is sent before the handler returns.
@safe
public struct Response: ~Copyable, ~Escapable {
    let state: UnsafeMutablePointer<ResponseState>
    let context: UnsafePointer<RequestContext>

    /// The loop keeps `state` in place until the handler has returned; handlers get the response as an `inout` parameter, which bounds it.
    @_lifetime(immortal)
    init(_ state: UnsafeMutablePointer<ResponseState>, _ context: UnsafePointer<RequestContext>) {
        unsafe self.state = state
        unsafe self.context = context
    }

    /// 200 unless set. A 1xx status is not a final response and becomes a 500.
    public var status: HTTPStatus {
        get { unsafe state.pointee.status }
        nonmutating set { unsafe state.pointee.status = newValue }
    }

    /// The header fields. `Connection`, `Transfer-Encoding` and `Keep-Alive` belong to the server and are ignored.
    public var headers: ResponseHeaders {
        @_lifetime(borrow self) get { unsafe ResponseHeaders(state) }
    }

    /// Closes the connection after this response.
    public func closeConnection() { unsafe state.pointee.closesConnection = true }

    // MARK: content

    /// Appends the text's UTF-8 to the content.
    public func write(_ text: String) { unsafe state.pointee.body.append(text) }
    /// Appends a literal to the content.
    @_disfavoredOverload
    public func write(_ literal: StaticString) { unsafe state.pointee.body.append(literal) }
    /// Appends bytes to the content.
    public func write(_ bytes: Span<UInt8>) {
        // SAFETY: the span is readable during this call; its bytes are copied.
        unsafe bytes.withUnsafeBufferPointer { if $0.count > 0 { unsafe state.pointee.body.append($0.baseAddress!, $0.count) } }
    }
    /// Appends bytes of the request to the content.
    public func write(_ view: ByteView) { write(view.span) }
    /// Appends bytes to the content.
    public func write(_ bytes: [UInt8]) { write(bytes.span) }
    /// Makes fixed bytes the whole content, without copying them. What was written before is dropped.
    public func write(_ bytes: SharedBytes) {
        unsafe state.pointee.body.count = 0
        unsafe state.pointee.content = .shared(bytes)
        unsafe state.pointee.hasSpecialContent = true
    }

    /// Drops what was written and set so far, and answers with this status and an empty body.
    public func restart(_ status: HTTPStatus) { unsafe state.pointee.restart(status) }

    /// Redirects with 301, 302, 303, 307 or 308.
    public func redirect(to location: String, status: HTTPStatus = .found) {
        restart(status)
        headers["location"] = location
    }

    // MARK: streaming

    /// Produces the content piece by piece, as fast as the client takes it: `next` is called on this connection's loop whenever there
    /// is room, and writes what it has. It lives until it answers `.end`, or the connection ends.
    /// - Parameters:
    ///   - length: sent as Content-Length when known, and enforced; chunked coding otherwise (HTTP/1.0: until the close).
    ///   - next: writes a piece and says what follows. A throw cuts the connection: the head has left already.
    public func stream(length: UInt64? = nil, _ next: @escaping (inout ResponseWriter) throws -> StreamStep) {
        unsafe state.pointee.content = .produced(ResponseProducer(next), length: length)
        unsafe state.pointee.hasSpecialContent = true
    }

    /// Receives a streamed request body (`Request.isStreaming`): `receive` is called on this connection's loop for each piece, and
    /// once more with `isLast` set. The response is sent when it answers `.finish` or has seen the last piece; what this handler set
    /// before stays set.
    public func receiveBody(_ receive: @escaping (borrowing RequestBodyPart, inout Response) throws -> BodyStep) {
        unsafe state.pointee.receiver = RequestBodyReceiver(receive)
    }

    /// No handler timeout for this request: event streams, long polls.
    public func disableTimeout() { unsafe state.pointee.untimed = true }

    /// Hands the connection to another protocol after a 101 response (RFC 9110 section 7.8). The request must have asked for it.
    public func upgrade(to protocolName: String, _ handler: @escaping (UpgradedConnection) -> Void) {
        restart(.switchingProtocols)
        // The server itself adds no `Connection` to a 101, and RFC 9110 section 7.8 asks for this one.
        unsafe state.pointee.fields.append("connection: upgrade\r\nupgrade: ")
        headers.appendValue(protocolName)
        unsafe state.pointee.upgrade = UpgradeHandler(handler)
    }

    /// Names the route, for stall reports and the access log.
    public func setRoute(_ name: StaticString) { setRoute(RouteName(name)) }
    /// Names the route by a name that was made before.
    public func setRoute(_ name: RouteName) {
        unsafe state.pointee.routeName = name
        let connection = unsafe context.pointee.connection
        // A connection that is traced has its loop.
        if unsafe connection.pointee.trace != nil { unsafe context.pointee.loop._withUnsafeGuaranteedRef { unsafe $0.traceRoute(connection, name) } }
    }
}

/// The header fields of a response under construction.
@safe
public struct ResponseHeaders: ~Escapable {
    let state: UnsafeMutablePointer<ResponseState>

    @_lifetime(immortal)
    init(_ state: UnsafeMutablePointer<ResponseState>) { unsafe self.state = state }

    /// Sets a field, replacing lines of that name; nil removes them. Reading searches what was set and copies it.
    ///
    /// A value with CR, LF or NUL would let whoever controls it write further fields (response splitting): such a field is not sent, and
    /// the response becomes a 500 that says so in the log.
    ///
    /// Inlined into the caller, where the value is borrowed: a literal then costs no reference counting.
    @inlinable
    public subscript(name: StaticString) -> String? {
        get { value(of: name) }
        nonmutating set { replace(name, newValue) }
    }

    @usableFromInline
    func value(of name: StaticString) -> String? {
        guard let found = find(name) else { return nil }
        return unsafe String(
            decoding: UnsafeBufferPointer(start: state.pointee.fields.base + found.value, count: found.end - 2 - found.value), as: UTF8.self)
    }

    @usableFromInline
    func replace(_ name: StaticString, _ value: String?) {
        if unsafe state.pointee.fields.count > 0 {
            while let found = find(name) { remove(found.start, found.end) }
        }
        if let value {
            add(name, value)
        } else if let flag = flag(name) {
            unsafe state.pointee.setFields.remove(flag)
        }
    }

    /// Adds a field line, keeping others of that name (`Set-Cookie`).
    public func add(_ name: StaticString, _ value: String) {
        guard begin(name) else { return }
        appendValue(value)
    }

    /// Adds a field line whose value is bytes, for example of the request.
    public func add(_ name: StaticString, _ value: ByteView) {
        guard begin(name) else { return }
        // SAFETY: the span is readable during this call; its bytes are copied.
        unsafe value.span.withUnsafeBufferPointer { unsafe appendValue($0.baseAddress, $0.count) }
    }

    /// Adds a field line with names known at run time only (configuration). Refused like a bad value when the name is not a token.
    public func add(dynamicName name: String, _ value: String) {
        var name = name
        let accepted = name.withUTF8 { bytes in
            guard bytes.count > 0, unsafe FieldValidation.isName(bytes) else {
                unsafe state.pointee.refusedField = true
                return false
            }
            return unsafe begin(bytes.baseAddress!, bytes.count)
        }
        if accepted { appendValue(value) }
    }

    /// The same with a value of bytes.
    package func add(dynamicName name: String, _ value: ByteView) {
        var name = name
        let accepted = name.withUTF8 { bytes in
            guard bytes.count > 0, unsafe FieldValidation.isName(bytes) else {
                unsafe state.pointee.refusedField = true
                return false
            }
            return unsafe begin(bytes.baseAddress!, bytes.count)
        }
        // SAFETY: the span is readable during this call; its bytes are copied.
        if accepted { unsafe value.span.withUnsafeBufferPointer { unsafe appendValue($0.baseAddress, $0.count) } }
    }

    /// Removes the lines of a field whose name is known at run time only; those that frame the message are not among the fields.
    package func remove(dynamicName name: String) {
        var name = name
        name.withUTF8 { bytes in
            guard let start = bytes.baseAddress, bytes.count > 0 else { return }
            while let found = unsafe find(start, bytes.count, from: 0) { remove(found.start, found.end) }
            if let flag = unsafe Self.flag(start, bytes.count) { unsafe state.pointee.setFields.remove(flag) }
        }
    }

    private func begin(_ name: StaticString) -> Bool { unsafe begin(name.utf8Start, name.utf8CodeUnitCount) }

    private func begin(_ name: UnsafePointer<UInt8>, _ length: Int) -> Bool {
        switch length {
        case 4, 6, 12, 14:
            if let flag = unsafe Self.flag(name, length) { unsafe state.pointee.setFields.insert(flag) }
        case 10 where unsafe matches(name, length, "connection") || matches(name, length, "keep-alive"): return false
        case 17 where unsafe matches(name, length, "transfer-encoding"): return false
        default: break
        }
        unsafe state.pointee.fields.reserve(length &+ 2)
        unsafe state.pointee.fields.append(name, length)
        unsafe state.pointee.fields.append(": ")
        return true
    }

    func appendValue(_ value: String) {
        // SAFETY: the span is readable during this call; its bytes are copied.
        unsafe value.utf8.span.withUnsafeBufferPointer { unsafe appendValue($0.baseAddress, $0.count) }
    }

    private func appendValue(_ value: UnsafePointer<UInt8>?, _ length: Int) {
        if length > 0, let value = unsafe value {
            if unsafe FieldValidation.isValue(UnsafeBufferPointer(start: value, count: length)) {
                unsafe state.pointee.fields.append(value, length)
            } else {
                unsafe state.pointee.refusedField = true
            }
        }
        unsafe state.pointee.fields.append("\r\n")
    }

    private func flag(_ name: StaticString) -> ResponseState.SetFields? { unsafe Self.flag(name.utf8Start, name.utf8CodeUnitCount) }

    private static func flag(_ name: UnsafePointer<UInt8>, _ length: Int) -> ResponseState.SetFields? {
        switch length {
        case 4: unsafe matches(name, length, "date") ? .date : nil
        case 6: unsafe matches(name, length, "server") ? .server : nil
        case 12: unsafe matches(name, length, "content-type") ? .contentType : nil
        case 14: unsafe matches(name, length, "content-length") ? .contentLength : nil
        default: nil
        }
    }

    private static func matches(_ name: UnsafePointer<UInt8>, _ length: Int, _ text: StaticString) -> Bool {
        unsafe length == text.utf8CodeUnitCount && foldedEqual(name, text.utf8Start, length)
    }
    private func matches(_ name: UnsafePointer<UInt8>, _ length: Int, _ text: StaticString) -> Bool { unsafe Self.matches(name, length, text) }

    /// - Parameter from: the beginning of a line, or the end.
    func find(_ name: StaticString, from: Int = 0) -> (start: Int, value: Int, end: Int)? { unsafe find(name.utf8Start, name.utf8CodeUnitCount, from: from) }

    private func find(_ name: UnsafePointer<UInt8>, _ length: Int, from: Int) -> (start: Int, value: Int, end: Int)? {
        let (base, count) = unsafe (state.pointee.fields.base, state.pointee.fields.count)
        var start = from
        while start < count {
            var end = start
            // Every line was rendered here and ends in CR LF; no value contains LF.
            while unsafe base[end] != 10 { end &+= 1 }
            end &+= 1
            if end &- start >= length &+ 4, unsafe base[start &+ length] == UInt8(ascii: ":"),
                unsafe foldedEqual(base + start, name, length)
            {
                return (start, start &+ length &+ 2, end)
            }
            start = end
        }
        return nil
    }

    private func remove(_ start: Int, _ end: Int) {
        let base = unsafe state.pointee.fields.base
        unsafe memmove(base + start, base + end, state.pointee.fields.count - end)
        unsafe state.pointee.fields.count -= end - start
    }
}
