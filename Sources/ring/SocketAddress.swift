// SocketAddress: IPv4, IPv6 and unix addresses as plain values, and their text forms. No I/O, no name resolution.

package import Glibc

/// An address to listen on, or a peer's address. 16 address bytes, port and scope in place; a unix path beside them.
package struct SocketAddress: Hashable, Sendable {
    package enum Family: Sendable { case ipv4, ipv6, unix }

    package let family: Family
    /// Network byte order, IPv4 in the low 32 bits of `low`'s first four bytes.
    package let high: UInt64
    package let low: UInt64
    package let port: UInt16
    /// Path of a unix socket (a leading "@" names the abstract namespace, unix(7)); empty otherwise.
    package let path: String

    package init(ipv4: UInt32, port: UInt16) {
        self.init(family: .ipv4, high: 0, low: UInt64(ipv4), port: port, path: "")
    }

    /// The two halves of the 128-bit number.
    package init(ipv6High high: UInt64, low: UInt64, port: UInt16) { self.init(family: .ipv6, high: high, low: low, port: port, path: "") }

    /// The peer of a connection over a unix socket.
    package static var unnamedUnix: SocketAddress { SocketAddress(family: .unix, high: 0, low: 0, port: 0, path: "") }

    private init(family: Family, high: UInt64, low: UInt64, port: UInt16, path: String) {
        (self.family, self.high, self.low, self.port, self.path) = (family, high, low, port, path)
    }

    /// `HOST:PORT` with a numeric host or `localhost`, `[V6]:PORT`, `*:PORT` (every address, IPv6 and IPv4), `unix:PATH`.
    package static func parse(_ text: String) -> Result<SocketAddress, AddressError> {
        if text.hasPrefix("unix:") {
            let path = String(text.dropFirst(5))
            // sun_path holds 108 bytes with its terminator (unix(7)).
            guard !path.isEmpty else { return .failure(AddressError(text: text, reason: "the path after 'unix:' is empty")) }
            guard path.utf8.count <= 107 else {
                return .failure(AddressError(text: text, reason: "a unix socket path has at most 107 bytes"))
            }
            guard !path.utf8.contains(0) else { return .failure(AddressError(text: text, reason: "the path contains a NUL byte")) }
            return .success(SocketAddress(family: .unix, high: 0, low: 0, port: 0, path: path))
        }
        guard let colon = text.lastIndex(of: ":") else {
            return .failure(AddressError(text: text, reason: "no port: expected HOST:PORT, [V6]:PORT or unix:PATH"))
        }
        let portText = text[text.index(after: colon)...]
        guard !portText.isEmpty, portText.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }), let port = UInt16(portText) else {
            return .failure(AddressError(text: text, reason: "port '\(portText)' is not a number from 0 to 65535"))
        }
        var host = String(text[..<colon])
        if host.hasPrefix("[") {
            guard host.hasSuffix("]") else { return .failure(AddressError(text: text, reason: "'[' without ']'")) }
            host = String(host.dropFirst().dropLast())
            guard let address = ipv6(host, port) else {
                return .failure(AddressError(text: text, reason: "'\(host)' is not an IPv6 address"))
            }
            return .success(address)
        }
        if host.contains(":") {
            return .failure(AddressError(text: text, reason: "an IPv6 address stands in brackets: [\(host)]:\(port)"))
        }
        if host == "localhost" { host = "127.0.0.1" }
        if host == "*" || host.isEmpty { return .success(SocketAddress(family: .ipv6, high: 0, low: 0, port: port, path: "")) }
        var v4 = in_addr()
        guard unsafe inet_pton(AF_INET, host, &v4) == 1 else {
            return .failure(AddressError(text: text, reason: "'\(host)' is not an IP address (names are not looked up)"))
        }
        return .success(SocketAddress(ipv4: UInt32(bigEndian: v4.s_addr), port: port))
    }

    private static func ipv6(_ host: String, _ port: UInt16) -> SocketAddress? {
        var v6 = in6_addr()
        guard unsafe inet_pton(AF_INET6, host, &v6) == 1 else { return nil }
        return SocketAddress(v6, port: port)
    }

    private init(_ v6: in6_addr, port: UInt16) {
        var bytes = v6
        let (high, low) = unsafe withUnsafeBytes(of: &bytes) {
            unsafe (UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)), UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
        }
        self.init(family: .ipv6, high: high, low: low, port: port, path: "")
    }

    /// From what accept, getsockname or getpeername filled in.
    package init?(_ storage: sockaddr_storage) {
        var storage = storage
        switch Int32(storage.ss_family) {
        case AF_INET:
            let (port, address) = unsafe withUnsafeBytes(of: &storage) { raw in
                let v4 = unsafe raw.loadUnaligned(as: sockaddr_in.self)
                return (UInt16(bigEndian: v4.sin_port), UInt32(bigEndian: v4.sin_addr.s_addr))
            }
            self.init(ipv4: address, port: port)
        case AF_INET6:
            let v6 = unsafe withUnsafeBytes(of: &storage) { unsafe $0.loadUnaligned(as: sockaddr_in6.self) }
            self.init(v6.sin6_addr, port: UInt16(bigEndian: v6.sin6_port))
        case AF_UNIX:
            self.init(family: .unix, high: 0, low: 0, port: 0, path: "")
        default:
            return nil
        }
    }

    /// The kernel's form, and how many bytes of it count.
    package func withSockaddr<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        var storage = sockaddr_storage()
        var length = socklen_t(0)
        unsafe withUnsafeMutableBytes(of: &storage) { raw in
            switch family {
            case .ipv4:
                var v4 = sockaddr_in()
                v4.sin_family = sa_family_t(AF_INET)
                v4.sin_port = port.bigEndian
                v4.sin_addr.s_addr = UInt32(truncatingIfNeeded: low).bigEndian
                unsafe raw.storeBytes(of: v4, as: sockaddr_in.self)
                length = socklen_t(MemoryLayout<sockaddr_in>.size)
            case .ipv6:
                var v6 = sockaddr_in6()
                v6.sin6_family = sa_family_t(AF_INET6)
                v6.sin6_port = port.bigEndian
                unsafe withUnsafeMutableBytes(of: &v6.sin6_addr) {
                    unsafe $0.storeBytes(of: high.bigEndian, as: UInt64.self)
                    unsafe $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
                }
                unsafe raw.storeBytes(of: v6, as: sockaddr_in6.self)
                length = socklen_t(MemoryLayout<sockaddr_in6>.size)
            case .unix:
                unsafe raw.storeBytes(of: sa_family_t(AF_UNIX), as: sa_family_t.self)
                var offset = MemoryLayout<sa_family_t>.size
                for (n, byte) in path.utf8.enumerated() {
                    unsafe raw[offset] = n == 0 && byte == UInt8(ascii: "@") ? 0 : byte
                    offset += 1
                }
                // A path socket's length includes the terminator, an abstract one's must not (unix(7)).
                length = socklen_t(path.hasPrefix("@") ? offset : offset + 1)
            }
        }
        return unsafe withUnsafePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, length) }
        }
    }

    package func with(port: UInt16) -> SocketAddress {
        SocketAddress(family: family, high: high, low: low, port: port, path: path)
    }

    /// The host alone, as a log or a header shows it: no brackets, no port.
    package var host: String {
        switch family {
        case .unix: return "unix:" + path
        case .ipv4:
            let a = UInt32(truncatingIfNeeded: low)
            return "\(a >> 24).\(a >> 16 & 255).\(a >> 8 & 255).\(a & 255)"
        case .ipv6:
            var bytes = in6_addr()
            unsafe withUnsafeMutableBytes(of: &bytes) {
                unsafe $0.storeBytes(of: high.bigEndian, as: UInt64.self)
                unsafe $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
            _ = unsafe inet_ntop(AF_INET6, &bytes, &text, socklen_t(INET6_ADDRSTRLEN))
            return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }

    /// `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/x.sock`: parses back to the same address.
    package var description: String {
        switch family {
        case .unix: host
        case .ipv4: "\(host):\(port)"
        case .ipv6: "[\(host)]:\(port)"
        }
    }
}

/// Why an address text was refused.
package struct AddressError: Error, CustomStringConvertible, Sendable {
    package let text: String
    package let reason: String
    package var description: String { "address '\(text)': \(reason)" }
}
