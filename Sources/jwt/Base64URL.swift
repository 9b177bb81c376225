// base64url without padding (RFC 4648 section 5, RFC 7515 section 2), strict: one text for each byte string. Stateless; any thread.

internal import CUringJWT

enum Base64URL {
    /// Bytes that so many characters come to, at most.
    static func decodedBytes(_ characters: Int) -> Int { characters / 4 * 3 + characters % 4 * 3 / 4 }

    /// Decodes characters up to the first that is none, and tells where that was. `count` is -1 when what stands before is no encoding:
    /// a length that cannot be, or trailing bits that are not zero. `out` has room for `decodedBytes(end - start)`.
    static func decode(
        _ start: UnsafePointer<UInt8>, end: UnsafePointer<UInt8>, to out: UnsafeMutablePointer<UInt8>
    ) -> (stop: UnsafePointer<UInt8>, count: Int) {
        // The caller's memory during this call; the table is constant, with an entry for each byte.
        let values = unsafe urjwt_base64url()
        var from = unsafe start
        var to = unsafe out
        while unsafe end - from >= 4 {
            let (a, b, c, d) = unsafe (values[Int(from[0])], values[Int(from[1])], values[Int(from[2])], values[Int(from[3])])
            if (a | b | c | d) & 0xc0 != 0 { break }
            let bits = UInt32(a) << 18 | UInt32(b) << 12 | UInt32(c) << 6 | UInt32(d)
            unsafe to[0] = UInt8(truncatingIfNeeded: bits >> 16)
            unsafe to[1] = UInt8(truncatingIfNeeded: bits >> 8)
            unsafe to[2] = UInt8(truncatingIfNeeded: bits)
            unsafe from += 4
            unsafe to += 3
        }
        // At most three characters are left: four would have gone through the loop.
        var bits: UInt32 = 0
        var rest = 0
        while unsafe from < end {
            let value = unsafe values[Int(from[0])]
            if value > 63 { break }
            bits = bits << 6 | UInt32(value)
            rest &+= 1
            unsafe from += 1
        }
        switch rest {
        case 0: break
        case 2:
            guard bits & 0xf == 0 else { return unsafe (from, -1) }
            unsafe to[0] = UInt8(truncatingIfNeeded: bits >> 4)
            unsafe to += 1
        case 3:
            guard bits & 0x3 == 0 else { return unsafe (from, -1) }
            unsafe to[0] = UInt8(truncatingIfNeeded: bits >> 10)
            unsafe to[1] = UInt8(truncatingIfNeeded: bits >> 2)
            unsafe to += 2
        default: return unsafe (from, -1)
        }
        return unsafe (from, to - out)
    }

    /// At load time: nil unless all of it is one encoding.
    static func decode(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        // The caller's memory during this call.
        guard let base = text.baseAddress, text.count > 0 else { return [] }
        let room = decodedBytes(text.count) + 3
        var whole = false
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
            guard let out = buffer.baseAddress else { return }
            let (stop, written) = unsafe decode(base, end: base + text.count, to: out)
            unsafe whole = written >= 0 && stop == base + text.count
            count = max(written, 0)
        }
        return whole ? bytes : nil
    }
}
