// The token within a field value of Authorization (RFC 6750 2.1). Stateless; the loop's thread.

package enum BearerCredentials: Equatable, Sendable {
    /// Not `Bearer`: nobody has shown a token.
    case absent
    /// `Bearer` with something that cannot be a token.
    case malformed
    /// Where the token is in the value.
    case token(Range<Int>)

    /// WWW-Authenticate for a request without a token: RFC 6750 3.1 wants no error code then.
    package static var challenge: StaticString { "Bearer" }

    /// - Parameter value: without white space at its ends, as parsers give it; read during this call.
    package static func find(_ value: UnsafeBufferPointer<UInt8>) -> BearerCredentials {
        let scheme: StaticString = "bearer"
        let count = scheme.utf8CodeUnitCount
        guard value.count >= count else { return .absent }
        // Schemes are compared without regard to case (RFC 9110 11.1).
        for index in 0..<count where unsafe value[index] | 0x20 != scheme.utf8Start[index] { return .absent }
        if value.count == count { return .malformed }
        guard unsafe value[count] == 0x20 else { return .absent }
        var start = count
        while start < value.count, unsafe value[start] == 0x20 { start += 1 }
        for index in start..<value.count where unsafe value[index] <= 0x20 || value[index] >= 0x7f { return .malformed }
        return start < value.count ? .token(start..<value.count) : .malformed
    }
}
