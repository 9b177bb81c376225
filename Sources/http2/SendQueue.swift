// Whose turn it is to send (RFC 9218 10). Part of a connection, on its loop's thread; links lie in the streams themselves.

/// Two circles for each urgency: responses that are of use only as a whole, in the order of their streams, and incremental ones, which take
/// turns. Where an urgency has both, the circles take turns: neither may starve the other.
struct SendQueue {
    /// First of each circle; meaningful where `filled` says so. Index: twice the urgency, plus one for incremental.
    private var heads = InlineArray<16, UInt16>(repeating: 0)
    private var filled: UInt16 = 0
    /// For each urgency, whether the incremental circle is next.
    private var turns: UInt8 = 0

    @inline(__always) var isEmpty: Bool { filled == 0 }

    @inline(__always) private func circle(of priority: StreamPriority) -> Int {
        Int(priority.urgency & 7) &* 2 &+ (priority.incremental ? 1 : 0)
    }

    mutating func insert(_ slot: UInt16, in streams: UnsafeMutablePointer<HTTP2Stream>) {
        // The table's memory, for this call; slots are live streams.
        let stream = unsafe streams + Int(slot)
        let circle = unsafe circle(of: stream.pointee.priority)
        unsafe stream.pointee.isQueued = true
        guard filled & (1 &<< UInt16(circle)) != 0 else {
            filled |= 1 &<< UInt16(circle)
            unsafe stream.pointee.previous = slot
            unsafe stream.pointee.next = slot
            heads[circle] = slot
            return
        }
        let head = heads[circle]
        // Behind the last of the circle; whole responses further ahead while the one before is a later stream. Streams mostly become ready
        // in their order, so the walk is short.
        var before = unsafe streams[Int(head)].previous
        var becomesHead = false
        if circle & 1 == 0 {
            let id = unsafe stream.pointee.id
            while unsafe streams[Int(before)].id > id {
                if before == head {
                    becomesHead = true
                    before = unsafe streams[Int(head)].previous
                    break
                }
                unsafe before = streams[Int(before)].previous
            }
        }
        let after = unsafe streams[Int(before)].next
        unsafe stream.pointee.previous = before
        unsafe stream.pointee.next = after
        unsafe streams[Int(before)].next = slot
        unsafe streams[Int(after)].previous = slot
        if becomesHead { heads[circle] = slot }
    }

    mutating func remove(_ slot: UInt16, in streams: UnsafeMutablePointer<HTTP2Stream>) {
        let stream = unsafe streams + Int(slot)
        let circle = unsafe circle(of: stream.pointee.priority)
        unsafe stream.pointee.isQueued = false
        let next = unsafe stream.pointee.next
        if next == slot {
            filled &= ~(1 &<< UInt16(circle))
            return
        }
        let previous = unsafe stream.pointee.previous
        unsafe streams[Int(previous)].next = next
        unsafe streams[Int(next)].previous = previous
        if heads[circle] == slot { heads[circle] = next }
    }

    /// The stream whose turn it is. An incremental one goes to the end of its circle.
    mutating func take(in streams: UnsafeMutablePointer<HTTP2Stream>) -> UInt16? {
        guard filled != 0 else { return nil }
        let urgency = filled.trailingZeroBitCount &>> 1
        let pair = (filled &>> UInt16(urgency &* 2)) & 3
        var incremental = pair == 2
        if pair == 3 {
            incremental = turns & (1 &<< UInt8(urgency)) != 0
            turns ^= 1 &<< UInt8(urgency)
        }
        let circle = urgency &* 2 &+ (incremental ? 1 : 0)
        let slot = heads[circle]
        if incremental { unsafe heads[circle] = streams[Int(slot)].next }
        return slot
    }

    /// Streams in all circles; walks them. For checks.
    func length(in streams: UnsafeMutablePointer<HTTP2Stream>) -> Int {
        // The table's memory, for this call.
        var length = 0
        for circle in 0..<16 where filled & (1 &<< UInt16(circle)) != 0 {
            var slot = heads[circle]
            repeat {
                length += 1
                unsafe slot = streams[Int(slot)].next
            } while slot != heads[circle] && length <= 65_536
        }
        return length
    }
}
