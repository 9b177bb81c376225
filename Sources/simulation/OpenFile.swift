// OpenFile: what a descriptor of the simulated process names. As on Linux an armed operation holds its file too: closing the descriptor
// under it does not release the file, so a socket sends no FIN until its last operation is gone.

internal import Glibc
internal import UringRing

/// One open file description.
class OpenFile {
    unowned let simulation: Simulation
    /// In order of creation; stands for the file in the trace.
    let serial: Int64
    /// Descriptors that name it: 1 until closed (nothing here duplicates descriptors).
    var descriptors = 0
    /// Operations in flight that hold it.
    var operations = 0
    /// Those of them that wait for readiness, in order of arming.
    var waiters: [PendingOperation] = []
    private var isReleased = false

    init(_ simulation: Simulation) {
        self.simulation = simulation
        serial = simulation.nextSerial()
    }

    /// poll(2) events that hold now.
    func readiness() -> UInt32 { 0 }

    /// The last descriptor and the last operation are gone.
    func release() {}

    final func releaseIfUnused() {
        guard descriptors == 0, operations == 0, !isReleased else { return }
        isReleased = true
        release()
    }

    /// Queues every operation that waits for one of `events`.
    final func wake(_ events: UInt32) {
        for operation in waiters where operation.state == .armed && operation.waitEvents & events != 0 {
            operation.kernel.queueWork(operation)
        }
    }
}

/// The events of poll(2), as the ring's poll uses them.
enum PollEvents {
    static let input = UInt32(POLLIN)
    static let output = UInt32(POLLOUT)
    static let error = UInt32(POLLERR)
    static let hangUp = UInt32(POLLHUP)
    static let readHangUp: UInt32 = 0x2000
    static let normalInput: UInt32 = 0x40
    static let normalOutput: UInt32 = 0x100
    /// Reported whether asked for or not.
    static let always = error | hangUp
    static let readable = input | normalInput | readHangUp | always
    static let writable = output | normalOutput | always
    static let all = readable | writable
}

final class ListenerFile: OpenFile {
    let address: SocketAddress
    let backlog: Int
    let deferAcceptSeconds: Int
    /// Connections that may be accepted, oldest first.
    private var ready: [Connection] = []
    private var readyStart = 0
    /// Established, waiting for their first byte (TCP_DEFER_ACCEPT).
    private(set) var deferred = 0
    private(set) var isOpen = true

    init(_ simulation: Simulation, address: SocketAddress, backlog: Int, deferAcceptSeconds: Int) {
        (self.address, self.backlog, self.deferAcceptSeconds) = (address, max(backlog, 1), deferAcceptSeconds)
        super.init(simulation)
    }

    var waiting: Int { ready.count - readyStart }
    /// Linux lets the queue grow one past the backlog (sk_acceptq_is_full).
    var isFull: Bool { waiting + deferred > backlog }

    override func readiness() -> UInt32 { waiting > 0 ? PollEvents.input | PollEvents.normalInput : 0 }

    func offer(_ connection: Connection) {
        if deferAcceptSeconds > 0 {
            deferred += 1
            connection.deferredAt = self
            // Linux accepts a silent connection when the retransmitted SYN-ACKs have run out, about the seconds asked for.
            simulation.schedule(after: deferAcceptSeconds * 1_000_000_000) { connection.becomesAcceptable() }
        } else {
            enqueue(connection)
        }
    }

    func firstByteArrived(_ connection: Connection) {
        deferred -= 1
        if isOpen { enqueue(connection) } else { connection.serverDropped() }
    }

    func forget() { deferred -= 1 }

    private func enqueue(_ connection: Connection) {
        ready.append(connection)
        wake(PollEvents.readable)
    }

    func next() -> Connection? {
        guard readyStart < ready.count else { return nil }
        let connection = ready[readyStart]
        readyStart += 1
        if readyStart == ready.count { (ready, readyStart) = ([], 0) }
        return connection
    }

    override func release() {
        isOpen = false
        simulation.removeListener(self)
        while let connection = next() { connection.serverDropped() }
    }
}

/// The server's end of a connection.
final class SocketFile: OpenFile {
    let connection: Connection
    /// SO_LINGER 0: close sends RST.
    var resetsOnClose = false

    init(_ simulation: Simulation, _ connection: Connection) {
        self.connection = connection
        super.init(simulation)
        connection.file = self
    }

    override func readiness() -> UInt32 { connection.readiness }
    override func release() { connection.serverReleased(reset: resetsOnClose) }
}

final class NodeFile: OpenFile {
    let node: FileSystemNode
    init(_ simulation: Simulation, _ node: FileSystemNode) {
        self.node = node
        super.init(simulation)
    }
    override func readiness() -> UInt32 { PollEvents.input | PollEvents.output | PollEvents.normalInput | PollEvents.normalOutput }
}

/// A ring's own descriptor, the target of messages.
final class RingFile: OpenFile {
    private(set) weak var kernel: SimulatedKernel?
    init(_ simulation: Simulation, _ kernel: SimulatedKernel) {
        self.kernel = kernel
        super.init(simulation)
    }
}
