// AddressGate: who may connect: `addresses.deny` and `addresses.allow`. Made at start and on reloads, immutable; asked by all loops when a connection is accepted, without allocation.

internal import UringPolicy
internal import UringServer

final class AddressGate: Sendable {
    private let denied: PrefixSet
    /// Nil: everybody who is not denied.
    private let allowed: PrefixSet?

    /// Nil: there is nothing to ask.
    init?(_ configuration: AddressConfiguration) {
        guard !configuration.deny.isEmpty || !configuration.allow.isEmpty else { return nil }
        denied = PrefixSet(configuration.deny.map(Prefix.init))
        allowed = configuration.allow.isEmpty ? nil : PrefixSet(configuration.allow.map(Prefix.init))
    }

    /// Whether a peer may connect. Who comes by a Unix socket may: its file says who that is.
    func admits(_ peer: RequestPeer) -> Bool {
        guard let address = peer.address else { return true }
        return !denied.contains(address) && allowed?.contains(address) ?? true
    }
}
