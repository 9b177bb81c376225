// RetryAfter: when a server that is busy wants to be asked again (RFC 9110 section 10.2.3). A value; any thread.

internal import UringHTTP

enum RetryAfter {
    /// Longer texts are neither a number nor a date.
    private static let bytesMax = 64
    /// Ten digits are 300 years.
    private static let digitsMax = 10

    /// - Parameter now: ns since 1970, for a date.
    /// - Returns: ns to wait, 0 for a date that is over; nil: malformed.
    static func ns(_ value: String, now: UInt64) -> UInt64? {
        let bytes = Array(value.utf8)
        guard !bytes.isEmpty, bytes.count <= bytesMax else { return nil }
        if bytes.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) {
            guard bytes.count <= digitsMax else { return .max }
            return bytes.reduce(UInt64(0)) { $0 * 10 + UInt64($1 - 0x30) } * 1_000_000_000
        }
        let seconds = Int64(clamping: now / 1_000_000_000)
        // SAFETY: the array's own memory, during the call.
        let date = unsafe bytes.withUnsafeBufferPointer { unsafe HTTPDate.parse($0.baseAddress!, count: $0.count, now: seconds) }
        // Years have four digits: no overflow.
        return date.map { $0 <= seconds ? 0 : UInt64($0 - seconds) * 1_000_000_000 }
    }
}
