// ClientWire: what a checked client reads from and writes to: a simulated connection, in clear or through TLS.

import UringRing
import UringSimulation

final class ClientWire {
    let client: SimulatedClient
    private let simulation: Simulation
    let tls: ClientTLS?
    /// What the server said, in plain.
    private(set) var received: [UInt8] = []
    /// Called after anything has arrived, and when the connection has ended.
    var onReceive: (() -> Void)?
    /// Called when the handshake is complete and what waited for it is on the wire.
    var onEstablished: (() -> Void)?
    private var seen = 0
    /// Written before the handshake is complete.
    private var waiting: [UInt8] = []
    /// Something that happens when so many bytes are on the wire, ciphertext counted.
    struct Cut {
        let at: Int
        /// What the client does there.
        let steps: [SimulatedClient.Step]
        /// Nothing follows.
        var leaves = false
    }
    private var cut: Cut?
    /// By its cut.
    private(set) var hasLeft = false
    /// Bytes on the wire so far.
    private(set) var putCount = 0
    /// The moment at which the handshake was complete, for the client.
    private(set) var establishedNs: UInt64?

    init(_ simulation: Simulation, to address: SocketAddress, _ options: ClientOptions, tls: ClientTLSOptions?, cut: Cut? = nil) {
        self.cut = cut
        self.simulation = simulation
        self.tls = tls.map { ClientTLS($0) }
        var options = options
        options.keepsReceived = false
        client = simulation.connect(to: address, options: options)
        client.onReceive = { [unowned self] _ in arrived() }
        guard let tls = self.tls else { return }
        tls.handshake()
        flush()
    }

    var isOpen: Bool { client.isOpen && tls?.end == nil }

    private func arrived() {
        // Leaving within a call of this kind calls it again, with bytes that were seen already.
        let bytes = Array(client.received.suffix(client.receivedCount - seen))
        seen = client.receivedCount
        if let tls {
            let wasEstablished = tls.isEstablished
            received += tls.receive(bytes)
            if tls.isEstablished, !wasEstablished {
                establishedNs = simulation.now
                tls.seal(waiting)
                waiting = []
                flush()
                onEstablished?()
            }
            flush()
        } else {
            received += bytes
        }
        onReceive?()
    }

    /// Puts bytes on the wire, whole or in pieces.
    func send(_ bytes: [UInt8]) {
        if let tls {
            if !tls.isEstablished {
                waiting += bytes
                return
            }
            tls.seal(bytes)
            flush()
        } else {
            put(bytes)
        }
    }

    private func flush() {
        if let bytes = tls?.takeOutgoing() { put(bytes) }
    }

    private func put(_ bytes: [UInt8]) {
        guard !bytes.isEmpty, !hasLeft else { return }
        putCount += bytes.count
        if let cut {
            // In one piece up to there, so that this is the only place where the bytes are torn.
            let before = max(0, cut.at - (putCount - bytes.count))
            guard before <= bytes.count else { return client.run([.send(bytes)]) }
            (self.cut, hasLeft) = (nil, cut.leaves)
            return client.run([.send(Array(bytes.prefix(before)))] + cut.steps + (hasLeft ? [] : [.send(Array(bytes.dropFirst(before)))]))
        }
        switch simulation.random.below(4) {
        case 0: client.run([.send(bytes)])
        case 1: client.run([.wait(simulation.random.below(3_000_000)), .send(bytes)])
        default:
            let pause = simulation.random.chance(0.5) ? 0 : 500_000
            client.run([.sendInPieces(bytes, pieces: simulation.random.within(2...12), pauseNsMax: pause)])
        }
    }

    /// Forgets what has been read.
    func consume(_ count: Int) { received.removeFirst(count) }

    /// close_notify and the end of output; without TLS the latter alone.
    func endPolitely() {
        tls?.close()
        flush()
        client.run([.halfClose])
    }

    /// Leaves in one of the ways in which clients leave, or stays until the server loses patience or drains.
    func leave() {
        switch simulation.random.below(5) {
        case 0: client.run([.close])
        case 1: client.run([.halfClose])
        case 2: client.run([.reset])
        case 3: endPolitely()
        default: break
        }
    }
}
