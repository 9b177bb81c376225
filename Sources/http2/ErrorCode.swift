// The error codes of RST_STREAM and GOAWAY (RFC 9113 7). Plain values; any thread.

/// A code as it stands in a frame. Codes without a name here are kept: they have no special meaning (RFC 9113 7).
@frozen @usableFromInline package struct HTTP2ErrorCode: Equatable, Sendable {
    @usableFromInline package let rawValue: UInt32

    @inlinable package init(rawValue: UInt32) { self.rawValue = rawValue }

    @inlinable package static var noError: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 0x0) }
    @inlinable package static var protocolError: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 0x1) }
    @inlinable package static var internalError: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 0x2) }
    @inlinable package static var flowControlError: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 0x3) }
    @inlinable package static var settingsTimeout: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 0x4) }
    @inlinable package static var streamClosed: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 0x5) }
    @inlinable package static var frameSizeError: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 0x6) }
    @inlinable package static var refusedStream: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 0x7) }
    @inlinable package static var cancel: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 0x8) }
    @inlinable package static var compressionError: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 0x9) }
    @inlinable package static var connectError: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 0xa) }
    @inlinable package static var enhanceYourCalm: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 0xb) }
    @inlinable package static var inadequateSecurity: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 0xc) }
    @inlinable package static var http11Required: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 0xd) }
}

extension HTTP2ErrorCode: CustomStringConvertible {
    @usableFromInline package var description: String {
        switch rawValue {
        case 0x0: "NO_ERROR"
        case 0x1: "PROTOCOL_ERROR"
        case 0x2: "INTERNAL_ERROR"
        case 0x3: "FLOW_CONTROL_ERROR"
        case 0x4: "SETTINGS_TIMEOUT"
        case 0x5: "STREAM_CLOSED"
        case 0x6: "FRAME_SIZE_ERROR"
        case 0x7: "REFUSED_STREAM"
        case 0x8: "CANCEL"
        case 0x9: "COMPRESSION_ERROR"
        case 0xa: "CONNECT_ERROR"
        case 0xb: "ENHANCE_YOUR_CALM"
        case 0xc: "INADEQUATE_SECURITY"
        case 0xd: "HTTP_1_1_REQUIRED"
        default: "0x\(String(rawValue, radix: 16))"
        }
    }
}
