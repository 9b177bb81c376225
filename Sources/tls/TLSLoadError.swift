// Why certificates, keys or settings cannot be used: for the operator, who can mend it. Values only.

internal import CUringTLS

/// The environment's failure: names what was loaded, what is wrong and what to do.
package struct TLSLoadError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file, or what was loaded when there is none.
    package let file: String
    package let reason: String
    package let remedy: String

    package init(file: String, reason: String, remedy: String) {
        self.file = file
        self.reason = reason
        self.remedy = remedy
    }

    package var description: String { "\(file): \(reason): \(remedy)" }

    /// With OpenSSL's last words as the reason.
    static func openSSL(_ what: String, remedy: String) -> TLSLoadError {
        let code = ERR_peek_last_error()
        defer { ERR_clear_error() }
        // A static string of OpenSSL.
        let reason = code == 0 ? nil : unsafe ERR_reason_error_string(code).map { unsafe String(cString: $0) }
        return TLSLoadError(file: what, reason: reason ?? "refused by OpenSSL", remedy: remedy)
    }
}

/// Something that works and that the operator should know.
package struct TLSLoadWarning: Equatable, Sendable, CustomStringConvertible {
    package let file: String
    package let reason: String
    package let remedy: String

    package var description: String { "\(file): \(reason): \(remedy)" }
}
