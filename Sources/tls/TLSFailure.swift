// Why a handshake or a connection failed: what the peer did, in terms that a counter and a log line can use. Values only.

/// The peer's failure, or the environment's when it says so; never trapped, always counted.
package struct TLSFailure: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Cause: UInt8, CaseIterable, Sendable {
        /// The peer speaks plain HTTP: nothing was consumed, and a server may answer 400 in clear.
        case plainHTTP
        /// No version that both sides accept.
        case unsupportedVersion
        case noSharedCipher
        /// No elliptic curve or signature algorithm in common.
        case noSharedParameters
        /// ALPN without a protocol in common.
        case noApplicationProtocol
        case certificateRequired
        /// The peer's certificate does not verify: malformed, wrong purpose, bad signature.
        case badCertificate
        case certificateExpired
        /// The peer's certificate leads to no authority that is trusted.
        case unknownAuthority
        /// The peer ended with a fatal alert, see `alert`.
        case alertReceived
        case renegotiation
        case badRecordMAC
        /// A record longer than TLS allows.
        case recordTooLong
        /// Bytes that are no TLS, or a message that does not parse.
        case decodeError
        case unexpectedMessage
        /// Anything else that OpenSSL refuses; `code` says what.
        case protocolError
        /// Memory, or OpenSSL itself: not the peer's doing.
        case internalError
        /// A server's certificate is for other names than the one that was connected to.
        case wrongHost
    }

    package let cause: Cause
    /// The alert that was received, with `alertReceived`.
    package let alert: UInt8?
    /// X509_V_ERR of a certificate that did not verify, otherwise 0.
    package let verifyError: Int32
    /// OpenSSL's packed error code, 0 when there is none.
    package let code: UInt

    package init(_ cause: Cause, alert: UInt8? = nil, verifyError: Int32 = 0, code: UInt = 0) {
        self.cause = cause
        self.alert = alert
        self.verifyError = verifyError
        self.code = code
    }
}

extension TLSFailure.Cause {
    /// The value of the label `reason` in metrics.
    package var label: String {
        switch self {
        case .plainHTTP: "plain-http"
        case .unsupportedVersion: "unsupported-version"
        case .noSharedCipher: "no-shared-cipher"
        case .noSharedParameters: "no-shared-parameters"
        case .noApplicationProtocol: "no-application-protocol"
        case .certificateRequired: "certificate-required"
        case .badCertificate: "bad-certificate"
        case .certificateExpired: "certificate-expired"
        case .unknownAuthority: "unknown-authority"
        case .alertReceived: "alert-received"
        case .renegotiation: "renegotiation"
        case .badRecordMAC: "bad-record-mac"
        case .recordTooLong: "record-too-long"
        case .decodeError: "decode-error"
        case .unexpectedMessage: "unexpected-message"
        case .protocolError: "protocol-error"
        case .internalError: "internal-error"
        case .wrongHost: "wrong-host"
        }
    }
}
