// Streams that this side reset, and whose frames may still be under way: those are skipped instead of being an error (RFC 9113 5.1,
// closed). Part of a connection, on its loop's thread. Owns its memory, which is made with the first reset.

@safe struct RecentResets: ~Copyable {
    /// A ring of stream identifiers; 0 is none.
    private var memory: UnsafeMutablePointer<UInt32>?
    private var next = 0
    /// The highest identifier that has left the ring: at or below it, what is not found may have been reset all the same.
    private(set) var forgotten: UInt32 = 0

    mutating func note(_ id: UInt32) {
        let capacity = HTTP2Limits.recentResetsMax
        if unsafe memory == nil {
            let fresh = UnsafeMutablePointer<UInt32>.allocate(capacity: capacity)
            unsafe fresh.initialize(repeating: 0, count: capacity)
            unsafe memory = fresh
        }
        // Owned by this value until `deinit`; the index is below the capacity.
        if let ids = unsafe memory {
            unsafe forgotten = max(forgotten, ids[next])
            unsafe ids[next] = id
        }
        next = (next &+ 1) % capacity
    }

    func contains(_ id: UInt32) -> Bool {
        guard let ids = unsafe memory else { return false }
        for index in 0..<HTTP2Limits.recentResetsMax where unsafe ids[index] == id { return true }
        return false
    }

    deinit { unsafe memory?.deallocate() }
}
