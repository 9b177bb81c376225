// Whether text is UTF-8 (RFC 3629), over any number of pieces. Part of a connection, on its loop's thread; reads the caller's memory.

/// What the bytes so far allow next. A character may be cut anywhere: between fragments, and where the bytes happened to arrive.
struct UTF8Validator: Equatable {
    /// Continuation bytes that the last character still lacks.
    private var missing: UInt8 = 0
    /// What the next of them may be: the first one excludes overlong forms, surrogates and what lies beyond U+10FFFF (Unicode, table 3-7).
    private var low: UInt8 = 0x80
    private var high: UInt8 = 0xbf

    /// Whether the text may end here.
    @inline(__always) var isComplete: Bool { missing == 0 }

    /// Goes on with `count` bytes; false when they cannot be UTF-8, whatever follows.
    @inline(__always)
    mutating func take(_ bytes: UnsafePointer<UInt8>, count: Int) -> Bool {
        // Caller's memory: `bytes[..<count]` is readable for this call.
        if missing == 0 {
            let ascii = unsafe Self.asciiPrefix(bytes, count: count)
            if ascii == count { return true }
            return unsafe takeRest(bytes + ascii, count: count &- ascii)
        }
        return unsafe takeRest(bytes, count: count)
    }

    @inline(never)
    private mutating func takeRest(_ bytes: UnsafePointer<UInt8>, count: Int) -> Bool {
        var at = 0
        while at < count {
            if missing > 0 {
                guard unsafe takeContinuation(bytes[at]) else { return false }
                at &+= 1
                continue
            }
            // Characters beyond ASCII come in runs, and so do those of ASCII.
            while at < count, unsafe bytes[at] >= 0x80 {
                let length = unsafe Self.characterLength(bytes + at, count: count &- at)
                if length > 0 {
                    at &+= length
                } else {
                    guard unsafe begin(bytes[at]) else { return false }
                    at &+= 1
                    break
                }
            }
            if missing == 0 { at &+= unsafe Self.asciiPrefix(bytes + at, count: count &- at) }
        }
        return true
    }

    /// How many bytes in front are ASCII.
    @inline(__always)
    private static func asciiPrefix(_ bytes: UnsafePointer<UInt8>, count: Int) -> Int {
        // Caller's memory, as above: every load ends at or before `count`.
        let memory = unsafe UnsafeRawPointer(bytes)
        let tops: UInt64 = 0x8080_8080_8080_8080
        var at = 0
        while count &- at >= 32 {
            let block = unsafe memory.loadUnaligned(fromByteOffset: at, as: SIMD4<UInt64>.self)
            if (block.x | block.y | block.z | block.w) & tops != 0 { break }
            at &+= 32
        }
        while count &- at >= 8 {
            let high = unsafe memory.loadUnaligned(fromByteOffset: at, as: UInt64.self) & tops
            if high != 0 { return at &+ high.trailingZeroBitCount &>> 3 }
            at &+= 8
        }
        while at < count, unsafe bytes[at] < 0x80 { at &+= 1 }
        return at
    }

    /// The length of the well-formed character of two to four bytes in front; 0 when it is not well-formed or not all there.
    @inline(__always)
    private static func characterLength(_ bytes: UnsafePointer<UInt8>, count: Int) -> Int {
        // Caller's memory, as above; each byte is looked at when it is there.
        let lead = unsafe bytes[0]
        if lead < 0xe0 {
            return unsafe lead >= 0xc2 && count >= 2 && isContinuation(bytes[1]) ? 2 : 0
        }
        if lead < 0xf0 {
            guard count >= 3, unsafe isContinuation(bytes[1]) && isContinuation(bytes[2]) else { return 0 }
            let scalar = unsafe UInt32(lead & 0x0f) &<< 12 | UInt32(bytes[1] & 0x3f) &<< 6
            return scalar >= 0x800 && scalar &- 0xd800 >= 0x800 ? 3 : 0
        }
        guard count >= 4, lead <= 0xf4, unsafe isContinuation(bytes[1]) && isContinuation(bytes[2]) && isContinuation(bytes[3]) else { return 0 }
        let scalar = unsafe UInt32(lead & 0x07) &<< 18 | UInt32(bytes[1] & 0x3f) &<< 12
        return scalar >= 0x1_0000 && scalar < 0x11_0000 ? 4 : 0
    }

    @inline(__always) private static func isContinuation(_ byte: UInt8) -> Bool { byte & 0xc0 == 0x80 }

    private mutating func takeContinuation(_ byte: UInt8) -> Bool {
        guard byte >= low, byte <= high else { return false }
        missing &-= 1
        low = 0x80
        high = 0xbf
        return true
    }

    /// The first byte of a character beyond ASCII.
    private mutating func begin(_ lead: UInt8) -> Bool {
        switch lead {
        case 0xc2...0xdf: missing = 1
        case 0xe0...0xef: missing = 2
        case 0xf0...0xf4: missing = 3
        default: return false
        }
        switch lead {
        case 0xe0: low = 0xa0
        case 0xed: high = 0x9f
        case 0xf0: low = 0x90
        case 0xf4: high = 0x8f
        default: break
        }
        return true
    }
}
