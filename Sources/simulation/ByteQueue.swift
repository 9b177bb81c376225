// ByteQueue: one direction of a simulated connection, a bounded first-in-first-out of bytes as a socket buffer is.

internal import Glibc

/// Bytes between a writer and a reader. Owned by a connection.
@safe
package struct ByteQueue: ~Copyable {
    package let capacity: Int
    /// Grown on demand up to `capacity`, freed by deinit; nobody else holds the pointer.
    private var memory: UnsafeMutableRawPointer
    private var allocated: Int
    private var start = 0
    package private(set) var count = 0

    package init(capacity: Int) {
        precondition(capacity > 0, "BUG: a socket buffer needs room for a byte")
        self.capacity = capacity
        allocated = min(capacity, 1024)
        unsafe memory = .allocate(byteCount: allocated, alignment: 16)
    }

    deinit { unsafe memory.deallocate() }

    package var free: Int { capacity - count }

    /// Appends what fits and says how much that was.
    package mutating func append(_ bytes: UnsafeRawBufferPointer) -> Int {
        let taken = min(bytes.count, free)
        guard taken > 0, let source = bytes.baseAddress else { return 0 }
        if start + count + taken > allocated { makeRoom(taken) }
        unsafe memcpy(memory + start + count, source, taken)
        count += taken
        return taken
    }

    private mutating func makeRoom(_ more: Int) {
        if count + more > allocated {
            let size = min(capacity, max(count + more, allocated * 2))
            let grown = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
            unsafe memcpy(grown, memory + start, count)
            unsafe memory.deallocate()
            unsafe memory = grown
            allocated = size
        } else {
            unsafe memmove(memory, memory + start, count)
        }
        start = 0
    }

    /// Moves up to `into.count` bytes out and says how many.
    package mutating func take(_ into: UnsafeMutableRawBufferPointer) -> Int {
        let taken = min(into.count, count)
        guard taken > 0, let target = into.baseAddress else { return 0 }
        unsafe memcpy(target, memory + start, taken)
        start += taken
        count -= taken
        if count == 0 { start = 0 }
        return taken
    }

    /// Moves up to `limit` bytes to the end of `array`.
    package mutating func take(_ limit: Int, to array: inout [UInt8]) -> Int {
        let taken = min(limit, count)
        guard taken > 0 else { return 0 }
        unsafe array.append(contentsOf: UnsafeRawBufferPointer(start: memory + start, count: taken))
        start += taken
        count -= taken
        if count == 0 { start = 0 }
        return taken
    }

    package mutating func removeAll() { (start, count) = (0, 0) }
}
