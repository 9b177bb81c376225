// Peers that mean harm, in the simulated world: the server runs out of what they take, forgets them, and leaves nothing behind.

import Testing
import UringHTTP1
import UringServer
import UringSimulation

@Suite struct AttackSimulationTests {
    private struct World {
        let simulation: Simulation
        let tokens = Token.Count()
        let pauses = Pauses()
        let server: SimulatedServer

        init(_ seed: UInt64, _ faults: FaultPlan = .none, configure: (inout LoopConfiguration) -> Void = { _ in }) {
            simulation = Simulation(seed: seed, faults: faults)
            simulation.files.write("/site/file", AttackTarget.fileBytes)
            simulation.files.write("/site/large", AttackTarget.largeBytes)
            let directory = simulation.openDirectory("/site")
            server = SimulatedServer(simulation, handler: AttackTarget.application(directory, tokens, pauses), configure: configure)
        }

        /// What is wrong at the end of the world.
        func end() -> [String] {
            server.stop()
            var problems = server.problems
            if tokens.alive != 0 { problems.append("\(tokens.alive) closures are still held") }
            return problems
        }
    }

    private func options(_ random: inout RandomSource) -> ClientOptions {
        var options = ClientOptions()
        options.delayNs = 1000...200_000
        options.serverSendBytes = random.within(100...4000)
        options.reads = random.chance(0.5)
        options.closesAtEnd = true
        return options
    }

    /// The pool is empty whenever somebody needs a chunk: connections are shed, nobody traps, nothing stays.
    @Test(arguments: [1, 2, 3, 5, 9], 1...12 as ClosedRange<UInt64>)
    func memoryRefused(chunks: Int, seed: UInt64) {
        let world = World(seed) { $0.chunksMax = chunks }
        var random = RandomSource(seed: seed &* 31 &+ UInt64(chunks))
        var clients: [SimulatedClient] = []
        for _ in 0..<25 {
            let client = world.simulation.connect(to: world.server.address, options: options(&random))
            let requests = (0..<random.within(1...8)).flatMap { _ in AttackTarget.request(AttackTarget.paths[random.below(AttackTarget.paths.count - 1)]) }
            client.run([.sendInPieces(requests, pieces: random.within(1...5), pauseNsMax: 300_000), .wait(200_000_000), .reset])
            clients.append(client)
        }
        world.server.run { clients.allSatisfy { !$0.isOpen } }
        #expect(world.end() == [], "seed \(seed), \(chunks) chunks")
    }

    /// A receiver that takes no more holds the client back, whatever was on its way when it paused.
    @Test(arguments: 1...20 as ClosedRange<UInt64>) func pausedBody(seed: UInt64) {
        let world = World(seed)
        var options = ClientOptions()
        options.delayNs = 1000...20_000
        options.serverReceiveBytes = 60_000
        let size = 2_000_000
        let client = world.simulation.connect(to: world.server.address, options: options)
        // Behind a first request: then receives are multishot, and more arrives between the pause and its effect.
        client.run([.send(AttackTarget.request("/plain")), .awaitBytes(1)])
        client.run([.send(Array("POST /pause HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\r\n".utf8) + Traffic.pattern(1, size))])
        var isLater = false
        world.simulation.schedule(after: 1_000_000_000) { isLater = true }
        world.server.run { isLater }
        // What sockets and receive buffers hold is out of the client's hands.
        #expect(client.unsentCount > size - 300_000, "the server went on reading: seed \(seed)")
        world.pauses.isOver = true
        world.pauses.handle?.resume()
        world.server.run { client.unsentCount == 0 && client.received.suffix(7) == Array("\(size)".utf8)[...] }
        #expect(String(decoding: client.received.suffix(7), as: UTF8.self) == "\(size)", "seed \(seed)")
        client.close()
        #expect(world.end() == [], "seed \(seed)")
    }

    /// The peer is gone before the 101 has left: the other protocol never begins.
    @Test(arguments: 1...10 as ClosedRange<UInt64>) func upgradeOfADeadConnection(seed: UInt64) {
        let world = World(seed)
        var options = ClientOptions()
        options.serverSendBytes = 10
        options.reads = false
        let client = world.simulation.connect(to: world.server.address, options: options)
        client.run([.send(Array("GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n".utf8)), .wait(100_000_000), .reset])
        world.server.run { !client.isOpen }
        #expect(world.end() == [], "seed \(seed)")
        #expect(world.pauses.upgrades == 0, "seed \(seed)")
    }

    /// A trailer line that grows by a byte now and then earns what that byte is worth, not the whole line each time.
    @Test func slowTrailer() {
        let world = World(1)
        let client = world.simulation.connect(to: world.server.address)
        let trailer = "POST /plain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: " + String(repeating: "a", count: 3000)
        client.run([.send(Array(trailer.utf8))] + (0..<30).flatMap { _ in [.wait(10_000_000_000), .send([0x61])] as [SimulatedClient.Step] })
        world.server.run { !client.isOpen }
        #expect(String(decoding: client.received.prefix(12), as: UTF8.self) == "HTTP/1.1 408")
        #expect(world.simulation.now < 100_000_000_000, "minimum rate")
        #expect(world.end() == [])
    }

    /// A fault that cannot be answered, as a response is under way, is not told to the next client that gets an error.
    @Test func reasonOfAnotherClient() {
        let world = World(1)
        var options = ClientOptions()
        options.serverSendBytes = 500
        options.reads = false
        let first = world.simulation.connect(to: world.server.address, options: options)
        let head = "POST /early HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        first.run([.send(Array(head.utf8)), .wait(10_000_000), .send(Array("zz\r\n".utf8)), .wait(10_000_000), .reset])
        world.server.run { !first.isOpen }
        let second = world.simulation.connect(to: world.server.address)
        second.run([.send(Array("GET / HT".utf8)), .awaitEnd])
        world.server.run { !second.isOpen }
        let text = String(decoding: second.received, as: UTF8.self)
        #expect(text.hasPrefix("HTTP/1.1 408") && text.hasSuffix("408 Request Timeout\n"), "\(text)")
        #expect(world.end() == [])
    }

    /// Bodies that stop half-way are held up to the loop's bound, then their connections go; others are served.
    @Test func heldBodies() {
        let world = World(1) { $0.chunksMax = 100 }
        let bound = 100 * 16 * 1024
        let size = 300_000
        let clients = (0..<30).map { _ in
            let client = world.simulation.connect(to: world.server.address)
            client.run([.send(Array("POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: \(2 * size)\r\n\r\n".utf8) + Traffic.pattern(1, size))])
            return client
        }
        var isLater = false
        world.simulation.schedule(after: 2_000_000_000) { isLater = true }
        world.server.run { isLater }
        let held = clients.filter(\.isOpen).reduce(0) { $0 + size - $1.unsentCount }
        #expect(held > 300_000 && held <= bound + 30 * 64 * 1024, "\(held) bytes are held")
        #expect(world.server.loops[0].chunksHighWater <= 100)
        let other = world.simulation.connect(to: world.server.address)
        other.run([.send(AttackTarget.request("/plain"))])
        world.server.run { other.received.count > 0 }
        #expect(String(decoding: other.received.prefix(12), as: UTF8.self) == "HTTP/1.1 200")
        for client in clients + [other] { client.close() }
        #expect(world.end() == [])
    }

    /// More downloads than a turn has bytes for, into sockets that take all of them at once: each gets its share before the first is whole.
    @Test func manyDownloads() {
        let world = World(1) { $0.receiveBuffers = 64 }
        var options = ClientOptions()
        options.serverSendBytes = 4_000_000
        options.readBytes = 4_000_000...4_000_000
        let clients = (0..<30).map { _ in
            let client = world.simulation.connect(to: world.server.address, options: options)
            client.run([.wait(1_000_000), .send(AttackTarget.request("/largefile"))])
            return client
        }
        let size = AttackTarget.largeBytes.count
        world.server.run { clients.contains { $0.receivedCount > size } }
        let received = clients.map(\.receivedCount)
        // Those who asked late may still wait for their first.
        #expect(received.count { $0 > 1_000_000 } >= 20, "\(received)")
        world.server.run { clients.allSatisfy { $0.receivedCount > size } }
        #expect(clients.allSatisfy { isSame(Array($0.received.suffix(size)), AttackTarget.largeBytes) })
        for client in clients { client.close() }
        #expect(world.end() == [])
    }

    /// A second range that is not in the page cache, behind a first that goes by sendfile: the order of the parts is kept, and the loop
    /// does not wait for a segment without bytes.
    @Test(arguments: 1...20 as ClosedRange<UInt64>, ["/multipart", "/small"])
    func coldRanges(seed: UInt64, path: String) {
        var faults = FaultPlan()
        (faults.readNotCached, faults.shortRead, faults.shortSend) = (0.7, 0.2, 0.3)
        let world = World(seed, faults)
        var options = ClientOptions()
        options.delayNs = 1000...20_000
        options.serverSendBytes = 3000
        let content = path == "/small" ? AttackTarget.smallRange : AttackTarget.multipart
        let exchanges = (0..<4).map { _ in
            Exchange(name: path, request: AttackTarget.request(path), status: 200, fields: [], body: content)
        }
        let client = TestClient(world.simulation, to: world.server.address, exchanges, .pipelined, options)
        world.server.run { client.isDone }
        #expect(client.problem == nil, "seed \(seed)")
        #expect(world.end() == [], "seed \(seed)")
    }
}
