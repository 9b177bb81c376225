// Priorities of RFC 9218: urgency and whether a response is of use in parts. Plain values, any thread.

internal import UringHTTP

/// How soon a response is wanted.
@frozen @usableFromInline package struct StreamPriority: Equatable, Sendable {
    /// 0, most urgent, to 7.
    @usableFromInline package var urgency: UInt8 = 3
    /// Whether parts of the response are of use, so that such responses share the connection.
    @usableFromInline package var incremental = false

    @inlinable package init() {}

    /// From a Priority field or PRIORITY_UPDATE: a dictionary of structured fields (RFC 8941 3.2). Only the members "u" and "i" matter; what
    /// cannot be read leaves the defaults, which is all that RFC 9218 4 asks of a server.
    package init(_ value: UnsafePointer<UInt8>, count: Int) {
        // Caller's memory: `value[..<count]` is readable for this call.
        self.init()
        var list = FieldListIterator(count: count)
        while let range = unsafe list.next(in: value) {
            unsafe take(value + range.lowerBound, count: range.count)
        }
    }

    private mutating func take(_ member: UnsafePointer<UInt8>, count: Int) {
        // Parameters of a member are ignored.
        var length = 0
        while length < count, unsafe member[length] != 0x3b { length &+= 1 }
        while length > 0, unsafe member[length &- 1] == 0x20 { length &-= 1 }
        if unsafe length == 3 && member[0] == 0x75 && member[1] == 0x3d && member[2] &- 0x30 < 8 {
            unsafe urgency = member[2] &- 0x30
        } else if unsafe length == 1 && member[0] == 0x69 {
            incremental = true
        } else if unsafe length == 4 && member[0] == 0x69 && member[1] == 0x3d && member[2] == 0x3f && member[3] &- 0x30 < 2 {
            unsafe incremental = member[3] == 0x31
        }
    }
}

/// Priorities that came ahead of their request. A ring in memory of its own, made when the first one comes.
@safe struct EarlyPriorities: ~Copyable {
    private struct Entry {
        var streamID: UInt32
        var priority: StreamPriority
    }

    private var memory: UnsafeMutablePointer<Entry>?
    private var next = 0

    @inline(__always) var isEmpty: Bool { unsafe memory == nil }

    /// Keeps the priority for a stream; an earlier one of that stream is replaced, or else the oldest entry.
    mutating func put(_ priority: StreamPriority, for streamID: UInt32) {
        let capacity = HTTP2Limits.earlyPrioritiesMax
        if unsafe memory == nil {
            let fresh = UnsafeMutablePointer<Entry>.allocate(capacity: capacity)
            unsafe fresh.initialize(repeating: Entry(streamID: 0, priority: StreamPriority()), count: capacity)
            unsafe memory = fresh
        }
        // Owned by this value until `deinit`; every index is below the capacity.
        guard let entries = unsafe memory else { return }
        for index in 0..<capacity where unsafe entries[index].streamID == streamID {
            unsafe entries[index].priority = priority
            return
        }
        unsafe entries[next] = Entry(streamID: streamID, priority: priority)
        next = (next &+ 1) % capacity
    }

    /// Takes out the priority of a stream that opens.
    mutating func take(for streamID: UInt32) -> StreamPriority? {
        guard let entries = unsafe memory else { return nil }
        for index in 0..<HTTP2Limits.earlyPrioritiesMax where unsafe entries[index].streamID == streamID {
            unsafe entries[index].streamID = 0
            return unsafe entries[index].priority
        }
        return nil
    }

    deinit { unsafe memory?.deallocate() }
}
