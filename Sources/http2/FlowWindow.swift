// Flow control windows (RFC 9113 5.2, 6.9), one type for each direction, used by streams and by the connection. Plain values.

/// What this side may still send. Negative after the peer has shrunk its initial window (RFC 9113 6.9.2).
struct SendWindow: Equatable {
    private(set) var bytes: Int32

    init(_ bytes: Int32) { self.bytes = bytes }

    /// A WINDOW_UPDATE or a changed initial window; false, with nothing changed, when the sum is beyond 2^31-1.
    mutating func change(by difference: Int32) -> Bool {
        let (sum, overflow) = bytes.addingReportingOverflow(difference)
        guard !overflow else { return false }
        bytes = sum
        return true
    }

    /// Bytes that are sent; never more than the window, which the caller has asked for.
    @inline(__always) mutating func take(_ count: Int32) { bytes &-= count }
}

/// What the peer may still send, and what it has sent since it was last told more.
struct ReceiveWindow: Equatable {
    /// May be negative for a while: a peer learns only later that its window is smaller.
    private(set) var bytes: Int32
    /// Handed over or dropped, and not yet announced.
    private(set) var credit: Int32 = 0

    init(_ bytes: Int32) { self.bytes = bytes }

    /// Bytes arrive; false, with nothing changed, when the peer had no right to send them.
    @inline(__always) mutating func take(_ count: Int32) -> Bool {
        guard count <= bytes else { return false }
        bytes &-= count
        return true
    }

    /// Bytes have been taken out of the buffers they were announced for.
    @inline(__always) mutating func free(_ count: Int32) { credit &+= count }

    /// Whether it is time to tell the peer: half of the whole window is free again.
    @inline(__always) func isWorthAnnouncing(of whole: Int) -> Bool { Int(credit) &* 2 >= whole && credit > 0 }

    /// The increment to announce; the window is open again.
    mutating func announce() -> Int32 {
        let increment = credit
        bytes &+= increment
        credit = 0
        return increment
    }

    /// The announced initial window of all streams takes effect.
    mutating func shift(by difference: Int32) { bytes &+= difference }
}
