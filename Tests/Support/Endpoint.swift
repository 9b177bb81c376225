// Where a server under test listens, as its `listening on …` line says. Plain values; any thread.

/// An address that a test client connects to.
package enum Endpoint: Hashable, Sendable, CustomStringConvertible {
    case ipv4(host: String, port: UInt16)
    case ipv6(host: String, port: UInt16)
    case unix(path: String)

    /// Reads one line of output: `listening on http://127.0.0.1:8080 (loops: …)`, `http://[::1]:8080`, `http+unix:/path`; nil for
    /// other lines.
    package init?(line: some StringProtocol) {
        let mark = "listening on "
        guard line.hasPrefix(mark) else { return nil }
        var address = line.dropFirst(mark.count)
        if let end = address.firstIndex(of: " ") { address = address[..<end] }
        for scheme in ["http://", "https://", "http+", "https+"] where address.hasPrefix(scheme) { address = address.dropFirst(scheme.count) }
        if address.hasPrefix("unix:") {
            self = .unix(path: String(address.dropFirst("unix:".count)))
            return
        }
        guard let colon = address.lastIndex(of: ":"), let port = UInt16(address[address.index(after: colon)...]) else { return nil }
        let host = address[..<colon]
        self = host.first == "[" && host.last == "]" ? .ipv6(host: String(host.dropFirst().dropLast()), port: port) : .ipv4(host: String(host), port: port)
    }

    package var port: UInt16? {
        switch self {
        case .ipv4(_, let port), .ipv6(_, let port): port
        case .unix: nil
        }
    }

    /// The form that `--listen` takes.
    package var description: String {
        switch self {
        case .ipv4(let host, let port): "\(host):\(port)"
        case .ipv6(let host, let port): "[\(host)]:\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }
}
