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
    /// Asks the kernel: a system call.
    package var peer: RequestPeer {
        // SAFETY: connection and loop outlive the handler call that this request belongs to.
        let address = unsafe context.pointee.liveLoop?._withUnsafeGuaranteedRef { loop in unsafe transport.flatMap { transport in unsafe loop.kernel.peerAddress(transport.pointee.fd) } }
        guard let address = address ?? nil else { return .local }
        switch address.family {
        case .unix: return .local
        case .ipv4: return .ipv4(UInt32(truncatingIfNeeded: address.low), port: address.port)
        case .ipv6: return .ipv6(high: address.high, low: address.low, port: address.port)
        }
    }
}
