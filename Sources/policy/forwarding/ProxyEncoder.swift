// PROXY protocol, the sender's side: what is said to a server before the first byte of a connection to it. Into memory of the caller; a loop's thread.

package enum ProxyEncoder {
    /// Version 1: the longest line.
    package static var lineBytesMax: Int { ProxyHeader.lineBytesMax }
    /// Version 2 without further fields: IPv6 and the checksum.
    package static var binaryBytesMax: Int { ProxyHeader.prefixBytes + 36 + 7 }

    /// - Parameter addresses: nil, or of two families: UNKNOWN.
    package static func appendLine(_ addresses: ProxyHeader.Addresses?, to sink: inout ByteSink) {
        guard let addresses, addresses.source.isIPv4 == addresses.destination.isIPv4 else { return sink.append("PROXY UNKNOWN\r\n") }
        sink.append(addresses.source.isIPv4 ? "PROXY TCP4 " : "PROXY TCP6 ")
        addresses.source.append(to: &sink)
        sink.append(0x20)
        addresses.destination.append(to: &sink)
        sink.append(0x20)
        sink.appendDecimal(UInt64(addresses.sourcePort))
        sink.append(0x20)
        sink.appendDecimal(UInt64(addresses.destinationPort))
        sink.append("\r\n")
    }

    /// - Parameters:
    ///   - addresses: nil: LOCAL, for the connections that are the gateway's own (health checks).
    ///   - fields: further fields, by `appendField`.
    ///   - hasChecksum: a CRC-32C of the whole header.
    package static func appendBinary(
        _ addresses: ProxyHeader.Addresses?, hasChecksum: Bool = false, to sink: inout ByteSink, fields: (inout ByteSink) -> Void = { _ in }
    ) {
        let start = sink.count
        for at in 0..<12 { sink.append(ProxyHeader.signature[at]) }
        sink.append(addresses == nil ? 0x20 : 0x21)
        let isIPv4 = addresses.map { $0.source.isIPv4 && $0.destination.isIPv4 } ?? true
        sink.append(addresses.map { (isIPv4 ? 0x10 : 0x20) | ($0.isDatagram ? 2 : 1) } ?? 0)
        sink.appendBigEndian(0, bytes: 2)
        if let addresses { append(addresses, isIPv4, to: &sink) }
        fields(&sink)
        if hasChecksum { appendField(ProxyTLVKind.crc32c, to: &sink) { $0.appendBigEndian(0, bytes: 4) } }
        guard !sink.isTruncated else { return }
        let length = sink.count - start - ProxyHeader.prefixBytes
        precondition(length <= Int(UInt16.max), "BUG: the fields of a PROXY header have 64 KiB together")
        sink.overwrite(at: start + 14, UInt8(length >> 8))
        sink.overwrite(at: start + 15, UInt8(length & 255))
        if hasChecksum { sum(start, &sink) }
    }

    /// A field of at most 64 KiB; of `ssl` the content begins with a byte of flags and four of the result, and has fields of its own.
    package static func appendField(_ kind: UInt8, to sink: inout ByteSink, content: (inout ByteSink) -> Void) {
        sink.append(kind)
        let start = sink.count
        sink.appendBigEndian(0, bytes: 2)
        content(&sink)
        guard !sink.isTruncated else { return }
        let length = sink.count - start - 2
        precondition(length <= Int(UInt16.max), "BUG: a field of a PROXY header has 64 KiB")
        sink.overwrite(at: start, UInt8(length >> 8))
        sink.overwrite(at: start + 1, UInt8(length & 255))
    }

    /// Of two families both are written as IPv6, IPv4 in its mapped form.
    private static func append(_ addresses: ProxyHeader.Addresses, _ isIPv4: Bool, to sink: inout ByteSink) {
        append(addresses.source, isIPv4, to: &sink)
        append(addresses.destination, isIPv4, to: &sink)
        sink.appendBigEndian(UInt64(addresses.sourcePort), bytes: 2)
        sink.appendBigEndian(UInt64(addresses.destinationPort), bytes: 2)
    }

    private static func append(_ address: IPAddress, _ isIPv4: Bool, to sink: inout ByteSink) {
        if isIPv4 { return sink.appendBigEndian(UInt64(address.ipv4), bytes: 4) }
        sink.appendBigEndian(address.high, bytes: 8)
        sink.appendBigEndian(address.low, bytes: 8)
    }

    private static func sum(_ start: Int, _ sink: inout ByteSink) {
        let end = sink.count
        let sum = sink.withBytes { CRC32C.checksum($0, start..<end, zeroed: end - 4..<end) }
        for place in 0..<4 { sink.overwrite(at: end - 4 + place, UInt8(truncatingIfNeeded: sum >> UInt32(24 - 8 * place))) }
    }
}
