// HTTP2Transport: what a loop keeps for a connection that speaks HTTP/2. The loop's thread.

internal import UringBase
internal import UringHTTP2

/// Allocated when the protocol begins, freed with the connection.
@unsafe
struct HTTP2Transport: ~Copyable {
    var engine: HTTP2Connection
    /// Which slot of the loop's slab works on a stream, by the engine's slot; nil where the request was answered at once, as most are. Allocated
    /// for the first that was not: 1.5 KB that many connections never need.
    private var streams: UnsafeMutablePointer<Handle?>?
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
    }

    deinit { unsafe streams?.deallocate() }

    subscript(slot: StreamSlot) -> Handle? {
        get {
            unsafe precondition(Int(slot.index) < capacity, "BUG: a stream's slot is out of range")
            return unsafe streams.flatMap { unsafe $0[Int(slot.index)] }
        }
        set {
            unsafe precondition(Int(slot.index) < capacity, "BUG: a stream's slot is out of range")
            if newValue == nil, unsafe streams == nil { return }
            unsafe (streams ?? makeStreams())[Int(slot.index)] = newValue
        }
    }

    private mutating func makeStreams() -> UnsafeMutablePointer<Handle?> {
        let made = unsafe UnsafeMutablePointer<Handle?>.allocate(capacity: capacity)
        unsafe made.initialize(repeating: nil, count: capacity)
        unsafe streams = unsafe made
        return unsafe made
    }

    /// The slab's handles of streams, nil where there is none. The memory stays where it is for the transport's life, so that whoever walks over it may end streams.
    var streamHandles: UnsafeBufferPointer<Handle?> { unsafe UnsafeBufferPointer(start: streams, count: streams == nil ? 0 : capacity) }
}
