// Reads JSON (RFC 8259) strictly: UTF-8, no name twice in an object, no value behind the first, bounded depth and number of values. Strings
// are decoded where they stand, which never takes more room than their text. No allocation. The loop's thread; JWKS at load time.

@unsafe struct JSONScanner {
    /// Values within values. Claims of identity providers nest three or four deep; each level is a frame on the stack.
    @safe static let depthMax = 16

    private var at: UnsafeMutablePointer<UInt8>
    private let end: UnsafeMutablePointer<UInt8>
    private let text: UnsafeMutablePointer<UInt8>
    private let nodes: UnsafeMutablePointer<JSONNode>
    private let capacity: Int
    private var count = 0

    /// Reads `text[..<bytes]`, which is overwritten in places, into `nodes[..<capacity]`. Both are the caller's, apart from each other, for this
    /// call. Answers the number of nodes; the first is the whole value.
    static func read(
        _ text: UnsafeMutablePointer<UInt8>, count bytes: Int, into nodes: UnsafeMutablePointer<JSONNode>, capacity: Int
    ) throws(JSONFault) -> Int {
        var scanner = unsafe JSONScanner(at: text, end: text + bytes, text: text, nodes: nodes, capacity: capacity)
        try unsafe scanner.value(depth: 0, name: Name())
        unsafe scanner.skipSpace()
        guard unsafe scanner.at == scanner.end else { throw .syntax }
        return unsafe scanner.count
    }

    private init(
        at: UnsafeMutablePointer<UInt8>, end: UnsafeMutablePointer<UInt8>, text: UnsafeMutablePointer<UInt8>, nodes: UnsafeMutablePointer<JSONNode>,
        capacity: Int
    ) {
        unsafe (self.at, self.end, self.text, self.nodes, self.capacity) = unsafe (at, end, text, nodes, capacity)
    }

    private struct Name {
        var offset: UInt32 = 0
        var count: UInt32 = 0
        var hash: UInt8 = 0
    }

    // MARK: values

    private mutating func value(depth: Int, name: Name) throws(JSONFault) {
        unsafe skipSpace()
        guard unsafe at < end else { throw .syntax }
        let index = unsafe count
        guard unsafe index < capacity else { throw .tooLong }
        unsafe count &+= 1
        unsafe nodes[index] = JSONNode(
            nameOffset: name.offset, nameCount: name.count, offset: 0, count: 0, end: UInt32(index &+ 1), kind: .null, hash: name.hash)
        // Below the end.
        switch unsafe at[0] {
        case UInt8(ascii: "\""):
            let (offset, length) = try unsafe string()
            unsafe (nodes[index].offset, nodes[index].count, nodes[index].kind) = (offset, length, .string)
        case UInt8(ascii: "{"): try unsafe object(index, depth: depth)
        case UInt8(ascii: "["): try unsafe array(index, depth: depth)
        case UInt8(ascii: "t"): try unsafe literal("true", index, .yes)
        case UInt8(ascii: "f"): try unsafe literal("false", index, .no)
        case UInt8(ascii: "n"): try unsafe literal("null", index, .null)
        default: try unsafe number(index)
        }
    }

    private mutating func object(_ index: Int, depth: Int) throws(JSONFault) {
        guard depth < Self.depthMax else { throw .tooDeep }
        unsafe at += 1
        var members: UInt32 = 0
        unsafe skipSpace()
        if unsafe !take(UInt8(ascii: "}")) {
            repeat {
                unsafe skipSpace()
                guard unsafe at < end && at[0] == UInt8(ascii: "\"") else { throw .syntax }
                let name = try unsafe self.name()
                guard unsafe !isTaken(name, within: index) else { throw .duplicateName }
                unsafe skipSpace()
                guard unsafe take(UInt8(ascii: ":")) else { throw .syntax }
                try unsafe value(depth: depth &+ 1, name: name)
                members &+= 1
                unsafe skipSpace()
            } while unsafe take(UInt8(ascii: ","))
            guard unsafe take(UInt8(ascii: "}")) else { throw .syntax }
        }
        unsafe close(index, .object, members)
    }

    private mutating func array(_ index: Int, depth: Int) throws(JSONFault) {
        guard depth < Self.depthMax else { throw .tooDeep }
        unsafe at += 1
        var values: UInt32 = 0
        unsafe skipSpace()
        if unsafe !take(UInt8(ascii: "]")) {
            repeat {
                try unsafe value(depth: depth &+ 1, name: Name())
                values &+= 1
                unsafe skipSpace()
            } while unsafe take(UInt8(ascii: ","))
            guard unsafe take(UInt8(ascii: "]")) else { throw .syntax }
        }
        unsafe close(index, .array, values)
    }

    private func close(_ index: Int, _ kind: JSONKind, _ values: UInt32) {
        unsafe (nodes[index].kind, nodes[index].count, nodes[index].end) = unsafe (kind, values, UInt32(count))
    }

    /// Members so far of the object at `index`: each begins where the one before it ends.
    private func isTaken(_ name: Name, within index: Int) -> Bool {
        var other = index &+ 1
        while unsafe other < count {
            let node = unsafe nodes[other]
            if node.hash == name.hash, node.nameCount == name.count,
                unsafe ByteSearch.areEqual(text + Int(node.nameOffset), text + Int(name.offset), Int(name.count))
            {
                return true
            }
            other = Int(node.end)
        }
        return false
    }

    private mutating func name() throws(JSONFault) -> Name {
        let (offset, length) = try unsafe string()
        return unsafe Name(offset: offset, count: length, hash: JSONValue.hash(text + Int(offset), Int(length)))
    }

    private mutating func literal(_ word: StaticString, _ index: Int, _ kind: JSONKind) throws(JSONFault) {
        let length = word.utf8CodeUnitCount
        guard unsafe end - at >= length, unsafe ByteSearch.areEqual(at, word.utf8Start, length) else { throw .syntax }
        unsafe at += length
        unsafe nodes[index].kind = kind
    }

    /// RFC 8259 section 6: no plus, no leading zero, digits on both sides of a point.
    private mutating func number(_ index: Int) throws(JSONFault) {
        let start = unsafe at
        _ = unsafe take(UInt8(ascii: "-"))
        let first = unsafe at
        guard unsafe digits() else { throw .syntax }
        guard unsafe first[0] != UInt8(ascii: "0") || at - first == 1 else { throw .syntax }
        if unsafe take(UInt8(ascii: ".")) {
            guard unsafe digits() else { throw .syntax }
        }
        if unsafe at < end && at[0] | 0x20 == UInt8(ascii: "e") {
            unsafe at += 1
            if unsafe !take(UInt8(ascii: "+")) { _ = unsafe take(UInt8(ascii: "-")) }
            guard unsafe digits() else { throw .syntax }
        }
        unsafe (nodes[index].offset, nodes[index].count, nodes[index].kind) = unsafe (UInt32(start - text), UInt32(at - start), .number)
    }

    private mutating func digits() -> Bool {
        let start = unsafe at
        while unsafe at < end && at[0] &- 0x30 < 10 { unsafe at += 1 }
        return unsafe at > start
    }

    // MARK: bytes

    private mutating func skipSpace() {
        while unsafe at < end && (at[0] == 0x20 || at[0] == 0x0a || at[0] == 0x0d || at[0] == 0x09) { unsafe at += 1 }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard unsafe at < end && at[0] == byte else { return false }
        unsafe at += 1
        return true
    }

    // MARK: strings

    /// From quote to quote; answers where its decoded bytes are.
    private mutating func string() throws(JSONFault) -> (offset: UInt32, count: UInt32) {
        unsafe at += 1
        let start = unsafe at
        // Nearly always there is no escape, and the string lies as it is.
        while unsafe at < end {
            let byte = unsafe at[0]
            if byte == UInt8(ascii: "\"") {
                let length = unsafe at - start
                unsafe at += 1
                return unsafe (UInt32(start - text), UInt32(length))
            }
            if byte == UInt8(ascii: "\\") { return try unsafe escapedString(start) }
            guard byte >= 0x20 else { throw .syntax }
            try unsafe skipCharacter(byte)
        }
        throw .syntax
    }

    /// The first escape is at `at`. What comes behind it moves to the left.
    @inline(never)
    private mutating func escapedString(_ start: UnsafeMutablePointer<UInt8>) throws(JSONFault) -> (offset: UInt32, count: UInt32) {
        var to = unsafe at
        while unsafe at < end {
            let byte = unsafe at[0]
            if byte == UInt8(ascii: "\"") {
                unsafe at += 1
                return unsafe (UInt32(start - text), UInt32(to - start))
            }
            guard byte >= 0x20 else { throw .syntax }
            if byte == UInt8(ascii: "\\") {
                try unsafe escape(&to)
                continue
            }
            let from = unsafe at
            try unsafe skipCharacter(byte)
            // `to` is never ahead of `from`; ascending, since they may overlap.
            for index in unsafe 0..<(at - from) { unsafe to[index] = from[index] }
            unsafe to += at - from
        }
        throw .syntax
    }

    private mutating func escape(_ to: inout UnsafeMutablePointer<UInt8>) throws(JSONFault) {
        guard unsafe end - at >= 2 else { throw .syntax }
        let byte: UInt8
        switch unsafe at[1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): byte = unsafe at[1]
        case UInt8(ascii: "b"): byte = 0x08
        case UInt8(ascii: "f"): byte = 0x0c
        case UInt8(ascii: "n"): byte = 0x0a
        case UInt8(ascii: "r"): byte = 0x0d
        case UInt8(ascii: "t"): byte = 0x09
        case UInt8(ascii: "u"): return try unsafe unicodeEscape(&to)
        default: throw .syntax
        }
        unsafe at += 2
        unsafe to[0] = byte
        unsafe to += 1
    }

    private mutating func unicodeEscape(_ to: inout UnsafeMutablePointer<UInt8>) throws(JSONFault) {
        var code = try unsafe codeUnit()
        if code & 0xfc00 == 0xdc00 { throw .encoding }
        if code & 0xfc00 == 0xd800 {
            let low = try unsafe codeUnit()
            guard low & 0xfc00 == 0xdc00 else { throw .encoding }
            code = 0x10000 &+ ((code & 0x3ff) << 10 | low & 0x3ff)
        }
        // Six or twelve bytes were read, at most four are written.
        if code < 0x80 {
            unsafe put(UInt8(code), &to)
        } else if code < 0x800 {
            unsafe put(UInt8(0xc0 | code >> 6), &to)
            unsafe put(UInt8(0x80 | code & 0x3f), &to)
        } else {
            if code < 0x10000 {
                unsafe put(UInt8(0xe0 | code >> 12), &to)
            } else {
                unsafe put(UInt8(0xf0 | code >> 18), &to)
                unsafe put(UInt8(0x80 | code >> 12 & 0x3f), &to)
            }
            unsafe put(UInt8(0x80 | code >> 6 & 0x3f), &to)
            unsafe put(UInt8(0x80 | code & 0x3f), &to)
        }
    }

    private func put(_ byte: UInt8, _ to: inout UnsafeMutablePointer<UInt8>) {
        unsafe to[0] = byte
        unsafe to += 1
    }

    /// `\uXXXX`.
    private mutating func codeUnit() throws(JSONFault) -> UInt32 {
        guard unsafe end - at >= 6, unsafe at[0] == UInt8(ascii: "\\"), unsafe at[1] == UInt8(ascii: "u") else { throw .encoding }
        var code: UInt32 = 0
        for index in 2..<6 {
            let byte = unsafe at[index]
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte &- 0x30
            case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): digit = (byte | 0x20) &- 0x57
            default: throw .syntax
            }
            code = code << 4 | UInt32(digit)
        }
        unsafe at += 6
        return code
    }

    /// One character of UTF-8 whose first byte is `first` (RFC 3629 section 4: no overlong forms, no surrogates, nothing above U+10FFFF).
    @inline(__always)
    private mutating func skipCharacter(_ first: UInt8) throws(JSONFault) {
        if first < 0x80 {
            unsafe at += 1
        } else {
            try unsafe skipLongCharacter(first)
        }
    }

    @inline(never)
    private mutating func skipLongCharacter(_ first: UInt8) throws(JSONFault) {
        let (length, low, high): (Int, UInt8, UInt8)
        switch first {
        case 0xc2...0xdf: (length, low, high) = (2, 0x80, 0xbf)
        case 0xe0: (length, low, high) = (3, 0xa0, 0xbf)
        case 0xed: (length, low, high) = (3, 0x80, 0x9f)
        case 0xe1...0xef: (length, low, high) = (3, 0x80, 0xbf)
        case 0xf0: (length, low, high) = (4, 0x90, 0xbf)
        case 0xf1...0xf3: (length, low, high) = (4, 0x80, 0xbf)
        case 0xf4: (length, low, high) = (4, 0x80, 0x8f)
        default: throw .encoding
        }
        guard unsafe end - at >= length, unsafe at[1] >= low && at[1] <= high else { throw .encoding }
        for index in 2..<max(length, 2) {
            guard unsafe at[index] & 0xc0 == 0x80 else { throw .encoding }
        }
        unsafe at += length
    }
}
