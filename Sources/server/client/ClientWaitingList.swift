// ClientWaitingList: who waits for a connection, in the order they came. The loop's thread.

/// A queue whose entries can be taken out by their tickets, which rise.
struct ClientWaitingList {
    /// nil: has given up.
    private var entries: [(ticket: UInt64, waiter: (any ClientWaiter)?)] = []
    private var first = 0
    private var lastTicket: UInt64 = 0
    private(set) var count = 0
    var isEmpty: Bool { count == 0 }

    mutating func append(_ waiter: any ClientWaiter) -> UInt64 {
        lastTicket += 1
        entries.append((lastTicket, waiter))
        count += 1
        return lastTicket
    }

    mutating func popFirst() -> (any ClientWaiter)? {
        while first < entries.count {
            let waiter = entries[first].waiter
            entries[first].waiter = nil
            first += 1
            trim()
            guard let waiter else { continue }
            count -= 1
            return waiter
        }
        return nil
    }

    /// False when it does not wait any more.
    mutating func remove(_ ticket: UInt64) -> Bool {
        var (low, high) = (first, entries.count)
        while low < high {
            let middle = low + (high - low) / 2
            if entries[middle].ticket < ticket { low = middle + 1 } else { high = middle }
        }
        guard low < entries.count, entries[low].ticket == ticket, entries[low].waiter != nil else { return false }
        entries[low].waiter = nil
        count -= 1
        if count == 0 {
            entries.removeAll(keepingCapacity: true)
            first = 0
        }
        return true
    }

    /// Drops what was taken, when that is half of all.
    private mutating func trim() {
        guard first == entries.count || first >= 64 && first * 2 >= entries.count else { return }
        entries.removeFirst(first)
        first = 0
    }
}
