// HandlerBox: the application as a loop sees it. Immutable, shared by all loops, replaced as a whole on reload.

internal import UringHTTP

/// What the application answers requests with. Called on loops' threads, by several at once.
public typealias Handler = @Sendable (borrowing Request, inout Response) throws -> Void

/// A finished exchange, for access logs and metrics.
public struct ExchangeRecord: Sendable {
    /// The status code that was sent.
    public var status: UInt16
    /// Bytes of head and body.
    public var bytes: UInt64
    /// Bytes of the body as sent, chunked coding included.
    public var bodyBytes: UInt64
    /// Time in the handler, and for produced content until its end.
    public var nanoseconds: UInt64
    /// UTC, Unix seconds.
    public var time: Int64
    /// The name the handler gave its route; nil when none.
    public var route: RouteName?
    /// The number of the loop that served it, from 0.
    public var loop: Int
    /// What the handler left for whoever observes (`Response.exchangeMark`); 0 and 0 when nothing.
    package var mark: (UInt64, UInt64) = (0, 0)
    /// Where the request stands in a trace (`Response.exchangeTrace`).
    package var trace = ExchangeTrace()
    /// Of a call of gRPC, by `GRPC.statusNames`.
    package var grpcStatus = GRPC.statusNone
}

/// Where a request stands in a trace (www.w3.org/TR/trace-context). Numbers; what they mean is its handler's business. `high` and `low` are 0 when it has none.
package struct ExchangeTrace: Sendable, BitwiseCopyable {
    package var high: UInt64 = 0
    package var low: UInt64 = 0
    /// Of the request itself.
    package var span: UInt64 = 0
    /// Of whoever sent it; 0: nobody's.
    package var parent: UInt64 = 0
    package var flags: UInt8 = 0
    /// Spans of it are wanted.
    package var isKept = false

    package init() {}

    package init(high: UInt64, low: UInt64, span: UInt64, parent: UInt64, flags: UInt8, isKept: Bool) {
        (self.high, self.low, self.span, self.parent, self.flags, self.isKept) = (high, low, span, parent, flags, isKept)
    }

    /// What tells that there is none.
    @inline(__always)
    mutating func clear() { (high, low, isKept) = (0, 0, false) }
}

/// A handler that held its loop longer than the threshold.
public struct LoopStall: Sendable {
    /// The number of the loop that was held, from 0.
    public let loop: Int
    /// The route's name, or the path.
    public let route: String
    /// For how long.
    public let nanoseconds: UInt64
}

/// What goes wrong beside the request path, told to whoever logs. Called on a loop's thread; must not block.
public protocol ServerReporter: AnyObject, Sendable {
    /// A handler held its loop longer than `ServerOptions.stallThreshold`.
    func stalled(_ stall: LoopStall)
    /// A handler, producer or receiver threw what is no answer, or an answer of 500 and above.
    /// `route` is the route's name, or the path; empty within a streamed response.
    func handlerFailed(_ route: String, _ error: any Error)
    /// A response field was not sent because its value contained CR, LF or NUL.
    func fieldRefused(_ route: String)
    /// A producer wrote more or less than the length it had announced.
    func lengthMismatch()
    /// A client's TLS handshake failed. As often as clients make it: whoever writes lines bounds them.
    /// - Parameters:
    ///   - failure: why.
    ///   - peer: as `Request.remoteAddress`; empty when the client has left meanwhile.
    func handshakeFailed(_ failure: HandshakeFailure, peer: String)
    /// A loop could not take over certificates and keys that were loaded anew: the listener goes on with the old ones.
    func certificatesNotTaken(listener: String, _ reason: String)
}

extension ServerReporter {
    /// Does nothing.
    public func handshakeFailed(_ failure: HandshakeFailure, peer: String) {}
    /// Does nothing.
    public func certificatesNotTaken(listener: String, _ reason: String) {}
}

package final class HandlerBox: Sendable {
    let handle: Handler
    /// Decides for requests with a body whether the handler is called before it arrives; nil: never.
    let wantsStream: (@Sendable (borrowing Request) -> Bool)?
    /// Told of every finished exchange; nil costs nothing.
    let observe: (@Sendable (borrowing Request, ExchangeRecord) -> Void)?
    /// Told of every TLS handshake that has ended; nil costs nothing.
    let observeHandshake: (@Sendable (HandshakeRecord) -> Void)?
    /// Told, with its loop's number, to write what `observe` collected.
    let flush: (@Sendable (Int) -> Void)?
    /// The longest time between an observed exchange and `flush`.
    let flushNs: UInt64
    let reporter: (any ServerReporter)?
    /// Whether a peer may connect; nil: everybody.
    let admits: (@Sendable (RequestPeer, Int) -> Bool)?
    /// The longest body of a request in place of the server's limit, asked behind its head; nil, and a nil of it: the server's.
    let bodyLimit: (@Sendable (borrowing Request) -> UInt64?)?
    /// Told of what connections and requests pass; nil costs nothing.
    let trace: TraceBox?

    package init(
        handle: @escaping Handler, wantsStream: (@Sendable (borrowing Request) -> Bool)? = nil,
        observe: (@Sendable (borrowing Request, ExchangeRecord) -> Void)? = nil,
        observeHandshake: (@Sendable (HandshakeRecord) -> Void)? = nil,
        flush: (@Sendable (Int) -> Void)? = nil, flushNs: UInt64 = 1_000_000_000, reporter: (any ServerReporter)? = nil, trace: ServerTrace? = nil,
        admits: (@Sendable (RequestPeer, Int) -> Bool)? = nil, bodyLimit: (@Sendable (borrowing Request) -> UInt64?)? = nil
    ) {
        (self.handle, self.wantsStream, self.observe, self.reporter) = (handle, wantsStream, observe, reporter)
        self.observeHandshake = observeHandshake
        (self.flush, self.flushNs) = (flush, flushNs)
        (self.admits, self.bodyLimit) = (admits, bodyLimit)
        self.trace = trace.map { TraceBox($0) }
    }

    /// The same application with these hooks.
    package func traced(by trace: ServerTrace) -> HandlerBox {
        HandlerBox(
            handle: handle, wantsStream: wantsStream, observe: observe, observeHandshake: observeHandshake, flush: flush, flushNs: flushNs, reporter: reporter,
            trace: trace, admits: admits, bodyLimit: bodyLimit)
    }
}
