// The W3C trace context of a request (www.w3.org/TR/trace-context-2): traceparent and tracestate, read, made and written. Values; a loop's thread, no allocation.

/// 128 bits, not all zero.
package struct TraceID: Hashable, Sendable, BitwiseCopyable {
    package let high: UInt64
    package let low: UInt64

    package init?(high: UInt64, low: UInt64) {
        guard high | low != 0 else { return nil }
        (self.high, self.low) = (high, low)
    }
}

/// Where a request stands in a trace.
package struct TraceContext: Hashable, Sendable, BitwiseCopyable {
    package var trace: TraceID
    /// The span of whoever wrote this, not 0.
    package var span: UInt64
    package var flags: UInt8

    package static var sampledFlag: UInt8 { 0x01 }
    /// Version 2 of the specification: the trace id's lower 56 bits are random.
    package static var randomFlag: UInt8 { 0x02 }
    /// `00-` 32 `-` 16 `-` 2.
    package static var textBytes: Int { 55 }

    package init?(trace: TraceID, span: UInt64, flags: UInt8) {
        guard span != 0 else { return nil }
        (self.trace, self.span, self.flags) = (trace, span, flags)
    }

    package var isSampled: Bool {
        get { flags & Self.sampledFlag != 0 }
        set { flags = newValue ? flags | Self.sampledFlag : flags & ~Self.sampledFlag }
    }

    /// A new trace.
    package init(random: inout some RandomNumberGenerator, isSampled: Bool) {
        var (high, low, span): (UInt64, UInt64, UInt64) = (random.next(), random.next(), random.next())
        if high | low == 0 { (high, low) = (0, 1) }
        if span == 0 { span = 1 }
        self.init(trace: TraceID(high: high, low: low)!, span: span, flags: Self.randomFlag | (isSampled ? Self.sampledFlag : 0))!
    }

    /// A span within this one, in the same trace.
    package func child(random: inout some RandomNumberGenerator, isSampled: Bool) -> TraceContext {
        var child = self
        child.span = max(1, random.next() as UInt64)
        // Other flags of other versions mean nothing here, and may not be passed on.
        child.flags = flags & Self.randomFlag | (isSampled ? Self.sampledFlag : 0)
        return child
    }

    /// Reads traceparent, the only line of that field. Of versions after 00 what is known is read (the specification, "Versioning of traceparent"); ff is none.
    package init?(_ text: Span<UInt8>) {
        guard text.count >= Self.textBytes, text[2] == 0x2d, text[35] == 0x2d, text[52] == 0x2d else { return nil }
        guard let version = Self.hex(text, 0..<2), version != 0xff else { return nil }
        if version == 0 { guard text.count == Self.textBytes else { return nil } }
        if text.count > Self.textBytes { guard text[Self.textBytes] == 0x2d else { return nil } }
        guard let high = Self.hex(text, 3..<19), let low = Self.hex(text, 19..<35), let span = Self.hex(text, 36..<52), let flags = Self.hex(text, 53..<55) else { return nil }
        guard let trace = TraceID(high: high, low: low) else { return nil }
        self.init(trace: trace, span: span, flags: UInt8(flags))
    }

    /// Writes traceparent, as version 00.
    package func append(to sink: inout ByteSink) {
        sink.append("00-")
        sink.appendHex(trace.high)
        sink.appendHex(trace.low)
        sink.append(0x2d)
        sink.appendHex(span)
        sink.append(0x2d)
        sink.appendHex(UInt64(flags & (Self.sampledFlag | Self.randomFlag)), digits: 2)
    }

    /// Lower case alone.
    private static func hex(_ text: Span<UInt8>, _ range: Range<Int>) -> UInt64? {
        var number: UInt64 = 0
        for at in range {
            switch text[at] {
            case 0x30...0x39: number = number << 4 | UInt64(text[at] - 0x30)
            case 0x61...0x66: number = number << 4 | UInt64(text[at] - 0x57)
            default: return nil
            }
        }
        return number
    }
}

/// tracestate: what other tracing systems have to say, passed on as it came when it is well-formed.
package enum TraceState {
    package static var membersMax: Int { 32 }
    /// Longer than the 512 bytes that everybody has to pass on is passed on up to this.
    package static var bytesMax: Int { 8192 }

    /// Checks one line: members `key=value`, 32 at most, each key once. Empty members are allowed.
    ///
    /// - Parameter members: of the lines before it; counted on.
    package static func isValid(_ line: Span<UInt8>, members: inout Int) -> Bool {
        guard line.count <= bytesMax else { return false }
        var starts = InlineArray<32, Range<Int>>(repeating: 0..<0)
        var (count, at) = (0, 0)
        while at <= line.count {
            var end = at
            while end < line.count, line[end] != 0x2c { end += 1 }
            let member = NodeName.trim(line, at..<end)
            at = end + 1
            if member.isEmpty { continue }
            guard members < membersMax, count < membersMax, let key = key(line, member) else { return false }
            for other in 0..<count where isEqual(line, starts[other], key) { return false }
            starts[count] = key
            (count, members) = (count + 1, members + 1)
        }
        return true
    }

    /// The key of a member that is well-formed.
    private static func key(_ line: Span<UInt8>, _ member: Range<Int>) -> Range<Int>? {
        var equals = member.lowerBound
        while equals < member.upperBound, line[equals] != 0x3d { equals += 1 }
        let (key, value) = (member.lowerBound..<equals, min(equals + 1, member.upperBound)..<member.upperBound)
        guard equals < member.upperBound, (1...256).contains(key.count), (1...256).contains(value.count), isKey(line, key) else { return nil }
        for at in value where line[at] < 0x20 || line[at] > 0x7e || line[at] == 0x3d { return nil }
        return key
    }

    /// A lower-case letter or digit, then those, `_`, `-`, `*`, `/`, and `@` once between tenant and system.
    private static func isKey(_ line: Span<UInt8>, _ key: Range<Int>) -> Bool {
        var ats = 0
        for at in key {
            switch line[at] {
            case 0x61...0x7a, 0x30...0x39: break
            case 0x5f, 0x2d, 0x2a, 0x2f: if at == key.lowerBound { return false }
            case 0x40:
                ats += 1
                if at == key.lowerBound || at == key.upperBound - 1 || ats > 1 { return false }
            default: return false
            }
        }
        return true
    }

    private static func isEqual(_ line: Span<UInt8>, _ left: Range<Int>, _ right: Range<Int>) -> Bool {
        guard left.count == right.count else { return false }
        for place in 0..<left.count where line[left.lowerBound + place] != line[right.lowerBound + place] { return false }
        return true
    }
}

/// Which traces are recorded.
package struct TraceSampler: Hashable, Sendable {
    /// Of new traces, in 2⁻⁶⁴; nil: all.
    private let threshold: UInt64?
    /// What the caller has decided holds; off where callers are not to be trusted with our costs.
    package let followsParent: Bool

    /// - Parameter ratio: of new traces, 0 to 1; others are cut to it.
    package init(ratio: Double, followsParent: Bool = true) {
        threshold = ratio >= 1 ? nil : ratio > 0 ? UInt64(ratio * 0x1p64) : 0
        self.followsParent = followsParent
    }

    /// By the trace id's lower half, so that all servers with one ratio decide alike.
    package func isSampled(_ trace: TraceID) -> Bool { threshold.map { trace.low < $0 } ?? true }

    /// The context of a request's own span.
    package func context(parent: TraceContext?, random: inout some RandomNumberGenerator) -> TraceContext {
        guard let parent else {
            var context = TraceContext(random: &random, isSampled: false)
            context.isSampled = isSampled(context.trace)
            return context
        }
        return parent.child(random: &random, isSampled: followsParent ? parent.isSampled : isSampled(parent.trace))
    }
}

/// Names of requests, for logs and users.
package enum RequestID {
    /// As text: 8-4-4-4-12 digits.
    package static var uuidBytes: Int { 36 }

    /// UUIDv7 (RFC 9562 5.7): sorts by time.
    ///
    /// - Parameter now: ns since 1970.
    package static func appendUUID(now: UInt64, random: inout some RandomNumberGenerator, to sink: inout ByteSink) {
        append(uuid(now: now, random: &random), to: &sink)
    }

    /// The same as numbers, for whoever writes it more than once. Never 0 and 0.
    package static func uuid(now: UInt64, random: inout some RandomNumberGenerator) -> (UInt64, UInt64) {
        let (first, second): (UInt64, UInt64) = (random.next(), random.next())
        // 48 bits of time, the version and 12 random ones; the variant and 62 random ones.
        return ((now / 1_000_000) << 16 | 0x7000 | first & 0xfff, 0x8000_0000_0000_0000 | (first >> 16 & 0x3fff) << 48 | second & 0xffff_ffff_ffff)
    }

    package static func append(_ uuid: (UInt64, UInt64), to sink: inout ByteSink) {
        sink.appendHex(uuid.0 >> 32, digits: 8)
        sink.append(0x2d)
        sink.appendHex(uuid.0 >> 16, digits: 4)
        sink.append(0x2d)
        sink.appendHex(uuid.0, digits: 4)
        sink.append(0x2d)
        sink.appendHex(uuid.1 >> 48, digits: 4)
        sink.append(0x2d)
        sink.appendHex(uuid.1, digits: 12)
    }

    /// Whether a request id of a client can be taken over: 1 to 128 letters, digits, `-`, `_`, `.`, `:`, `/`, `+`, `=`, which do no harm in a log.
    package static func isAcceptable(_ text: Span<UInt8>) -> Bool {
        guard (1...128).contains(text.count) else { return false }
        for at in text.indices {
            switch text[at] {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x5f, 0x2e, 0x3a, 0x2f, 0x2b, 0x3d: break
            default: return false
            }
        }
        return true
    }
}
