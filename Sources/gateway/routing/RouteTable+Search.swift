// RouteTable+Search: one look-up in the index of routes. On the loops' threads; nothing is allocated, locked or counted. Reads what the table keeps, and the request's bytes,
// which the caller of `RouteTable.match` keeps through that call.

internal import Glibc

extension RouteTable {
    /// A look-up under way. Rules are met in no order; the first of the file wins, and what cannot be earlier than the best so far is not looked at.
    @safe struct Search {
        let path: UnsafeRawBufferPointer
        let method: UInt64
        let isSecure: Bool
        var best = Int32.max
        /// Methods of rules that take all but the method.
        var allowed: UInt64 = 0

        init(path: UnsafeRawBufferPointer, method: UInt64, isSecure: Bool) {
            unsafe self.path = path
            (self.method, self.isSecure) = (method, isSecure)
        }
    }
}

extension RouteTable.Search {
    mutating func find(in table: RouteTable, host: UnsafeRawBufferPointer) {
        // For exact paths, below whichever host.
        let hash = unsafe path.count <= table.exactBytesMax ? RouteTable.hash(path) : 0
        unsafe find(in: table, table.roots[0], 0, hash)
        guard table.hostBytesMax >= 0 else { return }
        let name = unsafe Self.hostName(host)
        // From the end, so that each parent domain's hash is met on the way.
        var state = RouteTable.hostSeed
        var index = name.count
        let last = max(0, name.count &- table.hostBytesMax)
        while index > last {
            index &-= 1
            let byte = unsafe RouteTable.folded(name[index])
            state = RouteTable.hostHash(state, byte)
            guard byte == UInt8(ascii: "."), index > 0, table.hasWildcards else { continue }
            unsafe find(in: table, UnsafeRawBufferPointer(rebasing: name[index...]), isWildcard: true, state, hash)
        }
        if index == 0, name.count > 0 { unsafe find(in: table, name, isWildcard: false, state, hash) }
    }

    /// Below the host, or parent domain, of this name if the table has it.
    private mutating func find(in table: RouteTable, _ name: UnsafeRawBufferPointer, isWildcard: Bool, _ state: UInt64, _ hash: UInt64) {
        let key = RouteTable.hostKey(state, isWildcard: isWildcard)
        var index = unsafe table.hostBuckets[Int(truncatingIfNeeded: key & UInt64(table.hostBuckets.count &- 1))]
        while index >= 0 {
            let host = unsafe table.hosts[Int(index)]
            if host.hash == key, host.isWildcard == isWildcard, unsafe Self.equalsFolded(name, host.text, table) {
                let root = Int(host.root)
                return unsafe find(in: table, table.roots[root], root, hash)
            }
            index = host.next
        }
    }

    private mutating func find(in table: RouteTable, _ root: RouteTable.Root, _ number: Int, _ hash: UInt64) {
        guard root.least < best else { return }
        take(root.any, table)
        if root.hasExacts, unsafe path.count <= table.exactBytesMax { findExact(in: table, Int32(truncatingIfNeeded: number), hash) }
        if root.node >= 0 { walk(table, root.node, 0) }
    }

    private mutating func findExact(in table: RouteTable, _ root: Int32, _ hash: UInt64) {
        let key = RouteTable.exactKey(hash, root: root)
        var index = unsafe table.exactBuckets[Int(truncatingIfNeeded: key & UInt64(table.exactBuckets.count &- 1))]
        while index >= 0 {
            let exact = unsafe table.exacts[Int(index)]
            if exact.hash == key, exact.root == root, unsafe Self.equals(path, exact.text, table) { return take(exact.items, table) }
            index = exact.next
        }
    }

    /// Down the tree, from behind `start` bytes of the path. Where both a literal and any segment go on, the latter by a call of its own: patterns have at most
    /// `PathPattern.segmentsMax` segments, so calls are no deeper; and each place of the tree is met at most once.
    private mutating func walk(_ table: RouteTable, _ start: Int32, _ from: Int) {
        var (number, position) = (start, from)
        while true {
            let node = unsafe table.nodes[Int(number)]
            guard node.least < best else { return }
            guard unsafe position < path.count else { return take(node.middle..<node.end, table) }
            guard unsafe path[position] == UInt8(ascii: "/") else { return }
            take(node.first..<node.middle, table)
            guard node.hasLiterals || node.parameter >= 0 else { return }
            let begin = position &+ 1
            position = begin
            while unsafe position < path.count && path[position] != UInt8(ascii: "/") { position &+= 1 }
            let literal = unsafe node.hasLiterals ? Self.child(of: number, UnsafeRawBufferPointer(rebasing: path[begin..<position]), table) : -1
            let parameter = position > begin ? node.parameter : -1
            if literal >= 0, parameter >= 0 { walk(table, parameter, position) }
            number = literal >= 0 ? literal : parameter
            if number < 0 { return }
        }
    }

    private mutating func take(_ range: Range<Int32>, _ table: RouteTable) {
        for index in range {
            let item = unsafe table.items[Int(index)]
            guard item.route < best else { return }
            if isSecure && item.isClearOnly { continue }
            if item.methods == 0 || item.methods & method != 0 {
                best = item.route
                return
            }
            allowed |= item.methods
        }
    }

    private static func child(of node: Int32, _ segment: UnsafeRawBufferPointer, _ table: RouteTable) -> Int32 {
        let key = unsafe RouteTable.exactKey(RouteTable.hash(segment), root: node)
        var index = unsafe table.nodeBuckets[Int(truncatingIfNeeded: key & UInt64(table.nodeBuckets.count &- 1))]
        while index >= 0 {
            // In place: a node is larger than what a miss needs of it.
            let found = unsafe table.nodes.baseAddress! + Int(index)
            if unsafe found.pointee.hash == key, unsafe found.pointee.parent == node, unsafe equals(segment, found.pointee.text, table) { return index }
            index = unsafe found.pointee.next
        }
        return -1
    }

    private static func equals(_ text: UnsafeRawBufferPointer, _ wanted: RouteTable.Text, _ table: RouteTable) -> Bool {
        guard text.count == Int(wanted.count) else { return false }
        guard let start = text.baseAddress, let base = unsafe table.bytes.baseAddress else { return true }
        return unsafe memcmp(start, base + Int(wanted.offset), text.count) == 0
    }

    /// The table's hosts are in lower case.
    private static func equalsFolded(_ name: UnsafeRawBufferPointer, _ wanted: RouteTable.Text, _ table: RouteTable) -> Bool {
        guard name.count == Int(wanted.count) else { return false }
        for index in 0..<name.count where unsafe RouteTable.folded(name[index]) != table.bytes[Int(wanted.offset) &+ index] { return false }
        return true
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
}

// MARK: Hashes, the same for tables that are made and requests. Tables are filled from the configuration alone: requests cannot make a chain long.

extension RouteTable {
    static let hostSeed: UInt64 = 0xcbf2_9ce4_8422_2325

    static func folded(_ byte: UInt8) -> UInt8 { byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte }

    static func hostHash(_ state: UInt64, _ byte: UInt8) -> UInt64 { (state ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }

    static func hostKey(_ state: UInt64, isWildcard: Bool) -> UInt64 { mix(isWildcard ? ~state : state) }

    /// Of a text below a root, or a segment below a place of the tree.
    static func exactKey(_ hash: UInt64, root: Int32) -> UInt64 { mix(hash ^ (UInt64(UInt32(bitPattern: root)) &* 0x9e37_79b9_7f4a_7c15)) }

    /// Mixes eight bytes at a time.
    static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
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
