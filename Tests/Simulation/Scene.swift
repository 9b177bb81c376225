// Scene: one server in a simulated world, and a peer that does what the test says: what the suites of attacks and departures share.

import UringServer
import UringSimulation

final class Scene {
    let simulation: Simulation
    let server: SimulatedServer
    /// Peers, which the simulated network calls until the end, whether their test still looks at them or not.
    private var peers: [ScenePeer] = []

    func keep(_ peer: ScenePeer) { peers.append(peer) }

    init(
        isSecure: Bool, seed: UInt64 = 1, faults: FaultPlan = .none, handler: HandlerBox? = nil, _ change: (inout ListenerTransport) -> Void = { _ in },
        configure: (inout LoopConfiguration) -> Void = { _ in }
    ) {
        simulation = Simulation(seed: seed, faults: faults)
        var transport = ListenerTransport()
        if isSecure { transport.tls = SimulatedCertificate.configuration }
        change(&transport)
        server = SimulatedServer(simulation, handler: handler, transport: transport, configure: configure)
    }

    var seconds: Double { Double(simulation.now - began) / 1e9 }
    /// When the client heard the last of the server: a loop that has nothing to do sleeps on.
    func seconds(of client: SimulatedClient) -> Double { Double(client.lastActivityNs - began) / 1e9 }
    private lazy var began = simulation.now
    func start() { _ = began }

    func client(_ steps: [SimulatedClient.Step], reads: Bool = true, sendBytes: Int = 64 * 1024) -> SimulatedClient {
        start()
        var options = ClientOptions()
        (options.reads, options.serverSendBytes) = (reads, sendBytes)
        let client = simulation.connect(to: server.address, options: options)
        client.run(steps)
        return client
    }

    func run(until done: () -> Bool) { server.run(until: done) }

    /// Lets time pass.
    func wait(milliseconds: Int) {
        var isLater = false
        simulation.schedule(after: milliseconds * 1_000_000) { isLater = true }
        server.run { isLater }
    }

    func wait(seconds: Int) { wait(milliseconds: 1000 * seconds) }

    /// Runs until the server holds nothing of any client; answers how many milliseconds that took. Beyond `atMost` it gives up.
    func millisecondsUntilForgotten(atMost: Int = 200_000) -> Int {
        let before = simulation.now
        var isLater = false
        simulation.schedule(after: atMost * 1_000_000) { isLater = true }
        server.run { isLater || server.loops.allSatisfy { $0.connectionsOpen == 0 } }
        return Int(simulation.now - before) / 1_000_000
    }

    func end() -> [String] {
        server.stop()
        return server.problems
    }
}

/// An HTTP/2 client that does what the test says.
final class ScenePeer {
    let wire: ClientWire
    let session: HTTP2Session
    /// True: what libnghttp2 answers of itself (acknowledgements, window updates) stays with the client.
    var isMute = false

    init(_ scene: Scene, window: UInt32 = 65_535, connectionWindow: Int32? = nil, options: ClientOptions = ClientOptions(), tls: ClientTLSOptions? = nil) {
        scene.start()
        session = HTTP2Session(window: window, connectionWindow: connectionWindow)
        wire = ClientWire(scene.simulation, to: scene.server.address, options, tls: tls)
        wire.onReceive = { [unowned self] in
            session.receive(wire.received)
            wire.consume(wire.received.count)
            if !isMute { flush() }
        }
        scene.keep(self)
        flush()
    }

    func flush() {
        let bytes = session.output()
        if !bytes.isEmpty { wire.send(bytes) }
    }

    /// Sends a request; answers its stream.
    func request(_ path: String, method: String = "GET", body: [UInt8]? = nil) -> Int32 {
        defer { flush() }
        return submit(path, method: method, body: body)
    }

    /// The same, to be sent with the next `flush`.
    func submit(_ path: String, method: String = "GET", body: [UInt8]? = nil) -> Int32 {
        session.request([(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path), ("x-id", "1")], body: body)
    }

    subscript(stream: Int32) -> HTTP2StreamSeen { session.streams[stream] ?? HTTP2StreamSeen() }
    func text(_ stream: Int32) -> String { String(decoding: self[stream].body, as: UTF8.self) }
}
