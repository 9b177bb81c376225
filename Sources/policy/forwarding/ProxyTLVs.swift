// The fields behind the addresses of a PROXY protocol header of version 2 (proxy-protocol.txt 2.2.1 to 2.2.8). Ranges of the caller's bytes; a loop's thread, no allocation.

/// What kinds there are. Others are skipped.
package enum ProxyTLVKind {
    package static let alpn: UInt8 = 0x01
    package static let authority: UInt8 = 0x02
    package static let crc32c: UInt8 = 0x03
    package static let noop: UInt8 = 0x04
    package static let uniqueID: UInt8 = 0x05
    package static let ssl: UInt8 = 0x20
    package static let sslVersion: UInt8 = 0x21
    package static let sslCommonName: UInt8 = 0x22
    package static let sslCipher: UInt8 = 0x23
    package static let sslSignature: UInt8 = 0x24
    package static let sslKey: UInt8 = 0x25
    package static let netns: UInt8 = 0x30
}

/// What the proxy says of its client's TLS (PP2_TYPE_SSL).
package struct ProxyTLS: Equatable, Sendable {
    /// The client came over TLS.
    package var isSecure: Bool
    /// A certificate was shown over this connection.
    package var hasCertificate: Bool
    /// One was shown over this session.
    package var hasSessionCertificate: Bool
    /// And it was verified.
    package var isVerified: Bool
    package var version: Range<Int>?
    package var commonName: Range<Int>?
    package var cipher: Range<Int>?
}

package enum ProxyTLVs {
    /// The value of the first field of a kind, in the bytes that the header was read from.
    package static func first(_ kind: UInt8, _ input: Span<UInt8>, _ header: ProxyHeader) -> Range<Int>? {
        first(kind, input, header.tlvs)
    }

    /// nil when there is no such field.
    package static func tls(_ input: Span<UInt8>, _ header: ProxyHeader) -> ProxyTLS? {
        guard let value = first(ProxyTLVKind.ssl, input, header.tlvs), value.count >= sslPrefixBytes else { return nil }
        let client = input[value.lowerBound]
        let inner = value.lowerBound + sslPrefixBytes..<value.upperBound
        return ProxyTLS(
            isSecure: client & 1 != 0, hasCertificate: client & 2 != 0, hasSessionCertificate: client & 4 != 0,
            // `verify` is 0 for a certificate that was shown and is good.
            isVerified: client & 6 != 0 && ProxyHeader.number(input, value.lowerBound + 1, 4) == 0, version: first(ProxyTLVKind.sslVersion, input, inner),
            commonName: first(ProxyTLVKind.sslCommonName, input, inner), cipher: first(ProxyTLVKind.sslCipher, input, inner))
    }

    /// A byte of flags, four of the verification's result.
    static var sslPrefixBytes: Int { 5 }

    /// All fields fit their room, those of SSL too; a checksum that is there is right.
    static func check(_ input: Span<UInt8>, _ header: ProxyHeader) -> ProxyHeader.Fault? {
        var at = header.tlvs.lowerBound
        while at < header.tlvs.upperBound {
            guard let value = value(input, at, header.tlvs.upperBound) else { return .badTLV }
            switch input[at] {
            case ProxyTLVKind.ssl:
                guard value.count >= sslPrefixBytes, isWellFormed(input, value.lowerBound + sslPrefixBytes..<value.upperBound) else { return .badTLV }
            case ProxyTLVKind.uniqueID:
                guard value.count <= 128 else { return .badTLV }
            case ProxyTLVKind.crc32c:
                guard value.count == 4 else { return .badTLV }
                guard CRC32C.checksum(input, 0..<header.length, zeroed: value) == UInt32(ProxyHeader.number(input, value.lowerBound, 4)) else { return .badChecksum }
            default: break
            }
            at = value.upperBound
        }
        return nil
    }

    private static func isWellFormed(_ input: Span<UInt8>, _ range: Range<Int>) -> Bool {
        var at = range.lowerBound
        while at < range.upperBound {
            guard let value = value(input, at, range.upperBound) else { return false }
            at = value.upperBound
        }
        return true
    }

    private static func first(_ kind: UInt8, _ input: Span<UInt8>, _ range: Range<Int>) -> Range<Int>? {
        var at = range.lowerBound
        while at < range.upperBound, let value = value(input, at, range.upperBound) {
            if input[at] == kind { return value }
            at = value.upperBound
        }
        return nil
    }

    /// A kind, two bytes of length, the value.
    private static func value(_ input: Span<UInt8>, _ at: Int, _ end: Int) -> Range<Int>? {
        guard end - at >= 3, end <= input.count else { return nil }
        let length = ProxyHeader.number(input, at + 1, 2)
        guard length <= end - at - 3 else { return nil }
        return at + 3..<at + 3 + length
    }
}

/// CRC-32C (Castagnoli), bit by bit with a table of 16: once for a connection, over some hundred bytes.
enum CRC32C {
    private static let table: InlineArray<16, UInt32> = {
        var table = InlineArray<16, UInt32>(repeating: 0)
        for index in 0..<16 {
            var value = UInt32(index)
            for _ in 0..<4 { value = value & 1 != 0 ? value >> 1 ^ 0x82f6_3b78 : value >> 1 }
            table[index] = value
        }
        return table
    }()

    /// - Parameter zeroed: counts as zeros: the place of the checksum itself.
    static func checksum(_ input: Span<UInt8>, _ range: Range<Int>, zeroed: Range<Int>) -> UInt32 {
        var sum = UInt32.max
        for at in range { add(zeroed.contains(at) ? 0 : input[at], to: &sum) }
        return ~sum
    }

    @inline(__always)
    private static func add(_ byte: UInt8, to sum: inout UInt32) {
        sum ^= UInt32(byte)
        sum = sum >> 4 ^ table[Int(sum & 15)]
        sum = sum >> 4 ^ table[Int(sum & 15)]
    }
}
