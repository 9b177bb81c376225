// What a proxy tells the server behind it: X-Forwarded-*, Forwarded (RFC 7239), Via (RFC 9110 7.6.3), as field values into memory of the caller. A loop's thread.
//
// Whether to append or to replace is the caller's: append when the peer is trusted (its lines first, then ", " and what is written here), replace when it is not.

package enum ForwardingFields {
    /// An element of X-Forwarded-For: the address alone.
    package static func appendFor(_ peer: IPAddress, to sink: inout ByteSink) { peer.append(to: &sink) }

    /// Puts what a trusted peer has said in front: its line and a comma. Call it for each of its lines, in order; an empty line adds nothing.
    package static func appendFormer(_ line: Span<UInt8>, to sink: inout ByteSink) {
        let range = NodeName.trim(line, 0..<line.count)
        guard !range.isEmpty else { return }
        sink.append(line, range)
        sink.append(", ")
    }

    /// An element of Forwarded: `for=192.0.2.1;by="[2001:db8::1]";host="example.com:8080";proto=https`.
    ///
    /// - Parameters:
    ///   - peer: nil for a unix socket: `for=unknown`.
    ///   - by: the address that was connected to; nil: not told.
    ///   - host: the request's authority as it came; left out when it is empty or holds what no authority holds.
    package static func appendForwarded(for peer: IPAddress?, by: IPAddress? = nil, host: Span<UInt8>, isSecure: Bool, to sink: inout ByteSink) {
        sink.append("for=")
        if let peer { appendNode(peer, to: &sink) } else { sink.append("unknown") }
        if let by {
            sink.append(";by=")
            appendNode(by, to: &sink)
        }
        if isAuthority(host) {
            sink.append(";host=")
            appendValue(host, to: &sink)
        }
        sink.append(isSecure ? ";proto=https" : ";proto=http")
    }

    /// X-Forwarded-Proto.
    package static func appendProto(isSecure: Bool, to sink: inout ByteSink) { sink.append(isSecure ? "https" : "http") }

    /// X-Forwarded-Port.
    package static func appendPort(_ port: UInt16, to sink: inout ByteSink) { sink.appendDecimal(UInt64(port)) }

    /// Whether a value can be passed on as X-Forwarded-Host or in Forwarded: what authorities consist of, 255 bytes at most.
    package static func isAuthority(_ host: Span<UInt8>) -> Bool {
        guard !host.isEmpty, host.count <= 255 else { return false }
        for at in host.indices {
            switch host[at] {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x21, 0x24...0x2e, 0x3a...0x3b, 0x3d, 0x5b, 0x5d, 0x5f, 0x7e: break
            default: return false
            }
        }
        return true
    }

    /// An element of Via: `1.1 edge-3`.
    ///
    /// - Parameters:
    ///   - protocolVersion: how the message came: `1.0`, `1.1`, `2`.
    ///   - pseudonym: of this server: a token (`isPseudonym`).
    package static func appendVia(protocolVersion: StaticString, pseudonym: Span<UInt8>, to sink: inout ByteSink) {
        sink.append(protocolVersion)
        sink.append(0x20)
        sink.append(pseudonym)
    }

    package static func isPseudonym(_ name: Span<UInt8>) -> Bool {
        guard !name.isEmpty, name.count <= 64 else { return false }
        for at in name.indices where !TokenByte.isToken(name[at]) { return false }
        return true
    }

    /// Whether a line of Via names this server: the request has gone in a circle.
    package static func isLoop(via line: Span<UInt8>, pseudonym: Span<UInt8>) -> Bool {
        guard !pseudonym.isEmpty, line.count >= pseudonym.count else { return false }
        search: for start in 0...line.count - pseudonym.count {
            guard start > 0, line[start - 1] == 0x20 || line[start - 1] == 0x09 else { continue }
            let end = start + pseudonym.count
            if end < line.count, TokenByte.isToken(line[end]) || line[end] == 0x3a { continue }
            for at in pseudonym.indices where line[start + at] | 0x20 != pseudonym[at] | 0x20 { continue search }
            return true
        }
        return false
    }

    private static func appendNode(_ address: IPAddress, to sink: inout ByteSink) {
        if address.isIPv4 { return address.append(to: &sink) }
        sink.append("\"[")
        address.append(to: &sink)
        sink.append("]\"")
    }

    /// A token as it is, else in quotes (none of an authority's bytes needs escaping).
    private static func appendValue(_ value: Span<UInt8>, to sink: inout ByteSink) {
        var isToken = true
        for at in value.indices where !TokenByte.isToken(value[at]) { isToken = false }
        if !isToken { sink.append(0x22) }
        sink.append(value)
        if !isToken { sink.append(0x22) }
    }
}
