// EventQueue: what will happen in the simulated world and when. Events of one moment happen in the order they were scheduled.

/// A binary heap on (moment, serial number): the serial number makes the order total, so that runs repeat exactly.
struct EventQueue {
    private struct Event {
        let time: UInt64
        let serial: UInt64
        let action: () -> Void

        func precedes(_ other: Event) -> Bool { time != other.time ? time < other.time : serial < other.serial }
    }

    private var heap: [Event] = []
    private var serial: UInt64 = 0

    var nextTime: UInt64? { heap.first?.time }
    var count: Int { heap.count }

    mutating func add(at time: UInt64, _ action: @escaping () -> Void) {
        serial &+= 1
        heap.append(Event(time: time, serial: serial, action: action))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].precedes(heap[parent]) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    /// The first event that is due at `time`, or nil.
    mutating func popDue(_ time: UInt64) -> (() -> Void)? {
        guard let first = heap.first, first.time <= time else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return first.action }
        heap[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].precedes(heap[least]) { least = child }
            guard least != parent else { break }
            heap.swapAt(least, parent)
            parent = least
        }
        return first.action
    }

    mutating func removeAll() { heap.removeAll() }
}
