// PROXY protocol, both versions: what a proxy says of the connection before its first byte (haproxy.org, proxy-protocol.txt). Sans-I/O, stateless: the caller keeps the bytes until the header is whole, at most
// `ProxyHeader.bytesMax`. A loop's thread; no allocation.

/// What a header said.
package struct ProxyHeader: Equatable, Sendable {
    package enum Version: Sendable { case one, two }

    package var version: Version
    /// nil: the proxy speaks for itself (LOCAL: a health check), or does not say (UNKNOWN, UNSPEC, a unix socket): the connection's own addresses hold.
    package var addresses: Addresses?
    /// LOCAL of version 2.
    package var isLocal = false
    /// Bytes of the header; what follows is the client's.
    package var length: Int
    /// Within the header, checked: `ProxyTLVs` reads them. Empty with version 1.
    package var tlvs: Range<Int>

    package struct Addresses: Equatable, Sendable {
        package var source: IPAddress
        package var destination: IPAddress
        package var sourcePort: UInt16
        package var destinationPort: UInt16
        /// UDP: version 2 can say so.
        package var isDatagram = false

        package init(source: IPAddress, sourcePort: UInt16, destination: IPAddress, destinationPort: UInt16, isDatagram: Bool = false) {
            (self.source, self.sourcePort, self.destination, self.destinationPort) = (source, sourcePort, destination, destinationPort)
            self.isDatagram = isDatagram
        }
    }

    package enum Fault: Equatable, Sendable {
        /// Neither signature: the peer speaks something else. Never to be taken for a client's bytes: a listener has the protocol or has it not (proxy-protocol.txt 2).
        case noSignature
        case badLine
        case badAddress
        case badPort
        case lineTooLong
        case badVersion
        case badCommand
        case badFamily
        /// Shorter than its addresses.
        case tooShort
        /// Longer than the listener takes.
        case tooLong
        case badTLV
        /// PP2_TYPE_CRC32C is there and does not fit.
        case badChecksum
    }

    package enum Outcome: Equatable, Sendable {
        case complete(ProxyHeader)
        case needMore
        case malformed(Fault)
    }

    /// Version 1, with its line end (proxy-protocol.txt 2.1).
    package static var lineBytesMax: Int { 107 }
    /// Version 2 can be 65,551 bytes long; proxies send some hundred. A certificate's subject and a token fit, and a chunk of a connection's memory holds it.
    package static var bytesMax: Int { 4096 }
    /// Version 2 up to its length.
    static var prefixBytes: Int { 16 }

    /// Reads the header that `input` begins with.
    package static func parse(_ input: Span<UInt8>) -> Outcome {
        if input.isEmpty { return .needMore }
        return input[0] == 0x50 ? parseLine(input) : parseBinary(input)
    }

    // MARK: Version 2

    static let signature: InlineArray<12, UInt8> = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]

    private static func parseBinary(_ input: Span<UInt8>) -> Outcome {
        for at in 0..<min(12, input.count) where input[at] != signature[at] { return .malformed(.noSignature) }
        if input.count > 12 {
            guard input[12] >> 4 == 2 else { return .malformed(.badVersion) }
            guard input[12] & 15 <= 1 else { return .malformed(.badCommand) }
        }
        guard input.count >= prefixBytes else { return .needMore }
        let length = prefixBytes + number(input, 14, 2)
        guard length <= bytesMax else { return .malformed(.tooLong) }
        guard let size = addressBytes(input[13]) else { return .malformed(.badFamily) }
        let isLocal = input[12] & 15 == 0
        // Of LOCAL everything behind the prefix is to be skipped unread (proxy-protocol.txt 2.2).
        guard isLocal || length >= prefixBytes + size else { return .malformed(.tooShort) }
        guard input.count >= length else { return .needMore }
        if isLocal { return .complete(ProxyHeader(version: .two, addresses: nil, isLocal: true, length: length, tlvs: length..<length)) }
        let header = ProxyHeader(version: .two, addresses: addresses(input), length: length, tlvs: prefixBytes + size..<length)
        if let fault = ProxyTLVs.check(input, header) { return .malformed(fault) }
        return .complete(header)
    }

    /// nil: no family, no transport of the protocol.
    private static func addressBytes(_ family: UInt8) -> Int? {
        switch family {
        case 0x00: 0
        case 0x11, 0x12: 12
        case 0x21, 0x22: 36
        case 0x31, 0x32: 216
        default: nil
        }
    }

    private static func addresses(_ input: Span<UInt8>) -> Addresses? {
        let isDatagram = input[13] & 15 == 2
        switch input[13] >> 4 {
        case 1:
            return Addresses(
                source: IPAddress(ipv4: UInt32(number(input, 16, 4))), sourcePort: UInt16(number(input, 24, 2)), destination: IPAddress(ipv4: UInt32(number(input, 20, 4))),
                destinationPort: UInt16(number(input, 26, 2)), isDatagram: isDatagram)
        case 2:
            return Addresses(
                source: address(input, 16), sourcePort: UInt16(number(input, 48, 2)), destination: address(input, 32), destinationPort: UInt16(number(input, 50, 2)), isDatagram: isDatagram)
        default: return nil
        }
    }

    private static func address(_ input: Span<UInt8>, _ at: Int) -> IPAddress {
        IPAddress(high: UInt64(number(input, at, 4)) << 32 | UInt64(number(input, at + 4, 4)), low: UInt64(number(input, at + 8, 4)) << 32 | UInt64(number(input, at + 12, 4)))
    }

    /// Big endian, at most 4 bytes.
    static func number(_ input: Span<UInt8>, _ at: Int, _ bytes: Int) -> Int {
        var number = 0
        for place in at..<at + bytes { number = number << 8 | Int(input[place]) }
        return number
    }

    // MARK: Version 1

    private static func parseLine(_ input: Span<UInt8>) -> Outcome {
        let word: InlineArray<6, UInt8> = [0x50, 0x52, 0x4f, 0x58, 0x59, 0x20]
        for at in 0..<min(6, input.count) where input[at] != word[at] { return .malformed(.noSignature) }
        var end = 0
        while end < min(input.count, lineBytesMax), input[end] != 0x0d {
            // Printable ASCII alone: a line feed without its return ends no line.
            guard input[end] >= 0x20, input[end] < 0x7f else { return .malformed(.badLine) }
            end += 1
        }
        if end + 1 >= lineBytesMax { return .malformed(.lineTooLong) }
        guard end + 1 < input.count else { return .needMore }
        guard input[end + 1] == 0x0a else { return .malformed(.badLine) }
        return fields(input, end)
    }

    private static func fields(_ input: Span<UInt8>, _ end: Int) -> Outcome {
        var at = 6
        let family = field(input, &at, end)
        var header = ProxyHeader(version: .one, addresses: nil, length: end + 2, tlvs: end + 2..<end + 2)
        // Whatever follows UNKNOWN is to be ignored.
        if isWord(input, family, "UNKNOWN") { return .complete(header) }
        let isIPv4 = isWord(input, family, "TCP4")
        guard isIPv4 || isWord(input, family, "TCP6") else { return .malformed(.badFamily) }
        let (source, destination) = (field(input, &at, end), field(input, &at, end))
        let (sourcePort, destinationPort) = (field(input, &at, end), field(input, &at, end))
        guard at == end + 1 else { return .malformed(.badLine) }
        guard let from = address(input, source, isIPv4), let to = address(input, destination, isIPv4) else { return .malformed(.badAddress) }
        guard let fromPort = port(input, sourcePort), let toPort = port(input, destinationPort) else { return .malformed(.badPort) }
        header.addresses = Addresses(source: from, sourcePort: fromPort, destination: to, destinationPort: toPort)
        return .complete(header)
    }

    /// Up to the next space; exactly one stands between two. Behind the last field `at` is one more than the end.
    private static func field(_ input: Span<UInt8>, _ at: inout Int, _ end: Int) -> Range<Int> {
        let start = min(at, end)
        var finish = start
        while finish < end, input[finish] != 0x20 { finish += 1 }
        at = finish + 1
        return start..<finish
    }

    private static func isWord(_ input: Span<UInt8>, _ range: Range<Int>, _ word: StaticString) -> Bool {
        guard range.count == word.utf8CodeUnitCount else { return false }
        // SAFETY: a literal, read within its length.
        for place in 0..<range.count where unsafe input[range.lowerBound + place] != word.utf8Start[place] { return false }
        return true
    }

    /// The family is that of the text: `TCP6 ::ffff:192.0.2.1` is legal.
    private static func address(_ input: Span<UInt8>, _ range: Range<Int>, _ isIPv4: Bool) -> IPAddress? {
        for at in range where input[at] == 0x3a { return isIPv4 ? nil : IPAddress(input, range) }
        return isIPv4 ? IPAddress(input, range) : nil
    }

    private static func port(_ input: Span<UInt8>, _ range: Range<Int>) -> UInt16? {
        guard (1...5).contains(range.count), input[range.lowerBound] != 0x30 || range.count == 1 else { return nil }
        var port = 0
        for at in range {
            guard (0x30...0x39).contains(input[at]) else { return nil }
            port = port * 10 + Int(input[at] - 0x30)
        }
        return UInt16(exactly: port)
    }
}
