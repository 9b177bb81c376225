// Percent-decoding of a path into memory of the caller. Does not touch dot segments: whoever maps a path to a file does.
// Any thread, no state.

@usableFromInline package enum PercentDecoder {
    @frozen @usableFromInline package enum Outcome: Equatable, Sendable {
        /// This many bytes were written.
        case decoded(Int)
        /// A `%` without two hexadecimal digits behind it, or `%00` or a raw NUL, which would end a C string early.
        case malformed
        /// The result is longer than the room given.
        case noRoom
    }

    /// Decodes `source[..<count]` into `target[..<capacity]`. `target` may be `source` itself (the result never is longer);
    /// otherwise they must not overlap. An encoded slash becomes a slash: a caller who must tell them apart looks first
    /// with `containsEncodedSeparator`.
    package static func decode(
        _ source: UnsafePointer<UInt8>, count: Int, into target: UnsafeMutablePointer<UInt8>, capacity: Int
    ) -> Outcome {
        // Caller's memory: `source[..<count]` readable, `target[..<capacity]` writable, for this call.
        var from = 0
        var to = 0
        while from < count {
            var byte = unsafe source[from]
            from &+= 1
            if byte == 0x25 {
                guard count &- from >= 2, let high = unsafe hexDigitValue(source[from]),
                    let low = unsafe hexDigitValue(source[from &+ 1])
                else { return .malformed }
                byte = high &<< 4 | low
                from &+= 2
            }
            guard byte != 0 else { return .malformed }
            guard to < capacity else { return .noRoom }
            unsafe target[to] = byte
            to &+= 1
        }
        return .decoded(to)
    }

    /// Whether the path contains `%2F` or `%5C` in either case: an encoded slash or backslash.
    package static func containsEncodedSeparator(_ source: UnsafePointer<UInt8>, count: Int) -> Bool {
        // Caller's memory: `source[..<count]` is readable for this call.
        var at = 0
        while count &- at >= 3 {
            if unsafe source[at] == 0x25 {
                let high = unsafe source[at &+ 1]
                let low = unsafe source[at &+ 2] | 0x20
                if (high == 0x32 && low == 0x66) || (high == 0x35 && low == 0x63) { return true }
            }
            at &+= 1
        }
        return false
    }
}
