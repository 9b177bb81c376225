// Response heads and chunk framing, written into memory of the caller: an arena or a send buffer. No allocation, no clock:
// the caller brings the date. Loop's thread, no state.

public import UringHTTP

/// What the head says about the connection's future (RFC 9112 9.3, 9.6).
@frozen @usableFromInline package enum ConnectionHeader: UInt8, Sendable {
    /// Says nothing: HTTP/1.1 stays open.
    case implicit
    case close
    /// For an HTTP/1.0 client that asked for it.
    case keepAlive
}

@usableFromInline package enum ResponseEncoder {
    /// Room that `encodeHead` wants to see: the longest status line (46), Date (37), framing (38) and Connection (24).
    @inlinable package static var headBytesMax: Int { 160 }
    /// Most bytes of `writeChunkHeader`: 16 digits and CRLF.
    @inlinable package static var chunkHeaderBytesMax: Int { 18 }
    /// Ends the data of a chunk.
    @inlinable package static var chunkEnd: StaticString { "\r\n" }
    /// Ends a body without trailers, after the last chunk's `chunkEnd`.
    @inlinable package static var lastChunk: StaticString { "0\r\n\r\n" }
    /// Begins a trailer section; fields and `endHead` follow.
    @inlinable package static var lastChunkBeforeTrailers: StaticString { "0\r\n" }
    /// The interim response to `Expect: 100-continue`.
    @inlinable package static var continueResponse: StaticString { "HTTP/1.1 100 Continue\r\n\r\n" }

    /// Writes status line, Date, framing and Connection; other fields and `endHead` follow. Answers the bytes written, at most
    /// `headBytesMax`, or nil, with nothing written, when `capacity` is less than that.
    ///
    /// - Parameter date: 29 bytes of `HTTPDate`; nil for no Date, as in 1xx.
    package static func encodeHead(
        into out: UnsafeMutablePointer<UInt8>, capacity: Int, status: HTTPStatus, date: UnsafePointer<UInt8>?,
        framing: ResponseFraming, connection: ConnectionHeader
    ) -> Int? {
        // Caller's memory: `out[..<capacity]` writable and `date[..<29]` readable for this call.
        guard capacity >= headBytesMax else { return nil }
        var at = unsafe writeStatusLine(status, to: out)
        if let date = unsafe date {
            unsafe at &+= ByteWriting.write("Date: ", to: out + at)
            unsafe (out + at).update(from: date, count: HTTPDate.bytes)
            at &+= HTTPDate.bytes
            unsafe at &+= ByteWriting.write("\r\n", to: out + at)
        }
        switch framing {
        case .none, .untilClose: break
        case .chunked: unsafe at &+= ByteWriting.write("Transfer-Encoding: chunked\r\n", to: out + at)
        case .length(let length):
            unsafe at &+= ByteWriting.write("Content-Length: ", to: out + at)
            unsafe at &+= ByteWriting.writeDecimal(length, to: out + at)
            unsafe at &+= ByteWriting.write("\r\n", to: out + at)
        }
        switch connection {
        case .implicit: break
        case .close: unsafe at &+= ByteWriting.write("Connection: close\r\n", to: out + at)
        case .keepAlive: unsafe at &+= ByteWriting.write("Connection: keep-alive\r\n", to: out + at)
        }
        return at
    }

    /// Writes the status line; answers its length, at most 46. The version is always 1.1, also to 1.0 clients (RFC 9110 6.2).
    package static func writeStatusLine(_ status: HTTPStatus, to out: UnsafeMutablePointer<UInt8>) -> Int {
        // Caller's memory: room for 46 bytes, for this call.
        if let line = status.renderedStatusLine { return unsafe ByteWriting.write(line, to: out) }
        var at = unsafe ByteWriting.write("HTTP/1.1 ", to: out)
        unsafe ByteWriting.writeDecimal(UInt32(status.code), digits: 3, to: out + at)
        unsafe out[at &+ 3] = 0x20
        at &+= 4
        unsafe at &+= ByteWriting.write(status.reasonPhrase, to: out + at)
        return unsafe at &+ ByteWriting.write("\r\n", to: out + at)
    }

    /// Writes `name: value` and CRLF. Answers the bytes written, or nil, with nothing written, when `name` is no token, `value`
    /// could end the line, or `capacity` is too small.
    package static func writeField(
        name: UnsafeBufferPointer<UInt8>, value: UnsafeBufferPointer<UInt8>, into out: UnsafeMutablePointer<UInt8>, capacity: Int
    ) -> Int? {
        // Caller's memory: name and value readable, `out[..<capacity]` writable, not overlapping, for this call.
        let length = name.count &+ value.count &+ 4
        guard length <= capacity, unsafe FieldValidation.isName(name), unsafe FieldValidation.isValue(value),
            let nameStart = name.baseAddress
        else { return nil }
        unsafe out.update(from: nameStart, count: name.count)
        unsafe out[name.count] = 0x3a
        unsafe out[name.count &+ 1] = 0x20
        if let valueStart = value.baseAddress { unsafe (out + name.count + 2).update(from: valueStart, count: value.count) }
        unsafe out[length &- 2] = 0x0d
        unsafe out[length &- 1] = 0x0a
        return length
    }

    /// Writes the empty line behind the fields: 2 bytes.
    @inlinable package static func endHead(_ out: UnsafeMutablePointer<UInt8>) -> Int {
        // Caller's memory: room for 2 bytes, for this call.
        unsafe out[0] = 0x0d
        unsafe out[1] = 0x0a
        return 2
    }

    /// Writes a chunk's size line; answers its length, at most `chunkHeaderBytesMax`. `size` is at least 1, because a chunk of 0
    /// would end the body; 0 writes nothing.
    @inlinable package static func writeChunkHeader(size: UInt64, to out: UnsafeMutablePointer<UInt8>) -> Int {
        // Caller's memory: room for 18 bytes, for this call.
        guard size > 0 else { return 0 }
        let digits = unsafe ByteWriting.writeHex(size, to: out)
        unsafe out[digits] = 0x0d
        unsafe out[digits &+ 1] = 0x0a
        return digits &+ 2
    }

    /// Writes a whole response without content that closes the connection, as for a `RequestFault`. Answers the bytes
    /// written, or nil, with nothing written, when `capacity` is less than `headBytesMax + 2`.
    package static func encodeClosing(
        into out: UnsafeMutablePointer<UInt8>, capacity: Int, status: HTTPStatus, date: UnsafePointer<UInt8>?
    ) -> Int? {
        // Caller's memory, as in `encodeHead`.
        guard capacity >= headBytesMax &+ 2,
            let length = unsafe encodeHead(
                into: out, capacity: capacity, status: status, date: date, framing: .length(0), connection: .close)
        else { return nil }
        return unsafe length &+ endHead(out + length)
    }
}
