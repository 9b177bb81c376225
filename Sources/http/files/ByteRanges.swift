// Range requests in bytes (RFC 9110 section 14).
//
// Owns nothing; a parsed set is a fixed array inside the plan.

/// Bytes `first…last` of a file, both included; `first <= last < size`.
package struct ByteRange: Sendable, Equatable {
    package var first: UInt64
    package var last: UInt64

    package init(first: UInt64, last: UInt64) {
        self.first = first
        self.last = last
    }

    /// Bytes, at least 1. No overflow: `last` is below the file's size.
    package var count: UInt64 { last &- first &+ 1 }
}

/// Between 2 and `capacity` disjoint ranges in the order the client asked for them.
package struct ByteRangeSet: Sendable {
    /// More ranges than this in one request and the whole file is sent, which section 14.2 allows. Video and PDF readers ask for a
    /// handful; Apache's 200 and CVE-2011-3192 show what more is used for. Sixteen keep the plan at 256 bytes without a heap, and the
    /// part headers of an answer below 5 KiB.
    package static let capacity = 16

    private var ranges = [16 of ByteRange](repeating: ByteRange(first: 0, last: 0))
    package private(set) var count = 0

    init() {}

    /// - Parameter index: 0..<count.
    package subscript(index: Int) -> ByteRange {
        precondition(index < count, "BUG: byte range out of range")
        return ranges[index]
    }

    /// Adds `range`, or grows the ranges that it overlaps or touches into one, at the place of the first of them. So no byte of the
    /// file is sent twice, whatever the client asks for. The caller adds at most `capacity` ranges.
    mutating func add(_ range: ByteRange) {
        var merged = range
        var place: Int?
        var kept = 0
        for index in 0..<count {
            let other = ranges[index]
            guard ByteRangeSet.touch(merged, other) else {
                ranges[kept] = other
                kept &+= 1
                continue
            }
            // Growing cannot reach a range kept before: it would have to touch `other` or `range`, and kept ones touch neither.
            merged = ByteRange(first: min(merged.first, other.first), last: max(merged.last, other.last))
            if place == nil {
                place = kept
                kept &+= 1
            }
        }
        if let place {
            ranges[place] = merged
        } else {
            ranges[kept] = merged
            kept &+= 1
        }
        count = kept
    }

    /// Whether two ranges share a byte or follow each other without a gap. `last` is below a size, so adding 1 cannot overflow.
    private static func touch(_ a: ByteRange, _ b: ByteRange) -> Bool {
        a.first <= b.last &+ 1 && b.first <= a.last &+ 1
    }
}

package enum RangeOutcome: Sendable {
    /// No range to honour: another unit, malformed, too many, or a suffix of an empty file. Send the whole file with 200.
    case whole
    case single(ByteRange)
    case multiple(ByteRangeSet)
    /// 416: well-formed, and no range overlaps the file.
    case unsatisfiable
}

package enum ByteRangeField {
    /// Parses the field value of Range for a file of `size` bytes. A Range given on several lines is no valid field: pass nil on.
    ///
    /// Numbers of any length are read; those above `UInt64.max` count as that. Ranges that overlap or touch are joined; a
    /// file is therefore never sent more than once in one answer.
    package static func parse(_ value: Span<UInt8>, size: UInt64) -> RangeOutcome {
        var scanner = FieldScanner(value)
        scanner.skipWhitespace()
        let unit = scanner.token()
        guard scanner.matches(unit, "bytes"), scanner.accept(UInt8(ascii: "=")) else { return .whole }

        var set = ByteRangeSet()
        var specCount = 0
        var emptySuffix = false
        _ = scanner.skipListSeparators()
        while !scanner.isAtEnd {
            guard specCount < ByteRangeSet.capacity, let spec = parseSpec(&scanner) else { return .whole }
            specCount &+= 1
            switch spec.resolve(size: size) {
            case .range(let range): set.add(range)
            case .empty: emptySuffix = true
            case .unsatisfiable: break
            }
            let sawComma = scanner.skipListSeparators()
            guard sawComma || scanner.isAtEnd else { return .whole }
        }
        if set.count == 1 { return .single(set[0]) }
        if set.count > 1 { return .multiple(set) }
        return specCount == 0 || emptySuffix ? .whole : .unsatisfiable
    }

    private enum Spec {
        case from(UInt64)
        case between(UInt64, UInt64)
        case suffix(UInt64)

        enum Resolved {
            case range(ByteRange)
            /// A suffix of an empty file: satisfiable by section 14.1.2, but Content-Range cannot name zero bytes.
            case empty
            case unsatisfiable
        }

        func resolve(size: UInt64) -> Resolved {
            switch self {
            case .from(let first):
                return first < size ? .range(ByteRange(first: first, last: size &- 1)) : .unsatisfiable
            case .between(let first, let last):
                return first < size ? .range(ByteRange(first: first, last: min(last, size &- 1))) : .unsatisfiable
            case .suffix(let count):
                if count == 0 { return .unsatisfiable }
                if size == 0 { return .empty }
                return .range(ByteRange(first: size &- min(count, size), last: size &- 1))
            }
        }
    }

    /// `first-`, `first-last` or `-count`; nil when malformed, which makes the whole field malformed (section 14.1.1).
    private static func parseSpec(_ scanner: inout FieldScanner) -> Spec? {
        if scanner.accept(UInt8(ascii: "-")) {
            guard let count = scanner.saturatingNumber() else { return nil }
            return .suffix(count)
        }
        guard let first = scanner.saturatingNumber(), scanner.accept(UInt8(ascii: "-")) else { return nil }
        guard let last = scanner.saturatingNumber() else { return .from(first) }
        return last < first ? nil : .between(first, last)
    }
}

/// The value of Content-Range (RFC 9110 section 14.4).
package enum ContentRange: Sendable, Equatable {
    case satisfied(ByteRange, size: UInt64)
    /// With 416.
    case unsatisfied(size: UInt64)

    /// `bytes ` 6, two numbers and a size of 20 digits, `-` and `/`.
    package static let bytesMax = 68

    package var renderedCount: Int {
        switch self {
        case .satisfied(let range, let size):
            8 &+ ByteWriting.decimalLength(range.first) &+ ByteWriting.decimalLength(range.last) &+ ByteWriting.decimalLength(size)
        case .unsatisfied(let size):
            8 &+ ByteWriting.decimalLength(size)
        }
    }

    /// Appends `bytes 0-499/1234` or `bytes */1234`. False when it does not fit, with `out` as it was.
    package func render(into out: inout OutputSpan<UInt8>) -> Bool {
        guard out.freeCapacity >= renderedCount else { return false }
        appendChecked(to: &out)
        return true
    }

    /// The caller has checked that `renderedCount` fits.
    func appendChecked(to out: inout OutputSpan<UInt8>) {
        out.appendText("bytes ")
        switch self {
        case .satisfied(let range, let size):
            out.appendDecimal(range.first)
            out.append(UInt8(ascii: "-"))
            out.appendDecimal(range.last)
            out.append(UInt8(ascii: "/"))
            out.appendDecimal(size)
        case .unsatisfied(let size):
            out.append(UInt8(ascii: "*"))
            out.append(UInt8(ascii: "/"))
            out.appendDecimal(size)
        }
    }
}
