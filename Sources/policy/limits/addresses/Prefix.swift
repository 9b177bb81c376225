// A network as rules name it: `10.0.0.0/8`, `2001:db8::/32`, an address alone. Values; read when configuration or an admin's request is.

/// An address with the number of its bits that count.
package struct Prefix: Hashable, Sendable, BitwiseCopyable {
    /// Bits behind `length` are 0.
    package let address: IPAddress
    /// Of the 128 bits: IPv4's 8 is 104.
    package let length: UInt8

    /// - Parameter length: 0 to 128; bits of the address behind it are dropped.
    package init(_ address: IPAddress, length: Int = 128) {
        precondition((0...128).contains(length), "BUG: an address has 128 bits")
        self.address = address.masked(length)
        self.length = UInt8(length)
    }

    /// Whether it is a network of IPv4 addresses. `::/0` is not: it means IPv6, and rules for both families name both.
    package var isIPv4: Bool { address.isIPv4 && length >= 96 }

    /// The network's last address.
    package var last: IPAddress {
        let bits = Int(length)
        let high = bits >= 64 ? 0 : UInt64.max &>> UInt64(bits)
        let low = bits >= 128 ? 0 : bits <= 64 ? UInt64.max : UInt64.max &>> UInt64(bits - 64)
        return IPAddress(high: address.high | (bits == 0 ? .max : high), low: address.low | low)
    }

    package func contains(_ other: IPAddress) -> Bool { isIPv4 == other.isIPv4 && other.masked(Int(length)) == address }

    /// Reads a prefix.
    ///
    /// - Returns: `hadHostBits`: bits behind the length were set (`10.0.0.1/8`), probably by mistake. Configuration refuses that by `strict`; where it is taken, it is worth a warning.
    package static func parse(_ text: String) -> Result<(prefix: Prefix, hadHostBits: Bool), PrefixError> {
        func failure(_ reason: String) -> Result<(prefix: Prefix, hadHostBits: Bool), PrefixError> { .failure(PrefixError(text: text, reason: reason)) }
        let slash = text.firstIndex(of: "/") ?? text.endIndex
        let name = text[..<slash]
        guard !name.isEmpty else { return failure("an IP address or a prefix like 10.0.0.0/8 is expected") }
        guard !name.contains("%") else { return failure("a zone ('%') has no meaning in a prefix") }
        guard let address = IPAddress(String(name)) else { return failure("'\(name)' is not an IP address") }
        guard slash < text.endIndex else { return .success((Prefix(address), false)) }
        let digits = text[text.index(after: slash)...]
        guard !digits.isEmpty, digits.utf8.count <= 3, digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let length = Int(digits) else {
            return failure("the prefix length '\(digits)' is not a number")
        }
        // `::ffff:10.0.0.0/104` is written for IPv6.
        let isDotted = address.isIPv4 && !name.contains(":")
        guard length <= (isDotted ? 32 : 128) else { return failure("the prefix length is 0 to \(isDotted ? 32 : 128) for \(isDotted ? "IPv4" : "IPv6")") }
        let prefix = Prefix(address, length: isDotted ? 96 + length : length)
        return .success((prefix, prefix.address != address))
    }

    /// The same, but bits behind the length are an error.
    package static func strict(_ text: String) -> Result<Prefix, PrefixError> {
        switch parse(text) {
        case .failure(let error): .failure(error)
        case .success(let (prefix, false)): .success(prefix)
        case .success(let (prefix, true)):
            .failure(PrefixError(text: text, reason: "bits behind the prefix length are set: the network is \(prefix), the address alone is \(text.prefix { $0 != "/" })"))
        }
    }
}

extension Prefix: CustomStringConvertible {
    /// An address alone without its length.
    package var description: String { length == 128 ? "\(address)" : "\(address)/\(isIPv4 ? length - 96 : length)" }
}

/// What is wrong with a prefix: `10.0.0.0/33: the prefix length is 0 to 32 for IPv4`.
package struct PrefixError: Error, Equatable, CustomStringConvertible, Sendable {
    package let text: String
    package let reason: String

    package var description: String { "\(text): \(reason)" }
}
