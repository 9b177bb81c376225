// The streams of a connection that are neither idle nor closed: their state, where they lie, and how they are found. Part of a
// connection, on its loop's thread. Owns its memory; nothing outside keeps a pointer into it, because it moves when it grows.

/// The place of a stream in its connection's table. Valid from the event that brings the request, or the call that sends it, to the stream's end; then
/// given to another.
@frozen @usableFromInline package struct StreamSlot: Equatable, Hashable, Sendable {
    @usableFromInline package let index: UInt16

    @inlinable package init(index: UInt16) { self.index = index }

    /// No stream.
    @inlinable package static var none: StreamSlot { StreamSlot(index: 0xffff) }
}

/// One stream (RFC 9113 5.1). It is open, half-closed when `requestEnded` or `responseEnded`, at a server (remote) and (local), at a client the other
/// way round; with both it is closed and no longer here. Idle and closed streams have no memory.
struct HTTP2Stream {
    var id: UInt32 = 0
    var send = SendWindow(0)
    var receive = ReceiveWindow(0)
    /// Body bytes handed to the caller that it has not yet called consumed.
    var unconsumed: Int32 = 0
    /// Of Content-Length, what has not arrived; -1 when the length was not given.
    var bodyRest: Int64 = -1

    var isLive = false
    var requestEnded = false
    var responseEnded = false
    /// The final response's head is written.
    var headWritten = false
    /// The caller has bytes for it.
    var isReady = false
    /// It is in the send queue: ready, and its window is open as far as is known.
    var isQueued = false
    var priority = StreamPriority()

    /// Neighbours in the send queue's circle.
    var previous: UInt16 = 0
    var next: UInt16 = 0
    /// The next slot of the same bucket, or of the free list.
    var link: UInt16 = 0

    /// At a client: what is known of the response. In the last byte of padding but one: a server's streams are no larger for it.
    var answer = AnswerState()
}

/// What a client knows of a stream's response beside its length and its end.
struct AnswerState: OptionSet {
    let rawValue: UInt8

    /// The request was HEAD: content is announced, and none comes (RFC 9110 9.3.2).
    static var toHead: AnswerState { AnswerState(rawValue: 1) }
    static var toConnect: AnswerState { AnswerState(rawValue: 2) }
    /// Something has arrived, be it an interim response.
    static var begun: AnswerState { AnswerState(rawValue: 4) }
    /// The final response's head has.
    static var hasHead: AnswerState { AnswerState(rawValue: 8) }
    /// CONNECT was answered with 2xx: nothing but DATA may follow (RFC 9113 8.5).
    static var isTunnel: AnswerState { AnswerState(rawValue: 16) }
}

@safe struct StreamTable: ~Copyable {
    static var none: UInt16 { 0xffff }
    private static var firstCapacity: Int { 8 }

    /// `capacity` streams, then as many bucket heads. Nil until the first stream.
    private(set) var streams: UnsafeMutablePointer<HTTP2Stream>?
    private var buckets: UnsafeMutablePointer<UInt16>?
    private(set) var capacity = 0
    private var free: UInt16 = 0xffff
    private(set) var active = 0

    deinit { releaseMemory() }

    private func releaseMemory() {
        unsafe streams?.deallocate()
        unsafe buckets?.deallocate()
    }

    /// Gives the memory back when there is no stream.
    mutating func trim() {
        guard active == 0 else { return }
        releaseMemory()
        unsafe streams = nil
        unsafe buckets = nil
        capacity = 0
        free = Self.none
    }

    /// The slot of a stream. Clients number streams in sequence, which fills the buckets one by one; whoever chooses numbers that
    /// collide makes a chain as long as the table at most.
    @inline(__always) func find(_ id: UInt32) -> UInt16 {
        guard let streams = unsafe streams, let buckets = unsafe buckets else { return Self.none }
        // Owned memory; links are slots below the capacity or none.
        var slot = unsafe buckets[bucket(of: id)]
        while slot != Self.none, unsafe streams[Int(slot)].id != id { slot = unsafe streams[Int(slot)].link }
        return slot
    }

    @inline(__always) private func bucket(of id: UInt32) -> Int { Int(id &>> 1) & (capacity &- 1) }

    /// A slot for a new stream, which the caller has checked against the limit. The stream is as new.
    @inline(__always) mutating func insert(_ id: UInt32) -> UInt16 {
        if free == Self.none { grow() }
        // Owned memory: growing has made both, and the free list is not empty.
        guard let streams = unsafe streams, let buckets = unsafe buckets else { preconditionFailure("BUG: a stream table without memory") }
        let slot = free
        let place = unsafe streams + Int(slot)
        unsafe free = place.pointee.link
        let bucket = bucket(of: id)
        var stream = HTTP2Stream()
        stream.id = id
        stream.isLive = true
        unsafe stream.link = buckets[bucket]
        unsafe place.pointee = stream
        unsafe buckets[bucket] = slot
        active &+= 1
        return slot
    }

    @inline(__always) mutating func remove(_ slot: UInt16) {
        guard let streams = unsafe streams, let buckets = unsafe buckets else { return }
        let bucket = unsafe bucket(of: streams[Int(slot)].id)
        if unsafe buckets[bucket] == slot {
            unsafe buckets[bucket] = streams[Int(slot)].link
        } else {
            var before = unsafe buckets[bucket]
            while unsafe streams[Int(before)].link != slot { unsafe before = streams[Int(before)].link }
            unsafe streams[Int(before)].link = streams[Int(slot)].link
        }
        unsafe streams[Int(slot)].isLive = false
        unsafe streams[Int(slot)].link = free
        free = slot
        active &-= 1
    }

    /// Doubles the table; slots keep their numbers.
    @inline(never) private mutating func grow() {
        let larger = max(2 &* capacity, Self.firstCapacity)
        precondition(larger <= 32_768, "BUG: more streams than slots have numbers")
        let moved = UnsafeMutablePointer<HTTP2Stream>.allocate(capacity: larger)
        let heads = UnsafeMutablePointer<UInt16>.allocate(capacity: larger)
        if let old = unsafe streams { unsafe moved.update(from: old, count: capacity) }
        unsafe (moved + capacity).initialize(repeating: HTTP2Stream(), count: larger &- capacity)
        unsafe heads.initialize(repeating: Self.none, count: larger)
        let filled = capacity
        releaseMemory()
        unsafe streams = moved
        unsafe buckets = heads
        capacity = larger
        // Every old slot is in use, or the table would not have to grow.
        for slot in 0..<filled {
            let bucket = unsafe bucket(of: moved[slot].id)
            unsafe moved[slot].link = heads[bucket]
            unsafe heads[bucket] = UInt16(truncatingIfNeeded: slot)
        }
        for slot in (filled..<larger).reversed() {
            unsafe moved[slot].link = free
            free = UInt16(truncatingIfNeeded: slot)
        }
    }
}
