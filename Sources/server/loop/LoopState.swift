// LoopState: what changes while a loop runs, behind one pointer. The loop's thread only.

internal import CUring
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringRing

/// What a loop is given at start and on reload. Plain values.
package struct LoopConfiguration: Sendable {
    package var keepAlive = KeepAlivePolicy()
    package var parserLimits = ParserLimits()
    /// Most bytes of a request body that is buffered; 413 beyond. Streamed bodies have it too.
    package var bodyBytesMax: UInt64 = 10 * 1024 * 1024
    package var connectionsMax = 100_000
    package var receiveBuffers: UInt32 = 512
    package var receiveBufferBytes = 8 * 1024
    /// 16 KiB each; the default lets a loop hold 4 GiB for slow peers before it sheds them.
    package var chunksMax = 262_144
    /// A handler call that takes longer holds its loop, and all its connections, up: it is reported. 0 = never.
    package var stallThresholdNs: UInt64 = 50_000_000
    /// Sent as `Server`; empty = no such field.
    package var serverName = ""
    package init() {}
}

@unsafe
struct LoopSettings {
    var policy: KeepAlivePolicy
    var limits: ParserLimits
    var bodyBytesMax: UInt64
    var stallNs: UInt64
    /// `Server: name\r\n`, or empty.
    var serverLine: [UInt8]

    init(_ configuration: LoopConfiguration) {
        policy = configuration.keepAlive
        limits = configuration.parserLimits
        bodyBytesMax = configuration.bodyBytesMax
        stallNs = configuration.stallThresholdNs
        serverLine = configuration.serverName.isEmpty ? [] : Array("server: \(configuration.serverName)\r\n".utf8)
    }
}

@unsafe
struct LoopState {
    enum Phase: UInt8 { case serving, draining }

    var now: UInt64
    var nextDateRefresh: UInt64 = 0
    var phase: Phase = .serving
    /// There is something to do without waiting for the kernel.
    var hasWork = false
    var handler: Unmanaged<HandlerBox>
    var listeners: [LoopListener]
    /// Listeners whose accept is armed.
    var armedListeners = 0
    var acceptRetryAt = UInt64.max
    var nextConnectionID: UInt64 = 1
    var handledInTurn = 0
    /// `date: Sun, 06 Nov 1994 08:49:37 GMT\r\n`
    let dateLine: UnsafeMutablePointer<UInt8>
    static let dateLineBytes = 37
    private var dateSeconds = Int64.min
    var dirty = ConnectionList()
    var inFlight = ConnectionList()
    var resuming = ConnectionList()
    var starved = ConnectionList()
    /// For the pieces that producers write.
    var scratch = ByteBuffer(capacity: 16 * 1024)

    init(now: UInt64, handler: HandlerBox, listeners: [LoopListener]) {
        self.now = now
        self.handler = .passRetained(handler)
        self.listeners = listeners
        dateLine = .allocate(capacity: 40)
        _ = ByteWriting.write("date: ", to: dateLine)
        _ = ByteWriting.write("\r\n", to: dateLine + 35)
    }

    mutating func setDate(_ seconds: Int64) {
        guard seconds != dateSeconds else { return }
        dateSeconds = seconds
        HTTPDate.write(unixSeconds: seconds, to: dateLine + 6)
    }

    mutating func destroy() {
        handler.release()
        dateLine.deallocate()
        dirty.destroy()
        inFlight.destroy()
        resuming.destroy()
        starved.destroy()
        scratch.destroy()
    }
}

/// A list of connections to come back to. Entries may have been torn down since: whoever walks it checks the flag that put them there.
@unsafe
struct ConnectionList {
    private var base: UnsafeMutablePointer<UnsafeMutablePointer<Connection>>
    private(set) var count = 0
    private var capacity: Int

    init() {
        capacity = 256
        base = .allocate(capacity: capacity)
    }

    @inline(__always)
    mutating func append(_ connection: UnsafeMutablePointer<Connection>) {
        if count == capacity { grow() }
        base[count] = connection
        count &+= 1
    }

    @inline(never)
    private mutating func grow() {
        let larger = UnsafeMutablePointer<UnsafeMutablePointer<Connection>>.allocate(capacity: capacity * 2)
        larger.update(from: base, count: count)
        base.deallocate()
        (base, capacity) = (larger, capacity * 2)
    }

    subscript(index: Int) -> UnsafeMutablePointer<Connection> { base[index] }

    mutating func removeAll() { count = 0 }

    /// Drops the first `gone` entries.
    mutating func removeFirst(_ gone: Int) {
        guard gone > 0 else { return }
        for index in gone..<max(gone, count) { base[index - gone] = base[index] }
        count -= min(gone, count)
    }

    func destroy() { base.deallocate() }
}
