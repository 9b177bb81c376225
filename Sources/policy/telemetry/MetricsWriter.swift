// Metrics as Prometheus reads them: text format 0.0.4, or OpenMetrics 1.0, into memory of the caller. The admin's answer: any thread that holds the figures; names and labels are given for each sample.

package import UringBase

/// Writes families one after the other: `begin`, its samples, the next; `finish` at the end. When `sink.isTruncated`, the caller begins again with more room.
package struct MetricsWriter: Sendable {
    /// `protobuf`: length-delimited messages, which have native histograms too.
    package enum Format: Sendable { case text, openMetrics, protobuf }
    package enum Kind: Sendable { case counter, gauge, histogram }

    /// A label: the name is the program's own, the value anything.
    package struct Label: Sendable {
        package var name: StaticString
        package var value: String

        package init(_ name: StaticString, _ value: String) { (self.name, self.value) = (name, value) }
    }

    package let format: Format
    private var name: StaticString = ""
    private var kind = Kind.gauge
    /// Of protobuf: what was begun and is not written.
    private var family: ProtobufFamily?

    package init(_ format: Format) { self.format = format }

    /// Of the Content-Type.
    package var contentType: StaticString {
        switch format {
        case .text: "text/plain; version=0.0.4; charset=utf-8"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        case .protobuf: "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
        }
    }

    /// Begins a family.
    ///
    /// - Parameters:
    ///   - name: without `_total`, which counters get; with its unit at the end (`_seconds`, `_bytes`).
    ///   - unit: that unit, empty for none: OpenMetrics has a line for it.
    package mutating func begin(_ name: StaticString, _ kind: Kind, unit: StaticString = "", help: StaticString, to sink: inout ByteSink) {
        (self.name, self.kind) = (name, kind)
        if format == .protobuf {
            flush(to: &sink)
            family = ProtobufFamily("\(name)\(kind == .counter ? "_total" : "")", help: "\(help)", kind)
            return
        }
        let isSuffixed = kind == .counter && format == .text
        func head(_ word: StaticString, _ sink: inout ByteSink) {
            sink.append(word)
            sink.append(name)
            if isSuffixed { sink.append("_total") }
            sink.append(0x20)
        }
        head("# HELP ", &sink)
        appendHelp(help, to: &sink)
        sink.append(0x0a)
        head("# TYPE ", &sink)
        switch kind {
        case .counter: sink.append("counter\n")
        case .gauge: sink.append("gauge\n")
        case .histogram: sink.append("histogram\n")
        }
        if format == .openMetrics && unit.utf8CodeUnitCount > 0 {
            head("# UNIT ", &sink)
            sink.append(unit)
            sink.append(0x0a)
        }
    }

    /// A sample of the family that was begun, a counter or a gauge.
    package mutating func sample(_ labels: [Label] = [], _ value: UInt64, to sink: inout ByteSink) {
        if format == .protobuf { return family?.sample(labels, kind, Double(value)) ?? () }
        start(kind == .counter ? "_total" : "", labels, bound: nil, to: &sink)
        sink.appendDecimal(value)
        sink.append(0x0a)
    }

    package mutating func sample(_ labels: [Label] = [], signed value: Int64, to sink: inout ByteSink) {
        if format == .protobuf { return family?.sample(labels, kind, Double(value)) ?? () }
        start(kind == .counter ? "_total" : "", labels, bound: nil, to: &sink)
        sink.appendDecimal(value)
        sink.append(0x0a)
    }

    /// A number of nanoseconds, in seconds.
    package mutating func sample(_ labels: [Label] = [], nanoseconds value: UInt64, to sink: inout ByteSink) {
        if format == .protobuf { return family?.sample(labels, kind, Double(value) / 1e9) ?? () }
        start(kind == .counter ? "_total" : "", labels, bound: nil, to: &sink)
        Self.appendSeconds(value, to: &sink)
        sink.append(0x0a)
    }

    /// A histogram of nanoseconds, in seconds.
    ///
    /// - Parameter bounds: upper bounds in ns, ascending. The recorder's buckets are 3 % wide: one that reaches over a bound is counted above it, so what is told to be below a bound is.
    package mutating func histogram(_ labels: [Label] = [], _ histogram: borrowing Histogram, bounds: [UInt64] = MetricsWriter.defaultBounds, to sink: inout ByteSink) {
        var counts = [UInt64](repeating: 0, count: bounds.count)
        histogram.forEachBucket { range, count in
            for (index, bound) in bounds.enumerated() where range.upperBound <= bound { counts[index] += count }
        }
        if format == .protobuf {
            let buckets = zip(counts, bounds).map { ($0, Double($1) / 1e9) } + [(histogram.count, .infinity)]
            family?.histogram(labels, count: histogram.count, sum: Double(histogram.sum) / 1e9, buckets: buckets, native: nil)
            return
        }
        for (index, bound) in bounds.enumerated() {
            start("_bucket", labels, bound: bound, to: &sink)
            sink.appendDecimal(counts[index])
            sink.append(0x0a)
        }
        start("_bucket", labels, bound: .max, to: &sink)
        sink.appendDecimal(histogram.count)
        sink.append(0x0a)
        start("_sum", labels, bound: nil, to: &sink)
        Self.appendSeconds(histogram.sum, to: &sink)
        sink.append(0x0a)
        start("_count", labels, bound: nil, to: &sink)
        sink.appendDecimal(histogram.count)
        sink.append(0x0a)
    }

    /// A histogram that was counted in buckets of its own.
    ///
    /// - Parameters:
    ///   - counts: of each bucket alone, as many as `bounds` and one for what is above them all.
    ///   - bounds: upper bounds, ascending; ns where `isTime`, which are told in seconds, otherwise numbers below 2³⁴.
    ///   - sum: of all values, in the same unit.
    ///   - native: the same values in the buckets of a native histogram, for the format that has them.
    package mutating func histogram(
        _ labels: [Label] = [], counts: [UInt64], bounds: [UInt64], sum: UInt64, isTime: Bool, native: NativeBuckets? = nil, to sink: inout ByteSink
    ) {
        precondition(counts.count == bounds.count + 1, "BUG: a bucket without a bound")
        if format == .protobuf {
            var (sofar, buckets): (UInt64, [(count: UInt64, bound: Double)]) = (0, [])
            for (index, count) in counts.enumerated() {
                sofar &+= count
                buckets.append((sofar, index == bounds.count ? .infinity : isTime ? Double(bounds[index]) / 1e9 : Double(bounds[index])))
            }
            family?.histogram(labels, count: sofar, sum: isTime ? Double(sum) / 1e9 : Double(sum), buckets: buckets, native: native)
            return
        }
        var total: UInt64 = 0
        for (index, count) in counts.enumerated() {
            total &+= count
            let bound = index == bounds.count ? .max : isTime ? bounds[index] : bounds[index] * 1_000_000_000
            start("_bucket", labels, bound: bound, to: &sink)
            sink.appendDecimal(total)
            sink.append(0x0a)
        }
        start("_sum", labels, bound: nil, to: &sink)
        if isTime { Self.appendSeconds(sum, to: &sink) } else { sink.appendDecimal(sum) }
        sink.append(0x0a)
        start("_count", labels, bound: nil, to: &sink)
        sink.appendDecimal(total)
        sink.append(0x0a)
    }

    /// 100 µs to 10 s, in steps of 1, 2.5, 5.
    package static let defaultBounds: [UInt64] = [
        100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000, 250_000_000, 500_000_000, 1_000_000_000, 2_500_000_000, 5_000_000_000,
        10_000_000_000,
    ]

    /// The end: OpenMetrics has a mark for it, so that a cut answer is known as one.
    package mutating func finish(to sink: inout ByteSink) {
        if format == .openMetrics { sink.append("# EOF\n") }
        flush(to: &sink)
    }

    /// The family that was begun is whole.
    private mutating func flush(to sink: inout ByteSink) {
        for byte in family?.delimited ?? [] { sink.append(byte) }
        family = nil
    }

    // MARK: Text

    /// Name, labels and the space before the value. `bound` of a bucket, `.max` for all.
    private func start(_ suffix: StaticString, _ labels: [Label], bound: UInt64?, to sink: inout ByteSink) {
        sink.append(name)
        sink.append(suffix)
        var separator = UInt8(ascii: "{")
        for label in labels {
            sink.append(separator)
            separator = UInt8(ascii: ",")
            sink.append(label.name)
            sink.append("=\"")
            appendEscaped(label.value, to: &sink)
            sink.append(0x22)
        }
        if let bound {
            sink.append(separator)
            separator = UInt8(ascii: ",")
            sink.append("le=\"")
            if bound == .max { sink.append("+Inf") } else { Self.appendSeconds(bound, to: &sink) }
            sink.append(0x22)
        }
        if separator == UInt8(ascii: ",") { sink.append(UInt8(ascii: "}")) }
        sink.append(0x20)
    }

    private func appendEscaped(_ text: String, to sink: inout ByteSink) {
        for byte in text.utf8 {
            switch byte {
            case 0x5c: sink.append("\\\\")
            case 0x22: sink.append("\\\"")
            case 0x0a: sink.append("\\n")
            default: sink.append(byte)
            }
        }
    }

    /// In text 0.0.4 a quote of a help stands as it is, in OpenMetrics it is escaped.
    private func appendHelp(_ text: StaticString, to sink: inout ByteSink) {
        for place in 0..<text.utf8CodeUnitCount {
            // SAFETY: a literal, read within its length.
            switch unsafe text.utf8Start[place] {
            case 0x5c: sink.append("\\\\")
            case 0x0a: sink.append("\\n")
            case 0x22 where format == .openMetrics: sink.append("\\\"")
            case let byte: sink.append(byte)
            }
        }
    }

    /// `1.5`, `0.0001`, `3.0`: exact, without trailing zeros but the one that makes it a float (OpenMetrics wants `le` as such).
    static func appendSeconds(_ nanoseconds: UInt64, to sink: inout ByteSink) {
        sink.appendDecimal(nanoseconds / 1_000_000_000)
        sink.append(0x2e)
        var (rest, digits) = (nanoseconds % 1_000_000_000, 9)
        while digits > 1 && rest % 10 == 0 { (rest, digits) = (rest / 10, digits - 1) }
        sink.appendDecimal(rest, digits: digits)
    }
}
