// JSONText: values as JSON text (RFC 8259) at the end of a byte buffer. Called by the JSON writers; the loop's thread.

internal import UringHTTP

/// Strings, numbers and literals. Nothing here allocates but a buffer that grows, and doubles with more than 15 characters.
enum JSONText {
    /// Bytes from a string of Swift: valid UTF-8, so only quotes, backslashes and control characters are looked for.
    static func append(_ text: String, to buffer: UnsafeMutablePointer<GrowingBytes>) {
        // A span borrows the string, which the closure-taking accessors retain.
        // SAFETY: readable during this call; the bytes are copied.
        unsafe text.utf8.span.withUnsafeBufferPointer { unsafe appendString($0, isUTF8: true, to: buffer) }
    }

    /// Bytes from the wire: what is not UTF-8 becomes U+FFFD, as `String(_: ByteView)` does.
    static func append(_ view: ByteView, to buffer: UnsafeMutablePointer<GrowingBytes>) {
        // SAFETY: the view keeps its bytes in place during the call; they are copied.
        unsafe view.span.withUnsafeBufferPointer { unsafe appendString($0, isUTF8: false, to: buffer) }
    }

    static func append(_ text: StaticString, to buffer: UnsafeMutablePointer<GrowingBytes>) {
        // SAFETY: literals are immortal.
        unsafe appendString(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount), isUTF8: true, to: buffer)
    }

    static func append(_ value: Int64, to buffer: UnsafeMutablePointer<GrowingBytes>) {
        if value < 0 { unsafe buffer.pointee.append(UInt8(ascii: "-")) }
        unsafe buffer.pointee.appendDecimal(value.magnitude)
    }

    static func append(_ value: UInt64, to buffer: UnsafeMutablePointer<GrowingBytes>) { unsafe buffer.pointee.appendDecimal(value) }

    /// The shortest digits that read back as the same number; NaN and infinities, which JSON cannot say, become null.
    static func append(_ value: Double, to buffer: UnsafeMutablePointer<GrowingBytes>) {
        guard value.isFinite else { return unsafe appendNull(to: buffer) }
        // Swift's description is the shortest text that round-trips, and its forms (1.0, 1e-07, 5e-324) are JSON numbers.
        unsafe buffer.pointee.append(value.description)
    }

    static func append(_ value: Bool, to buffer: UnsafeMutablePointer<GrowingBytes>) {
        unsafe buffer.pointee.append(value ? "true" as StaticString : "false")
    }

    static func appendNull(to buffer: UnsafeMutablePointer<GrowingBytes>) { unsafe buffer.pointee.append("null" as StaticString) }

    /// A comma, unless what comes is the first of its object or array: strings end with a quote, so a bracket tells.
    static func separate(_ buffer: UnsafeMutablePointer<GrowingBytes>) {
        let last = unsafe buffer.pointee.base[buffer.pointee.count &- 1]
        if last != UInt8(ascii: "{"), last != UInt8(ascii: "[") { unsafe buffer.pointee.append(UInt8(ascii: ",")) }
    }

    // MARK: strings

    /// Quoted and escaped. Runs of ordinary bytes are copied at once.
    private static func appendString(_ bytes: UnsafeBufferPointer<UInt8>, isUTF8: Bool, to buffer: UnsafeMutablePointer<GrowingBytes>) {
        unsafe buffer.pointee.reserve(bytes.count &+ 2)
        unsafe buffer.pointee.append(UInt8(ascii: "\""))
        if let base = bytes.baseAddress {
            var at = 0
            while at < bytes.count {
                let run = unsafe ordinary(base + at, bytes.count &- at, isUTF8: isUTF8)
                unsafe buffer.pointee.append(base + at, run)
                at &+= run
                guard at < bytes.count else { break }
                let byte = unsafe base[at]
                if byte < 0x80 {
                    unsafe appendEscape(byte, to: buffer)
                    at &+= 1
                } else {
                    unsafe at &+= appendScalar(base + at, bytes.count &- at, to: buffer)
                }
            }
        }
        unsafe buffer.pointee.append(UInt8(ascii: "\""))
    }

    /// How many bytes at the start stand for themselves. Eight at a time while there are so many.
    private static func ordinary(_ bytes: UnsafePointer<UInt8>, _ count: Int, isUTF8: Bool) -> Int {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let high: UInt64 = 0x8080_8080_8080_8080
        var at = 0
        while count &- at >= 8 {
            let word = unsafe UnsafeRawPointer(bytes + at).loadUnaligned(as: UInt64.self)
            let quote = word ^ (ones &* 0x22)
            let backslash = word ^ (ones &* 0x5c)
            // A byte's high bit is set where the subtraction borrowed and the byte itself had it clear: below 0x20, or equal after the xor.
            let special =
                ((word &- ones &* 0x20) & ~word) | ((quote &- ones) & ~quote) | ((backslash &- ones) & ~backslash) | (isUTF8 ? 0 : word)
            let found = special & high
            guard found == 0 else {
                // The lowest mark is exact: a borrow only disturbs bytes above the one that caused it.
                return at &+ found.trailingZeroBitCount &>> 3
            }
            at &+= 8
        }
        while at < count {
            let byte = unsafe bytes[at]
            if byte < 0x20 || byte == 0x22 || byte == 0x5c || (byte >= 0x80 && !isUTF8) { break }
            at &+= 1
        }
        return at
    }

    private static func appendEscape(_ byte: UInt8, to buffer: UnsafeMutablePointer<GrowingBytes>) {
        let short: UInt8
        switch byte {
        case 0x22, 0x5c: short = byte
        case 0x08: short = UInt8(ascii: "b")
        case 0x09: short = UInt8(ascii: "t")
        case 0x0a: short = UInt8(ascii: "n")
        case 0x0c: short = UInt8(ascii: "f")
        case 0x0d: short = UInt8(ascii: "r")
        default:
            unsafe buffer.pointee.append(byte < 0x10 ? "\\u000" as StaticString : "\\u001")
            let digit = byte & 15
            return unsafe buffer.pointee.append(digit < 10 ? 48 &+ digit : 87 &+ digit)
        }
        unsafe buffer.pointee.append(UInt8(ascii: "\\"))
        unsafe buffer.pointee.append(short)
    }

    /// One well-formed sequence as it is, or U+FFFD for the longest piece that could have begun one (Unicode 3.9, "maximal subpart").
    /// Answers the bytes it stands for, 1…4.
    private static func appendScalar(_ bytes: UnsafePointer<UInt8>, _ count: Int, to buffer: UnsafeMutablePointer<GrowingBytes>) -> Int {
        let lead = unsafe bytes[0]
        // Table 3-7 of the Unicode standard: the second byte's range depends on the first, so that overlong forms, surrogates and
        // what lies beyond U+10FFFF are not well-formed.
        var (low, highest): (UInt8, UInt8) = (0x80, 0xbf)
        let length: Int
        switch lead {
        case 0xc2...0xdf: length = 2
        case 0xe0: (length, low) = (3, 0xa0)
        case 0xed: (length, highest) = (3, 0x9f)
        case 0xe1...0xef: length = 3
        case 0xf0: (length, low) = (4, 0x90)
        case 0xf4: (length, highest) = (4, 0x8f)
        case 0xf1...0xf3: length = 4
        default: length = 1
        }
        var at = 1
        while at < length, at < count, case let byte = unsafe bytes[at], byte >= low, byte <= highest {
            (low, highest) = (0x80, 0xbf)
            at &+= 1
        }
        if length > 1, at == length {
            unsafe buffer.pointee.append(bytes, length)
        } else {
            unsafe buffer.pointee.append("\u{fffd}" as StaticString)
        }
        return at
    }
}
