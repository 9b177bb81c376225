// RouteTrie: which endpoint takes a method and a path. Flat memory, written once by RouteTrieBuilder, read by all loops without a lock, an
// allocation or a reference count. Whoever holds the trie keeps its memory alive.
//
// Paths are compared raw, segment by segment, except that `%XX` in a request stands for its byte: `/%61dmin` is `/admin`, as RFC 3986
// section 6.2.2.2 has it, and cannot walk around a route. `%2F` does not separate segments. Dot segments are not resolved.

internal import Glibc
package import UringHTTP

/// Methods as bits, by `HTTPMethod.rawValue`.
package struct RouteMethodSet: OptionSet, Sendable {
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }
    init(_ method: HTTPMethod) { rawValue = 1 << UInt16(method.rawValue) }
    static let all = RouteMethodSet(HTTPMethod.allCases.map(RouteMethodSet.init))

    /// The value of `Allow`. Extension methods have no name here: a route for any method lists the registered ones.
    var allow: String {
        HTTPMethod.allCases.filter { $0 != .other && contains(RouteMethodSet($0)) }.map { $0.name.description }.joined(separator: ", ")
    }
}

// Sendable: all memory is written in init and only read afterwards. Safe: the pointers never leave the trie.
@safe
package final class RouteTrie: @unchecked Sendable {
    struct Node {
        /// Children with text, in `edges`, ordered by length, then by bytes.
        var edges: Range<Int32> = 0..<0
        /// Of many children: where their places in `buckets` begin, and how many there are less one, a power of two less one. 0: few, they are searched.
        var firstBucket: Int32 = 0
        var bucketMask: Int32 = 0
        /// The child for any segment; -1 = none.
        var parameter: Int32 = -1
        var parameterName = Text()
        /// Endpoints of the paths that end here, and of those that go on in any way; -1 = none.
        var leaf: Int32 = -1
        var wildcard: Int32 = -1
        var wildcardName = Text()
    }

    struct Edge {
        var text = Text()
        var node: Int32 = 0
    }

    struct Text {
        var offset: Int32 = 0
        var count: Int32 = 0
    }

    /// The endpoints of one place, by method; -1 = none. HEAD without a route of its own has that of GET.
    struct Leaf {
        var endpoints = InlineArray<10, Int32>(repeating: -1)
        var methods: RouteMethodSet = []
    }

    private let nodes: UnsafeBufferPointer<Node>
    private let edges: UnsafeBufferPointer<Edge>
    /// Numbers of edges by the hash of their text, -1 where there is none; at most half of a node's places are taken, and a taken place leads to the next.
    private let buckets: UnsafeBufferPointer<Int32>
    private let leaves: UnsafeBufferPointer<Leaf>
    private let bytes: UnsafeBufferPointer<UInt8>
    private let textBytesMax: Int
    /// Of all routes: the answer to `OPTIONS *`.
    let methods: RouteMethodSet

    init(nodes: [Node], edges: [Edge], buckets: [Int32], leaves: [Leaf], bytes: [UInt8]) {
        unsafe self.nodes = Self.place(nodes)
        unsafe self.edges = Self.place(edges)
        unsafe self.buckets = Self.place(buckets)
        unsafe self.leaves = Self.place(leaves)
        unsafe self.bytes = Self.place(bytes)
        textBytesMax = edges.map { Int($0.text.count) }.max() ?? 0
        methods = leaves.reduce(into: []) { $0.formUnion($1.methods) }
    }

    deinit {
        // No loop holds the trie any more, so nobody reads this memory.
        unsafe nodes.deallocate()
        unsafe edges.deallocate()
        unsafe buckets.deallocate()
        unsafe leaves.deallocate()
        unsafe bytes.deallocate()
    }

    /// A copy of `items` in memory of its own; one item more, so that the base address is never nil.
    private static func place<T>(_ items: [T]) -> UnsafeBufferPointer<T> {
        let memory = UnsafeMutableBufferPointer<T>.allocate(capacity: items.count + 1)  // freed in deinit
        _ = unsafe memory.initialize(from: items)
        return unsafe UnsafeBufferPointer(rebasing: memory[..<items.count])
    }

    // MARK: matching

    package enum Match {
        case endpoint(Int)
        /// No route lies there (empty), or only for these methods.
        case none(RouteMethodSet)
    }

    /// Text beats a parameter, a parameter beats a wildcard; a place without the method is passed over.
    /// - Parameters:
    ///   - path: bytes `offset..<offset + count` of `base`: the request's path.
    ///   - captures: gets the parameters, as offsets from `base`, on a match; is empty otherwise.
    package func match(
        _ method: HTTPMethod, _ base: UnsafePointer<UInt8>, offset: Int, count: Int, _ captures: UnsafeMutablePointer<PathCaptures>
    ) -> Match {
        unsafe captures.pointee.count = 0
        guard count > 0, unsafe base[offset] == UInt8(ascii: "/") else { return .none([]) }
        var search = unsafe Search(base: base, end: offset &+ count, method: Int(method.rawValue), captures: captures)
        let found = unsafe find(0, offset &+ 1, &search)
        return unsafe found >= 0 ? .endpoint(Int(found)) : .none(search.methods)
    }

    @unsafe
    private struct Search {
        let base: UnsafePointer<UInt8>
        let end: Int
        let method: Int
        let captures: UnsafeMutablePointer<PathCaptures>
        /// Of the places that take the path and not the method.
        var methods: RouteMethodSet = []
    }

    /// Every node is visited at most once, because its depth decides where in the path it stands: no pattern makes this slow.
    /// - Parameter start: of the segment to compare; `end + 1` behind the last.
    private func find(_ number: Int32, _ start: Int, _ search: inout Search) -> Int32 {
        let node = unsafe nodes.baseAddress! + Int(number)
        if unsafe start > search.end { return unsafe take(node.pointee.leaf, &search) }
        let (end, isEncoded) = unsafe segmentEnd(search.base, start, search.end)
        if unsafe !node.pointee.edges.isEmpty {
            let child = unsafe isEncoded ? decodedChild(node, search.base + start, end &- start) : child(node, search.base + start, end &- start)
            if child >= 0 {
                let found = unsafe find(child, end &+ 1, &search)
                if found >= 0 { return found }
            }
        }
        if unsafe node.pointee.parameter >= 0, end > start {
            let before = unsafe search.captures.pointee.count
            unsafe capture(node.pointee.parameterName, start, end, &search)
            let found = unsafe find(node.pointee.parameter, end &+ 1, &search)
            if found >= 0 { return found }
            unsafe search.captures.pointee.count = before
        }
        if unsafe node.pointee.wildcard >= 0 {
            let found = unsafe take(node.pointee.wildcard, &search)
            if found >= 0, unsafe node.pointee.wildcardName.count > 0 {
                unsafe capture(node.pointee.wildcardName, start, search.end, &search)
            }
            return found
        }
        return -1
    }

    /// Where the segment ends that begins at `start`, and whether it has a `%`. Eight bytes at a time while there are so many.
    @inline(__always)
    private func segmentEnd(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> (end: Int, isEncoded: Bool) {
        let ones: UInt64 = 0x0101_0101_0101_0101
        var at = start
        while end &- at >= 8 {
            let word = unsafe UInt64(littleEndian: UnsafeRawPointer(base + at).loadUnaligned(as: UInt64.self))
            let slash = word ^ (ones &* 0x2f)
            let percent = word ^ (ones &* 0x25)
            // A byte's high bit is set where it was zero; a borrow only disturbs bytes above the one that caused it, so the lowest mark is exact.
            let found = (((slash &- ones) & ~slash) | ((percent &- ones) & ~percent)) & (ones &* 0x80)
            guard found == 0 else {
                at &+= found.trailingZeroBitCount &>> 3
                break
            }
            at &+= 8
        }
        var isEncoded = false
        while at < end, case let byte = unsafe base[at], byte != UInt8(ascii: "/") {
            if byte == UInt8(ascii: "%") { isEncoded = true }
            at &+= 1
        }
        return (at, isEncoded)
    }

    private func take(_ leaf: Int32, _ search: inout Search) -> Int32 {
        guard leaf >= 0 else { return -1 }
        let leaf = unsafe leaves.baseAddress! + Int(leaf)
        let endpoint = unsafe leaf.pointee.endpoints[search.method]
        if endpoint < 0 { unsafe search.methods.formUnion(leaf.pointee.methods) }
        return endpoint
    }

    private func capture(_ name: Text, _ start: Int, _ end: Int, _ search: inout Search) {
        // SAFETY: the name lies in this trie, which the handler box holds for as long as its requests run.
        unsafe search.captures.pointee.append(
            PathCaptures.Capture(name: bytes.baseAddress! + Int(name.offset), nameLength: Int(name.count), offset: start, length: end &- start))
    }

    /// The child with this text; -1 = none. Binary search among few.
    private func child(_ node: UnsafePointer<Node>, _ segment: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
        if unsafe node.pointee.bucketMask > 0 { return unsafe hashedChild(node, segment, count) }
        var (low, high) = unsafe (node.pointee.edges.lowerBound, node.pointee.edges.upperBound)
        while low < high {
            let middle = low &+ (high &- low) / 2
            let edge = unsafe edges.baseAddress! + Int(middle)
            var order = unsafe Int(edge.pointee.text.count) &- count
            if order == 0 { order = unsafe Int(memcmp(bytes.baseAddress! + Int(edge.pointee.text.offset), segment, count)) }
            if order == 0 { return unsafe edge.pointee.node }
            if order < 0 { low = middle &+ 1 } else { high = middle }
        }
        return -1
    }

    private func hashedChild(_ node: UnsafePointer<Node>, _ segment: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
        let first = unsafe buckets.baseAddress! + Int(node.pointee.firstBucket)
        let mask = unsafe Int(node.pointee.bucketMask)
        var place = unsafe Self.hash(segment, count) & mask
        // Ends: half of the places are free.
        while true {
            let number = unsafe first[place]
            guard number >= 0 else { return -1 }
            let edge = unsafe edges.baseAddress! + Int(number)
            if unsafe Int(edge.pointee.text.count) == count, unsafe memcmp(bytes.baseAddress! + Int(edge.pointee.text.offset), segment, count) == 0 { return unsafe edge.pointee.node }
            place = (place &+ 1) & mask
        }
    }

    /// Of the length and the text's bytes, eight at a time, the last of them overlapping. Places are filled from the routes alone, so requests cannot make searches long.
    static func hash(_ text: UnsafePointer<UInt8>, _ count: Int) -> Int {
        func word<T: FixedWidthInteger & BitwiseCopyable>(_ at: Int, _ type: T.Type) -> UInt64 {
            // SAFETY: the caller's text has `count` bytes, and `at` leaves room for the word.
            unsafe UInt64(truncatingIfNeeded: T(littleEndian: UnsafeRawPointer(text + at).loadUnaligned(as: type)))
        }
        var hash = UInt64(truncatingIfNeeded: count) &* 0x9e37_79b9_7f4a_7c15
        if count >= 8 {
            var at = 0
            while at < count &- 8 {
                hash = mix(hash ^ word(at, UInt64.self))
                at &+= 8
            }
            hash ^= word(count &- 8, UInt64.self)
        } else if count >= 4 {
            hash ^= word(0, UInt32.self) | word(count &- 4, UInt32.self) &<< 32
        } else if count > 0 {
            hash ^= word(0, UInt8.self) | word(count / 2, UInt8.self) &<< 8 | word(count &- 1, UInt8.self) &<< 16
        }
        return Int(truncatingIfNeeded: mix(hash))
    }

    /// Every bit of the result depends on all of the value: texts differ at their ends, which are the upper bits of a word.
    @inline(__always)
    private static func mix(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0xd6e8_feb8_6659_fd93)
        return product.high ^ product.low
    }

    private func decodedChild(_ node: UnsafePointer<Node>, _ segment: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
        // Three bytes become one at best.
        guard count <= 3 &* textBytesMax else { return -1 }
        // SAFETY: decoding never makes text longer; the memory is on the stack for this size, and used within the call.
        return unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: max(count, 1)) { room in
            let target = room.baseAddress!
            let length = unsafe Self.decode(segment, count, into: target)
            return unsafe child(node, target, length)
        }
    }

    /// Percent-decoding that leaves what is not a triplet as it is: such text can only equal itself.
    private static func decode(_ source: UnsafePointer<UInt8>, _ count: Int, into target: UnsafeMutablePointer<UInt8>) -> Int {
        var (from, to) = (0, 0)
        while from < count {
            var byte = unsafe source[from]
            from &+= 1
            if byte == UInt8(ascii: "%"), count &- from >= 2, let high = unsafe hexDigitValue(source[from]),
                let low = unsafe hexDigitValue(source[from &+ 1])
            {
                byte = high &<< 4 | low
                from &+= 2
            }
            unsafe target[to] = byte
            to &+= 1
        }
        return to
    }

    /// As the matching does it, for the text of patterns.
    static func decode(_ bytes: [UInt8]) -> [UInt8] {
        guard !bytes.isEmpty else { return [] }
        // SAFETY: decoding never makes text longer; both arrays outlive the call.
        return unsafe [UInt8](unsafeUninitializedCapacity: bytes.count) { target, count in
            count = unsafe bytes.withUnsafeBufferPointer { unsafe decode($0.baseAddress!, $0.count, into: target.baseAddress!) }
        }
    }
}
