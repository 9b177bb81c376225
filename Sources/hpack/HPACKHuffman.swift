// Decoding of the Huffman code of RFC 7541 appendix B. No state; called by HPACKDecoder on a loop's thread.
//
// The bits wait at the top of a 64-bit word. Eleven of them select an entry of a table that holds one or two symbols, so most steps give
// two bytes; the few codes beyond eleven bits are found by their length, for the code is canonical. Against the usual machine of
// 4 bits a step this takes a third of the loads, and the table is half as big (8 KiB).

import CUringBase

enum HPACKHuffman {
    /// Answers of `decode` and `decodedLength` that are no length.
    static let codeFault = -1
    static let paddingFault = -2

    /// Most bytes that `count` bytes decode to: no code is shorter than 5 bits.
    @inline(__always) static func decodedLengthMax(_ count: Int) -> Int { count &* 8 / 5 }

    /// Decodes `source[..<count]` to `out`; answers the length, or one of the faults. Writes at most one byte behind what it decodes.
    @inline(never)
    static func decode(_ source: UnsafePointer<UInt8>, count: Int, to out: UnsafeMutablePointer<UInt8>) -> Int {
        // Caller's memory: `source[..<count]` readable, `out` with room for the decoded length and one byte more, for this call.
        var reader = unsafe BitReader(at: source, end: source + count)
        var at = unsafe out
        let table = unsafe curing_huffman_table()
        while true {
            unsafe reader.fill()
            // 56 bits at least while 8 bytes are left to read: five steps of at most 11.
            var steps = 5
            while unsafe reader.isFull && steps > 0 {
                // An index of 11 bits.
                let entry = unsafe table[reader.index]
                guard entry != 0 else { break }
                unsafe UnsafeMutableRawPointer(at).storeBytes(of: UInt16(truncatingIfNeeded: entry), as: UInt16.self)
                unsafe at += Int(entry &>> 30)
                unsafe reader.drop(Int(entry &>> 16) & 0xff)
                steps &-= 1
            }
            if steps == 0 { continue }
            // The end, or a code that may need more bits than are left of the last filling.
            unsafe reader.fill()
            let step = unsafe reader.careful(table)
            switch step {
            case 0...0xff:
                unsafe at[0] = UInt8(truncatingIfNeeded: step)
                unsafe at += 1
            case BitReader.end: return unsafe at - out
            default: return step
            }
        }
    }

    /// The length that `decode` would answer, without writing: for strings that may not fit.
    @inline(never)
    static func decodedLength(_ source: UnsafePointer<UInt8>, count: Int) -> Int {
        // Caller's memory: `source[..<count]` readable for this call.
        var reader = unsafe BitReader(at: source, end: source + count)
        let table = unsafe curing_huffman_table()
        var length = 0
        while true {
            unsafe reader.fill()
            let step = unsafe reader.careful(table)
            switch step {
            case 0...0xff: length &+= 1
            case BitReader.end: return length
            default: return step
            }
        }
    }
}

/// The undecoded bits of a string. `at` and `end` point into the caller's memory, for one call.
@unsafe private struct BitReader {
    /// Answer of `careful`: the string ended as it should.
    @safe static let end = 256

    var at: UnsafePointer<UInt8>
    let end: UnsafePointer<UInt8>
    /// From the top. Bits below `count` are 0 or what follows in the string, so more may be or-ed in.
    var bits: UInt64 = 0
    var count = 0

    init(at: UnsafePointer<UInt8>, end: UnsafePointer<UInt8>) {
        unsafe self.at = at
        unsafe self.end = end
    }

    @inline(__always) var index: Int { unsafe Int(truncatingIfNeeded: bits &>> UInt64(64 &- CURING_HUFFMAN_BITS)) }
    /// Whether `index` consists of bits of the string.
    @inline(__always) var isFull: Bool { unsafe count >= Int(CURING_HUFFMAN_BITS) }

    @inline(__always) mutating func drop(_ length: Int) {
        unsafe bits &<<= UInt64(truncatingIfNeeded: length)
        unsafe count &-= length
    }

    /// Takes as many whole bytes as fit.
    @inline(__always) mutating func fill() {
        if unsafe end - at >= 8 {
            guard unsafe count < 56 else { return }
            // Eight bytes are there. Shifted by less than 64: `count` is below 56.
            let word = unsafe UInt64(bigEndian: UnsafeRawPointer(at).loadUnaligned(as: UInt64.self))
            unsafe bits |= word &>> UInt64(truncatingIfNeeded: count)
            unsafe at += (63 &- count) &>> 3
            unsafe count |= 56
            return
        }
        while unsafe at < end && count <= 56 {
            unsafe bits |= UInt64(at[0]) &<< UInt64(truncatingIfNeeded: 56 &- count)
            unsafe at += 1
            unsafe count &+= 8
        }
    }

    /// One symbol, `end`, or a fault, never looking at bits that are not there. Call after `fill`.
    @inline(__always) mutating func careful(_ table: UnsafePointer<UInt32>) -> Int {
        // An index of 11 bits.
        let entry = unsafe table[index]
        let length = Int(entry &>> 24) & 0x3f
        if unsafe entry != 0 && length <= count {
            unsafe drop(length)
            return Int(entry & 0xff)
        }
        return unsafe rare()
    }

    /// The end of the string, or a code longer than the table's. The padding is the beginning of EOS, ones, and less than a byte
    /// (RFC 7541 5.2).
    @inline(never) mutating func rare() -> Int {
        if unsafe count < 8 && at == end {
            // Below 8 bits; a shift by 64 would be one by 0, so the empty string is asked for first.
            let ones = unsafe count == 0 || bits &>> UInt64(truncatingIfNeeded: 64 &- count) == (1 &<< UInt64(truncatingIfNeeded: count)) &- 1
            return ones ? BitReader.end : HPACKHuffman.paddingFault
        }
        // 30 bits at least, or all that is left.
        let code = unsafe UInt32(truncatingIfNeeded: bits &>> 32)
        let lengths = unsafe curing_huffman_long_lengths()
        var place = 0
        // The last entry is the longest: what is below no other limit.
        while unsafe place < Int(CURING_HUFFMAN_LENGTHS) &- 1 && code >= lengths[place].limit { place &+= 1 }
        let row = unsafe lengths[place]
        guard unsafe Int(row.length) <= count && code >= row.first else { return HPACKHuffman.paddingFault }
        let symbol = Int(row.symbol) &+ Int((code &- row.first) &>> UInt32(32 &- row.length))
        guard symbol < Int(CURING_HUFFMAN_LONG_SYMBOLS) else { return HPACKHuffman.codeFault }
        let value = unsafe Int(curing_huffman_symbols()[symbol])
        guard value < 256 else { return HPACKHuffman.codeFault }
        unsafe drop(Int(row.length))
        return value
    }
}
