// Why a WebSocket ends, as a number (RFC 6455 7.4, and what IANA has registered since). Plain values; any thread.

/// A status code of a Close frame. Codes without a name here belong to libraries (3000…3999) and applications (4000…4999).
@frozen @usableFromInline package struct WebSocketCloseCode: Equatable, Hashable, Sendable {
    @usableFromInline package let rawValue: UInt16

    @inlinable package init(rawValue: UInt16) { self.rawValue = rawValue }

    @inlinable package static var normal: WebSocketCloseCode { WebSocketCloseCode(rawValue: 1000) }
    @inlinable package static var goingAway: WebSocketCloseCode { WebSocketCloseCode(rawValue: 1001) }
    @inlinable package static var protocolError: WebSocketCloseCode { WebSocketCloseCode(rawValue: 1002) }
    @inlinable package static var unsupportedData: WebSocketCloseCode { WebSocketCloseCode(rawValue: 1003) }
    /// Never on the wire: the Close frame had no code.
    @inlinable package static var noStatus: WebSocketCloseCode { WebSocketCloseCode(rawValue: 1005) }
    /// Never on the wire: there was no Close frame.
    @inlinable package static var abnormal: WebSocketCloseCode { WebSocketCloseCode(rawValue: 1006) }
    /// Text that is no UTF-8, or compressed data that cannot be inflated: not of the type that the frame says.
    @inlinable package static var invalidData: WebSocketCloseCode { WebSocketCloseCode(rawValue: 1007) }
    @inlinable package static var policyViolation: WebSocketCloseCode { WebSocketCloseCode(rawValue: 1008) }
    @inlinable package static var messageTooBig: WebSocketCloseCode { WebSocketCloseCode(rawValue: 1009) }
    /// A client misses an extension; servers do not send it.
    @inlinable package static var missingExtension: WebSocketCloseCode { WebSocketCloseCode(rawValue: 1010) }
    @inlinable package static var internalError: WebSocketCloseCode { WebSocketCloseCode(rawValue: 1011) }
    @inlinable package static var serviceRestart: WebSocketCloseCode { WebSocketCloseCode(rawValue: 1012) }
    @inlinable package static var tryAgainLater: WebSocketCloseCode { WebSocketCloseCode(rawValue: 1013) }
    @inlinable package static var badGateway: WebSocketCloseCode { WebSocketCloseCode(rawValue: 1014) }

    /// Whether a Close frame may carry it: registered and not one of those that only tell an application what did not arrive (7.4.1), or of
    /// the two ranges that are free (7.4.2).
    @inlinable package var mayBeSent: Bool {
        switch rawValue {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }
}

extension WebSocketCloseCode: CustomStringConvertible {
    @usableFromInline package var description: String { "\(rawValue)" }
}
