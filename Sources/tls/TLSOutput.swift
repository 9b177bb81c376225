// Where ciphertext goes: memory that the caller lends for a call, and a malloc'ed spill for what does not fit there. Filled by
// the session's BIO on the loop's thread; the caller owns both parts afterwards.

internal import Glibc

/// A sink for ciphertext. The caller points it at its own memory, passes it to calls of `TLSSession`, and sends first the
/// `count` bytes at `base`, then the spill. Bytes are in order: once something has spilled, everything later spills too.
@unsafe @frozen package struct TLSOutput {
    /// The caller's memory, valid as long as the sink is used.
    package let base: UnsafeMutablePointer<UInt8>?
    package let capacity: Int
    package fileprivate(set) var count = 0
    package fileprivate(set) var spillCount = 0
    private var spill: UnsafeMutablePointer<UInt8>?
    private var spillCapacity = 0

    /// - Parameter base: `capacity` writable bytes; nil only with capacity 0.
    package init(base: UnsafeMutablePointer<UInt8>?, capacity: Int) {
        precondition(capacity >= 0, "BUG: negative capacity")
        unsafe self.base = base
        unsafe self.capacity = capacity
    }

    package var isEmpty: Bool { unsafe count == 0 && spillCount == 0 }
    /// Bytes written, the spilled ones included.
    package var total: Int { unsafe count &+ spillCount }

    /// Hands the spilled bytes over, which the caller ends with `free`; nil when everything fitted.
    package mutating func takeSpill() -> (base: UnsafeMutablePointer<UInt8>, count: Int)? {
        guard let taken = unsafe spill else { return nil }
        defer {
            unsafe spill = nil
            unsafe spillCount = 0
            unsafe spillCapacity = 0
        }
        return unsafe (taken, spillCount)
    }

    /// Frees a spill that nobody took, and starts over at `base`.
    package mutating func reset() {
        if let taken = unsafe takeSpill() { unsafe free(taken.base) }
        unsafe count = 0
    }

    /// False when malloc refuses; then nothing was taken.
    mutating func append(_ bytes: UnsafePointer<UInt8>, _ byteCount: Int) -> Bool {
        if unsafe spillCount == 0 && byteCount <= capacity &- count {
            // In bounds by the comparison; base is nil only with capacity 0, for which byteCount is 0 here.
            if byteCount > 0 { unsafe memcpy(base! + count, bytes, byteCount) }
            unsafe count &+= byteCount
            return true
        }
        return unsafe appendToSpill(bytes, byteCount)
    }

    /// Room for the next `byteCount` bytes, valid until the next call that changes this; nil when malloc refuses. They count once they are committed.
    @inline(__always)
    mutating func reserve(_ byteCount: Int) -> UnsafeMutablePointer<UInt8>? {
        // In bounds by the comparison.
        if unsafe spillCount == 0 && byteCount <= capacity &- count { return unsafe base.map { unsafe $0 + count } }
        return unsafe growSpill(byteCount) ? spill.map { unsafe $0 + spillCount } : nil
    }

    /// Counts what was written to reserved room.
    @inline(__always)
    mutating func commit(_ byteCount: Int) {
        if unsafe spillCount == 0 && byteCount <= capacity &- count { unsafe count &+= byteCount } else { unsafe spillCount &+= byteCount }
    }

    @inline(never)
    private mutating func appendToSpill(_ bytes: UnsafePointer<UInt8>, _ byteCount: Int) -> Bool {
        guard unsafe growSpill(byteCount) else { return false }
        // In bounds: there is room for that many.
        unsafe memcpy(spill! + spillCount, bytes, byteCount)
        unsafe spillCount &+= byteCount
        return true
    }

    @inline(never)
    private mutating func growSpill(_ byteCount: Int) -> Bool {
        let needed = unsafe spillCount + byteCount
        if unsafe needed > spillCapacity {
            // Doubling: a long write spills record after record.
            let capacity = unsafe max(needed, spillCapacity &* 2, 4096)
            guard let grown = unsafe realloc(spill, capacity) else { return false }
            unsafe spill = grown.assumingMemoryBound(to: UInt8.self)
            unsafe spillCapacity = capacity
        }
        return true
    }
}
