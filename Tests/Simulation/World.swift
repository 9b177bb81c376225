// World: the scenario of a simulation, and how it is played: what the suites of the whole server share.

import Glibc
import UringRing
import UringServer
import UringSimulation
import UringTLS

/// The seeds of a run: the one asked for, or `count` fixed ones, so that a failure on one machine is a failure on all. SIMULATION_FACTOR
/// multiplies their number, for a search through the night; SIMULATION_SHARE divides it, where every step is slow and others run them all.
func seeds(_ count: Int) -> [UInt64] {
    if let seed = number("SIMULATION_SEED") { return [UInt64(seed)] }
    if let factor = number("SIMULATION_FACTOR") { return (1...UInt64(count * factor)).map(\.self) }
    // Spread over all of them: some suites choose by the seed what they do.
    let share = min(max(number("SIMULATION_SHARE") ?? 1, 1), count)
    return (0..<count / share).map { UInt64($0 * share + $0 % share + 1) }
}

private func number(_ name: String) -> Int? { unsafe getenv(name).flatMap { unsafe Int(String(cString: $0)) } }

/// One world: well-behaved clients of every pace, some of them slow, and abusers among them.
struct World {
    enum Speech { case http1, http2 }

    struct Result {
        var problems: [String] = []
        var hash: UInt64 = 0
        var answered = 0
    }


    var faults = FaultPlan.none
    var loops = 1
    var connections = 30
    /// Most requests of one connection.
    var requests = 12
    /// Largest body.
    var bytesMax = 40_000
    var files = true
    var abusers = 0
    /// What each client may speak; one of them, drawn for each.
    var protocols: [Speech] = [.http1]
    /// TLS of the listener; all clients that are owed an answer speak it.
    var isSecure = false
    /// HTTP/2 clients reset some of their streams.
    var resets = true
    /// How many streams of a connection may be refused, and are asked for again.
    var refusalsMax = 0
    var features = SimulatedKernel.allFeatures
    var descriptorLimit: Int32 = 4096
    var tolerance = TestClient.Tolerance.nothing
    var configure: (inout LoopConfiguration) -> Void = { _ in }
    /// The application, over the directory of `Traffic.makeFiles`.
    var handler: (_ directory: Int32) -> HandlerBox = Traffic.handler
    /// Drains so many nanoseconds after the start, instead of when all is answered.
    var drainAfterNs: Int?

    var transport: ListenerTransport {
        var transport = ListenerTransport()
        if isSecure { transport.tls = SimulatedCertificate.configuration }
        return transport
    }

    // MARK: playing it

    static func simulate(_ seed: UInt64, _ world: World) -> Result {
        let simulation = Simulation(seed: seed, faults: world.faults, descriptorLimit: world.descriptorLimit)
        simulation.keepsTraceText = unsafe getenv("SIMULATION_SEED") != nil
        let server = SimulatedServer(
            simulation, loops: world.loops, handler: world.handler(Traffic.makeFiles(simulation)), features: world.features, transport: world.transport,
            configure: world.configure)
        var random = RandomSource(seed: seed ^ 0xA5A5)
        let clients = (0..<world.connections).map { _ in makeClient(simulation, server.address, world, &random) }
        for _ in 0..<world.abusers { abuse(simulation, server.address, world, &random) }
        var isTimeToDrain = false
        if let after = world.drainAfterNs { simulation.schedule(after: after) { isTimeToDrain = true } }
        server.run { isTimeToDrain || clients.allSatisfy(\.isDone) }
        server.stop()
        // The server is gone; what it sent is still on its way to slow readers.
        for _ in 0..<600 where !clients.allSatisfy(\.isDone) && simulation.violations.isEmpty { simulation.advance(byNs: 1_000_000_000) }
        var result = Result()
        result.problems = clients.enumerated().compactMap { index, client in
            client.problem.map { "client \(index): \($0)" } ?? (client.isDone ? nil : "client \(index): \(client.answered) answered, \(client.client.state)")
        }
        result.answered = clients.reduce(0) { $0 + $1.answered }
        result.problems = simulation.violations + result.problems + (simulation.violations.isEmpty ? server.problems : [])
        result.hash = simulation.traceHash
        if !result.problems.isEmpty, simulation.keepsTraceText {
            let lines = unsafe getenv("SIMULATION_LINES").flatMap { unsafe Int(String(cString: $0)) } ?? 300
            print(simulation.traceLog.text.suffix(lines).joined(separator: "\n"))
        }
        return result
    }

    private static func makeClient(_ simulation: Simulation, _ address: SocketAddress, _ world: World, _ random: inout RandomSource) -> any CheckedClient {
        let count = random.within(1...world.requests)
        let exchanges = (0..<count).map { Traffic.exchange($0, &random, last: $0 == count - 1, bytesMax: world.bytesMax, files: world.files) }
        let speaks = world.protocols[random.below(world.protocols.count)]
        var tls: ClientTLSOptions?
        if world.isSecure {
            let protocols = speaks == .http2 ? ["h2", "http/1.1"] : random.chance(0.5) ? ["http/1.1"] : []
            tls = ClientTLSOptions(version: random.chance(0.3) ? .tls12 : .tls13, protocols: protocols)
        }
        guard speaks == .http1 else {
            return HTTP2TestClient(
                simulation, to: address, exchanges, options(&random), RandomSource(seed: random.next()), tolerance: world.tolerance, tls: tls,
                resets: world.resets, refusalsMax: world.refusalsMax)
        }
        let pace: TestClient.Pace = random.chance(0.4) ? .pipelined : random.chance(0.5) ? .oneByOne : .window(random.within(2...16))
        return TestClient(simulation, to: address, exchanges, pace, options(&random), tolerance: world.tolerance, tls: tls)
    }

    private static func options(_ random: inout RandomSource) -> ClientOptions {
        var options = ClientOptions()
        options.delayNs = random.chance(0.2) ? 0...0 : 1000...random.within(2000...400_000)
        switch random.below(4) {
        case 0: options.readBytes = 1...random.within(2...3000)
        case 1: options.readBytes = 1000...1000
        default: break
        }
        // Windows so small that hardly any response leaves whole.
        if random.chance(0.3) { options.serverSendBytes = random.within(200...5000) }
        if random.chance(0.2) { options.serverReceiveBytes = random.within(100...3000) }
        return options
    }

    /// Clients that nobody owes an answer: the server must survive them and forget them.
    private static func abuse(_ simulation: Simulation, _ address: SocketAddress, _ world: World, _ random: inout RandomSource) {
        var options = options(&random)
        let exchanges = (0..<5).map { Traffic.exchange($0, &random, last: false, bytesMax: 60_000) }
        var bytes = exchanges.flatMap(\.request)
        if world.protocols.contains(.http2), random.chance(0.6) {
            let session = HTTP2Session(window: UInt32(random.below(70_000)), connectionWindow: nil)
            for exchange in exchanges { _ = session.request([(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/echo")], body: exchange.body) }
            bytes = session.output()
            // One byte of the frames wrong, or several.
            if random.chance(0.5), bytes.count > 24 { for _ in 0..<random.within(1...4) { bytes[random.within(24...(bytes.count - 1))] = UInt8(random.below(256)) } }
        }
        if world.isSecure, random.chance(0.7) {
            let tls = ClientTLS(ClientTLSOptions(version: random.chance(0.5) ? .tls12 : .tls13, protocols: ["h2"]))
            tls.handshake()
            bytes = tls.takeOutgoing()
            if random.chance(0.3) { bytes[random.below(bytes.count)] = UInt8(random.below(256)) }
            if random.chance(0.3) { bytes += [UInt8](repeating: 7, count: random.below(2000)) }
        }
        let part = Array(bytes.prefix(random.within(0...bytes.count)))
        let pieces = random.within(1...8)
        let steps: [SimulatedClient.Step]
        switch random.below(8) {
        case 0: steps = [.sendInPieces(part, pieces: pieces, pauseNsMax: 100_000), .reset]
        case 1: steps = [.sendInPieces(part, pieces: pieces, pauseNsMax: 100_000), .close]
        case 2: steps = [.sendInPieces(part, pieces: pieces, pauseNsMax: 100_000), .halfClose]
        case 3:
            // Asks and never reads.
            options.reads = false
            steps = [.send(bytes)]
        case 4: steps = [.send(Array("GET / HT\u{0}P/1.1\r\n\r\n".utf8) + part), .awaitEnd]
        case 5: steps = [.send(Array("GET / HTTP/1.1\r\nHost: a\r\nX-Long: ".utf8) + [UInt8](repeating: 97, count: 100_000)), .awaitEnd]
        case 6: steps = []
        default: steps = [.send(part), .stopReading, .wait(random.within(0...50_000_000)), .startReading, .wait(2_000_000_000), .reset]
        }
        simulation.connect(to: address, options: options).run(steps)
    }
}
