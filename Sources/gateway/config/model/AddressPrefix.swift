// Prefixes of IP addresses: 10.0.0.0/8, 2001:db8::/32, or one address. Parsed at load time; what matches them in bulk is made from these.

internal import Glibc

package struct AddressPrefix: Sendable, Hashable {
    /// In network order: 4 bytes for IPv4, 16 for IPv6. Bits beyond `bits` are zero.
    package let bytes: [UInt8]
    package let bits: Int

    package var isIPv4: Bool { bytes.count == 4 }
    /// The whole of IPv4 or IPv6.
    package var isEverything: Bool { bits == 0 }

    package static func parse(_ text: String) -> Result<AddressPrefix, TextProblem> {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let bytes = parts.first.flatMap({ address(String($0)) }) else {
            return .failure(TextProblem(reason: "not an IP address or a prefix of some"))
        }
        let width = bytes.count * 8
        guard parts.count > 1 else { return .success(AddressPrefix(bytes: bytes, bits: width)) }
        guard parts[1].utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let bits = Int(parts[1]), bits <= width else {
            return .failure(TextProblem(reason: "the length of the prefix is a number from 0 to \(width)"))
        }
        let prefix = AddressPrefix(bytes: masked(bytes, bits), bits: bits)
        // Somebody meant either the one address or another prefix.
        guard prefix.bytes == bytes else { return .failure(TextProblem(reason: "bits beyond the prefix; the prefix is \(prefix)")) }
        return .success(prefix)
    }

    /// `address` has 4 or 16 bytes in network order. An IPv4 prefix takes the IPv4-mapped IPv6 address too.
    package func contains(_ address: [UInt8]) -> Bool {
        let mapped = address.count == 16 && isIPv4 && address[..<10].allSatisfy { $0 == 0 } && address[10] == 0xff && address[11] == 0xff
        let address = mapped ? Array(address[12...]) : address
        return address.count == bytes.count && Self.masked(address, bits) == bytes
    }

    func covers(_ other: AddressPrefix) -> Bool { other.bits >= bits && contains(other.bytes) }

    private static func masked(_ bytes: [UInt8], _ bits: Int) -> [UInt8] {
        bytes.enumerated().map { index, byte in
            let kept = min(max(bits - index * 8, 0), 8)
            return kept == 0 ? 0 : byte & (0xff << UInt8(8 - kept))
        }
    }

    static func address(_ text: String) -> [UInt8]? {
        // An interface cannot be part of a prefix, and inet_pton takes no zero byte.
        guard !text.utf8.contains(0), !text.utf8.contains(UInt8(ascii: "%")) else { return nil }
        for (family, count) in [(AF_INET, 4), (AF_INET6, 16)] {
            var bytes = [UInt8](repeating: 0, count: count)
            // inet_pton fills exactly `count` bytes for this family, during the call only.
            if unsafe inet_pton(family, text, &bytes) == 1 { return bytes }
        }
        return nil
    }

    /// Addresses that the internet does not route: loopback, link, private (RFC 1918, RFC 4193, RFC 6598).
    static let privatePrefixes = [
        "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "::1", "fc00::/7", "fe80::/10",
    ].compactMap { try? AddressPrefix.parse($0).get() }
}

extension AddressPrefix: CustomStringConvertible {
    package var description: String {
        var address = bytes
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        // Both arrays live through the call, which writes at most INET6_ADDRSTRLEN bytes with the terminating zero.
        guard unsafe inet_ntop(isIPv4 ? AF_INET : AF_INET6, &address, &text, socklen_t(INET6_ADDRSTRLEN)) != nil else { return "" }
        let name = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return bits == bytes.count * 8 ? name : "\(name)/\(bits)"
    }
}
