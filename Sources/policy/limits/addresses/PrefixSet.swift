// Many prefixes, for looking addresses up: immutable, made off the loops and handed to them as a message. Any number of threads read it.
//
// Prefixes nest or lie apart, so they cut the addresses into runs in each of which one prefix is the longest; a run begins where a prefix begins, or behind where one ends. The runs' beginnings, sorted, are
// the whole set: a lookup is one binary search. At most two runs for each prefix, 8 bytes each for IPv4 and 20 for IPv6. A trie was considered: it is faster by a cache miss or two, larger, and more code.

/// Longest-prefix match.
@safe
package final class PrefixSet: @unchecked Sendable {
    /// Beyond it a rebuild would take seconds.
    package static let prefixesMax = 1 << 22
    private static let none: Int32 = -1

    /// Owned: allocated in `init`, written there alone, freed in `deinit`; readers retain the set.
    private let starts4: UnsafeMutableBufferPointer<UInt32>
    private let values4: UnsafeMutableBufferPointer<Int32>
    private let starts6: UnsafeMutableBufferPointer<IPAddress>
    private let values6: UnsafeMutableBufferPointer<Int32>
    private let parents: UnsafeMutableBufferPointer<Int32>
    /// Prefixes given, equal ones included.
    package let count: Int

    package static let empty = PrefixSet([])

    /// - Parameter prefixes: in any order; `match` answers places in it, of equal ones the first.
    package init(_ prefixes: [Prefix]) {
        precondition(prefixes.count <= Self.prefixesMax, "BUG: a set has at most \(Self.prefixesMax) prefixes")
        count = prefixes.count
        unsafe parents = .allocate(capacity: prefixes.count)
        unsafe parents.initialize(repeating: Self.none)
        let order = prefixes.indices.sorted {
            let (left, right) = (prefixes[$0], prefixes[$1])
            return (left.address, left.length, $0) < (right.address, right.length, $1)
        }
        var parents = [Int32](repeating: Self.none, count: prefixes.count)
        let runs4 = Self.runs(order.filter { prefixes[$0].isIPv4 }, prefixes, &parents)
        let runs6 = Self.runs(order.filter { !prefixes[$0].isIPv4 }, prefixes, &parents)
        for (index, parent) in parents.enumerated() { unsafe self.parents[index] = parent }
        unsafe starts4 = .allocate(capacity: runs4.count)
        unsafe values4 = .allocate(capacity: runs4.count)
        unsafe starts6 = .allocate(capacity: runs6.count)
        unsafe values6 = .allocate(capacity: runs6.count)
        _ = unsafe starts4.initialize(from: runs4.map(\.start.ipv4))
        _ = unsafe values4.initialize(from: runs4.map(\.value))
        _ = unsafe starts6.initialize(from: runs6.map(\.start))
        _ = unsafe values6.initialize(from: runs6.map(\.value))
    }

    deinit {
        // The set's own memory, of trivial elements.
        unsafe starts4.deallocate()
        unsafe values4.deallocate()
        unsafe starts6.deallocate()
        unsafe values6.deallocate()
        unsafe parents.deallocate()
    }

    package var isEmpty: Bool { count == 0 }

    /// Bytes of the tables.
    package var memoryBytes: Int { unsafe starts4.count * 8 + starts6.count * 20 + parents.count * 4 }

    /// The longest prefix that contains the address: its place among those given. No allocation, no lock.
    package func match(_ address: IPAddress) -> Int? {
        let value = address.isIPv4 ? find(address.ipv4) : find(address)
        return value == Self.none ? nil : Int(value)
    }

    package func contains(_ address: IPAddress) -> Bool { match(address) != nil }

    /// The next longer network around a prefix of the set, for what holds of the shorter one alone (an expired ban within one that holds).
    ///
    /// - Parameter index: of `match` or this function.
    package func parent(of index: Int) -> Int? {
        precondition(index >= 0 && index < count, "BUG: no prefix of this set")
        let parent = unsafe parents[index]
        return parent == Self.none ? nil : Int(parent)
    }

    // MARK: Searching. Places stay within `0..<count` of buffers that were initialised whole.

    private func find(_ address: UInt32) -> Int32 {
        var (low, length) = (0, unsafe starts4.count)
        while length > 0 {
            let half = length &>> 1
            if unsafe starts4[low &+ half] <= address { (low, length) = (low &+ half &+ 1, length &- half &- 1) } else { length = half }
        }
        return low == 0 ? Self.none : unsafe values4[low &- 1]
    }

    private func find(_ address: IPAddress) -> Int32 {
        var (low, length) = (0, unsafe starts6.count)
        while length > 0 {
            let half = length &>> 1
            if unsafe starts6[low &+ half] <= address { (low, length) = (low &+ half &+ 1, length &- half &- 1) } else { length = half }
        }
        return low == 0 ? Self.none : unsafe values6[low &- 1]
    }

    // MARK: Building

    private struct Run {
        let start: IPAddress
        var value: Int32
    }

    /// - Parameter order: prefixes of one family by address, the shorter first: each stands behind those that contain it.
    private static func runs(_ order: [Int], _ prefixes: [Prefix], _ parents: inout [Int32]) -> [Run] {
        var runs: [Run] = []
        var around: [Int] = []
        func add(_ start: IPAddress, _ value: Int?) {
            let value = value.map { Int32($0) } ?? none
            // Where several begin or end, the last word counts; a run like the one before it is no run.
            if runs.last?.start == start { runs.removeLast() }
            if (runs.last?.value ?? none) != value { runs.append(Run(start: start, value: value)) }
        }
        func close(before start: IPAddress?) {
            while let inner = around.last, start.map({ prefixes[inner].last < $0 }) ?? true {
                around.removeLast()
                if let next = prefixes[inner].last.successor { add(next, around.last) }
            }
        }
        for index in order {
            let prefix = prefixes[index]
            close(before: prefix.address)
            if let outer = around.last {
                if prefixes[outer] == prefix { continue }
                parents[index] = Int32(outer)
            }
            around.append(index)
            add(prefix.address, index)
        }
        close(before: nil)
        // Behind 255.255.255.255 there is no address of IPv4.
        if let last = runs.last, let first = order.first, prefixes[first].isIPv4, !last.start.isIPv4 { runs.removeLast() }
        return runs
    }
}

extension IPAddress {
    /// nil behind the last of all.
    var successor: IPAddress? {
        let (next, overflow) = low.addingReportingOverflow(1)
        if !overflow { return IPAddress(high: high, low: next) }
        return high == .max ? nil : IPAddress(high: high + 1, low: 0)
    }
}
