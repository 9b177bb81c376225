// SimulatedServer: the whole server, several loops, in a simulated world.

import UringHTTP
import UringHTTP1
import UringRing
import UringServer
import UringSimulation

final class SimulatedServer {
    let simulation: Simulation
    private(set) var address: SocketAddress
    private(set) var loops: [Loop] = []
    /// Of each loop.
    private var listeners: [Int32] = []
    /// What its hooks were told, whoever else is.
    let ledger = TraceLedger()
    /// What went wrong at the end, in words.
    private(set) var problems: [String] = []

    init(
        _ simulation: Simulation, loops count: Int = 1, handler: HandlerBox? = nil, features: KernelFeatures = SimulatedKernel.allFeatures,
        transport: ListenerTransport = ListenerTransport(), configure: (inout LoopConfiguration) -> Void = { _ in }
    ) {
        self.simulation = simulation
        guard case .success(let any) = SocketAddress.parse("127.0.0.1:8080") else { preconditionFailure("BUG: address") }
        address = any
        var configuration = LoopConfiguration()
        configuration.connectionsMax = 1000
        configuration.receiveBuffers = 16
        configuration.receiveBufferBytes = 4096
        configuration.chunksMax = 20_000
        configure(&configuration)
        let handler = (handler ?? Traffic.handler(directory: Traffic.makeFiles(simulation))).traced(by: ledger.trace)
        for index in 0..<count {
            let kernel = simulation.makeKernel(features: features).makeKernel()
            guard case .success(let fd) = kernel.listen(address, backlog: 128, deferAcceptSeconds: 0) else { preconditionFailure("BUG: listen") }
            listeners.append(fd)
            do {
                loops.append(
                    try Loop(
                        index: index, kernel: kernel, listeners: [LoopListener(fd: fd, address: address, closesWithLoop: true, transport: transport)],
                        configuration: configuration, handler: handler))
            } catch { preconditionFailure("BUG: \(error)") }
        }
    }

    private var turns: [() -> Bool] {
        loops.map { loop in
            {
                loop.runOnce()
                return !loop.isFinished
            }
        }
    }

    /// Runs until `done`.
    func run(turnsMax: Int = 60_000, until done: () -> Bool) {
        let outcome = simulation.run(turns, turnsMax: turnsMax, until: done)
        if outcome != .finished { problems.append("the run was \(outcome)") }
    }

    /// Has the listeners speak something else from now on, as a reload does.
    func change(_ transport: ListenerTransport) {
        for (loop, fd) in zip(loops, listeners) { loop.deliver(LoopMessage(.transport([fd: transport]))) }
    }

    /// Drains every loop, lets go of them, and looks for what was left behind.
    func stop() {
        for loop in loops { loop.deliver(LoopMessage(.drain(sparesIdle: false))) }
        if simulation.violations.isEmpty { run { loops.allSatisfy(\.isFinished) } }
        // After a violation the world stands still: what it still holds says nothing.
        guard simulation.violations.isEmpty else {
            loops = []
            problems = simulation.violations
            return
        }
        for loop in loops {
            let handlers = loop.endAsync()
            if handlers != 0 { problems.append("loop has \(handlers) async handlers that have not returned") }
            if loop.chunksHeld != 0 { problems.append("loop holds \(loop.chunksHeld) chunks") }
            if loop.buffersHeld != 0 { problems.append("loop holds \(loop.buffersHeld) receive buffers") }
            if loop.connectionsOpen != 0 { problems.append("loop holds \(loop.connectionsOpen) connections") }
            if loop.streamsOpen != 0 { problems.append("loop holds \(loop.streamsOpen) streams") }
            if loop.handshakesOpen != 0 { problems.append("loop counts \(loop.handshakesOpen) handshakes") }
            if loop.staleCompletions != 0 { problems.append("\(loop.staleCompletions) completions came for connections that were gone") }
        }
        loops = []
        problems += ledger.problems + ledger.leftOver
        problems += simulation.leaks()
    }
}
