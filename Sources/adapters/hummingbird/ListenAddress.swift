// Hummingbird's bind addresses, and NIO's socket addresses, as this server writes addresses. Used while a server starts.

#if Hummingbird
internal import HummingbirdCore
internal import NIOCore
internal import UringServer

enum ListenAddress {
    /// `HOST:PORT`, `[V6]:PORT` or `unix:PATH`.
    ///
    /// `BindAddress` keeps its parts to itself (2.28), so they are read by reflection: once, when an application is made. A test fails should that change.
    static func text(of address: BindAddress) -> String {
        guard let value = Mirror(reflecting: address).children.first?.value, let part = Mirror(reflecting: value).children.first else { return unreadable(address) }
        let parts = Mirror(reflecting: part.value).children.map(\.value)
        switch part.label {
        case "hostname":
            guard parts.count == 2, let host = parts[0] as? String, let port = parts[1] as? Int else { return unreadable(address) }
            return (host.contains(":") ? "[\(host)]" : host) + ":\(port)"
        case "unixDomainSocket":
            guard let path = (part.value as? String) ?? (parts.first as? String) else { return unreadable(address) }
            return "unix:" + path
        default: return unreadable(address)
        }
    }

    private static func unreadable(_ address: BindAddress) -> String {
        preconditionFailure("BUG: this version of Hummingbird hides its bind address: pass `listeners: [\"127.0.0.1:8080\"]` instead of `configuration.address`")
    }

    /// Of what `RunningServer.addresses` tells.
    static func socketAddress(_ text: String) -> SocketAddress? {
        if text.hasPrefix("unix:") { return try? SocketAddress(unixDomainSocketPath: String(text.dropFirst(5))) }
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]) else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        return try? SocketAddress(ipAddress: String(host), port: port)
    }

    /// Of a request's client.
    static func socketAddress(_ peer: RequestPeer) -> SocketAddress? {
        switch peer {
        case .local: nil
        case .ipv4(let address, let port): address4(address, port)
        case .ipv6(let high, let low, let port): address6(high, low, port)
        }
    }

    private static func address4(_ address: UInt32, _ port: UInt16) -> SocketAddress? {
        var bytes = ByteBuffer()
        bytes.writeInteger(address)
        return try? SocketAddress(packedIPAddress: bytes, port: Int(port))
    }

    private static func address6(_ high: UInt64, _ low: UInt64, _ port: UInt16) -> SocketAddress? {
        var bytes = ByteBuffer()
        bytes.writeInteger(high)
        bytes.writeInteger(low)
        return try? SocketAddress(packedIPAddress: bytes, port: Int(port))
    }
}
#endif
