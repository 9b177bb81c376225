// A header block that did not fit one frame (RFC 9113 4.3, 6.10): HEADERS and its CONTINUATIONs, gathered. Part of a connection, on its
// loop's thread. Memory exists only while a block is under way, and is bounded.

@safe struct HeaderBlock: ~Copyable {
    private(set) var memory: UnsafeMutablePointer<UInt8>?
    private(set) var count = 0
    private var capacity = 0
    private var continuations = 0
    /// The stream whose block is under way; 0 when none is.
    private(set) var streamID: UInt32 = 0
    /// Of the HEADERS frame.
    private(set) var endsStream = false
    /// Whether its priority named the stream itself.
    private(set) var dependsOnItself = false

    @inline(__always) var isOpen: Bool { streamID != 0 }

    deinit { unsafe memory?.deallocate() }

    /// Begins with a HEADERS frame's fragment; false when it is too long.
    mutating func begin(_ fragment: UnsafePointer<UInt8>, count length: Int, streamID: UInt32, endsStream: Bool, dependsOnItself: Bool, bytesMax: Int) -> Bool {
        // Caller's memory, see `append`.
        self.dependsOnItself = dependsOnItself
        self.streamID = streamID
        self.endsStream = endsStream
        continuations = 0
        count = 0
        return unsafe append(fragment, count: length, bytesMax: bytesMax)
    }

    /// Adds a CONTINUATION's fragment; false when the block has too many frames or bytes.
    mutating func extend(_ fragment: UnsafePointer<UInt8>, count length: Int, limits: HTTP2Limits) -> Bool {
        continuations &+= 1
        guard continuations <= limits.continuationsMax else { return false }
        return unsafe append(fragment, count: length, bytesMax: limits.headerBlockBytesMax)
    }

    /// Ends the block and frees its memory.
    mutating func close() {
        unsafe memory?.deallocate()
        unsafe memory = nil
        capacity = 0
        count = 0
        streamID = 0
    }

    private mutating func append(_ fragment: UnsafePointer<UInt8>, count length: Int, bytesMax: Int) -> Bool {
        // Caller's memory: the fragment is readable for this call.
        guard length <= bytesMax &- count else { return false }
        if length > capacity &- count {
            let larger = min(bytesMax, max(count &+ length, 2 &* capacity, 4096))
            let moved = UnsafeMutablePointer<UInt8>.allocate(capacity: larger)
            if let old = unsafe memory {
                unsafe moved.update(from: old, count: count)
                unsafe old.deallocate()
            }
            unsafe memory = moved
            capacity = larger
        }
        if length > 0, let place = unsafe memory { unsafe (place + count).update(from: fragment, count: length) }
        count &+= length
        return true
    }
}
