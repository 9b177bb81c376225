// SimulatedClient: a peer of the server, driven by the simulation's events. Created by Simulation.connect, which keeps it alive.

internal import Glibc
package import UringRing

/// How a client and its connection behave.
package struct ClientOptions: Sendable {
    /// Nanoseconds that each thing the client does takes, drawn anew each time.
    package var delayNs: ClosedRange<Int> = 0...0
    /// How much one of the client's reads takes, drawn anew each time.
    package var readBytes: ClosedRange<Int> = (64 * 1024)...(64 * 1024)
    /// Capacity of the direction from the server to the client: the server's send buffer and the client's window.
    package var serverSendBytes = 64 * 1024
    /// Capacity of the direction from the client to the server.
    package var serverReceiveBytes = 64 * 1024
    /// False: the client never reads.
    package var reads = true
    /// The client closes when the server has.
    package var closesAtEnd = true
    /// Bytes already handed to `onReceive` are dropped: for bodies larger than a test wants to keep.
    package var keepsReceived = true

    package init() {}
}

package final class SimulatedClient {
    package enum State: Sendable, Equatable {
        case connecting
        case established
        /// Nobody listens there.
        case refused
        /// The server's FIN was read: everything it sent is in `received`.
        case finished
        /// The connection was reset by either side or by the network.
        case reset
        case closed
    }

    /// One thing that a client does after another.
    package enum Step {
        case send([UInt8])
        /// In up to this many pieces of random sizes, each after a random pause of up to so many nanoseconds.
        case sendInPieces([UInt8], pieces: Int, pauseNsMax: Int)
        case wait(Int)
        /// Until `received` holds this many bytes (since the connection's start).
        case awaitBytes(Int)
        case awaitEnd
        case halfClose
        case reset
        case close
        case startReading
        case stopReading
    }

    unowned let simulation: Simulation
    let serial: Int64
    package let address: SocketAddress
    package let options: ClientOptions
    package private(set) var state = State.connecting
    package private(set) var received: [UInt8] = []
    /// Bytes read since the start, kept or not.
    package private(set) var receivedCount = 0
    /// The moment of the last byte or of the end.
    package private(set) var lastActivityNs: UInt64 = 0
    /// It was reset because it sent something when the server had closed already, or was about to: what it had not read by then is lost
    /// (RFC 9112, 9.6).
    package private(set) var sentIntoClosed = false
    private var lastSentNs: UInt64 = 0
    /// What is sent so shortly before a close may be on its way through the server's kernel: longer than any delay of a fault plan.
    private static let raceNs: UInt64 = 25_000_000
    /// Called after each read, and once more when the connection has ended.
    package var onReceive: ((SimulatedClient) -> Void)?
    package private(set) var connection: Connection?

    private var outgoing: [UInt8] = []
    private var outgoingStart = 0
    private var finishesAfterOutgoing = false
    private var reads: Bool
    private var readScheduled = false
    private var steps: [Step] = []
    private var nextStep = 0
    /// The current step waits for the server.
    private var stepWaits = false
    /// The current step waits for time to pass.
    private var stepTakesTime = false

    init(_ simulation: Simulation, address: SocketAddress, options: ClientOptions) {
        (self.simulation, self.address, self.options) = (simulation, address, options)
        serial = simulation.nextSerial()
        reads = options.reads
    }

    func delay() -> Int { simulation.random.within(options.delayNs) }

    /// Both directions are still alive.
    package var isOpen: Bool { state == .established || state == .connecting }
    /// Bytes handed to `send` that no socket buffer has taken yet.
    package var unsentCount: Int { outgoing.count - outgoingStart }

    // MARK: what a test tells it

    /// Appends to what the client does; starts at once when the connection is established.
    package func run(_ more: [Step]) {
        steps.append(contentsOf: more)
        if state != .connecting, !stepTakesTime { continueSteps() }
    }

    /// Bytes leave in order as the socket buffer has room.
    package func send(_ bytes: [UInt8]) {
        outgoing.append(contentsOf: bytes)
        pump()
    }

    /// FIN after everything queued; the client goes on reading.
    package func halfClose() {
        finishesAfterOutgoing = true
        pump()
    }

    /// RST: everything in flight is lost.
    package func reset() {
        guard state == .established else { return }
        connection?.reset()
        end(.reset)
    }

    /// close(2): FIN, or RST when bytes of the server are unread.
    package func close() {
        guard state == .established || state == .finished else { return }
        connection?.clientCloses()
        end(.closed)
    }

    package func startReading() {
        reads = true
        dataArrives()
    }

    package func stopReading() { reads = false }

    /// Forgets what was received so far, so that it does not pile up; `receivedCount` goes on.
    package func dropReceived(_ count: Int) { received.removeFirst(count) }

    // MARK: what the world tells it

    func established(_ connection: Connection) {
        self.connection = connection
        state = .established
        lastActivityNs = simulation.now
        simulation.trace(.connect, serial)
        pump()
        continueSteps()
    }

    func refused() { end(.refused) }

    func wasReset() {
        if simulation.now - lastSentNs <= Self.raceNs { sentIntoClosed = true }
        // The RST travels as the data does; what was not read by then is gone already.
        simulation.schedule(after: delay()) { [self] in
            if state == .established { end(.reset) }
        }
    }

    /// The server sent bytes or its FIN.
    func dataArrives() {
        guard reads, !readScheduled, state == .established else { return }
        readScheduled = true
        simulation.schedule(after: delay()) { [self] in
            readScheduled = false
            readNow()
        }
    }

    private func readNow() {
        guard reads, state == .established, let connection else { return }
        if simulation.fault(\.reset) {
            simulation.trace(.fault, serial, 1)
            return reset()
        }
        let count = connection.clientReads(simulation.random.within(options.readBytes), to: &received)
        if count > 0 {
            receivedCount += count
            lastActivityNs = simulation.now
            simulation.trace(.clientRead, serial, Int64(count), Int64(received.last ?? 0))
            onReceive?(self)
            if !options.keepsReceived { received.removeAll(keepingCapacity: true) }
        }
        if connection.isReset {
            end(.reset)
        } else if connection.outbound.count > 0 {
            dataArrives()
        } else if connection.outboundFinished, state == .established {
            if options.closesAtEnd { connection.clientCloses() }
            end(.finished)
        }
        if stepWaits { continueSteps() }
    }

    private func end(_ new: State) {
        guard state == .connecting || state == .established || state == .finished else { return }
        let wasOver = state == .finished
        state = new
        lastActivityNs = simulation.now
        simulation.trace(.clientEnd, serial, Int64(receivedCount))
        if !wasOver { onReceive?(self) }
        if stepWaits { continueSteps() }
    }

    /// Moves what is queued into the connection as far as there is room.
    func pump() {
        // A client that has read the server's FIN may go on sending, as long as it keeps its own direction open.
        guard let connection, state == .established || state == .finished && !options.closesAtEnd else { return }
        if outgoingStart < outgoing.count {
            if simulation.fault(\.reset) {
                simulation.trace(.fault, serial, 2)
                return reset()
            }
            guard let count = connection.clientSends(outgoing[outgoingStart...]) else {
                sentIntoClosed = connection.serverGone
                return end(.reset)
            }
            if count > 0 { lastSentNs = simulation.now }
            simulation.trace(.clientSend, serial, Int64(count))
            outgoingStart += count
            guard outgoingStart == outgoing.count else { return }
            (outgoing, outgoingStart) = ([], 0)
        }
        if finishesAfterOutgoing { connection.clientFinishes() }
    }

    // MARK: steps

    private func continueSteps() {
        stepWaits = false
        while nextStep < steps.count {
            switch steps[nextStep] {
            case .send(let bytes): send(bytes)
            case .sendInPieces(let bytes, let pieces, let pause):
                nextStep += 1
                return sendPiece(bytes[...], pieces: pieces, pauseNsMax: pause)
            case .wait(let ns):
                nextStep += 1
                return later(ns) { [self] in continueSteps() }
            case .awaitBytes(let count):
                if receivedCount < count && isOpen {
                    stepWaits = true
                    return
                }
            case .awaitEnd:
                if isOpen {
                    stepWaits = true
                    return
                }
            case .halfClose: halfClose()
            case .reset: reset()
            case .close: close()
            case .startReading: startReading()
            case .stopReading: stopReading()
            }
            nextStep += 1
        }
    }

    private func later(_ ns: Int, _ action: @escaping () -> Void) {
        stepTakesTime = true
        simulation.schedule(after: ns) { [self] in
            stepTakesTime = false
            action()
        }
    }

    private func sendPiece(_ bytes: ArraySlice<UInt8>, pieces: Int, pauseNsMax: Int) {
        let size = pieces > 1 && bytes.count > 1 ? simulation.random.within(1...bytes.count) : bytes.count
        send(Array(bytes.prefix(size)))
        let rest = bytes.dropFirst(size)
        later(simulation.random.within(0...pauseNsMax)) { [self] in
            if rest.isEmpty { continueSteps() } else { sendPiece(rest, pieces: pieces - 1, pauseNsMax: pauseNsMax) }
        }
    }
}
