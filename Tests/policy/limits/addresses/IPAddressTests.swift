import Foundation
import Testing

@testable import UringPolicy

@Suite("Addresses")
struct IPAddressTests {
    @Test("are read and written", arguments: [
        ("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"), ("::", "::"), ("::1", "::1"), ("1::", "1::"),
        ("2001:DB8::1", "2001:db8::1"), ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"), ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
        ("::ffff:192.0.2.1", "192.0.2.1"), ("::ffff:c000:201", "192.0.2.1"), ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
        ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"), ("0001::0abc", "1::abc"),
    ])
    func text(_ given: String, _ expected: String) throws {
        let address = try #require(IPAddress(given))
        #expect(address.description == expected)
        #expect(IPAddress(expected) == address)
    }

    @Test("are refused when they are not", arguments: [
        "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "256.1.1.1", "1.2.3.04", "00.1.1.1", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4:80", "a.b.c.d", "0x7f.0.0.1", "-1.2.3.4",
        ":", ":::", "1:", ":1", "1:2", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "::12345", "g::", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "fe80::1%eth0", "[::1]", "::1.2.3", "::1.2.3.4:5",
        "1:2:3:4:5:6:7:1.2.3.4", "1.2.3.4::", "::ffff:1.2.3.256", "1:::2",
    ])
    func malformed(_ text: String) { #expect(IPAddress(text) == nil) }

    @Test("are read as the system reads them", arguments: 0..<4)
    func oracle(seed: UInt64) {
        var random = PolicyRandom(seed: seed)
        let alphabet = Array("0123456789abcf:.::..".utf8)
        for _ in 0..<5000 {
            let bytes = (0..<random.below(20)).map { _ in alphabet[Int(random.below(UInt64(alphabet.count)))] }
            let text = String(decoding: bytes, as: UTF8.self)
            let ours = exactly(bytes) { IPAddress($0) }
            var (v4, v6) = (in_addr(), in6_addr())
            let isKnown = unsafe text.withCString { unsafe inet_pton(AF_INET, $0, &v4) == 1 || inet_pton(AF_INET6, $0, &v6) == 1 }
            #expect((ours != nil) == isKnown, "\(text)")
        }
        for _ in 0..<2000 {
            // Many zero groups.
            func half() -> UInt64 { (0..<4).reduce(UInt64(0)) { sum, _ in sum << 16 | (random.below(2) == 0 ? 0 : random.below(0x10000)) } }
            let address = IPAddress(high: half(), low: half())
            guard !address.isIPv4 else { continue }
            var v6 = in6_addr()
            unsafe withUnsafeMutableBytes(of: &v6) {
                unsafe $0.storeBytes(of: address.high.bigEndian, as: UInt64.self)
                unsafe $0.storeBytes(of: address.low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            var buffer = [CChar](repeating: 0, count: 64)
            _ = unsafe inet_ntop(AF_INET6, &v6, &buffer, 64)
            let theirs = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            #expect(IPAddress(theirs) == address)
            // glibc writes some addresses of IPv4 in dots.
            if !theirs.contains(".") { #expect(address.description == theirs) }
        }
    }

    @Test("are masked")
    func masks() {
        #expect(address("2001:db8::ffff").masked(32) == address("2001:db8::"))
        #expect(address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").masked(0) == address("::"))
        for length in 0...128 {
            let all = IPAddress(high: .max, low: .max).masked(length)
            #expect(all.high.nonzeroBitCount + all.low.nonzeroBitCount == length)
            #expect(all.high.leadingZeroBitCount == 0 || length == 0)
        }
        #expect(address("192.0.2.1").client == address("192.0.2.1"))
        #expect(address("2001:db8:1:2:3:4:5:6").client == address("2001:db8:1:2::"))
    }
}
