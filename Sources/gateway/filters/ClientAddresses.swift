// ClientAddresses: which address a request comes from: the peer's, or what trusted proxies say of it. Made at start and on reloads, immutable, shared by all loops;
// nothing is allocated per request.

internal import UringHTTP
internal import UringPolicy
internal import UringServer

@safe
final class ClientAddresses: Sendable {
    private let trusted: PrefixSet
    /// Stands for the peer of a Unix socket, which is on this machine, put there by its administrator. Nil: nobody is trusted.
    private let local: IPAddress?

    init(trusted prefixes: [AddressPrefix]) {
        let prefixes = prefixes.map(Prefix.init)
        trusted = PrefixSet(prefixes)
        local = prefixes.first?.address
    }

    /// Nil: nobody can say; the peer of a Unix socket that is no trusted proxy. On a loop's thread.
    ///
    /// Where a request has X-Forwarded-For, Forwarded is not looked at: proxies write one of them, and pass the other on.
    func client(of request: borrowing Request) -> IPAddress? {
        guard let local else { return request.peer.address }
        var walk = ForwardedWalk(peer: request.peer.address ?? local, trusted: trusted)
        guard walk.wantsMore else { return walk.client }
        walk.take(request, trusted: trusted)
        return walk.hops == 0 ? request.peer.address : walk.client
    }
}

extension ForwardedWalk {
    /// Goes along what a request says of its way: X-Forwarded-For, or Forwarded where there is none.
    mutating func take(_ request: borrowing Request, trusted: PrefixSet) {
        let count = request.headers.count
        var isXForwarded = false
        for index in stride(from: count - 1, through: 0, by: -1) where wantsMore && request.headers.isField(.xForwardedFor, at: index) {
            isXForwarded = true
            take(xForwardedFor: request.headers.value(at: index).span, trusted: trusted)
        }
        if isXForwarded { return }
        for index in stride(from: count - 1, through: 0, by: -1) where wantsMore && request.headers.isField(.forwarded, at: index) {
            take(forwarded: request.headers.value(at: index).span, trusted: trusted)
        }
    }
}

extension Prefix {
    init(_ prefix: AddressPrefix) {
        if prefix.isIPv4 {
            self.init(IPAddress(ipv4: prefix.bytes.reduce(0) { $0 << 8 | UInt32($1) }), length: prefix.bits + 96)
        } else {
            let high = prefix.bytes[..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let low = prefix.bytes[8...].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            self.init(IPAddress(high: high, low: low), length: prefix.bits)
        }
    }
}
