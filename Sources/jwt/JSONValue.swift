// A value of a JSON text that has been read, seen where it lies. A pair of pointers and an index; valid as long as the memory it was read
// into is neither freed nor used again. The loop's thread.

/// A view: no copy, no allocation. Whoever owns the memory says how long it lives.
@safe package struct JSONValue {
    private let text: UnsafePointer<UInt8>
    private let nodes: UnsafePointer<JSONNode>
    private let index: Int

    init(text: UnsafePointer<UInt8>, nodes: UnsafePointer<JSONNode>, index: Int) {
        unsafe self.text = text
        unsafe self.nodes = nodes
        self.index = index
    }

    // Within the table: the index came from it.
    private var node: JSONNode { unsafe nodes[index] }

    package var kind: JSONKind { node.kind }

    /// Values in an array or object.
    package var count: Int { kind == .array || kind == .object ? Int(node.count) : 0 }

    /// What a string says, decoded, or a number as it was written; empty for other kinds. Any byte may be in it, control characters too: who
    /// puts it into a header field must check it as one.
    package var bytes: UnsafeBufferPointer<UInt8> {
        let hasBytes = kind == .string || kind == .number
        return unsafe UnsafeBufferPointer(start: text + Int(node.offset), count: hasBytes ? Int(node.count) : 0)
    }

    /// The name of a member.
    package var name: UnsafeBufferPointer<UInt8> { unsafe UnsafeBufferPointer(start: text + Int(node.nameOffset), count: Int(node.nameCount)) }

    // MARK: within

    /// The values of an array or object, in turn: begins with the first, nil behind the last.
    package var first: JSONValue? { count > 0 ? JSONValue(copying: self, index: index &+ 1) : nil }

    /// The one beside it in `container`.
    package func next(in container: JSONValue) -> JSONValue? {
        let next = Int(node.end)
        return next < Int(container.node.end) ? JSONValue(copying: self, index: next) : nil
    }

    private init(copying other: JSONValue, index: Int) { unsafe self.init(text: other.text, nodes: other.nodes, index: index) }

    package func member(_ name: StaticString) -> JSONValue? {
        // Literals are immortal.
        unsafe member(UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
    }

    package func member(_ name: UnsafeBufferPointer<UInt8>) -> JSONValue? {
        // The caller's name during this call.
        guard kind == .object, let base = name.baseAddress else { return nil }
        let hash = unsafe JSONValue.hash(base, name.count)
        var at = index &+ 1
        let end = Int(node.end)
        while at < end {
            let node = unsafe nodes[at]
            if node.hash == hash, Int(node.nameCount) == name.count, unsafe ByteSearch.areEqual(text + Int(node.nameOffset), base, name.count) {
                return JSONValue(copying: self, index: at)
            }
            at = Int(node.end)
        }
        return nil
    }

    /// A claim by a path as configurations write it: `realm_access.roles`. Names may have dots of their own (`https://example.com/role`): at
    /// each level the whole rest is tried first, then what stands before each dot.
    package func value(at path: UnsafeBufferPointer<UInt8>) -> JSONValue? {
        // The caller's path during this call; it is an operator's, so its dots bound the recursion.
        if let found = unsafe member(path) { return found }
        for dot in 0..<path.count where unsafe path[dot] == UInt8(ascii: ".") {
            if let inner = unsafe member(UnsafeBufferPointer(rebasing: path[..<dot])), inner.kind == .object,
                let found = unsafe inner.value(at: UnsafeBufferPointer(rebasing: path[(dot + 1)...]))
            {
                return found
            }
        }
        return nil
    }

    // MARK: comparing

    /// Whether a string says exactly this.
    package func isString(_ other: UnsafeBufferPointer<UInt8>) -> Bool {
        guard kind == .string, Int(node.count) == other.count else { return false }
        guard let base = other.baseAddress else { return true }
        return unsafe ByteSearch.areEqual(text + Int(node.offset), base, other.count)
    }

    package func isString(_ other: StaticString) -> Bool {
        // Literals are immortal.
        unsafe isString(UnsafeBufferPointer(start: other.utf8Start, count: other.utf8CodeUnitCount))
    }

    /// A string of this, or an array with such a string in it: the forms that `aud` may have (RFC 7519 4.1.3).
    package func namesString(_ other: UnsafeBufferPointer<UInt8>) -> Bool {
        if unsafe isString(other) { return true }
        guard kind == .array else { return false }
        var element = first
        while let value = element {
            if unsafe value.isString(other) { return true }
            element = value.next(in: self)
        }
        return false
    }

    /// A word of a string that is a list separated by spaces (RFC 6749 3.3, RFC 8693 4.2), or a string of an array.
    package func hasWord(_ word: UnsafeBufferPointer<UInt8>) -> Bool {
        guard kind == .string else { return unsafe namesString(word) }
        let list = unsafe bytes
        guard let base = word.baseAddress, word.count > 0 else { return false }
        var start = 0
        while start < list.count {
            var end = start
            while end < list.count, unsafe list[end] != 0x20 { end &+= 1 }
            if end &- start == word.count, let text = list.baseAddress, unsafe ByteSearch.areEqual(text + start, base, word.count) { return true }
            start = end &+ 1
        }
        return false
    }

    /// Ends and length: enough to tell most names of one object apart.
    @inline(__always)
    static func hash(_ name: UnsafePointer<UInt8>, _ count: Int) -> UInt8 {
        // The caller's name.
        count == 0 ? 0 : unsafe (name[0] &* 31) ^ name[count &- 1] ^ UInt8(truncatingIfNeeded: count &* 17)
    }
}
