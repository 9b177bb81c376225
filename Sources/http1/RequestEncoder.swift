// Request heads of a client, written into memory of the caller: an arena or a send buffer. No allocation, no clock. Loop's thread, no
// state. Chunk framing and the end of the head are the same as in responses: `ResponseEncoder.writeChunkHeader`, `chunkEnd`, `lastChunk`,
// `lastChunkBeforeTrailers`, `endHead`.
//
// Nothing that an application or a client of the gateway puts into a request can end a line early or say a length again: targets, hosts
// and fields are checked here, and the fields that decide framing are written here alone.

public import UringHTTP

/// What a request's Connection field says.
@frozen @usableFromInline package struct RequestConnection: OptionSet, Sendable, BitwiseCopyable {
    @usableFromInline package let rawValue: UInt8
    @inlinable package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The last request on this connection (RFC 9112 9.6).
    @inlinable package static var close: RequestConnection { RequestConnection(rawValue: 1) }
    /// For servers of HTTP/1.0, who close without it.
    @inlinable package static var keepAlive: RequestConnection { RequestConnection(rawValue: 2) }
    /// The caller writes an Upgrade field (RFC 9110 7.8).
    @inlinable package static var upgrade: RequestConnection { RequestConnection(rawValue: 4) }
    /// The caller writes a TE field (RFC 9110 10.1.4).
    @inlinable package static var te: RequestConnection { RequestConnection(rawValue: 8) }
}

/// What was wrong with a request to be sent: the application's failure, or that of the gateway's client.
@frozen @usableFromInline package enum RequestEncodeFault: UInt8, CaseIterable, Sendable, BitwiseCopyable {
    /// Not a token.
    case badMethod
    /// A character that does not belong, or a form that does not fit the method.
    case badTarget
    /// Not `host[:port]`.
    case badAuthority
    case badFieldName
    case badFieldValue
    /// A field that `encodeHead` writes: Host, Content-Length, Transfer-Encoding, Connection, Expect, or one that only old proxies mean.
    case reservedField

    package var reason: StaticString {
        switch self {
        case .badMethod: "the method is not a token"
        case .badTarget: "the target has a character that does not belong or a form that does not fit the method"
        case .badAuthority: "the host is not host[:port]"
        case .badFieldName: "a field name is empty or has a character that is not a token character"
        case .badFieldValue: "a control character in a field value"
        case .reservedField: "a field that is decided by the connection and not by the application"
        }
    }
}

@frozen @usableFromInline package enum RequestEncodeOutcome: Equatable, Sendable, BitwiseCopyable {
    /// That many bytes were written.
    case written(Int)
    /// Nothing was written: this many bytes of room are enough.
    case noRoom(needed: Int)
    /// Nothing was written.
    case invalid(RequestEncodeFault)
}

@usableFromInline package enum RequestEncoder {
    /// Most bytes that `encodeHead` writes beside method, target and authority: two spaces, version (10), Host (8), framing (38),
    /// Expect (22), Connection (48).
    @inlinable package static var headBytesBeside: Int { 128 }

    /// How to send a body: one without content says so where content is usual (RFC 9110 8.6), or servers wait for it, or answer 411.
    ///
    /// - Parameter bodyLength: nil when not known in advance, which needs chunks.
    @inlinable package static func framing(method: HTTPMethod, hasBody: Bool, bodyLength: UInt64?) -> BodyFraming {
        if hasBody { return bodyLength.map { .length($0) } ?? .chunked }
        switch method {
        case .post, .put, .patch: return .length(0)
        case .get, .head, .delete, .connect, .options, .trace, .other: return .none
        }
    }

    /// Writes request line, Host, framing, Expect and Connection; other fields (`writeField`) and `ResponseEncoder.endHead` follow.
    ///
    /// - Parameters:
    ///   - method: the name; for a known method `name(of:)`.
    ///   - target: any of the four forms (RFC 9112 3.2): origin-form to an origin, absolute-form to a proxy, `host:port` for CONNECT.
    ///   - authority: for Host: `host[:port]`, an IPv6 literal in brackets; may be empty when the target has none (RFC 9112 3.2).
    ///   - expectsContinue: ignored without content (RFC 9110 10.1.1).
    package static func encodeHead(
        into out: UnsafeMutablePointer<UInt8>, capacity: Int, method: UnsafeBufferPointer<UInt8>, target: UnsafeBufferPointer<UInt8>,
        authority: UnsafeBufferPointer<UInt8>, framing: BodyFraming, expectsContinue: Bool, connection: RequestConnection
    ) -> RequestEncodeOutcome {
        // Caller's memory: texts readable, `out[..<capacity]` writable and apart from them, for this call.
        guard unsafe FieldValidation.isName(method), let methodStart = method.baseAddress else { return .invalid(.badMethod) }
        let known = unsafe HTTPMethod(bytes: methodStart, count: method.count)
        guard let targetStart = target.baseAddress, unsafe TargetView(targetStart, count: target.count, method: known) != nil else {
            return .invalid(.badTarget)
        }
        if let host = authority.baseAddress, authority.count > 0, unsafe Authority.parse(host, count: authority.count) == nil {
            return .invalid(.badAuthority)
        }
        // Lengths of things in memory: their sum is far from overflow.
        let needed = method.count &+ target.count &+ authority.count &+ headBytesBeside
        guard capacity >= needed else { return .noRoom(needed: needed) }
        var at = unsafe copy(method, to: out)
        unsafe out[at] = 0x20
        unsafe at &+= 1 &+ copy(target, to: out + at + 1)
        unsafe at &+= ByteWriting.write(" HTTP/1.1\r\nHost: ", to: out + at)
        unsafe at &+= copy(authority, to: out + at)
        unsafe at &+= ByteWriting.write("\r\n", to: out + at)
        unsafe at &+= writeFraming(framing, expectsContinue: expectsContinue, to: out + at)
        unsafe at &+= writeConnection(connection, to: out + at)
        return .written(at)
    }

    /// Writes `name: value` and CRLF, unless the field is one of those that `encodeHead` decides.
    package static func writeField(
        name: UnsafeBufferPointer<UInt8>, value: UnsafeBufferPointer<UInt8>, into out: UnsafeMutablePointer<UInt8>, capacity: Int
    ) -> RequestEncodeOutcome {
        // Caller's memory, as in `ResponseEncoder.writeField`.
        guard unsafe FieldValidation.isName(name), let start = name.baseAddress else { return .invalid(.badFieldName) }
        guard unsafe !isReserved(KnownField.lookup(start, count: name.count)) else { return .invalid(.reservedField) }
        guard unsafe FieldValidation.isValue(value) else { return .invalid(.badFieldValue) }
        guard let length = unsafe ResponseEncoder.writeField(name: name, value: value, into: out, capacity: capacity) else {
            return .noRoom(needed: name.count &+ value.count &+ 4)
        }
        return .written(length)
    }

    /// Fields that a caller leaves out, or drops from a request that it forwards: they are of one connection only (RFC 9110 7.6.1), or
    /// `encodeHead` writes them. What a client's Connection field lists besides is the forwarder's to drop.
    @inlinable package static func isReserved(_ field: KnownField) -> Bool {
        switch field {
        case .host, .contentLength, .transferEncoding, .connection, .expect, .keepAlive, .proxyConnection, .http2Settings: true
        default: false
        }
    }

    /// A known method's name as `encodeHead` wants it; nil for `other`. It lives as long as the program.
    package static func name(of method: HTTPMethod) -> UnsafeBufferPointer<UInt8>? {
        guard method != .other else { return nil }
        let name = method.name
        // A literal lives as long as the program.
        return unsafe UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
    }

    private static func writeFraming(_ framing: BodyFraming, expectsContinue: Bool, to out: UnsafeMutablePointer<UInt8>) -> Int {
        // Caller's memory: room for 60 bytes, for this call.
        var at = 0
        switch framing {
        case .none: return 0
        case .length(let length):
            unsafe at &+= ByteWriting.write("Content-Length: ", to: out)
            unsafe at &+= ByteWriting.writeDecimal(length, to: out + at)
            unsafe at &+= ByteWriting.write("\r\n", to: out + at)
            if length == 0 { return at }
        case .chunked: unsafe at &+= ByteWriting.write("Transfer-Encoding: chunked\r\n", to: out)
        }
        if expectsContinue { unsafe at &+= ByteWriting.write("Expect: 100-continue\r\n", to: out + at) }
        return at
    }

    private static func writeConnection(_ connection: RequestConnection, to out: UnsafeMutablePointer<UInt8>) -> Int {
        // Caller's memory: room for 48 bytes, for this call.
        guard !connection.isEmpty else { return 0 }
        var at = unsafe ByteWriting.write("Connection: ", to: out)
        let start = at
        func list(_ option: RequestConnection, _ name: StaticString) {
            guard connection.contains(option) else { return }
            if at > start { unsafe at &+= ByteWriting.write(", ", to: out + at) }
            unsafe at &+= ByteWriting.write(name, to: out + at)
        }
        list(.close, "close")
        list(.keepAlive, "keep-alive")
        list(.upgrade, "upgrade")
        list(.te, "TE")
        return unsafe at &+ ByteWriting.write("\r\n", to: out + at)
    }

    private static func copy(_ text: UnsafeBufferPointer<UInt8>, to out: UnsafeMutablePointer<UInt8>) -> Int {
        // Caller's memory: room for the text, for this call.
        if let start = text.baseAddress { unsafe out.update(from: start, count: text.count) }
        return text.count
    }
}
