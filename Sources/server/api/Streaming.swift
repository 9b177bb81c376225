// Streaming: the closures that outlive a handler call, and what they are given. All of them run on their connection's loop.

internal import Glibc
internal import UringHTTP
internal import UringHTTP1

/// What a producer did.
public enum StreamStep: Sendable {
    /// There is more; call again when the client has taken what was written.
    case more
    /// The content is complete.
    case end
    /// Nothing to write now; call again after `ExchangeHandle.resume()`, at the latest after this many milliseconds.
    case wait(milliseconds: UInt32)
}

/// Takes the pieces of a streamed response. Valid during the call it is passed to.
@safe
public struct ResponseWriter: ~Copyable, ~Escapable {
    let buffer: UnsafeMutablePointer<GrowingBytes>
    let trailers: UnsafeMutablePointer<GrowingBytes>

    @_lifetime(immortal)
    init(_ buffer: UnsafeMutablePointer<GrowingBytes>, _ trailers: UnsafeMutablePointer<GrowingBytes>) {
        unsafe self.buffer = buffer
        unsafe self.trailers = trailers
    }

    /// How many bytes are worth writing in this call: more is accepted, and held in memory until the client takes it.
    public static var preferredBytes: Int { 64 * 1024 }
    /// Bytes written in this call so far.
    public var written: Int { unsafe buffer.pointee.count }
    /// Appends to the content; copied during the call.
    public func write(_ text: String) { unsafe buffer.pointee.append(text) }
    /// Appends to the content; copied during the call.
    public func write(_ bytes: Span<UInt8>) {
        // SAFETY: the span is readable during this call; its bytes are copied.
        unsafe bytes.withUnsafeBufferPointer { if $0.count > 0 { unsafe buffer.pointee.append($0.baseAddress!, $0.count) } }
    }
    /// Appends to the content; copied during the call.
    public func write(_ bytes: [UInt8]) { write(bytes.span) }

    /// Adds a field behind the content (RFC 9110 section 6.5): a checksum or a status that is known only then. Call it in the call that
    /// answers `.end`. Sent with chunked coding only, so not to HTTP/1.0 clients, nor where a length was announced.
    /// - Returns: false, and nothing is sent, when the name is no token or belongs to the framing, or the value contains CR, LF or NUL.
    @discardableResult
    public func addTrailer(_ name: String, _ value: String) -> Bool {
        guard Trailers.mayBeSent(name, value) else { return false }
        unsafe trailers.pointee.append(name)
        unsafe trailers.pointee.append(": ")
        unsafe trailers.pointee.append(value)
        unsafe trailers.pointee.append("\r\n")
        return true
    }
}

enum Trailers {
    /// RFC 9110 section 6.5.1: nothing that frames, routes, controls or authenticates the message.
    static func mayBeSent(_ name: String, _ value: String) -> Bool {
        let isName = unsafe name.utf8.span.withUnsafeBufferPointer { unsafe FieldValidation.isName($0) }
        let isValue = unsafe value.utf8.span.withUnsafeBufferPointer { unsafe FieldValidation.isValue($0) }
        guard isName, isValue else { return false }
        let known = unsafe name.utf8.span.withUnsafeBufferPointer { unsafe KnownField.lookup($0.baseAddress!, count: $0.count) }
        return !known.isForbiddenInTrailers
    }
}

/// What a body receiver wants.
public enum BodyStep: Sendable {
    /// The next piece, please.
    case more
    /// Nothing more for now: the client is held back until `ExchangeHandle.resume()`. The handler's timeout runs meanwhile.
    case pause
    /// The response is ready; the rest of the body is not wanted.
    case finish
}

/// A piece of a streamed request body. Valid during the call it is passed to; copyable for the reason that `Request` has.
public struct RequestBodyPart: ~Escapable {
    /// The bytes, chunked coding removed; may be empty. At most 64 KiB of a body that arrives, on HTTP/2 one window of the stream (`ServerOptions.http2`); all of one that is there already.
    public let bytes: ByteView
    /// Nothing follows; `bytes` may be empty.
    public let isLast: Bool
    /// With the last piece of a chunked body: the fields behind it.
    public let trailers: RequestHeaders

    @_lifetime(copy bytes, copy trailers)
    init(_ bytes: ByteView, isLast: Bool, _ trailers: RequestHeaders) {
        self.bytes = bytes
        self.isLast = isLast
        self.trailers = trailers
    }
}

/// The boxes that a connection holds while a producer, a receiver or another protocol is at work. They never leave their loop.
final class ResponseProducer {
    let next: (inout ResponseWriter) throws -> StreamStep
    init(_ next: @escaping (inout ResponseWriter) throws -> StreamStep) { self.next = next }
}

final class RequestBodyReceiver {
    let receive: (borrowing RequestBodyPart, inout Response) throws -> BodyStep
    init(_ receive: @escaping (borrowing RequestBodyPart, inout Response) throws -> BodyStep) { self.receive = receive }
}

final class UpgradeHandler {
    let run: (UpgradedConnection) -> Void
    init(_ run: @escaping (UpgradedConnection) -> Void) { self.run = run }
}

/// A connection that another protocol has taken over: the socket, and what was already read from it.
///
/// The server's rings, timers and buffers no longer know it. The socket is blocking-capable
/// like any other: drive it from a thread of its own, or from another event loop.
public final class UpgradedConnection: Sendable {
    /// A connected stream socket; closed with this object.
    public let descriptor: Int32
    /// Bytes that the client sent after its request.
    public let received: [UInt8]

    init(descriptor: Int32, received: [UInt8]) {
        self.descriptor = descriptor
        self.received = received
    }

    deinit { _ = Glibc.close(descriptor) }
}
