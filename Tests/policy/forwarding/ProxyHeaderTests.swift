import Testing

@testable import UringPolicy

@Suite("PROXY protocol")
struct ProxyHeaderTests {
    private func parse(_ bytes: [UInt8]) -> ProxyHeader.Outcome { exactly(bytes) { ProxyHeader.parse($0) } }
    private func parse(_ text: String) -> ProxyHeader.Outcome { parse(Array(text.utf8)) }

    private let v4 = ProxyHeader.Addresses(source: address("192.0.2.1"), sourcePort: 4711, destination: address("198.51.100.2"), destinationPort: 443)
    private let v6 = ProxyHeader.Addresses(source: address("2001:db8::1"), sourcePort: 65535, destination: address("2001:db8::2"), destinationPort: 0)

    /// The outcome of every beginning is that more is needed, and of the whole, with and without what follows, that.
    private func expect(_ bytes: [UInt8], _ check: (ProxyHeader) -> Void) {
        for end in 0..<bytes.count { #expect(parse(Array(bytes[..<end])) == .needMore, "\(end) of \(bytes.count)") }
        for tail in [[], [0x47], [0x0d, 0x0a, 0x47]] as [[UInt8]] {
            guard case .complete(let header) = parse(bytes + tail) else {
                Issue.record("\(parse(bytes + tail))")
                continue
            }
            #expect(header.length == bytes.count)
            check(header)
        }
    }

    /// The fault of the whole, told for no beginning that could have become something else, and for all that follow.
    private func expect(_ bytes: [UInt8], _ fault: ProxyHeader.Fault) {
        #expect(parse(bytes) == .malformed(fault))
        #expect(parse(bytes + [0x41, 0x42]) == .malformed(fault))
        for end in 0..<bytes.count {
            let outcome = parse(Array(bytes[..<end]))
            #expect(outcome == .needMore || outcome == .malformed(fault), "\(end): \(outcome)")
        }
    }

    @Test("version 1", arguments: [
        ("PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n", "192.0.2.1"), ("PROXY TCP6 2001:db8::1 2001:db8::2 65535 0\r\n", "2001:db8::1"), ("PROXY UNKNOWN\r\n", nil),
        ("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", nil), ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 1\r\n", "192.0.2.1"),
    ])
    func line(_ text: String, _ source: String?) {
        expect(Array(text.utf8)) { header in
            #expect(header.version == .one && header.addresses?.source == source.map(address))
        }
    }

    @Test("version 1, refused", arguments: [
        ("GET / HTTP/1.1\r\n", .noSignature), ("POST / HTTP/1.1\r\n", .noSignature), ("PROXYTCP4", .noSignature), ("PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\n", .badLine), ("PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\rX", .badLine),
        ("PROXY TCP5 192.0.2.1 198.51.100.2 4711 443\r\n", .badFamily), ("PROXY \r\n", .badFamily), ("PROXY TCP4\r\n", .badAddress), ("PROXY TCP4 192.0.2.1 198.51.100.2 4711\r\n", .badPort),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 4711 443 \r\n", .badLine), ("PROXY TCP4  192.0.2.1 198.51.100.2 4711 443\r\n", .badLine), ("PROXY TCP4 192.0.2.1 198.51.100.2 4711 443 1\r\n", .badLine),
        ("PROXY TCP4 2001:db8::1 2001:db8::2 1 1\r\n", .badAddress), ("PROXY TCP6 192.0.2.1 192.0.2.2 1 1\r\n", .badAddress), ("PROXY TCP4 192.0.2.256 192.0.2.2 1 1\r\n", .badAddress), ("PROXY TCP4 192.0.2.1 192.0.2.2 65536 1\r\n", .badPort),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 01 1\r\n", .badPort), ("PROXY TCP4 192.0.2.1 192.0.2.2 -1 1\r\n", .badPort), ("PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n", .badPort),
    ] as [(String, ProxyHeader.Fault)])
    func badLine(_ text: String, _ fault: ProxyHeader.Fault) { expect(Array(text.utf8), fault) }

    @Test("version 1 has its longest line")
    func longest() {
        let longest = "PROXY UNKNOWN " + String(repeating: "x", count: ProxyHeader.lineBytesMax - 16)
        expect(Array((longest + "\r\n").utf8)) { #expect($0.length == ProxyHeader.lineBytesMax) }
        #expect(parse(longest + "x\r\n") == .malformed(.lineTooLong))
        #expect(parse(longest + "xx") == .malformed(.lineTooLong))
    }

    @Test("what is written is read", arguments: [false, true])
    func roundTrip(hasChecksum: Bool) throws {
        for addresses in [v4, v6] {
            let line = try #require(written(capacity: ProxyEncoder.lineBytesMax) { ProxyEncoder.appendLine(addresses, to: &$0) })
            expect(line) { #expect($0.addresses == addresses) }
            let binary = try #require(written(capacity: ProxyEncoder.binaryBytesMax) { ProxyEncoder.appendBinary(addresses, hasChecksum: hasChecksum, to: &$0) })
            expect(binary) { #expect($0.addresses == addresses && $0.version == .two && !$0.isLocal) }
        }
        expect(try #require(written { ProxyEncoder.appendBinary(nil, hasChecksum: hasChecksum, to: &$0) })) { #expect($0.addresses == nil && $0.isLocal) }
        var mixed = v4
        mixed.destination = v6.destination
        #expect(text { ProxyEncoder.appendLine(mixed, to: &$0) } == "PROXY UNKNOWN\r\n")
        mixed.isDatagram = true
        expect(try #require(written { ProxyEncoder.appendBinary(mixed, hasChecksum: hasChecksum, to: &$0) })) { #expect($0.addresses == mixed) }
        #expect(written(capacity: 20) { ProxyEncoder.appendBinary(v6, hasChecksum: hasChecksum, to: &$0) } == nil)
    }

    @Test("version 2 carries what the proxy knows of TLS")
    func fields() throws {
        let bytes = try #require(written {
            ProxyEncoder.appendBinary(v4, hasChecksum: true, to: &$0) { sink in
                ProxyEncoder.appendField(ProxyTLVKind.alpn, to: &sink) { $0.append("h2") }
                ProxyEncoder.appendField(ProxyTLVKind.authority, to: &sink) { $0.append("example.com") }
                ProxyEncoder.appendField(ProxyTLVKind.noop, to: &sink) { _ in }
                ProxyEncoder.appendField(0xe0, to: &sink) { $0.append("own") }
                ProxyEncoder.appendField(ProxyTLVKind.ssl, to: &sink) {
                    $0.append(0x07)
                    $0.appendBigEndian(0, bytes: 4)
                    ProxyEncoder.appendField(ProxyTLVKind.sslVersion, to: &$0) { $0.append("TLSv1.3") }
                    ProxyEncoder.appendField(ProxyTLVKind.sslCommonName, to: &$0) { $0.append("client") }
                }
            }
        })
        expect(bytes) { header in
            func text(_ range: Range<Int>?) -> String? { range.map { String(decoding: bytes[$0], as: UTF8.self) } }
            #expect(text(exactly(bytes) { ProxyTLVs.first(ProxyTLVKind.alpn, $0, header) }) == "h2")
            #expect(text(exactly(bytes) { ProxyTLVs.first(ProxyTLVKind.authority, $0, header) }) == "example.com")
            #expect(exactly(bytes) { ProxyTLVs.first(ProxyTLVKind.uniqueID, $0, header) } == nil)
            let tls = ProxyTLVs.tls(bytes.span, header)
            #expect(tls?.isSecure == true && tls?.isVerified == true && text(tls?.version) == "TLSv1.3" && text(tls?.commonName) == "client" && tls?.cipher == nil)
        }
        // Each byte that changes is noticed, or is the signature's, a number's that makes it longer, …: nothing but the checksum's own kind may hide it.
        for at in 16..<bytes.count {
            var changed = bytes
            changed[at] ^= 0x55
            let outcome = parse(changed)
            if case .complete(let header) = outcome { #expect(exactly(changed) { ProxyTLVs.first(ProxyTLVKind.crc32c, $0, header) } == nil, "\(at)") }
        }
    }

    @Test("version 2, refused")
    func badBinary() throws {
        let good = try #require(written { ProxyEncoder.appendBinary(v4, to: &$0) })
        func changed(_ at: Int, _ byte: UInt8) -> [UInt8] {
            var bytes = good
            bytes[at] = byte
            return bytes
        }
        expect(changed(11, 0), .noSignature)
        expect(changed(12, 0x11), .badVersion)
        expect(changed(12, 0x22), .badCommand)
        for family in [0x01, 0x10, 0x13, 0x41, 0xff] as [UInt8] { expect(changed(13, family), .badFamily) }
        expect(changed(13, 0x21), .tooShort)
        expect(changed(15, 11), .tooShort)
        expect(changed(14, 0x10), .tooLong)
        // A unix socket's addresses are longer, and mean nothing elsewhere.
        var unix = changed(13, 0x31)
        unix[15] = 216
        expect(unix + [UInt8](repeating: 0, count: 216 - 12)) { #expect($0.addresses == nil && !$0.isLocal) }
        for fields in [[1], [1, 0], [1, 0, 1], [1, 0, 2, 3], [0x20, 0, 4, 0, 0, 0, 0], [0x20, 0, 6, 0, 0, 0, 0, 0, 1], [3, 0, 3, 1, 2, 3], [5, 0, 129] + [UInt8](repeating: 0, count: 129)] as [[UInt8]] {
            var bytes = good + fields
            bytes[15] = UInt8(12 + fields.count)
            expect(bytes, .badTLV)
        }
        var sum = good + [3, 0, 4, 0, 0, 0, 0]
        sum[15] = 19
        expect(sum, .badChecksum)
        // What belongs to LOCAL is not looked at.
        var local = sum
        local[12] = 0x20
        expect(local) { #expect($0.isLocal && $0.tlvs.isEmpty) }
    }

    @Test("the checksum is CRC-32C")
    func checksum() {
        // RFC 3720 B.4.
        #expect(exactly([UInt8](repeating: 0, count: 32)) { CRC32C.checksum($0, 0..<32, zeroed: 0..<0) } == 0x8a91_36aa)
        #expect(exactly([UInt8](repeating: 0xff, count: 32)) { CRC32C.checksum($0, 0..<32, zeroed: 0..<0) } == 0x62a8_ab43)
        #expect(exactly([UInt8](repeating: 0xff, count: 32)) { CRC32C.checksum($0, 0..<32, zeroed: 0..<32) } == 0x8a91_36aa)
        #expect(exactly(Array("123456789".utf8)) { CRC32C.checksum($0, 0..<9, zeroed: 0..<0) } == 0xe306_9283)
    }

    @Test("does not trap on anything", arguments: 0..<10)
    func random(seed: UInt64) {
        var random = PolicyRandom(seed: seed)
        let good = written { ProxyEncoder.appendBinary(v4, hasChecksum: false, to: &$0) { ProxyEncoder.appendField(0x20, to: &$0) { $0.append("12345678") } } }!
        for _ in 0..<3000 {
            var bytes = random.below(2) == 0 ? good : Array("PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n".utf8)
            for _ in 0..<1 + random.below(3) { bytes[Int(random.below(UInt64(bytes.count)))] = UInt8(truncatingIfNeeded: random.next()) }
            if case .complete(let header) = parse(bytes) {
                #expect(header.length <= bytes.count && header.tlvs.upperBound <= header.length)
                _ = ProxyTLVs.tls(bytes.span, header)
            }
        }
    }
}
