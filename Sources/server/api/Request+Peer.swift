// The peer's address as numbers, for logs and limits that must not make Strings. The loop's thread, within a handler or observer call.

internal import UringRing

/// An address as the kernel tells it.
package enum RequestPeer: Sendable, Hashable {
    /// A unix socket, or a connection whose peer is gone already.
    case local
    /// Host order: 127.0.0.1 is 0x7f000001.
    case ipv4(UInt32, port: UInt16)
    /// The upper and lower half of the 128-bit number.
    case ipv6(high: UInt64, low: UInt64, port: UInt16)
}

extension Request {
    /// Asks the kernel, once for each connection.
    package var peer: RequestPeer {
        // SAFETY: connection and loop outlive the handler call that this request belongs to.
        guard let transport = unsafe transport else { return .local }
        if let known = unsafe transport.pointee.peer { return known }
        guard let address = unsafe context.pointee.liveLoop?._withUnsafeGuaranteedRef({ unsafe $0.kernel.peerAddress(transport.pointee.fd) }) else { return .local }
        let peer = RequestPeer(address)
        unsafe transport.pointee.peer = peer
        return peer
    }
}

extension RequestPeer {
    init(_ address: SocketAddress) {
        self =
            switch address.family {
            case .unix: .local
            case .ipv4: .ipv4(UInt32(truncatingIfNeeded: address.low), port: address.port)
            case .ipv6: .ipv6(high: address.high, low: address.low, port: address.port)
            }
    }
}
