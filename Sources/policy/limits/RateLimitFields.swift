// What a client is told of its limit: RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10) and Retry-After (RFC 9110 10.2.3), as field values. Values; the loops' threads.

/// Writes the values of the fields, structured fields (RFC 9651): a string with parameters. The draft's earlier fields (RateLimit-Limit, -Remaining, -Reset of draft 07 and before) are not written.
package enum RateLimitFields {
    /// Whether a policy can be called so: 1 to 64 letters, digits, `-`, `_`, `.`, which need no escaping in a structured field.
    package static func isName(_ name: StaticString) -> Bool { name.withUTF8Buffer { unsafe isName(Span(_unsafeElements: $0)) } }

    package static func isName(_ name: Span<UInt8>) -> Bool {
        guard !name.isEmpty, name.count <= nameBytesMax else { return false }
        for at in name.indices {
            switch name[at] {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f: break
            default: return false
            }
        }
        return true
    }

    package static var nameBytesMax: Int { 64 }
    /// Either value at its longest: the name in quotes, two parameters of 15 digits (the greatest integer of structured fields).
    package static var valueBytesMax: Int { nameBytesMax + 2 + 2 * (3 + 15) }

    /// `"orders";q=200;w=2`: a burst, and the seconds in which it comes back, so that q / w is the rate (rounded up to whole seconds: a burst that comes back in less is said to need one).
    ///
    /// - Parameter name: see `isName`.
    package static func appendPolicy(_ policy: RatePolicy, name: Span<UInt8>, to sink: inout ByteSink) {
        appendName(name, to: &sink)
        sink.append(";q=")
        sink.appendDecimal(min(policy.burst, integerMax))
        sink.append(";w=")
        sink.appendDecimal(max(1, seconds(policy.tolerance)))
    }

    /// `"orders";r=12;t=2`: what is left, and the seconds until all of it is there again.
    package static func appendLimit(_ decision: RateDecision, name: Span<UInt8>, to sink: inout ByteSink) {
        appendName(name, to: &sink)
        sink.append(";r=")
        sink.appendDecimal(min(decision.remaining, integerMax))
        sink.append(";t=")
        sink.appendDecimal(seconds(decision.resetAfter))
    }

    /// Seconds for Retry-After of a 429, at least 1; nil when the request is allowed or never will be.
    package static func retryAfterSeconds(_ decision: RateDecision) -> UInt64? {
        guard !decision.isAllowed, decision.retryAfter != .max else { return nil }
        return max(1, seconds(decision.retryAfter))
    }

    /// RFC 9651 3.3.1.
    private static var integerMax: UInt64 { 999_999_999_999_999 }

    private static func seconds(_ nanoseconds: UInt64) -> UInt64 { nanoseconds / 1_000_000_000 + (nanoseconds % 1_000_000_000 > 0 ? 1 : 0) }

    private static func appendName(_ name: Span<UInt8>, to sink: inout ByteSink) {
        sink.append(0x22)
        sink.append(name)
        sink.append(0x22)
    }
}
