// Request: what a handler sees of one request. A view over the receive buffer, made by the loop for one handler call.

public import UringHTTP
internal import Glibc
internal import UringBase
internal import UringHTTP1
internal import UringRing

/// One HTTP request, valid during the handler call it is passed to and never after: it is not escapable, and every view taken from it
/// inherits that. Keeping one past the call does not compile.
///
/// It is copyable, and copies are bound to the same call. The compiler (6.3) lets an escaping closure capture a parameter that is not copyable
/// when a closure literal leaves its type to be inferred, as handlers do, and that hole would reach every handler.
///
/// Nothing is allocated or reference-counted to make it; its bytes lie where the kernel received them.
@safe
public struct Request: ~Escapable {
    let context: UnsafePointer<RequestContext>

    /// The loop promises that `context`, and all it points to, stays unchanged until the handler has returned. Nobody else makes requests,
    /// and a handler receives it as a borrowed parameter, so no view can leave the call.
    @_lifetime(immortal)
    init(_ context: UnsafePointer<RequestContext>) { unsafe self.context = context }

    /// The method; `.other` for extension methods, whose token is `methodName`.
    public var method: HTTPMethod { unsafe context.pointee.head.pointee.method }
    /// The method's token as it was sent; methods are case-sensitive (RFC 9110 section 9.1).
    public var methodName: ByteView {
        @_lifetime(borrow self) get { unsafe view(context.pointee.head.pointee.methodOffset, context.pointee.head.pointee.methodLength) }
    }
    /// The request target as it was sent (RFC 9112 section 3.2), percent-encoding untouched.
    public var target: ByteView {
        @_lifetime(borrow self) get {
            unsafe view(Int(context.pointee.head.pointee.targetOffset), Int(context.pointee.head.pointee.targetLength))
        }
    }
    /// The path, percent-encoding untouched, without the query: "/" at least, "*" for `OPTIONS *`, empty for CONNECT.
    public var path: ByteView {
        @_lifetime(borrow self) get {
            unsafe view(Int(context.pointee.head.pointee.pathOffset), Int(context.pointee.head.pointee.pathLength))
        }
    }
    /// What follows the first "?" of the target; nil when there is none, empty when nothing follows.
    public var query: ByteView? {
        @_lifetime(borrow self) get {
            guard unsafe context.pointee.head.pointee.queryLength >= 0 else { return nil }
            return unsafe view(Int(context.pointee.head.pointee.queryOffset), Int(context.pointee.head.pointee.queryLength))
        }
    }
    /// The host and optional port that the request is for: the target's authority or `:authority`, else the Host field (RFC 9110 section 7.2).
    /// Empty for HTTP/1.0 without one.
    public var authority: ByteView {
        @_lifetime(borrow self) get {
            unsafe view(Int(context.pointee.head.pointee.authorityOffset), Int(context.pointee.head.pointee.authorityLength))
        }
    }
    /// 0 for HTTP/1.0, else 1. `protocolVersion` tells HTTP/1.1 from HTTP/2.
    public var minorVersion: Int { unsafe Int(context.pointee.head.pointee.minorVersion) }

    /// The header fields, in the order they were sent.
    public var headers: RequestHeaders {
        @_lifetime(borrow self) get {
            unsafe RequestHeaders(context.pointee.base, context.pointee.fields, count: context.pointee.head.pointee.fieldCount)
        }
    }

    /// The fields behind a chunked body (RFC 9112 section 7.1.2), on HTTP/2 behind any (RFC 9113 section 8.1); none for other requests. Those
    /// that would change how the message is read are refused: with 400, on HTTP/2 by a reset of the stream. For a streamed body: `RequestBodyPart.trailers`.
    public var trailers: RequestHeaders {
        @_lifetime(borrow self) get {
            unsafe RequestHeaders(context.pointee.trailerBase, context.pointee.trailerFields, count: context.pointee.trailerCount)
        }
    }

    /// The whole body, chunked coding removed. Empty when there is none, and while a body is streamed (`isStreaming`).
    public var body: ByteView {
        @_lifetime(borrow self) get {
            let bytes = unsafe Span<UInt8>(_unsafeStart: context.pointee.body, count: context.pointee.bodyCount)
            // SAFETY: the loop keeps the body in place until the handler has returned.
            return unsafe ByteView(_overrideLifetime(bytes, borrowing: self))
        }
    }
    /// True when the handler was called before the body arrived, because its route streams (`Response.receiveBody`).
    public var isStreaming: Bool { unsafe context.pointee.isStreaming }
    /// The length the client announced; nil for a chunked body that is still arriving.
    public var contentLength: UInt64? { unsafe context.pointee.contentLength }

    /// What the head says of the body's length: 0 without a body; nil when it will be known at its end.
    package var announcedLength: UInt64? {
        switch unsafe context.pointee.head.pointee.framing {
        case .none: 0
        case .length(let length): length
        case .chunked: nil
        }
    }

    /// A number that no other connection of this process had before; in traces and logs.
    public var connectionID: UInt64 { unsafe context.pointee.connectionID }
    /// The peer's address as text, `127.0.0.1:50000` or `[::1]:50000`; "unix:" for a unix socket. Makes a String: not for the fastest paths.
    public var remoteAddress: String {
        unsafe context.pointee.liveLoop?._withUnsafeGuaranteedRef { unsafe $0.remoteAddressText(context.pointee.connection) } ?? ""
    }

    /// A path parameter that the router captured, percent-encoding untouched; nil when the route has none of that name.
    @_lifetime(borrow self)
    public func parameter(_ name: StaticString) -> ByteView? {
        unsafe namedCapture(name.utf8Start, name.utf8CodeUnitCount)
    }

    @_lifetime(borrow self)
    private func namedCapture(_ name: UnsafePointer<UInt8>, _ length: Int) -> ByteView? {
        guard let captures = unsafe context.pointee.captures else { return nil }
        let count = unsafe captures.pointee.count
        for index in 0..<count {
            let capture = unsafe captures.pointee[index]
            guard unsafe capture.nameLength == length else { continue }
            guard unsafe memcmp(capture.name, name, length) == 0 else { continue }
            return unsafe view(capture.offset, capture.length)
        }
        return nil
    }

    @_lifetime(borrow self)
    func view(_ offset: Int, _ count: Int) -> ByteView {
        let bytes = unsafe Span<UInt8>(_unsafeStart: context.pointee.base + offset, count: count)
        // SAFETY: offsets come from the parser, within the head; the loop keeps the head in place until the handler has returned.
        return unsafe ByteView(_overrideLifetime(bytes, borrowing: self))
    }
}

/// The header fields, or the trailer fields, of one request.
@safe
public struct RequestHeaders: ~Escapable {
    let base: UnsafePointer<UInt8>
    let fields: UnsafePointer<FieldSlot>
    /// Number of field lines.
    public let count: Int

    /// The loop keeps `base` and `fields` in place until the handler has returned.
    @_lifetime(immortal)
    init(_ base: UnsafePointer<UInt8>, _ fields: UnsafePointer<FieldSlot>, count: Int) {
        unsafe (self.base, self.fields, self.count) = unsafe (base, fields, count)
    }

    /// The value of the first field line of that name (names compare without case), surrounding white space removed; nil when absent.
    public subscript(name: StaticString) -> ByteView? {
        @_lifetime(copy self) get {
            let length = name.utf8CodeUnitCount
            for index in 0..<count {
                let slot = unsafe fields + index
                guard unsafe Int(slot.pointee.nameLength) == length else { continue }
                if unsafe foldedEqual(base + Int(slot.pointee.nameOffset), name.utf8Start, length) { return value(at: index) }
            }
            return nil
        }
    }

    /// Name of the field line at `index`, as it was sent. Traps outside `0..<count`.
    @_lifetime(copy self)
    public func name(at index: Int) -> ByteView {
        precondition(index >= 0 && index < count, "field index out of range")
        let slot = unsafe fields + index
        return unsafe view(Int(slot.pointee.nameOffset), Int(slot.pointee.nameLength))
    }

    /// Whether the line at `index` is of this field. Traps outside `0..<count`.
    package func isField(_ known: KnownField, at index: Int) -> Bool {
        precondition(index >= 0 && index < count, "field index out of range")
        return unsafe fields[index].known == known
    }

    /// Value of the field line at `index`. Traps outside `0..<count`.
    @_lifetime(copy self)
    public func value(at index: Int) -> ByteView {
        precondition(index >= 0 && index < count, "field index out of range")
        let slot = unsafe fields + index
        return unsafe view(Int(slot.pointee.valueOffset), Int(slot.pointee.valueLength))
    }

    @_lifetime(copy self)
    private func view(_ offset: Int, _ count: Int) -> ByteView {
        let bytes = unsafe Span<UInt8>(_unsafeStart: base + offset, count: count)
        // SAFETY: as in Request.view.
        return unsafe ByteView(_overrideLifetime(bytes, copying: self))
    }
}

/// What the loop lays out for one handler call. Lives in the loop's state and is rewritten for each request.
@unsafe
struct RequestContext {
    var base: UnsafePointer<UInt8>
    var head: UnsafePointer<RequestHead>
    var fields: UnsafePointer<FieldSlot>
    var body: UnsafePointer<UInt8>
    var bodyCount = 0
    var contentLength: UInt64?
    var isStreaming = false
    /// The handler cannot be called again for this request: what it opens is waited for.
    var opensPatiently = false
    var captures: UnsafeMutablePointer<PathCaptures>?
    var trailerBase: UnsafePointer<UInt8>
    var trailerFields: UnsafePointer<FieldSlot>
    var trailerCount = 0
    var connectionID: UInt64 = 0
    var connection: UnsafeMutablePointer<Connection>
    var loop: Unmanaged<Loop>
    /// Of an async handler: who has the request's memory.
    var worker: Unmanaged<AsyncWorker>?

    /// The loop; nil for an async handler that has outlived it. Everything that a handler can ask of its loop goes through here.
    @inline(__always)
    var liveLoop: Unmanaged<Loop>? {
        // A worker is alive while its handler runs.
        if let worker = unsafe worker, unsafe worker._withUnsafeGuaranteedRef({ $0.isOrphan }) { return nil }
        return unsafe loop
    }
}

/// Parameters that the router captured: offsets into the request's bytes, names owned by the route.
@unsafe
package struct PathCaptures {
    /// A route has at most this many parameters; the router refuses more when it is built.
    static let max = 8
    @unsafe struct Capture {
        var name: UnsafePointer<UInt8>
        var nameLength: Int
        var offset: Int
        var length: Int
    }
    package internal(set) var count = 0
    private var storage: InlineArray<8, Capture?> = unsafe .init(repeating: nil)
    package init() {}
    subscript(index: Int) -> Capture { unsafe storage[index]! }
    mutating func append(_ capture: Capture) {
        guard unsafe count < Self.max else { return }
        unsafe storage[count] = capture
        unsafe count += 1
    }
}
