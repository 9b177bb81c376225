// Requests to Redis: arrays of strings, the one form that RESP2 and RESP3 share. Into memory of the caller; a loop's thread.

package enum RESPEncoder {
    /// Begins a request of so many parts.
    package static func begin(parts: Int, to sink: inout ByteSink) { length(0x2a, parts, to: &sink) }

    package static func part(_ bytes: Span<UInt8>, to sink: inout ByteSink) {
        length(0x24, bytes.count, to: &sink)
        sink.append(bytes)
        sink.append("\r\n")
    }

    package static func part(_ text: StaticString, to sink: inout ByteSink) {
        length(0x24, text.utf8CodeUnitCount, to: &sink)
        sink.append(text)
        sink.append("\r\n")
    }

    package static func part(_ number: UInt64, to sink: inout ByteSink) {
        var (digits, rest) = (1, number)
        while rest >= 10 { (digits, rest) = (digits + 1, rest / 10) }
        length(0x24, digits, to: &sink)
        sink.appendDecimal(number)
        sink.append("\r\n")
    }

    /// Most bytes that a part adds to its content: `$`, a length, two line ends.
    package static var partOverheadMax: Int { 1 + 20 + 2 + 2 }

    private static func length(_ type: UInt8, _ count: Int, to sink: inout ByteSink) {
        sink.append(type)
        sink.appendDecimal(UInt64(count))
        sink.append("\r\n")
    }
}
