// OpenSSL's error queue as a TLSFailure. Called by TLSSession on the loop's thread, right after the call that failed.

internal import CUringTLS
internal import Glibc

extension TLSFailure {
    /// Takes the error that ended the connection, and empties the queue: the first of libssl's own. One of libcrypto may stand in front of it, which
    /// only says what libssl tried last (a cipher that met a changed record).
    static func takeQueue(of ssl: OpaquePointer?) -> TLSFailure {
        var code = ERR_get_error()
        while urtls_error_library(code) != ERR_LIB_SSL {
            let next = ERR_get_error()
            guard next != 0 else { break }
            code = next
        }
        defer { ERR_clear_error() }
        guard code != 0 else { return TLSFailure(.internalError) }
        guard urtls_error_library(code) == ERR_LIB_SSL else { return TLSFailure(.protocolError, code: code) }
        let reason = urtls_error_reason(code)
        if reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256 {
            return TLSFailure(.alertReceived, alert: UInt8(reason - SSL_AD_REASON_OFFSET), code: code)
        }
        if reason == SSL_R_CERTIFICATE_VERIFY_FAILED {
            // Alive: the caller's session.
            let verdict = unsafe SSL_get_verify_result(ssl)
            return TLSFailure(verificationCause(Int32(truncatingIfNeeded: verdict)), verifyError: Int32(truncatingIfNeeded: verdict), code: code)
        }
        return TLSFailure(cause(of: reason), code: code)
    }

    private static func verificationCause(_ verdict: Int32) -> Cause {
        switch verdict {
        case X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_CERT_NOT_YET_VALID: .certificateExpired
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
            X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
            X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
            .unknownAuthority
        case X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH: .wrongHost
        default: .badCertificate
        }
    }

    private static func cause(of reason: CInt) -> Cause {
        switch reason {
        case SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST: .plainHTTP
        case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_VERSION_TOO_LOW, SSL_R_VERSION_TOO_HIGH, SSL_R_UNSUPPORTED_SSL_VERSION,
            SSL_R_INAPPROPRIATE_FALLBACK, SSL_R_NO_PROTOCOLS_AVAILABLE, SSL_R_UNKNOWN_PROTOCOL:
            .unsupportedVersion
        case SSL_R_NO_SHARED_CIPHER, SSL_R_NO_CIPHERS_SPECIFIED: .noSharedCipher
        case SSL_R_NO_SUITABLE_KEY_SHARE, SSL_R_NO_SUITABLE_GROUPS, SSL_R_NO_SHARED_GROUPS, SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM,
            SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, SSL_R_WRONG_CURVE, SSL_R_MISSING_SIGALGS_EXTENSION,
            SSL_R_MISSING_SUPPORTED_GROUPS_EXTENSION:
            .noSharedParameters
        // Of our callbacks the one for the hello is the only one that refuses, and that is why.
        case SSL_R_NO_APPLICATION_PROTOCOL, SSL_R_CALLBACK_FAILED: .noApplicationProtocol
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: .certificateRequired
        case SSL_R_BAD_SIGNATURE, SSL_R_WRONG_SIGNATURE_TYPE, SSL_R_EE_KEY_TOO_SMALL, SSL_R_CA_KEY_TOO_SMALL, SSL_R_CA_MD_TOO_WEAK,
            SSL_R_EXCESSIVE_MESSAGE_SIZE:
            .badCertificate
        case SSL_R_NO_RENEGOTIATION, SSL_R_UNSAFE_LEGACY_RENEGOTIATION_DISABLED, SSL_R_RENEGOTIATE_EXT_TOO_LONG,
            SSL_R_RENEGOTIATION_MISMATCH:
            .renegotiation
        case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, SSL_R_DECRYPTION_FAILED, SSL_R_BAD_DECOMPRESSION: .badRecordMAC
        case SSL_R_ENCRYPTED_LENGTH_TOO_LONG, SSL_R_DATA_LENGTH_TOO_LONG, SSL_R_PACKET_LENGTH_TOO_LONG, SSL_R_RECORD_LENGTH_MISMATCH:
            .recordTooLong
        case SSL_R_WRONG_VERSION_NUMBER, SSL_R_LENGTH_MISMATCH, SSL_R_LENGTH_TOO_SHORT, SSL_R_LENGTH_TOO_LONG, SSL_R_BAD_LENGTH,
            SSL_R_BAD_EXTENSION, SSL_R_RECORD_TOO_SMALL, SSL_R_BAD_PACKET, SSL_R_BAD_RECORD_TYPE, SSL_R_BAD_KEY_UPDATE,
            SSL_R_BAD_KEY_SHARE:
            .decodeError
        case SSL_R_UNEXPECTED_MESSAGE, SSL_R_UNEXPECTED_RECORD, SSL_R_CCS_RECEIVED_EARLY, SSL_R_APP_DATA_IN_HANDSHAKE,
            SSL_R_NOT_ON_RECORD_BOUNDARY, SSL_R_TOO_MANY_KEY_UPDATES, SSL_R_TOO_MANY_WARN_ALERTS:
            .unexpectedMessage
        case urtls_error_internal, urtls_error_memory: .internalError
        default: .protocolError
        }
    }

    /// One line for the log, with OpenSSL's own words where it has some.
    package var description: String {
        var text = cause.label
        if let alert { unsafe text += " " + String(cString: unsafe SSL_alert_desc_string_long(CInt(alert))) + " (\(alert))" }
        // Static strings of OpenSSL.
        if verifyError != 0 { unsafe text += ": " + String(cString: unsafe X509_verify_cert_error_string(Int(verifyError))) }
        if verifyError == 0, alert == nil, code != 0, let reason = unsafe ERR_reason_error_string(code) {
            unsafe text += ": " + String(cString: unsafe reason)
        }
        return text
    }
}
