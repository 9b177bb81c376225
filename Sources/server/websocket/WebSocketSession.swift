// WebSocketSession: a WebSocket on a connection or a stream. It joins the engine (UringWebSocket), which knows the protocol, the tunnel, which has the
// bytes, and the application's handler. On the thread of the loop that owns the connection; the loop holds it (TunnelBox).
//
//   TunnelLink ──▶ received ──▶ engine.next ──▶ handler ──▶ send ──▶ engine.writeMessageHead ──▶ TunnelLink
//
// +Input: events. +Output: messages, Close. +Life: beginning, time, end.

internal import Glibc
internal import UringBase
internal import UringRing
internal import UringWebSocket

@safe
final class WebSocketSession: Tunnel {
    // Owned by this object until `deinit`. A struct behind a pointer, because a class's own variables would cost exclusivity checks.
    let state: UnsafeMutablePointer<WebSocketState>
    let handler: WebSocketHandler
    let chosenProtocol: String?
    let route: RouteName?
    /// Whose events the handler passes on, when that is async.
    let source: AsyncWebSocketSource?

    init(
        _ options: WebSocketOptions, _ deflate: WebSocketDeflateParameters, chosenProtocol: String?, route: RouteName?, loop: Loop,
        source: AsyncWebSocketSource? = nil, handler: @escaping WebSocketHandler
    ) {
        let engine = unsafe WebSocketConnection(
            limits: options.engineLimits, deflate: deflate, compression: deflate.isOn ? loop.webSocketCompression : nil, now: loop.state.pointee.now)
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(to: WebSocketState(engine: engine, options: options))
        (self.handler, self.chosenProtocol, self.route, self.source) = (handler, chosenProtocol, route, source)
    }

    deinit {
        precondition(unsafe state.pointee.message == nil, "BUG: a message outlives its session")
        unsafe state.deinitialize(count: 1)
        unsafe state.deallocate()
    }

    /// Tells the handler, and reports how long it took.
    @inline(__always)
    func emit(_ event: WebSocket.Event, _ link: TunnelLink) {
        do {
            try handler(WebSocket(self, link), event)
        } catch {
            failed(error, link)
        }
        unsafe link.loop._withUnsafeGuaranteedRef { loop in
            let elapsed = loop.lap()
            if unsafe elapsed > loop.state.pointee.stallTicks { loop.reportStall(elapsed, route: route) }
        }
    }

    @inline(never)
    private func failed(_ error: any Error, _ link: TunnelLink) {
        unsafe link.loop._withUnsafeGuaranteedRef { loop in
            unsafe loop.meter.pointee.handlerErrors &+= 1
            unsafe loop.state.pointee.reporter?.handlerFailed(route?.description ?? "", error)
        }
        unsafe state.pointee.ignoresMessages = true
        close(.internalError, "", link)
    }
}

/// What a session keeps.
@unsafe
struct WebSocketState: ~Copyable {
    var engine: WebSocketConnection
    let keepAlive: WebSocketKeepAlive
    let idleNs: UInt64
    let queuedBytesMax: UInt64
    let closesSlowClients: Bool
    /// When a message came or went.
    var lastMessageAt: UInt64 = 0
    /// The handler was told of the end.
    var isClosed = false
    /// A `send` was refused.
    var owesWritable = false
    /// The handler has failed, or a message could not be kept: none is delivered any more.
    var ignoresMessages = false
    /// The code of a Close that was said here; 0 = none.
    var saidCode: UInt16 = 0
    /// A message that has come in part; memory counted by the loop's pool.
    var message: UnsafeMutablePointer<UInt8>?
    var messageCount = 0
    var messageCapacity = 0

    init(engine: consuming WebSocketConnection, options: WebSocketOptions) {
        unsafe self.engine = engine
        unsafe keepAlive = options.keepAlive
        unsafe idleNs = ServerOptions.nanoseconds(options.idleTimeout)
        unsafe queuedBytesMax = UInt64(clamping: options.limits.queuedBytes)
        unsafe closesSlowClients = options.limits.slowClients == .close
    }
}

extension Loop {
    /// zlib's memory for this loop's WebSockets, for the loop's life.
    var webSocketCompression: UnsafeMutablePointer<WebSocketCompression> {
        if let made = unsafe state.pointee.webSocketCompression { return unsafe made }
        let made = UnsafeMutablePointer<WebSocketCompression>.allocate(capacity: 1)
        unsafe made.initialize(to: WebSocketCompression(options: WebSocketCompressionOptions()))
        unsafe state.pointee.webSocketCompression = unsafe made
        return unsafe made
    }

    @inline(never)
    func reportStall(_ elapsed: UInt64, route: RouteName?) {
        note(.stall, value: kernel.nanoseconds(ticks: elapsed), detail: route?.address ?? 0)
        unsafe meter.pointee.stalls &+= 1
        let stall = LoopStall(loop: index, route: route?.description ?? "", nanoseconds: kernel.nanoseconds(ticks: elapsed))
        unsafe state.pointee.reporter?.stalled(stall)
    }
}
