// How session tickets are sealed, as values of the configuration; the keys that follow from it at a given time are TicketKeys.

/// Where the keys of session tickets come from.
package enum SessionTickets: Sendable {
    /// No tickets. TLS 1.3 clients then resume from the session cache, if there is one.
    case off
    /// Keys follow from a secret and the time: whoever has the same secret and the same `rotate` agrees on them without talking.
    case derived(secret: SecretBytes, rotateSeconds: Int64)
    /// Keys from files. The first seals, all open.
    case keys([TicketKey], lifetimeSeconds: Int64)

    /// As nginx and the design's example have it.
    package static let defaultRotateSeconds: Int64 = 12 * 3600
    /// RFC 8446 4.6.1: seven days at the most.
    package static let lifetimeSecondsMax: Int64 = 7 * 86400

    /// A secret of this process alone: its loops accept each other's tickets, other instances do not.
    package static func generated(rotateSeconds: Int64 = defaultRotateSeconds) -> SessionTickets {
        guard let secret = SecretBytes(randomCount: 32) else { fatalError("the system's random generator gives nothing: no TLS without it") }
        return .derived(secret: secret, rotateSeconds: rotateSeconds)
    }

    /// How long a ticket may be used, in seconds.
    package var lifetimeSeconds: Int64 {
        switch self {
        case .off: Self.defaultRotateSeconds
        case .derived(_, let rotate): min(max(rotate, 1), Self.lifetimeSecondsMax)
        case .keys(_, let lifetime): min(max(lifetime, 1), Self.lifetimeSecondsMax)
        }
    }
}

/// One key as nginx's files have it: 16 bytes of name, then 48 bytes in all for AES-128 or 80 for AES-256.
package struct TicketKey: Sendable {
    let bytes: SecretBytes

    /// nil unless there are 48 or 80 bytes.
    package init?(_ bytes: SecretBytes) {
        guard bytes.count == 48 || bytes.count == 80 else { return nil }
        self.bytes = bytes
    }
}
