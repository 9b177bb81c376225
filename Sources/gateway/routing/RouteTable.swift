// Which route takes a request: the rules of a configuration, compiled to flat memory that the loops read without a lock,
// an allocation or a reference count. Made once per configuration, immutable, shared by all loops; whoever holds the
// table keeps its memory alive.
//
// The path is compared as the caller gives it: normalised (dot segments removed, percent-encoding decoded except where it
// keeps a character apart from a delimiter, so %2F stays), as nginx, Envoy and Caddy do. Comparing the raw target would
// let `/a/../admin` and `/%61dmin` walk around a route for `/admin`.
//
// The first rule in the order of the file wins. It is found by an index, made with the table (`RouteTable+Compiling`): hosts by hash, below each host the exact paths by hash
// and all others in a tree of segments; each place has the rules that end there, in their order (`RouteTable+Search`). So the cost of a look-up follows the
// request's segments, not the count of routes.

package enum RouteMatch: Sendable, Equatable {
    /// Index of the rule in the order given to the table.
    case route(Int)
    /// No rule has this host and path: 404.
    case notFound
    /// Rules have this host and path, but none the method: 405 with these in Allow (RFC 9110 section 15.5.6).
    case methodNotAllowed(RouteMethods)
}

/// Methods as bits of one table; `RouteTable.writeAllow` says their names.
package struct RouteMethods: Sendable, Equatable {
    let mask: UInt64
}

// Sendable: all memory is written in init and only read afterwards. Safe: the pointers never leave the table, and every
// range read through them was made in init together with what it points to.
@safe package final class RouteTable: @unchecked Sendable {
    /// Methods are bits of a word. All registered methods together are 40.
    package static let methodsMax = 64
    /// Pairs of a host and a path, over all rules: each has its place in the index, of about 100 bytes.
    package static let pairsMax = 1_000_000

    struct Text {
        var offset: Int32
        var count: Int32
    }

    /// A rule, at each place of the index that it ends at. Those of one place are in the order of the rules.
    struct Item {
        /// Zero: every method.
        var methods: UInt64
        var route: Int32
        /// Requests over TLS are not taken.
        var isClearOnly: Bool
    }

    /// What one host pattern, or every host, leads to.
    struct Root {
        /// Rules for every path, `*` included.
        var any: Range<Int32>
        /// Of the tree of segments; -1: none.
        var node: Int32 = -1
        var hasExacts = false
        /// The first rule of all below.
        var least = Int32.max
    }

    struct Host {
        var hash: UInt64
        var text: Text
        var root: Int32
        var next: Int32
        var isWildcard: Bool
    }

    /// A path without wildcards, below one root.
    struct Exact {
        var hash: UInt64
        var text: Text
        var root: Int32
        var next: Int32
        var items: Range<Int32>
    }

    /// A place in the tree of segments: behind the segments that lead to it. Found by its parent and its text.
    struct Node {
        var hash: UInt64 = 0
        var text = Text(offset: 0, count: 0)
        var parent: Int32 = -1
        var next: Int32 = -1
        /// The place behind any segment that is not empty; -1: none.
        var parameter: Int32 = -1
        /// The first rule of this place and of all below.
        var least = Int32.max
        /// Items of patterns with a tail are `first..<middle`, those of patterns that end here `middle..<end`.
        var first: Int32 = 0
        var middle: Int32 = 0
        var end: Int32 = 0
        var hasLiterals = false
    }

    struct Method {
        var low: UInt64
        var high: UInt64
        var text: Text
    }

    // Flat memory, freed in deinit.
    let bytes: UnsafeBufferPointer<UInt8>
    let items: UnsafeBufferPointer<Item>
    /// The first is for every host.
    let roots: UnsafeBufferPointer<Root>
    let hosts: UnsafeBufferPointer<Host>
    let exacts: UnsafeBufferPointer<Exact>
    let nodes: UnsafeBufferPointer<Node>
    // Index of a bucket's first entry or -1; a power of two of them.
    let hostBuckets: UnsafeBufferPointer<Int32>
    let exactBuckets: UnsafeBufferPointer<Int32>
    let nodeBuckets: UnsafeBufferPointer<Int32>
    let methods: UnsafeBufferPointer<Method>
    /// -1: no host is named.
    let hostBytesMax: Int
    let hasWildcards: Bool
    let exactBytesMax: Int
    /// Room that `writeAllow` needs at most.
    package let allowBytesMax: Int

    package init(_ rules: [RouteMatchRule]) {
        let draft = Draft(rules)
        unsafe bytes = Self.place(draft.bytes)
        unsafe items = Self.place(draft.items)
        unsafe roots = Self.place(draft.roots)
        unsafe hosts = Self.place(draft.hosts)
        unsafe exacts = Self.place(draft.exacts)
        unsafe nodes = Self.place(draft.nodes)
        unsafe hostBuckets = Self.place(draft.hostBuckets)
        unsafe exactBuckets = Self.place(draft.exactBuckets)
        unsafe nodeBuckets = Self.place(draft.nodeBuckets)
        unsafe methods = Self.place(draft.methods)
        hostBytesMax = draft.hosts.map { Int($0.text.count) }.max() ?? -1
        hasWildcards = draft.hosts.contains(where: \.isWildcard)
        exactBytesMax = draft.exacts.map { Int($0.text.count) }.max() ?? -1
        allowBytesMax = draft.methods.reduce(0) { $0 + Int($1.text.count) + 2 }
    }

    deinit {
        // No loop holds the table any more, so nobody reads this memory.
        unsafe bytes.deallocate()
        unsafe items.deallocate()
        unsafe roots.deallocate()
        unsafe hosts.deallocate()
        unsafe exacts.deallocate()
        unsafe nodes.deallocate()
        unsafe hostBuckets.deallocate()
        unsafe exactBuckets.deallocate()
        unsafe nodeBuckets.deallocate()
        unsafe methods.deallocate()
    }

    /// A copy of `items` in memory of its own. All types here are plain numbers: nothing to deinitialise.
    private static func place<T>(_ items: [T]) -> UnsafeBufferPointer<T> {
        let memory = UnsafeMutableBufferPointer<T>.allocate(capacity: items.count)  // freed in deinit
        _ = unsafe memory.initialize(from: items)
        return UnsafeBufferPointer(memory)
    }
}

// MARK: Asking

extension RouteTable {
    /// The first rule that takes the request. `host` is the value of Host or :authority, with or without a port, or empty
    /// when there is none; `path` is normalised (see the top of this file), or `*` for `OPTIONS *`; `isSecure` says whether it came over TLS.
    /// Does not allocate.
    package func match(method: Span<UInt8>, host: Span<UInt8>, path: Span<UInt8>, isSecure: Bool = false) -> RouteMatch {
        unsafe method.withUnsafeBytes { method in
            unsafe host.withUnsafeBytes { host in
                unsafe path.withUnsafeBytes { path in
                    // The spans keep all three alive through this call.
                    unsafe match(method: method, host: host, path: path, isSecure: isSecure)
                }
            }
        }
    }

    /// As above for bytes whose life the caller guarantees through the call.
    package func match(
        method: UnsafeRawBufferPointer, host: UnsafeRawBufferPointer, path: UnsafeRawBufferPointer, isSecure: Bool
    ) -> RouteMatch {
        var search = unsafe Search(path: path, method: methodBit(method), isSecure: isSecure)
        unsafe search.find(in: self, host: host)
        if search.best != .max { return .route(Int(search.best)) }
        return search.allowed == 0 ? .notFound : .methodNotAllowed(RouteMethods(mask: search.allowed))
    }

    /// Writes `GET, HEAD` and so on; returns the count of bytes. `buffer` has room for `allowBytesMax`.
    package func writeAllow(_ allowed: RouteMethods, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        precondition(buffer.count >= allowBytesMax, "BUG: the buffer for Allow is too small")
        var count = 0
        for index in unsafe 0..<methods.count where allowed.mask & (1 << UInt64(index)) != 0 {
            let text = unsafe methods[index].text
            if count > 0 {
                unsafe buffer[count] = UInt8(ascii: ",")
                unsafe buffer[count + 1] = UInt8(ascii: " ")
                count += 2
            }
            // `bytes` lives as long as this table; the room was checked above.
            unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[Int(text.offset)..<Int(text.offset + text.count)]))
            count += Int(text.count)
        }
        return count
    }

    private func methodBit(_ method: UnsafeRawBufferPointer) -> UInt64 {
        guard method.count > 0, method.count <= MethodSet.nameBytesMax else { return 0 }
        var low: UInt64 = 0
        var high: UInt64 = 0
        for index in 0..<method.count {
            let byte = unsafe UInt64(method[index])
            if index < 8 { low |= byte &<< UInt64(index &* 8) } else { high |= byte &<< UInt64((index &- 8) &* 8) }
        }
        for index in unsafe 0..<methods.count where unsafe methods[index].low == low && methods[index].high == high {
            return 1 &<< UInt64(index)
        }
        return 0
    }
}
