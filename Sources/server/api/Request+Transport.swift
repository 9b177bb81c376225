// How a request came: protocol version, TLS. Made by the loop for one handler call; the loop's thread.

internal import Glibc
internal import UringHTTP1
internal import UringTLS

/// The protocol that a request came by.
public enum HTTPVersion: Sendable, Hashable, CustomStringConvertible {
    /// HTTP/1.0, HTTP/1.1 (RFC 9112), HTTP/2 (RFC 9113).
    case http10, http11, http2

    /// As it stands in logs: `HTTP/1.1`, `HTTP/2.0`.
    public var description: String {
        switch self {
        case .http10: "HTTP/1.0"
        case .http11: "HTTP/1.1"
        case .http2: "HTTP/2.0"
        }
    }
}

/// What TLS knows about the connection of a request. Valid as long as the request.
public struct RequestTLS: ~Escapable {
    /// `TLSv1.2` or `TLSv1.3`.
    public let version: ByteView
    /// OpenSSL's name of the cipher suite, `TLS_AES_128_GCM_SHA256`.
    public let cipher: ByteView
    /// The server name that the client asked for (SNI, RFC 6066 section 3); empty when it named none.
    public let serverName: ByteView
    /// The subject of the client's certificate (RFC 2253), only when it was verified; empty otherwise.
    public let clientSubject: ByteView
}

extension Request {
    /// The protocol version. `minorVersion` cannot tell HTTP/2 from HTTP/1.1.
    public var protocolVersion: HTTPVersion {
        // SAFETY: the connection outlives the handler call that this request belongs to.
        if unsafe context.pointee.connection.pointee.http2 != nil || context.pointee.connection.pointee.flags.contains(.stream) { return .http2 }
        return minorVersion == 0 ? .http10 : .http11
    }

    /// Whether it came to this server over TLS. Behind a proxy that ends TLS it is false, whatever the client used.
    public var isSecure: Bool { unsafe transport?.pointee.tls != nil }

    /// What TLS knows of the connection; nil in clear, and in an async handler whose client has gone. All requests of an HTTP/2 connection have the same.
    public var tls: RequestTLS? {
        @_lifetime(borrow self) get {
            guard let tls = unsafe transport?.pointee.tls else { return nil }
            let session = unsafe tls.pointee.session
            let version: StaticString = unsafe session.version == .tls13 ? "TLSv1.3" : "TLSv1.2"
            // SAFETY: OpenSSL's texts live as long as the session, and it as long as the connection, which outlives a sync handler's call; `text` copies for others.
            return unsafe RequestTLS(
                version: text(version.utf8Start, version.utf8CodeUnitCount), cipher: text(session.cipherName), serverName: text(session.serverName),
                clientSubject: text(tls.pointee.clientSubject, tls.pointee.clientSubjectCount))
        }
    }

    /// The connection with the socket: on HTTP/2 that of the stream.
    var transport: UnsafeMutablePointer<Connection>? {
        let connection = unsafe context.pointee.connection
        guard unsafe connection.pointee.flags.contains(.stream) else { return unsafe connection }
        return unsafe context.pointee.liveLoop?._withUnsafeGuaranteedRef { unsafe $0.carrier(connection)?.connection }
    }

    @_lifetime(borrow self)
    private func text(_ string: UnsafePointer<CChar>?) -> ByteView {
        guard let string = unsafe string else { return unsafe text(nil, 0) }
        return unsafe text(UnsafeRawPointer(string).assumingMemoryBound(to: UInt8.self), strlen(string))
    }

    @_lifetime(borrow self)
    func text(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> ByteView {
        var (bytes, count) = unsafe (bytes, count)
        // An async handler may outlive its connection, and with it what OpenSSL says here: it gets a copy.
        if unsafe context.pointee.worker != nil, let original = unsafe bytes {
            unsafe bytes = unsafe UnsafePointer(allocate(count))
            if let copy = unsafe bytes { unsafe UnsafeMutablePointer(mutating: copy).update(from: original, count: count) } else { count = 0 }
        }
        let span = unsafe Span<UInt8>(_unsafeStart: bytes ?? context.pointee.base, count: unsafe bytes == nil ? 0 : count)
        // SAFETY: as the callers say.
        return unsafe ByteView(_overrideLifetime(span, borrowing: self))
    }
}
