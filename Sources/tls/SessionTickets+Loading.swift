// Ticket keys and secrets from files that a fleet shares. Called when a configuration is loaded.

internal import CUringTLS
internal import Glibc

extension SessionTickets {
    /// A secret shorter than this can be guessed from a ticket.
    private static let secretBytesMin = 32

    /// Keys of 48 or 80 bytes each, as nginx has them: the first file seals, all of them open.
    package static func load(
        keys files: [String], lifetimeSeconds: Int64 = defaultRotateSeconds, warnings: inout [TLSLoadWarning]
    ) throws(TLSLoadError) -> SessionTickets {
        var read: [(bytes: SecretBytes, from: String)] = []
        for file in files { read.append((try SecretFile.read(file, isSecret: true, warnings: &warnings), file)) }
        return try .keys(read, lifetimeSeconds: lifetimeSeconds)
    }

    /// The same from bytes of any origin, each with what stands for it in messages.
    package static func keys(
        _ read: [(bytes: SecretBytes, from: String)], lifetimeSeconds: Int64
    ) throws(TLSLoadError) -> SessionTickets {
        guard unsafe read.count <= TicketKeys.countMax else {
            throw unsafe TLSLoadError(file: read[TicketKeys.countMax].from, reason: "one key file too many", remedy: unsafe "give \(TicketKeys.countMax) at the most")
        }
        var keys: [TicketKey] = []
        for (bytes, file) in read {
            guard let key = TicketKey(bytes) else {
                throw TLSLoadError(file: file, reason: "has \(bytes.count) bytes", remedy: "make it with `openssl rand -out \(file) 80`")
            }
            keys.append(key)
        }
        return .keys(keys, lifetimeSeconds: lifetimeSeconds)
    }

    /// A secret of 32 bytes or more; keys follow from it and the time.
    package static func load(
        secret file: String, rotateSeconds: Int64 = defaultRotateSeconds, warnings: inout [TLSLoadWarning]
    ) throws(TLSLoadError) -> SessionTickets {
        try .derived(SecretFile.read(file, isSecret: true, warnings: &warnings), from: file, rotateSeconds: rotateSeconds)
    }

    /// The same from bytes of any origin: `file` stands for it in messages.
    package static func derived(_ secret: SecretBytes, from file: String, rotateSeconds: Int64) throws(TLSLoadError) -> SessionTickets {
        guard secret.count >= secretBytesMin else {
            throw TLSLoadError(
                file: file, reason: "has \(secret.count) bytes, \(secretBytesMin) are needed", remedy: "make it with `openssl rand -out \(file) 48`")
        }
        return .derived(secret: secret, rotateSeconds: rotateSeconds)
    }
}
