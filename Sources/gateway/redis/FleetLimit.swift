// FleetLimit: a rate limit that a fleet counts in Redis: its server and its keys. Keys are the same on every instance, whatever its process: the prefix of the server's configuration, the limit's name and the
// client. Addresses stand there as they are; claims and headers may be secrets, so a hash of them does (SHA-256: nobody finds two values with one key). Made at start and on reloads, immutable.

internal import UringJWT
internal import UringPolicy

final class FleetLimit: Sendable {
    let server: RedisServer
    private let start: [UInt8]
    /// Of all that lack the header or claim. No hash and no address.
    let keyWithout: [UInt8]

    /// A longer name is hashed.
    private static let nameBytesMax = 48
    /// 128 bits.
    private static let hashDigits = 32

    init(_ server: RedisServer, _ limit: SharedLimit) {
        self.server = server
        let name = Array(limit.name.utf8)
        start = Array(server.configuration.prefix.utf8) + Array("rate:".utf8) + (name.count <= Self.nameBytesMax ? name : Self.hash(name.span)) + [0x3a]
        keyWithout = start + [0x2d]
        precondition(start.count + IPAddress.textBytesMax + 4 <= RedisClient.keyBytesMax, "BUG: a key that Redis's client does not take")
    }

    func key(_ prefix: Prefix) -> [UInt8] { start + Array(prefix.description.utf8) }
    func key(_ value: Span<UInt8>) -> [UInt8] { start + Self.hash(value) }

    private static func hash(_ value: Span<UInt8>) -> [UInt8] { Array(sha256Hex(value).prefix(hashDigits)) }
}
