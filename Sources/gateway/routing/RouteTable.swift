// Which route takes a request: the rules of a configuration, compiled to flat memory that the loops read without a lock,
// an allocation or a reference count. Made once per configuration, immutable, shared by all loops; whoever holds the
// table keeps its memory alive.
//
// The path is compared as the caller gives it: normalised (dot segments removed, percent-encoding decoded except where it
// keeps a character apart from a delimiter, so %2F stays), as nginx, Envoy and Caddy do. Comparing the raw target would
// let `/a/../admin` and `/%61dmin` walk around a route for `/admin`.

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

    private struct Route {
        var hosts: Range<Int32>
        /// Zero: every method.
        var methods: UInt64
        /// Requests over TLS are not taken.
        var isClearOnly: Bool
    }

    private struct Text {
        var offset: Int32
        var count: Int32
    }

    private struct Host {
        var text: Text
        var isWildcard: Bool
    }

    /// A path without wildcards. Items of one hash bucket are chained in the order of their routes.
    private struct Exact {
        var text: Text
        var hash: UInt64
        var route: Int32
        var next: Int32
    }

    private enum WideKind {
        /// Every path, `*` included.
        case any
        /// `text` with its last slash begins the path.
        case prefix
        /// As `prefix`, for texts of at least eight bytes: `ending` is compared first.
        case longPrefix
        /// Segment by segment.
        case segments
    }

    private struct Wide {
        var kind: WideKind
        var hasTail: Bool
        var route: Int32
        var text: Text
        var segments: Range<Int32>
        /// The last eight bytes of `text`: prefixes differ at their ends more often than at their starts.
        var ending: UInt64 = 0
    }

    private struct Segment {
        var text: Text
        var isParameter: Bool
    }

    private struct Method {
        var low: UInt64
        var high: UInt64
        var text: Text
    }

    // Flat memory, freed in deinit.
    private let bytes: UnsafeBufferPointer<UInt8>
    private let routes: UnsafeBufferPointer<Route>
    private let hosts: UnsafeBufferPointer<Host>
    private let exacts: UnsafeBufferPointer<Exact>
    /// Index of the first `Exact` of a bucket or -1; a power of two of them.
    private let buckets: UnsafeBufferPointer<Int32>
    private let wides: UnsafeBufferPointer<Wide>
    private let segments: UnsafeBufferPointer<Segment>
    private let methods: UnsafeBufferPointer<Method>
    private let hasHosts: Bool
    private let exactBytesMax: Int
    /// Room that `writeAllow` needs at most.
    package let allowBytesMax: Int

    package init(_ rules: [RouteMatchRule]) {
        let draft = Draft(rules)
        unsafe bytes = Self.place(draft.bytes)
        unsafe routes = Self.place(draft.routes)
        unsafe hosts = Self.place(draft.hosts)
        unsafe exacts = Self.place(draft.exacts)
        unsafe buckets = Self.place(draft.buckets)
        unsafe wides = Self.place(draft.wides)
        unsafe segments = Self.place(draft.segments)
        unsafe methods = Self.place(draft.methods)
        hasHosts = !draft.hosts.isEmpty
        exactBytesMax = draft.exacts.map { Int($0.text.count) }.max() ?? -1
        allowBytesMax = draft.methods.reduce(0) { $0 + Int($1.text.count) + 2 }
    }

    deinit {
        // No loop holds the table any more, so nobody reads this memory.
        unsafe bytes.deallocate()
        unsafe routes.deallocate()
        unsafe hosts.deallocate()
        unsafe exacts.deallocate()
        unsafe buckets.deallocate()
        unsafe wides.deallocate()
        unsafe segments.deallocate()
        unsafe methods.deallocate()
    }

    /// A copy of `items` in memory of its own. All types here are plain numbers: nothing to deinitialise.
    private static func place<T>(_ items: [T]) -> UnsafeBufferPointer<T> {
        let memory = UnsafeMutableBufferPointer<T>.allocate(capacity: items.count)  // freed in deinit
        _ = unsafe memory.initialize(from: items)
        return UnsafeBufferPointer(memory)
    }
}

// MARK: Matching

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
        let bit = unsafe methodBit(method)
        let name = unsafe hasHosts ? Self.hostName(host) : UnsafeRawBufferPointer(start: nil, count: 0)
        var allowed: UInt64 = 0
        var best = Int32.max
        var exact = unsafe firstExact(path)
        while exact >= 0 {
            let item = unsafe exacts[Int(exact)]
            exact = item.next
            guard unsafe equals(item.text, path), unsafe takes(item.route, name, isSecure) else { continue }
            let methods = unsafe routes[Int(item.route)].methods
            if methods == 0 || methods & bit != 0 {
                best = item.route
                break
            }
            allowed |= methods
        }
        for index in unsafe 0..<wides.count {
            let item = unsafe wides[index]
            if item.route >= best { break }
            guard unsafe takesPath(item, path), unsafe takes(item.route, name, isSecure) else { continue }
            let methods = unsafe routes[Int(item.route)].methods
            if methods == 0 || methods & bit != 0 { return .route(Int(item.route)) }
            allowed |= methods
        }
        if best != .max { return .route(Int(best)) }
        return allowed == 0 ? .notFound : .methodNotAllowed(RouteMethods(mask: allowed))
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

    /// The host without its port and without the final dot of a rooted name. `[::1]:80` keeps its brackets.
    private static func hostName(_ host: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        var end = host.count
        var index = host.count
        while index > 0 {
            index &-= 1
            let byte = unsafe host[index]
            if byte == UInt8(ascii: ":") {
                end = index
                break
            }
            if byte < UInt8(ascii: "0") || byte > UInt8(ascii: "9") { break }
        }
        if end > 0, unsafe host[end &- 1] == UInt8(ascii: ".") { end &-= 1 }
        return unsafe UnsafeRawBufferPointer(rebasing: host[..<end])
    }

    private func takes(_ route: Int32, _ name: UnsafeRawBufferPointer, _ isSecure: Bool) -> Bool {
        if isSecure, unsafe routes[Int(route)].isClearOnly { return false }
        let range = unsafe routes[Int(route)].hosts
        if range.isEmpty { return true }
        for index in range {
            let host = unsafe hosts[Int(index)]
            let count = Int(host.text.count)
            if host.isWildcard ? name.count <= count : name.count != count { continue }
            if unsafe endsFolded(name, with: host.text) { return true }
        }
        return false
    }

    /// Compares the last bytes of `name`, in lower case, with a text of the table.
    private func endsFolded(_ name: UnsafeRawBufferPointer, with text: Text) -> Bool {
        let start = name.count &- Int(text.count)
        for index in 0..<Int(text.count) {
            var byte = unsafe name[start &+ index]
            if byte &- UInt8(ascii: "A") < 26 { byte |= 0x20 }
            if unsafe byte != bytes[Int(text.offset) &+ index] { return false }
        }
        return true
    }

    private func firstExact(_ path: UnsafeRawBufferPointer) -> Int32 {
        if path.count > exactBytesMax { return -1 }
        let hash = unsafe Self.hash(path)
        return unsafe buckets[Int(truncatingIfNeeded: hash & UInt64(buckets.count &- 1))]
    }

    private func equals(_ text: Text, _ path: UnsafeRawBufferPointer) -> Bool {
        unsafe path.count == Int(text.count) && begins(path, with: text)
    }

    private func begins(_ path: UnsafeRawBufferPointer, with text: Text) -> Bool {
        let count = Int(text.count)
        guard path.count >= count else { return false }
        for index in 0..<count where unsafe path[index] != bytes[Int(text.offset) &+ index] { return false }
        return true
    }

    private func takesPath(_ wide: Wide, _ path: UnsafeRawBufferPointer) -> Bool {
        switch wide.kind {
        case .any: return true
        case .prefix: return unsafe begins(path, with: wide.text)
        case .longPrefix:
            let count = Int(wide.text.count)
            // At least eight bytes stand before `count`: `longPrefix` says so.
            guard path.count >= count, unsafe path.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self) == wide.ending
            else { return false }
            return unsafe begins(path, with: wide.text)
        case .segments: break
        }
        var position = 0
        for index in wide.segments {
            guard position < path.count, unsafe path[position] == UInt8(ascii: "/") else { return false }
            position &+= 1
            let start = position
            while position < path.count, unsafe path[position] != UInt8(ascii: "/") { position &+= 1 }
            let segment = unsafe segments[Int(index)]
            if segment.isParameter {
                if position == start { return false }
            } else if unsafe !equals(segment.text, UnsafeRawBufferPointer(rebasing: path[start..<position])) {
                return false
            }
        }
        return wide.hasTail ? position < path.count : position == path.count
    }

    /// Mixes eight bytes at a time. Buckets are filled from the configuration alone, so requests cannot make them long.
    private static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash = UInt64(truncatingIfNeeded: bytes.count) &* 0x9e37_79b9_7f4a_7c15
        var index = 0
        while index &+ 8 <= bytes.count {
            hash = unsafe mix(hash ^ bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            index &+= 8
        }
        var rest: UInt64 = 0
        while index < bytes.count {
            rest = unsafe rest &<< 8 | UInt64(bytes[index])
            index &+= 1
        }
        return mix(hash ^ rest)
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0xd6e8_feb8_6659_fd93)
        return product.high ^ product.low
    }
}

// MARK: Compiling

extension RouteTable {
    /// The arrays before they are copied to flat memory.
    private struct Draft {
        var bytes: [UInt8] = []
        var routes: [Route] = []
        var hosts: [Host] = []
        var exacts: [Exact] = []
        var buckets: [Int32] = []
        var wides: [Wide] = []
        var segments: [Segment] = []
        var methods: [Method] = []
        private var methodIndex: [String: Int] = [:]

        init(_ rules: [RouteMatchRule]) {
            for (index, rule) in rules.enumerated() { add(rule, Int32(index)) }
            chain()
        }

        private mutating func add(_ rule: RouteMatchRule, _ route: Int32) {
            let firstHost = Int32(hosts.count)
            for host in rule.hosts { hosts.append(Host(text: text(host.text), isWildcard: host.isWildcard)) }
            let mask = rule.methods.names.reduce(UInt64(0)) { $0 | (1 << UInt64(methodNumber($1))) }
            routes.append(Route(hosts: firstHost..<Int32(hosts.count), methods: mask, isClearOnly: rule.isClearOnly))
            if rule.paths.isEmpty {
                wides.append(Wide(kind: .any, hasTail: true, route: route, text: Text(offset: 0, count: 0), segments: 0..<0))
            }
            for path in rule.paths { add(path, route) }
        }

        private mutating func add(_ path: PathPattern, _ route: Int32) {
            if path.isExact {
                let bytes = Array(path.text.utf8)
                // `bytes` lives through the closure.
                let hash = unsafe bytes.withUnsafeBytes { unsafe RouteTable.hash($0) }
                exacts.append(Exact(text: text(path.text), hash: hash, route: route, next: -1))
                return
            }
            let isPrefix = !path.segments.contains(.parameter)
            let first = Int32(segments.count)
            for segment in path.segments where !isPrefix {
                switch segment {
                case .literal(let literal): segments.append(Segment(text: text(literal), isParameter: false))
                case .parameter: segments.append(Segment(text: Text(offset: 0, count: 0), isParameter: true))
                }
            }
            guard isPrefix else {
                wides.append(
                    Wide(
                        kind: .segments, hasTail: path.hasTail, route: route, text: Text(offset: 0, count: 0),
                        segments: first..<Int32(segments.count)))
                return
            }
            let prefix = Array(path.text.utf8.dropLast())
            var wide = Wide(kind: .prefix, hasTail: true, route: route, text: text(String(path.text.dropLast())), segments: 0..<0)
            if prefix.count >= 8 {
                wide.kind = .longPrefix
                // `prefix` lives through the closure.
                wide.ending = unsafe prefix.withUnsafeBytes { unsafe $0.loadUnaligned(fromByteOffset: prefix.count - 8, as: UInt64.self) }
            }
            wides.append(wide)
        }

        private mutating func text(_ text: String) -> Text {
            let offset = Int32(bytes.count)
            bytes += Array(text.utf8)
            return Text(offset: offset, count: Int32(bytes.count) - offset)
        }

        private mutating func methodNumber(_ name: String) -> Int {
            if let number = methodIndex[name] { return number }
            precondition(methods.count < RouteTable.methodsMax, "BUG: the loader lets pass more methods than a table numbers")
            var words: (low: UInt64, high: UInt64) = (0, 0)
            for (index, byte) in name.utf8.enumerated() {
                if index < 8 { words.low |= UInt64(byte) << UInt64(index * 8) } else { words.high |= UInt64(byte) << UInt64((index - 8) * 8) }
            }
            methodIndex[name] = methods.count
            methods.append(Method(low: words.low, high: words.high, text: text(name)))
            return methods.count - 1
        }

        /// From the last to the first, so that each chain ends up in the order of the routes.
        private mutating func chain() {
            var count = 1
            while count < exacts.count * 2 { count *= 2 }
            buckets = [Int32](repeating: -1, count: count)
            for index in exacts.indices.reversed() {
                let bucket = Int(exacts[index].hash & UInt64(count - 1))
                exacts[index].next = buckets[bucket]
                buckets[bucket] = Int32(index)
            }
        }
    }
}
