// The names in the certificate of a request's client, for rules about them. Read from it when a request first asks, kept with the connection. The loop's thread.

internal import Glibc
internal import UringTLS

/// What there is to say about the names of a client.
package enum ClientNamesState: Sendable {
    /// It came without TLS.
    case clear
    /// There is no certificate, or none that was verified.
    case missing
    /// The certificate has a name that is none (`ClientNameText`), or too many.
    case malformed
    case known
}

/// The names of a client. Valid as long as the request.
package struct ClientNames: ~Escapable {
    package let state: ClientNamesState
    /// As `TLSClientNames.texts`: each with a NUL behind it. Empty unless they are known.
    package let texts: ByteView

    @_lifetime(copy texts)
    init(_ state: ClientNamesState, _ texts: ByteView) {
        self.state = state
        self.texts = texts
    }
}

extension Request {
    /// The names in the client's certificate. The first request of a connection that asks pays for reading them; in an async handler whose client has gone there are none.
    package var clientNames: ClientNames {
        @_lifetime(borrow self) get {
            // SAFETY: as in `tls`.
            guard let tls = unsafe transport?.pointee.tls else { return unsafe ClientNames(.clear, text(nil, 0)) }
            let state = unsafe tls.pointee.clientNamesState ?? Self.readNames(tls)
            return unsafe ClientNames(state, text(tls.pointee.clientNames, tls.pointee.clientNamesCount))
        }
    }

    private static func readNames(_ tls: UnsafeMutablePointer<TLSTransport>) -> ClientNamesState {
        let state: ClientNamesState
        switch unsafe tls.pointee.session.clientNames {
        case .none: state = .missing
        case .malformed: state = .malformed
        case .texts(let bytes):
            state = .known
            if !bytes.isEmpty, let memory = unsafe malloc(bytes.count) {
                unsafe bytes.withUnsafeBytes { unsafe memory.copyMemory(from: $0.baseAddress!, byteCount: bytes.count) }
                unsafe (tls.pointee.clientNames, tls.pointee.clientNamesCount) = unsafe (memory.assumingMemoryBound(to: UInt8.self), bytes.count)
            }
        }
        unsafe tls.pointee.clientNamesState = state
        return state
    }
}
