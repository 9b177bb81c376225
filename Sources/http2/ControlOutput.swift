// Frames of the connection itself that wait to be sent: acknowledgements, window updates, resets, GOAWAY. Part of a connection,
// on its loop's thread. Owns its memory.

/// A queue of bytes that the caller takes out as a whole or from the front. It grows up to a limit and keeps a reserve for the last GOAWAY.
@safe struct ControlOutput: ~Copyable {
    /// Room for a GOAWAY with its text, whatever else is waiting.
    static var reserveBytes: Int { 128 }
    /// What an ordinary connection needs: its preface, later an acknowledgement or two.
    private static var firstBytes: Int { 128 }

    private var memory: UnsafeMutablePointer<UInt8>
    private var capacity: Int
    private(set) var count = 0
    private let countMax: Int

    init(countMax: Int) {
        self.countMax = max(countMax, HTTP2LocalSettings.prefaceBytesMax)
        capacity = Self.firstBytes
        // Owned by this value until `deinit` or `grow`.
        unsafe memory = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    }

    deinit { unsafe memory.deallocate() }

    /// Room behind what is waiting, for exactly `bytes` more, counted as written; nil beyond the limit. Valid until the next call.
    mutating func append(_ bytes: Int, usesReserve: Bool = false) -> UnsafeMutablePointer<UInt8>? {
        guard bytes <= countMax &+ (usesReserve ? Self.reserveBytes : 0) &- count else { return nil }
        if bytes > capacity &- count { grow(to: count &+ bytes) }
        let place = unsafe memory + count
        count &+= bytes
        return unsafe place
    }

    /// Takes back the last bytes of what `append` gave, which were not needed.
    mutating func retract(_ bytes: Int) { count &-= bytes }

    /// Moves up to `capacity` bytes from the front to `out`; answers how many.
    mutating func take(into out: UnsafeMutablePointer<UInt8>, capacity: Int) -> Int {
        // Caller's memory: room for `capacity` bytes, for this call.
        let taken = min(count, max(capacity, 0))
        unsafe out.update(from: memory, count: taken)
        count &-= taken
        if count > 0 { unsafe memory.update(from: memory + taken, count: count) }
        return taken
    }

    private mutating func grow(to bytes: Int) {
        let larger = max(bytes, 2 &* capacity)
        let moved = UnsafeMutablePointer<UInt8>.allocate(capacity: larger)
        unsafe moved.update(from: memory, count: count)
        unsafe memory.deallocate()
        unsafe memory = moved
        capacity = larger
    }
}
