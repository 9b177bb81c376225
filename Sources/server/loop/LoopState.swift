// LoopState: what changes while a loop runs, behind one pointer. The loop's thread only.

internal import CUring
internal import UringBase
internal import UringHTTP
package import UringHTTP1
package import UringHTTP2
internal import UringRing
internal import UringWebSocket

/// What a loop is given at start and on reload. Plain values.
package struct LoopConfiguration: Sendable {
    package var keepAlive = KeepAlivePolicy()
    package var parserLimits = ParserLimits()
    /// Most bytes of a request body that is buffered; 413 beyond. Streamed bodies have it too.
    package var bodyBytesMax: UInt64 = 10 * 1024 * 1024
    package var connectionsMax = 100_000
    package var receiveBuffers: UInt32 = 512
    package var receiveBufferBytes = 8 * 1024
    /// Shared by all loops; nil = no limit per address.
    var addressLimiter: AddressLimiter?
    /// 16 KiB each; the default lets a loop hold 4 GiB for slow peers before it sheds them.
    package var chunksMax = 262_144
    /// A handler call that takes longer holds its loop, and all its connections, up: it is reported. 0 = never.
    package var stallThresholdNs: UInt64 = 50_000_000
    /// Off only to measure what looking at turns costs.
    package var samplesPhases = true
    /// Events that the flight recorder keeps; 0: there is none.
    package var flightEvents = 0
    /// Sent as `Server`; empty = no such field.
    package var serverName = ""
    package var http2 = HTTP2Options()
    /// Timers fire late by less than 2^this nanoseconds. Coarse, because a loop with many connections wakes that often.
    package var timerTickShift = TimerWheel.defaultTickShift
    package init() {}

    /// What `parserLimits.headerBytesMax` may come to on HTTP/2, where heads are decoded to memory of the loop.
    static let http2HeaderBytesMax = 256 * 1024

    /// The limits of HTTP/1.1 heads are those of HTTP/2 heads.
    var http2Options: HTTP2Options {
        var options = http2
        options.limits.headerListBytesMax = min(parserLimits.headerBytesMax, Self.http2HeaderBytesMax)
        options.limits.fieldCountMax = parserLimits.fieldCountMax
        return options
    }

    /// Room of a loop's field table: at least 1000 lines (16 KB), the most that a configuration file may allow, so that a reload can raise
    /// the limit.
    var fieldCapacity: Int { max(1000, parserLimits.fieldCountMax) }
}

/// What HTTP/2 connections announce, and what they bear.
package struct HTTP2Options: Sendable {
    package var local = HTTP2LocalSettings()
    package var limits = HTTP2Limits()
    package var keepAlive = HTTP2KeepAlive()
    package init() {}
}

@unsafe
struct LoopSettings {
    var policy: KeepAlivePolicy
    var limits: ParserLimits
    var bodyBytesMax: UInt64
    var http2: HTTP2Options
    /// Room of the loop's field table; `LoopConfiguration.fieldCapacity` when the loop was made.
    let fieldCapacity: Int
    /// `server: name\r\n`, or empty.
    let serverLine: UnsafeMutablePointer<UInt8>
    let serverLineCount: Int

    init(_ configuration: LoopConfiguration, fieldCapacity: Int) {
        unsafe policy = configuration.keepAlive
        unsafe limits = configuration.parserLimits
        unsafe bodyBytesMax = configuration.bodyBytesMax
        unsafe http2 = configuration.http2Options
        unsafe self.fieldCapacity = fieldCapacity
        let line = configuration.serverName.isEmpty ? [] : Array("server: \(configuration.serverName)\r\n".utf8)
        unsafe serverLineCount = line.count
        unsafe serverLine = .allocate(capacity: max(1, line.count))
        unsafe line.withUnsafeBufferPointer { if $0.count > 0 { unsafe serverLine.update(from: $0.baseAddress!, count: $0.count) } }
    }

    func destroy() { unsafe serverLine.deallocate() }
}

@unsafe
struct LoopState {
    enum Phase: UInt8 { case serving, draining }

    var now: UInt64
    /// When the last enter was called.
    var enteredAt: UInt64
    /// `Kernel.ticks` when the turn began or the last handler ended.
    var lastTicks: UInt64 = 0
    var nextDateRefresh: UInt64 = 0
    var phase: Phase = .serving
    /// While draining: idle connections may send one more request.
    var sparesIdle = false
    /// There is something to do without waiting for the kernel.
    var hasWork = false
    /// Retained. Called through, never copied, so that a request costs no retain.
    private(set) var handler: Unmanaged<HandlerBox>
    /// The handler's box wants to be told of finished exchanges, or the flight recorder.
    private(set) var observes = false
    private(set) var observesHandshakes = false
    /// The handler's box says who may connect.
    private(set) var asksWhoConnects = false
    /// New connections are traced.
    private(set) var traces = false
    /// When the application writes what it collected; .max = nothing was collected since it last did.
    var flushAt = UInt64.max
    /// .max: it collects nothing.
    private(set) var flushNs = UInt64.max
    private(set) var reporter: (any ServerReporter)?
    private(set) var streamsBodies = false
    /// Some requests have a limit of their own for their bodies.
    private(set) var limitsBodies = false
    private(set) var stallTicks = UInt64.max
    /// For the loop's life: a reload keeps the counters.
    let addressLimiter: AddressLimiter?
    /// The connection whose input is being worked off: it needs no reminder that there is more.
    var processing: UnsafeMutablePointer<Connection>?
    /// Why the coming error response is sent.
    var faultReason: StaticString?
    var listeners: [ListenerState]
    var acceptRetryAt = UInt64.max
    /// Slots of the slab that are streams of HTTP/2 connections.
    var streams = 0
    /// Connections and streams that have a tunnel.
    var tunnels = 0
    /// zlib's memory for this loop's WebSockets; made for the first that compresses.
    var webSocketCompression: UnsafeMutablePointer<WebSocketCompression>?
    /// Between `reserveTunnel` and `commitTunnel`: the connection whose output the stream's bytes go to directly.
    var tunnelCarrier: UnsafeMutablePointer<Connection>?
    /// Slots of the slab that are connections of ours to servers.
    var outgoing = 0
    /// Connections that have memory for a large body, and such memory that has just become free.
    var bulks = 0
    var spareBulk: UnsafeMutablePointer<UInt8>?
    /// What is being handed on, as long as nobody has taken its memory (`queueBulk`).
    var bulkAtHand: UnsafeMutablePointer<UInt8>?
    /// Whose output has grown by the receive that is being worked off. Slots stay in place until the end of the turn.
    var relayedTo: UnsafeMutablePointer<Connection>?
    /// Connections in the middle of a TLS handshake.
    var handshakes = 0
    var formerContexts = FormerContexts()
    /// The stream whose handler runs, when it has no slot of the slab; `.none` otherwise.
    var requestSlot = StreamSlot.none
    var nextConnectionID: UInt64 = 1
    /// When the first of the timers that tasks wait for is due; .max: none.
    var waitsExpireAt = UInt64.max
    /// Async workers without a request.
    var parkedWorkers: [AsyncWorker] = []
    /// Bodies that responders have room for again: read on at the end of the turn.
    var pausedBodies: [Handle] = []
    /// Encoders that hold bytes of what is relayed: they leave at the end of the turn.
    var heldRelays: [Handle] = []
    /// The slot that the last census ended with.
    var censusPlace: UInt32 = 0
    var handledInTurn: UInt64 = 0
    /// Bytes of files that were sent since this half of the turn began.
    var fileBytesInTurn = 0
    /// Entries of `dirty` that the flush under way works on; what it marks anew comes behind them.
    var flushing = 0
    /// Where in `dirty` the next flush begins; negative: at its first entry.
    var dirtyStart = -1
    /// The 29 bytes of the `Date` field.
    let date: UnsafeMutablePointer<UInt8>
    private(set) var unixSeconds = Int64.min
    var dirty = unsafe ConnectionList()
    var inFlight = unsafe ConnectionList()
    var resuming = unsafe ConnectionList()
    var starved = unsafe ConnectionList()
    /// Torn down in this turn.
    var ending = unsafe ConnectionList()
    /// What middleware keeps for this loop alone.
    var locals = unsafe LoopLocals()

    init(now: UInt64, handler: HandlerBox, listeners: [LoopListener], addressLimiter: AddressLimiter?) {
        unsafe self.addressLimiter = addressLimiter
        unsafe (self.now, enteredAt) = (now, now)
        unsafe self.handler = unsafe .passRetained(handler)
        unsafe self.listeners = listeners.map { ListenerState(listener: $0) }
        unsafe date = .allocate(capacity: HTTPDate.bytes)
    }

    /// Takes over a handler and what belongs to it.
    mutating func install(_ box: HandlerBox, ticksPerSecond: UInt64, stallNs: UInt64, isRecorded: Bool) {
        let old = unsafe handler
        unsafe handler = unsafe .passRetained(box)
        unsafe old.release()
        unsafe locals.removeAll()
        unsafe (observes, reporter, streamsBodies, limitsBodies) = (box.observe != nil || isRecorded, box.reporter, box.wantsStream != nil, box.bodyLimit != nil)
        unsafe observesHandshakes = box.observeHandshake != nil
        unsafe asksWhoConnects = box.admits != nil
        unsafe traces = box.trace != nil
        unsafe flushNs = box.flush == nil ? .max : min(box.flushNs, .max / 2)
        let ticks = stallNs.multipliedFullWidth(by: ticksPerSecond)
        unsafe stallTicks = stallNs == 0 || ticks.high >= 1_000_000_000 ? .max : UInt64(1_000_000_000).dividingFullWidth(ticks).quotient
    }

    /// False when it is still the same second.
    mutating func setDate(_ seconds: Int64) -> Bool {
        guard unsafe seconds != unixSeconds else { return false }
        unsafe unixSeconds = seconds
        unsafe HTTPDate.write(unixSeconds: seconds, to: date)
        return true
    }

    mutating func destroy() {
        unsafe handler.release()
        if let compression = unsafe webSocketCompression {
            unsafe compression.deinitialize(count: 1)
            unsafe compression.deallocate()
        }
        unsafe locals.removeAll()
        unsafe date.deallocate()
        unsafe dirty.destroy()
        unsafe inFlight.destroy()
        unsafe resuming.destroy()
        unsafe starved.destroy()
        unsafe ending.destroy()
    }
}

/// A list of connections to come back to. Entries may have been torn down since: whoever walks it checks the flag that put them there.
@unsafe
struct ConnectionList {
    private var base: UnsafeMutablePointer<UnsafeMutablePointer<Connection>>
    private(set) var count = 0
    private var capacity: Int

    init() {
        unsafe capacity = 256
        unsafe base = unsafe .allocate(capacity: capacity)
    }

    @inline(__always)
    mutating func append(_ connection: UnsafeMutablePointer<Connection>) {
        if unsafe count == capacity { unsafe grow() }
        unsafe base[count] = unsafe connection
        unsafe count &+= 1
    }

    @inline(never)
    private mutating func grow() {
        let larger = unsafe UnsafeMutablePointer<UnsafeMutablePointer<Connection>>.allocate(capacity: capacity * 2)
        unsafe larger.update(from: base, count: count)
        unsafe base.deallocate()
        unsafe (base, capacity) = unsafe (larger, capacity * 2)
    }

    subscript(index: Int) -> UnsafeMutablePointer<Connection> { unsafe base[index] }

    mutating func removeAll() { unsafe count = 0 }

    /// Drops the first `gone` entries.
    mutating func removeFirst(_ gone: Int) {
        guard gone > 0 else { return }
        for index in unsafe gone..<max(gone, count) { unsafe base[index - gone] = unsafe base[index] }
        unsafe count -= min(gone, count)
    }

    func destroy() { unsafe base.deallocate() }
}
