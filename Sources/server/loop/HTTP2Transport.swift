// HTTP2Transport: what a loop keeps for a connection that speaks HTTP/2. The loop's thread.

internal import UringBase
internal import UringHTTP2

/// Allocated when the protocol begins, freed with the connection.
@unsafe
struct HTTP2Transport: ~Copyable {
    var engine: HTTP2Connection
    /// Which slot of the loop's slab works on a stream, by the engine's slot; nil where the request was answered at once, as most are.
    private let streams: UnsafeMutablePointer<Handle?>
    private let capacity: Int
    /// The last stream's end ends the connection.
    var isEnding = false
    /// Every frame that the peer will ever send was taken up: no window opens any more.
    var inputEnded = false
    /// When requests came last, and whether ever several at once: who asks so has more under way than is known here.
    var lastRequestsAt: UInt64 = 0
    var asksAhead = false
    /// When the timer comes by to look at the client's silence, as far as it was armed for that.
    var silenceArmedAt = UInt64.max
    /// The peer violated the protocol: what is queued leaves, nothing more is read.
    var hasFailed = false

    init(engine: consuming HTTP2Connection, streamsMax: Int) {
        unsafe self.engine = engine
        unsafe capacity = streamsMax
        unsafe streams = .allocate(capacity: streamsMax)
        unsafe streams.initialize(repeating: nil, count: streamsMax)
    }

    deinit { unsafe streams.deallocate() }

    subscript(slot: StreamSlot) -> Handle? {
        get {
            unsafe precondition(Int(slot.index) < capacity, "BUG: a stream's slot is out of range")
            return unsafe streams[Int(slot.index)]
        }
        nonmutating set {
            unsafe precondition(Int(slot.index) < capacity, "BUG: a stream's slot is out of range")
            unsafe streams[Int(slot.index)] = newValue
        }
    }

    /// Calls `body` with the slab's handle of each stream that has one.
    func forEachStream(_ body: (Handle) -> Void) {
        for slot in unsafe 0..<capacity { if let handle = unsafe streams[slot] { body(handle) } }
    }
}
