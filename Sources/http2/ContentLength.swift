// Reading Content-Length, for both sides of a connection. Caller's memory, no state; any thread.

/// The value of Content-Length (RFC 9110 8.6).
enum ContentLength {
    /// Digits only, up to `Int64.max`; as strict as HTTP/1.1.
    static func parse(_ value: UnsafePointer<UInt8>, count: Int) -> Int64? {
        // Caller's memory: `value[..<count]` is readable for this call.
        guard count > 0 else { return nil }
        var length: Int64 = 0
        for index in 0..<count {
            let digit = unsafe value[index] &- 0x30
            guard digit < 10, length <= (Int64.max - Int64(digit)) / 10 else { return nil }
            length = length &* 10 &+ Int64(digit)
        }
        return length
    }
}
