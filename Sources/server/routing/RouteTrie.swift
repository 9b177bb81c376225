// RouteTrie: which endpoint takes a method and a path. Flat memory, written once by RouteTrieBuilder, read by all loops without a lock, an
// allocation or a reference count. Whoever holds the trie keeps its memory alive.
//
// Paths are compared raw, segment by segment, except that `%XX` in a request stands for its byte: `/%61dmin` is `/admin`, as RFC 3986
// section 6.2.2.2 has it, and cannot walk around a route. `%2F` does not separate segments. Dot segments are not resolved.

internal import Glibc
internal import UringHTTP

/// Methods as bits, by `HTTPMethod.rawValue`.
struct RouteMethodSet: OptionSet {
    let rawValue: UInt16
    init(rawValue: UInt16) { self.rawValue = rawValue }
    init(_ method: HTTPMethod) { rawValue = 1 << UInt16(method.rawValue) }
    static let all = RouteMethodSet(HTTPMethod.allCases.map(RouteMethodSet.init))

    /// The value of `Allow`. Extension methods have no name here: a route for any method lists the registered ones.
    var allow: String {
        HTTPMethod.allCases.filter { $0 != .other && contains(RouteMethodSet($0)) }.map { $0.name.description }.joined(separator: ", ")
    }
}

// Sendable: all memory is written in init and only read afterwards. Safe: the pointers never leave the trie.
@safe
final class RouteTrie: @unchecked Sendable {
    struct Node {
        /// Children with text, in `edges`, ordered by length, then by bytes.
        var edges: Range<Int32> = 0..<0
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
    private let leaves: UnsafeBufferPointer<Leaf>
    private let bytes: UnsafeBufferPointer<UInt8>
    private let textBytesMax: Int
    /// Of all routes: the answer to `OPTIONS *`.
    let methods: RouteMethodSet

    init(nodes: [Node], edges: [Edge], leaves: [Leaf], bytes: [UInt8]) {
        unsafe self.nodes = Self.place(nodes)
        unsafe self.edges = Self.place(edges)
        unsafe self.leaves = Self.place(leaves)
        unsafe self.bytes = Self.place(bytes)
        textBytesMax = edges.map { Int($0.text.count) }.max() ?? 0
        methods = leaves.reduce(into: []) { $0.formUnion($1.methods) }
    }

    deinit {
        // No loop holds the trie any more, so nobody reads this memory.
        unsafe nodes.deallocate()
        unsafe edges.deallocate()
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

    enum Match {
        case endpoint(Int)
        /// No route lies there (empty), or only for these methods.
        case none(RouteMethodSet)
    }

    /// Text beats a parameter, a parameter beats a wildcard; a place without the method is passed over.
    /// - Parameters:
    ///   - path: bytes `offset..<offset + count` of `base`: the request's path.
    ///   - captures: gets the parameters, as offsets from `base`, on a match; is empty otherwise.
    func match(
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
        var end = start
        var isEncoded = false
        while unsafe end < search.end, case let byte = unsafe search.base[end], byte != UInt8(ascii: "/") {
            if byte == UInt8(ascii: "%") { isEncoded = true }
            end &+= 1
        }
        if unsafe !node.pointee.edges.isEmpty {
            let child = unsafe isEncoded ? decodedChild(node.pointee.edges, search.base + start, end &- start) : child(node.pointee.edges, search.base + start, end &- start)
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

    /// Binary search among the texts; -1 = none.
    private func child(_ range: Range<Int32>, _ segment: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
        var (low, high) = (range.lowerBound, range.upperBound)
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

    private func decodedChild(_ range: Range<Int32>, _ segment: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
        // Three bytes become one at best.
        guard count <= 3 &* textBytesMax else { return -1 }
        // SAFETY: decoding never makes text longer; the memory is on the stack for this size, and used within the call.
        return unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: max(count, 1)) { room in
            let target = room.baseAddress!
            let length = unsafe Self.decode(segment, count, into: target)
            return unsafe child(range, target, length)
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
