// What a connection waits for, in words: for whoever drives a loop by hand and finds that nothing happens any more (UringTesting). The loop's thread.
// Pointers: a connection's slot stays valid until the turn that ends it is over.

internal import UringBase
internal import UringHTTP1
package import UringRing

extension Loop {
    /// Messages of other threads, or of handlers, have not been taken up yet.
    package var hasMessages: Bool { port.hasPending }

    /// What the connection of this peer waits for; nil when there is none.
    package func wait(ofPeer address: SocketAddress) -> String? {
        for slot in unsafe 0..<connections.pointee.slotsEver {
            let connection = unsafe connections.pointee.pointer(at: slot)
            guard unsafe connection.pointee.flags.contains(.open), unsafe connection.pointee.flags.isDisjoint(with: [.closing, .stream]) else { continue }
            guard unsafe kernel.peerAddress(connection.pointee.fd) == address else { continue }
            return unsafe waits(connection) + (unsafe limit(connection))
        }
        return nil
    }

    private func waits(_ connection: UnsafeMutablePointer<Connection>) -> String {
        let machine = unsafe connection.pointee.machine
        if unsafe connection.pointee.flags.contains(.opening) { return "for a file to be opened" }
        if unsafe connection.pointee.flags.contains(.bodyPaused) { return "for ExchangeHandle.resume(): the receiver of the body has paused" }
        if machine.pendingBytes > 0 { return "for the client to take \(machine.pendingBytes) bytes" }
        if unsafe connection.pointee.producerWakeAt != .max {
            return unsafe "for ExchangeHandle.resume(), or for \(until(connection.pointee.producerWakeAt)) to pass: the producer has nothing to write"
        }
        if case .lingering = machine.writing { return "for the client to close" }
        switch machine.reading {
        case .idle, .head(_, anyBytes: false): return "for a request"
        case .head: return "for the rest of a request's head"
        case .expecting, .body:
            return "for the rest of a request's body"
        case .paused, .done, .ended:
            if case .handling = machine.writing { return "for the handler's answer" }
            if case .responding = machine.writing { return "for the rest of the response" }
            return "for the end of the exchange"
        }
    }

    private func limit(_ connection: UnsafeMutablePointer<Connection>) -> String {
        let deadline = unsafe connection.pointee.machine.nextDeadline
        return deadline == .max ? "" : " (its timeout: in \(until(deadline)))"
    }

    private func until(_ time: UInt64) -> String {
        let left = unsafe time > state.pointee.now ? time &- state.pointee.now : 0
        // Rounded up: who waits for so long has waited long enough.
        return left >= 10_000_000_000 ? "\(left / 1_000_000_000 + 1) s" : "\((left + 999_999) / 1_000_000) ms"
    }
}
