// RequestDeadline: how much time a request has left, from its client, for its upstream. A value of the request; sans-I/O: fields' bytes in, fields' bytes out.

/// The end of a request's time.
package struct RequestDeadline: Sendable, Equatable, BitwiseCopyable {
    /// The field that Envoy sends upstream, in ms; what it is called is the configuration's business.
    package static var defaultFieldName: String { "x-envoy-expected-rq-timeout-ms" }

    /// Monotonic ns; `.max`: none.
    package let time: UInt64

    package static var none: RequestDeadline { RequestDeadline(time: .max) }

    package init(time: UInt64) { self.time = time }

    package init(now: UInt64, after timeout: UInt64) { time = now.saturatingSum(timeout) }

    /// The earlier one: a client may shorten the time that a route gives, never lengthen it.
    package func earlier(_ other: RequestDeadline) -> RequestDeadline { time <= other.time ? self : other }

    package func isExpired(now: UInt64) -> Bool { now >= time }

    /// ns; nil without a deadline, 0 behind it.
    package func remaining(now: UInt64) -> UInt64? { time == .max ? nil : time > now ? time - now : 0 }

    /// `grpc-timeout` for the upstream; nil without a deadline, and behind it, where nothing is to be sent.
    package func grpcTimeout(now: UInt64) -> TimeoutText? { remaining(now: now).flatMap { TimeoutText.grpc($0) } }

    /// The field in ms for the upstream; nil without a deadline, and with less than 1 ms: 0 means no timeout to some.
    package func milliseconds(now: UInt64) -> TimeoutText? { remaining(now: now).flatMap { $0 < 1_000_000 ? nil : TimeoutText.decimal($0 / 1_000_000) } }

    // MARK: Reading

    /// The value of a `grpc-timeout` field, ns: 1 to 8 digits and a unit (gRPC over HTTP/2, "Requests"). nil: malformed, to be ignored or refused. More than 2⁶⁴ − 1 (5 million hours) is that.
    package static func parseGRPC(_ value: Span<UInt8>) -> UInt64? {
        guard (2...9).contains(value.count), let unit = unit(value[value.count - 1]) else { return nil }
        return number(value, digits: value.count - 1)?.saturatingProduct(unit)
    }

    /// The value of a field in ms, ns: 1 to 15 digits. nil: malformed, or 0, which to Envoy is no timeout.
    package static func parseMilliseconds(_ value: Span<UInt8>) -> UInt64? {
        guard (1...15).contains(value.count), let number = number(value, digits: value.count), number > 0 else { return nil }
        return number.saturatingProduct(1_000_000)
    }

    private static func unit(_ letter: UInt8) -> UInt64? {
        switch letter {
        case UInt8(ascii: "H"): 3_600_000_000_000
        case UInt8(ascii: "M"): 60_000_000_000
        case UInt8(ascii: "S"): 1_000_000_000
        case UInt8(ascii: "m"): 1_000_000
        case UInt8(ascii: "u"): 1000
        case UInt8(ascii: "n"): 1
        default: nil
        }
    }

    /// At most 15 digits: no overflow.
    private static func number(_ value: Span<UInt8>, digits: Int) -> UInt64? {
        var number: UInt64 = 0
        for index in 0..<digits {
            let digit = value[index] &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            number = number * 10 + UInt64(digit)
        }
        return number
    }
}

/// The value of a field that tells a time, without an allocation.
package struct TimeoutText: Sendable {
    private var bytes = InlineArray<20, UInt8>(repeating: 0)
    private var start = 20

    /// `1`.
    package static var one: TimeoutText { decimal(1) }

    private init() {}

    package var span: Span<UInt8> { bytes.span.extracting(start..<20) }

    /// `value` in digits.
    static func decimal(_ value: UInt64) -> TimeoutText {
        var text = TimeoutText()
        text.prepend(value)
        return text
    }

    /// In the finest unit that 8 digits are enough for, rounded down: no upstream gets more time than there is. nil for 0, which is not a timeout but its end.
    static func grpc(_ ns: UInt64) -> TimeoutText? {
        guard ns > 0 else { return nil }
        let units: [6 of (ns: UInt64, letter: UInt8)] = [
            (1, UInt8(ascii: "n")), (1000, UInt8(ascii: "u")), (1_000_000, UInt8(ascii: "m")), (1_000_000_000, UInt8(ascii: "S")),
            (60_000_000_000, UInt8(ascii: "M")), (3_600_000_000_000, UInt8(ascii: "H")),
        ]
        for index in 0..<6 where ns / units[index].ns <= 99_999_999 {
            var text = TimeoutText()
            text.prepend(units[index].letter)
            text.prepend(ns / units[index].ns)
            return text
        }
        // 2⁶⁴ ns are 5 million hours.
        return nil
    }

    private mutating func prepend(_ byte: UInt8) {
        start -= 1
        bytes[start] = byte
    }

    private mutating func prepend(_ value: UInt64) {
        var rest = value
        repeat {
            prepend(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10))
            rest /= 10
        } while rest > 0
    }
}
