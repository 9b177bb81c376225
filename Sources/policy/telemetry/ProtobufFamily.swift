// ProtobufFamily: one family of metrics as Prometheus' protobuf exposition has it (io.prometheus.client.MetricFamily, prometheus/client_model), written field by field. Of one thread at a time.

/// Bytes in the wire format of protocol buffers: a tag (number << 3 | type), then the value. Fields stand in ascending order; what is zero is left out, but for what a reader must see.
struct ProtobufBytes {
    private(set) var bytes: [UInt8] = []

    private enum Wire: UInt64 { case varint = 0, fixed64 = 1, bytes = 2 }

    mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    private mutating func tag(_ field: UInt64, _ wire: Wire) { varint(field << 3 | wire.rawValue) }

    /// sint: small magnitudes of either sign are short.
    static func zigzag(_ value: Int64) -> UInt64 { UInt64(bitPattern: value << 1 ^ value >> 63) }

    mutating func field(_ number: UInt64, _ value: UInt64) {
        tag(number, .varint)
        varint(value)
    }

    mutating func field(_ number: UInt64, signed value: Int64) { field(number, Self.zigzag(value)) }

    mutating func field(_ number: UInt64, _ value: Double) {
        tag(number, .fixed64)
        for shift in stride(from: UInt64(0), to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> shift)) }
    }

    mutating func field(_ number: UInt64, _ text: some Collection<UInt8>) {
        tag(number, .bytes)
        varint(UInt64(text.count))
        bytes += text
    }

    /// A message within this one.
    mutating func message(_ number: UInt64, _ write: (inout ProtobufBytes) -> Void) {
        var inner = ProtobufBytes()
        write(&inner)
        field(number, inner.bytes)
    }

    /// Repeated sint64, packed.
    mutating func packed(_ number: UInt64, signed values: [Int64]) {
        var inner = ProtobufBytes()
        for value in values { inner.varint(Self.zigzag(value)) }
        field(number, inner.bytes)
    }
}

/// Counts of a native histogram: by index of NativeScale, ascending; none is zero.
package struct NativeBuckets: Sendable {
    package var schema: Int32
    package var counts: [(index: Int, count: UInt64)]

    package init(schema: Int32, counts: [(index: Int, count: UInt64)]) { (self.schema, self.counts) = (schema, counts) }
}

struct ProtobufFamily {
    private var message = ProtobufBytes()

    /// The message, behind its length.
    var delimited: [UInt8] {
        var bytes = ProtobufBytes()
        bytes.varint(UInt64(message.bytes.count))
        return bytes.bytes + message.bytes
    }

    /// - Parameter name: as the series are called: counters with `_total`.
    init(_ name: String, help: String, _ kind: MetricsWriter.Kind) {
        message.field(1, name.utf8)
        message.field(2, help.utf8)
        switch kind {
        case .counter: message.field(3, 0 as UInt64)
        case .gauge: message.field(3, 1 as UInt64)
        case .histogram: message.field(3, 4 as UInt64)
        }
    }

    private static func labels(_ labels: [MetricsWriter.Label], _ metric: inout ProtobufBytes) {
        for label in labels {
            metric.message(1) { pair in
                pair.field(1, "\(label.name)".utf8)
                pair.field(2, label.value.utf8)
            }
        }
    }

    mutating func sample(_ labels: [MetricsWriter.Label], _ kind: MetricsWriter.Kind, _ value: Double) {
        message.message(4) { metric in
            Self.labels(labels, &metric)
            metric.message(kind == .counter ? 3 : 2) { $0.field(1, value) }
        }
    }

    /// - Parameters:
    ///   - buckets: cumulative, ascending; the last one's bound is infinite.
    ///   - native: nil: there are the buckets alone.
    mutating func histogram(_ labels: [MetricsWriter.Label], count: UInt64, sum: Double, buckets: [(count: UInt64, bound: Double)], native: NativeBuckets?) {
        message.message(4) { metric in
            Self.labels(labels, &metric)
            metric.message(7) { histogram in
                histogram.field(1, count)
                histogram.field(2, sum)
                for bucket in buckets {
                    histogram.message(3) { message in
                        message.field(1, bucket.count)
                        message.field(2, bucket.bound)
                    }
                }
                if let native { Self.native(native, &histogram) }
            }
        }
    }

    /// Below it a value would count as zero. Readers know a native histogram by it, also one without values.
    private static let zeroThreshold = 0x1p-128

    private static func native(_ native: NativeBuckets, _ histogram: inout ProtobufBytes) {
        histogram.field(5, signed: Int64(native.schema))
        histogram.field(6, zeroThreshold)
        histogram.field(7, 0 as UInt64)
        // Runs of neighbours: how far behind the one before, and how many.
        var spans: [(offset: Int, length: UInt64)] = []
        var next = 0
        for (index, _) in native.counts {
            if index == next, !spans.isEmpty { spans[spans.count - 1].length += 1 } else { spans.append((index - next, 1)) }
            next = index + 1
        }
        for span in spans {
            histogram.message(12) { message in
                message.field(1, signed: Int64(span.offset))
                message.field(2, span.length)
            }
        }
        var before: Int64 = 0
        histogram.packed(
            13,
            signed: native.counts.map { _, count in
                let count = Int64(clamping: count)
                defer { before = count }
                return count - before
            })
    }
}
