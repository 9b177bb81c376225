// ServerTrace: hooks at the boundaries that a connection and its requests pass, for tracers and measurements. Called by the loop (Loop+Trace); plain values, no object.

public import UringHTTP

/// What is told of connections and requests as they pass from phase to phase, in the manner of Go's `httptrace`: hooks that are nil cost nothing, and those that are set are
/// called at the boundary itself, with a value that has no reference in it.
///
///     var trace = ServerTrace()
///     trace.handlerEnded = { request, how in print(request.connection.id, request.number, how) }
///     application.trace = trace
///
/// **Thread.** All hooks of a connection are called on its loop's thread, in the order of what happens, by several loops at once. They run between a request and its response:
/// whoever waits in one holds all connections of the loop up.
///
/// **Order.** For each connection `connectionAccepted`, over TLS `handshakeBegan` … `handshakeEnded`, its requests, `connectionClosed`. For each request
/// `requestParsed` (or `requestRefused` at once, when it was no request), `handlerBegan`, `routeChosen`, `handlerEnded`, `responseBegan`, then `responseSent` or `responseAborted`,
/// once. An async handler that writes its content piece by piece ends behind `responseBegan`. Pipelined requests and those of HTTP/2 overlap: their numbers tell them apart.
///
/// **Reload.** A connection is traced from its first to its last moment by the trace of the application that accepted it.
public struct ServerTrace: Sendable {
    /// A client has connected. Not told of clients that are turned away at once: every slot taken, too many from one address.
    public var connectionAccepted: (@Sendable (TracedConnection) -> Void)?
    /// The first bytes of a TLS handshake are there.
    public var handshakeBegan: (@Sendable (TracedConnection) -> Void)?
    /// Our flight is written: key exchange, certificate and signature, or what resumption takes instead. From here the client is waited for. Twice with a HelloRetryRequest.
    public var handshakeFlight: (@Sendable (TracedConnection) -> Void)?
    /// The handshake is complete, has failed, or was left: `HandshakeRecord.result`, with the time of each phase.
    public var handshakeEnded: (@Sendable (TracedConnection, HandshakeRecord) -> Void)?
    /// A request's head is there, of so many bytes. Its body, if any, is still to come.
    public var requestParsed: (@Sendable (TracedRequest, _ method: HTTPMethod, _ headBytes: Int) -> Void)?
    /// The server answers in place of a handler: a malformed request, one beyond a limit, a time limit. `responseBegan` and `responseSent` follow.
    public var requestRefused: (@Sendable (TracedRequest, HTTPStatus) -> Void)?
    /// The handler, with its middleware, is about to be called. Again for a request that has waited for a file to be read from its disk.
    public var handlerBegan: (@Sendable (TracedRequest, borrowing Request) -> Void)?
    /// The request has the name of a route: the router's choice, or what a handler sets (`Response.setRoute`).
    public var routeChosen: (@Sendable (TracedRequest, RouteName) -> Void)?
    /// The handler has returned or thrown, an async one after its last await; or nobody waits for it any more. Once for each `handlerBegan`.
    public var handlerEnded: (@Sendable (TracedRequest, TracedHandlerEnd) -> Void)?
    /// The head of the final response is in the output. It leaves in this turn of the loop, unless the socket is full.
    public var responseBegan: (@Sendable (TracedRequest, HTTPStatus) -> Void)?
    /// The kernel has taken the last byte of the response. A response that switches protocols ends with its head.
    public var responseSent: (@Sendable (TracedRequest) -> Void)?
    /// There will be no response, or not all of it.
    public var responseAborted: (@Sendable (TracedRequest, TraceEnd) -> Void)?
    /// The connection is closed, or another protocol's.
    public var connectionClosed: (@Sendable (TracedConnection, TraceEnd) -> Void)?

    /// Without hooks.
    public init() {}
}

/// A moment of a loop's clock: a reading of the processor's counter, converted only when asked. Of one loop, moments never go back.
public struct TraceMoment: Sendable {
    let ticks: UInt64
    let ticksPerSecond: UInt64

    /// Nanoseconds since some moment before the server started: for differences.
    public var nanoseconds: UInt64 { Self.nanoseconds(ticks, ticksPerSecond) }

    /// Nanoseconds from an earlier moment of the same loop to this one; 0 when it is not earlier.
    public func nanoseconds(since earlier: TraceMoment) -> UInt64 {
        // A thread that is not pinned may read another core's counter, which may be a little behind.
        ticks > earlier.ticks ? Self.nanoseconds(ticks &- earlier.ticks, ticksPerSecond) : 0
    }

    private static func nanoseconds(_ ticks: UInt64, _ perSecond: UInt64) -> UInt64 {
        let product = ticks.multipliedFullWidth(by: 1_000_000_000)
        return product.high >= perSecond ? .max : perSecond.dividingFullWidth(product).quotient
    }
}

/// The connection of a trace's call, and when it was.
public struct TracedConnection: Sendable {
    /// Unique in the process; as `Request.connectionID`, and as the probes have it.
    public let id: UInt64
    /// The number of its loop, from 0.
    public let loop: Int
    /// When the boundary was passed.
    public let moment: TraceMoment
}

/// The request of a trace's call, and when it was.
public struct TracedRequest: Sendable {
    /// Its connection, and the moment.
    public let connection: TracedConnection
    /// On HTTP/1.1 the how-manieth of its connection, from 1; on HTTP/2 the identifier of its stream.
    public let number: UInt32
    /// It came on HTTP/2.
    public let isHTTP2: Bool

    /// When the boundary was passed.
    public var moment: TraceMoment { connection.moment }
}

/// How a handler ended.
public enum TracedHandlerEnd: Sendable {
    /// It returned. What it left to go on (a body's receiver, a producer) goes on.
    case returned
    /// It threw.
    case threw
    /// It is async and its request ended first: the client has gone, or its time was up. It runs on until it notices.
    case abandoned
}

/// Why a response was cut off, or a connection closed.
public enum TraceEnd: UInt8, Sendable {
    /// By the client: closed, reset, out of reach; on HTTP/2 it has reset the stream.
    case client
    /// By the server, in order: the last response is sent.
    case server
    /// A time limit: idle, header, body, handler, write.
    case timeout
    /// What the client sent is malformed or beyond a limit, on TLS, HTTP/1.1 or HTTP/2.
    case refused
    /// A producer threw or wrote another length than it had announced, a file or the kernel failed.
    case failure
    /// No memory or no slot was left for it.
    case overload
    /// The server stops.
    case stopped
    /// Another protocol has the socket (`Response.upgrade`).
    case handedOver
}

/// The hooks as connections hold them: one object, called through and not retained for a call.
final class TraceBox: Sendable {
    let hooks: ServerTrace
    init(_ hooks: ServerTrace) { self.hooks = hooks }
}
