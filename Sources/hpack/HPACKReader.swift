// Integers and strings of a field block (RFC 7541 5). Reads the caller's memory during one call of HPACKDecoder; loop's thread.

@unsafe struct HPACKReader {
    /// Answers of `integer` that are no number.
    @safe static let truncated = -1
    @safe static let tooLarge = -2
    /// Five octets behind the prefix hold 35 bits: more are needed for no 32-bit number, only to waste time (RFC 7541 5.1).
    @safe static let continuationShiftMax = 28

    var at: UnsafePointer<UInt8>
    let end: UnsafePointer<UInt8>

    @inline(__always) init(at: UnsafePointer<UInt8>, end: UnsafePointer<UInt8>) {
        unsafe self.at = at
        unsafe self.end = end
    }

    /// The integer that begins in the low bits of `first`, which was read already; negative: see `fault`.
    @inline(__always) mutating func integer(_ first: UInt8, mask: UInt8) -> Int {
        let low = first & mask
        return unsafe low == mask ? continued(Int(mask)) : Int(low)
    }

    /// The rest of an integer whose prefix is all ones, at most 2^32 - 1.
    @inline(never) mutating func continued(_ prefix: Int) -> Int {
        var value = prefix
        var shift = 0
        while unsafe at < end {
            // Below the end.
            let byte = unsafe at[0]
            unsafe at += 1
            value &+= Int(byte & 0x7f) &<< shift
            if byte & 0x80 == 0 { return value <= Int(UInt32.max) ? value : Self.tooLarge }
            shift &+= 7
            if shift > Self.continuationShiftMax { return Self.tooLarge }
        }
        return Self.truncated
    }

    @safe func fault(_ answer: Int) -> HPACKFault { answer == Self.tooLarge ? .integerTooLarge : .truncated }

    /// A string's head; its bytes are skipped. A negative count is an answer for `fault`, or -3: beyond the block.
    @inline(__always) mutating func string() -> HPACKString {
        guard unsafe at < end else { return unsafe HPACKString(start: at, count: Self.truncated, isHuffman: false) }
        let first = unsafe at[0]
        unsafe at += 1
        let count = unsafe integer(first, mask: 0x7f)
        let start = unsafe at
        guard count >= 0 else { return unsafe HPACKString(start: start, count: count, isHuffman: false) }
        guard unsafe count <= end - at else { return unsafe HPACKString(start: start, count: HPACKString.beyondBlock, isHuffman: false) }
        unsafe at += count
        return unsafe HPACKString(start: start, count: count, isHuffman: first & 0x80 != 0)
    }
}

/// A string where it lies in the block, or in a table when it is a name that was named by its index.
@unsafe struct HPACKString {
    static let beyondBlock = -3

    var start: UnsafePointer<UInt8>
    var count: Int
    var isHuffman: Bool

    /// Most bytes it can have when decoded.
    @inline(__always) var lengthMax: Int { unsafe isHuffman ? HPACKHuffman.decodedLengthMax(count) : count }

    /// The decoded length, or a fault of HPACKHuffman.
    func length() -> Int { unsafe isHuffman ? HPACKHuffman.decodedLength(start, count: count) : count }

    /// Writes it, decoded, with room for a byte more; answers the length, or a fault of HPACKHuffman.
    @inline(__always) func write(to out: UnsafeMutablePointer<UInt8>) -> Int {
        if unsafe isHuffman { return unsafe HPACKHuffman.decode(start, count: count, to: out) }
        unsafe out.update(from: start, count: count)
        return unsafe count
    }
}

extension HPACKFault {
    init(huffman answer: Int) { self = answer == HPACKHuffman.codeFault ? .huffmanCode : .huffmanPadding }
}
