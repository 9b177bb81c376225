// TestClient: a well-behaved client with a list of exchanges, and how it paces them. It checks every response as it comes.

import UringRing
import UringSimulation

/// A client that knows whether it was served rightly.
protocol CheckedClient: AnyObject {
    var wire: ClientWire { get }
    var isDone: Bool { get }
    var problem: String? { get }
    var answered: Int { get }
}

extension CheckedClient {
    var client: SimulatedClient { wire.client }
}

final class TestClient: CheckedClient {
    /// How requests leave.
    enum Pace {
        /// All at once, in pieces.
        case pipelined
        /// The next one when the last is answered.
        case oneByOne
        /// A few at a time.
        case window(Int)
    }

    /// What may happen to it without its being the server's fault.
    enum Tolerance {
        case nothing
        /// The server closes instead of answering a request, but never within a response. Only a client that sends into the close may lose
        /// what it has not read: that race is HTTP/1.1's.
        case closeBetween
        /// The network breaks the connection anywhere.
        case breaks
    }

    let wire: ClientWire
    private let tolerance: Tolerance
    /// Ended early as `tolerance` allows.
    private(set) var wasCut = false
    private let simulation: Simulation
    private let exchanges: [Exchange]
    private let pace: Pace
    private var sent = 0
    private(set) var answered = 0
    private var read = 0
    /// Below so many bytes of the response under way, reading it again finds out nothing.
    private var wanted = 0
    private var hasLeft = false
    private(set) var problem: String?

    init(
        _ simulation: Simulation, to address: SocketAddress, _ exchanges: [Exchange], _ pace: Pace, _ options: ClientOptions,
        tolerance: Tolerance = .nothing, tls: ClientTLSOptions? = nil, cut: ClientWire.Cut? = nil
    ) {
        (self.simulation, self.exchanges, self.pace, self.tolerance) = (simulation, exchanges, pace, tolerance)
        wire = ClientWire(simulation, to: address, options, tls: tls, cut: cut)
        wire.onReceive = { [unowned self] in received() }
        switch pace {
        case .pipelined: send(exchanges.count)
        case .oneByOne: send(1)
        case .window(let count): send(count)
        }
    }

    /// Answered in full and correctly, or failed.
    var isDone: Bool { problem != nil || wasCut || answered == exchanges.count }

    private func send(_ count: Int) {
        let upTo = min(exchanges.count, sent + count)
        guard upTo > sent else { return }
        var bytes: [UInt8] = []
        for exchange in exchanges[sent..<upTo] { bytes += exchange.request }
        sent = upTo
        wire.send(bytes)
    }

    private func received() {
        guard problem == nil, !wasCut, !wire.isOpen || wire.received.count - read >= wanted else { return }
        while answered < exchanges.count {
            let expected = exchanges[answered]
            switch ResponseReader.read(wire.received[read...], isHead: expected.isHead, ended: !wire.isOpen) {
            case .needsMore(let count):
                wanted = count
                if !wire.isOpen, isTolerated {
                    wasCut = true
                } else if !wire.isOpen {
                    problem = "'\(expected.name)' (\(answered) of \(exchanges.count)) was cut off: \(client.state), \(wire.received.count - read) bytes of it"
                }
                return
            case .malformed(let why):
                problem = "'\(expected.name)': \(why)"
                return
            case .response(let response, let count):
                (read, wanted) = (read + count, 0)
                if response.status == 100 { continue }
                if let why = difference(response, expected) {
                    problem = "'\(expected.name)' (\(answered) of \(exchanges.count)): \(why)"
                    return
                }
                answered += 1
                if response.closes, answered < exchanges.count, tolerance != .nothing {
                    wasCut = true
                    return
                }
                if case .pipelined = pace { continue }
                send(1)
            }
        }
        if read != wire.received.count { problem = "\(wire.received.count - read) bytes after the last response: \(String(decoding: wire.received[read...].prefix(100), as: UTF8.self))" }
        if wire.isOpen, !exchanges[exchanges.count - 1].closes, !hasLeft {
            hasLeft = true
            wire.leave()
        }
    }

    private var isTolerated: Bool {
        switch tolerance {
        case .nothing: false
        case .closeBetween: read == wire.received.count || client.sentIntoClosed
        case .breaks: client.state == .reset
        }
    }

    private func difference(_ response: ReadResponse, _ expected: Exchange) -> String? {
        guard response.status == expected.status else { return "status \(response.status), not \(expected.status)" }
        for field in expected.fields where !response.fields.contains(field) { return "no '\(field)' in \(response.fields)" }
        guard isSame(response.body, expected.body) else {
            let same = zip(response.body, expected.body).prefix { $0 == $1 }.count
            return "\(response.body.count) bytes, not \(expected.body.count); equal up to \(same)"
        }
        guard response.trailers == expected.trailers else { return "trailers \(response.trailers)" }
        guard response.closes == expected.closes || tolerance == .closeBetween else { return "closes: \(response.closes)" }
        return nil
    }
}
