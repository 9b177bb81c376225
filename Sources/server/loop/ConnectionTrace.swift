// ConnectionTrace: what a traced connection keeps: whose hooks are called, and which responses are written and not sent. Nothing of it exists without a trace. The loop's thread.

/// Where a request is, of those of a connection or a stream that hooks are told of. Part of `Connection`.
struct TraceMark {
    struct Flags: OptionSet {
        let rawValue: UInt8
        /// A request is under way, and its response not written to the end.
        static let request = Flags(rawValue: 1)
        /// Its handler has begun and not ended.
        static let handler = Flags(rawValue: 2)
    }
    /// Of the request: `TracedRequest.number`.
    var number: UInt32 = 0
    var flags: Flags = []
    /// Why it ends, where that is known better than from how it ends.
    var reason: TraceEnd?
}

/// Made when a traced connection is accepted, freed with it: a connection costs it two allocations, a request none.
@unsafe
struct ConnectionTrace: ~Copyable {
    /// A response whose last byte has not left.
    @unsafe struct Unsent {
        let number: UInt32
        /// Where it ends among all the bytes that the connection ever sends.
        var end: UInt64
    }

    /// Retained: a reload must not take the hooks from connections under way.
    let box: Unmanaged<TraceBox>
    let ticksPerSecond: UInt64
    /// A ring of a power of two, so that a pipeline's responses need no move. Grows with it; as many as output may wait for.
    private var ring: UnsafeMutablePointer<Unsent>
    private var capacity = 8
    private var first = 0
    private(set) var count = 0

    init(_ box: TraceBox, ticksPerSecond: UInt64) {
        unsafe self.box = .passRetained(box)
        unsafe self.ticksPerSecond = ticksPerSecond
        unsafe ring = unsafe .allocate(capacity: capacity)
    }

    deinit {
        unsafe ring.deallocate()
        unsafe box.release()
    }

    var oldest: Unsent { unsafe ring[first] }

    mutating func append(_ number: UInt32, end: UInt64) {
        if unsafe count == capacity { unsafe grow() }
        unsafe ring[(first &+ count) & (capacity &- 1)] = unsafe Unsent(number: number, end: end)
        unsafe count &+= 1
    }

    mutating func removeOldest() {
        unsafe first = unsafe (first &+ 1) & (capacity &- 1)
        unsafe count &-= 1
    }

    /// Bytes of nobody's response go in front of what is not sent.
    mutating func shift(by bytes: UInt64) {
        for index in unsafe 0..<count { unsafe ring[(first &+ index) & (capacity &- 1)].end &+= bytes }
    }

    @inline(never)
    private mutating func grow() {
        let larger = unsafe UnsafeMutablePointer<Unsent>.allocate(capacity: capacity * 2)
        for index in unsafe 0..<count { unsafe larger[index] = unsafe ring[(first &+ index) & (capacity &- 1)] }
        unsafe ring.deallocate()
        unsafe (ring, first, capacity) = unsafe (larger, 0, capacity * 2)
    }
}
