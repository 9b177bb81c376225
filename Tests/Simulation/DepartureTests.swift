// Peers that leave: in the middle of a handshake, of a record, of a request, of responses; with an end of input, with a reset, or with both. Who
// can still read gets what can still be sent; of everybody else nothing stays, and not for as long as a timeout. A failure prints its seed.

import Testing
import UringHTTP
import UringServer
import UringSimulation
import UringTLS

@Suite struct DepartureTests {
    /// How a peer leaves.
    enum Way: CaseIterable { case halfClose, close, reset, closeNotify, halfCloseThenReset }

    /// No timeout of the server is as short as this: whoever is gone by then went because he left.
    private let promptMs = 1000

    private func leave(_ wire: ClientWire, _ way: Way) {
        switch way {
        case .halfClose: wire.client.run([.halfClose])
        case .close: wire.client.run([.close])
        case .reset: wire.client.run([.reset])
        case .closeNotify: wire.endPolitely()
        case .halfCloseThenReset: wire.client.run([.halfClose, .wait(5_000_000), .reset])
        }
    }

    private func tls(_ isSecure: Bool, _ protocols: [String] = ["h2"]) -> ClientTLSOptions? { isSecure ? ClientTLSOptions(protocols: protocols) : nil }

    // MARK: HTTP/2

    /// 50 streams of more than the windows hold, and the peer leaves.
    @Test(arguments: [false, true], Way.allCases) func blockedStreams(_ isSecure: Bool, _ way: Way) {
        for path in ["/bytes/30000", "/file/5", "/shared", "/stream/30000"] {
            let scene = Scene(isSecure: isSecure)
            let peer = ScenePeer(scene, tls: tls(isSecure))
            peer.isMute = true
            for _ in 0..<50 { _ = peer.request(path) }
            scene.wait(seconds: 1)
            #expect(scene.server.loops[0].streamsOpen > 40)
            leave(peer.wire, way)
            let milliseconds = scene.millisecondsUntilForgotten()
            #expect(milliseconds < promptMs, "\(path): \(milliseconds) ms")
            #expect(scene.end() == [])
        }
    }

    /// Responses that are under way into a socket that takes little at a time, with windows that take all: the socket is what is full.
    @Test(arguments: [false, true], [Way.close, .reset, .halfCloseThenReset]) func fullSocket(_ isSecure: Bool, _ way: Way) {
        for path in ["/bytes/30000", "/file/5", "/stream/30000"] {
            let scene = Scene(isSecure: isSecure)
            var options = ClientOptions()
            options.serverSendBytes = 5000
            let peer = ScenePeer(scene, window: 10_000_000, connectionWindow: 10_000_000, options: options, tls: tls(isSecure))
            let first = peer.request("/small")
            scene.run { peer[first].closedWith != nil }
            peer.wire.client.stopReading()
            for _ in 0..<50 { _ = peer.request(path) }
            scene.wait(seconds: 1)
            leave(peer.wire, way)
            let milliseconds = scene.millisecondsUntilForgotten()
            #expect(milliseconds < promptMs, "\(path): \(milliseconds) ms")
            #expect(scene.end() == [])
        }
    }

    /// Who has only shut his output down gets everything that the windows take, in full where it fits, and the rest is reset.
    @Test(arguments: [false, true], [Way.halfClose, .closeNotify]) func halfClosedReaders(_ isSecure: Bool, _ way: Way) {
        let scene = Scene(isSecure: isSecure)
        var options = ClientOptions()
        (options.serverSendBytes, options.readBytes, options.delayNs) = (3000, 100...2000, 1000...50_000)
        let peer = ScenePeer(scene, window: 20_000, options: options, tls: tls(isSecure))
        let first = peer.request("/small")
        scene.run { peer[first].closedWith != nil }
        let whole = (1...3).map { peer.request("/bytes/\($0 * 4000)") } + [peer.request("/stream/9000"), peer.request("/small")]
        let sum = peer.request("/sum", method: "PUT", body: Traffic.pattern(1, 5000))
        let cut = peer.request("/bytes/50000")
        peer.isMute = true
        leave(peer.wire, way)
        let milliseconds = scene.millisecondsUntilForgotten()
        #expect(milliseconds < promptMs, "\(milliseconds) ms")
        scene.simulation.advance(byNs: 1_000_000_000)
        for (stream, count) in zip(whole, [4000, 8000, 12_000, 9000]) { #expect(peer[stream].closedWith == 0 && isSame(peer[stream].body, Traffic.pattern(1, count))) }
        #expect(peer.text(whole[4]) == "small 1\n" && peer[sum].closedWith == 0)
        #expect(peer[cut].closedWith == 8 && isSame(peer[cut].body, Array(Traffic.pattern(1, 50_000).prefix(20_000))), "\(peer[cut].body.count) bytes, \(String(describing: peer[cut].closedWith))")
        #expect(peer.session.complaints == [])
        if isSecure { #expect(peer.wire.tls?.end == .clean) }
        #expect(scene.end() == [])
    }

    /// Requests, the ends of bodies and windows that came in front of the end, and wait because the output is full: all of it counts.
    @Test(arguments: [false, true]) func framesInFrontOfTheEnd(_ isSecure: Bool) {
        let scene = Scene(isSecure: isSecure)
        var options = ClientOptions()
        (options.serverSendBytes, options.delayNs) = (4000, 1000...20_000)
        let peer = ScenePeer(scene, window: 30_000, connectionWindow: 5_000_000, options: options, tls: tls(isSecure))
        let first = peer.request("/small")
        scene.run { peer[first].closedWith != nil }
        peer.wire.client.stopReading()
        let large = peer.request("/bytes/60000")
        let streams = (0..<40).map { _ in peer.request("/bytes/25000") }
        // The output is full: whatever comes now waits in front of it.
        scene.wait(seconds: 1)
        // These are written at once and fill it anew, in front of what follows.
        let small = (0..<12).map { _ in peer.request("/bytes/12000") }
        let echo = peer.request("/echo", method: "POST", body: Traffic.pattern(9, 5000))
        peer.session.setWindow(70_000)
        peer.flush()
        leave(peer.wire, .halfClose)
        scene.wait(seconds: 1)
        peer.isMute = true
        peer.wire.client.startReading()
        #expect(scene.millisecondsUntilForgotten() < promptMs)
        scene.simulation.advance(byNs: 1_000_000_000)
        for stream in streams { #expect(peer[stream].closedWith == 0 && isSame(peer[stream].body, Traffic.pattern(1, 25_000)), "\(stream): \(peer[stream].body.count)") }
        for stream in small { #expect(peer[stream].closedWith == 0 && isSame(peer[stream].body, Traffic.pattern(1, 12_000)), "\(stream): \(peer[stream].body.count)") }
        #expect(peer[large].closedWith == 0 && isSame(peer[large].body, Traffic.pattern(1, 60_000)), "\(peer[large].body.count)")
        #expect(peer[echo].closedWith == 0 && isSame(peer[echo].body, Traffic.pattern(9, 5000)), "\(peer[echo])")
        #expect(scene.end() == [])
    }

    /// A body that is all here when its peer ends, and whose receiver takes no more for now, is no cut request.
    @Test func pausedBodyThatIsWhole() {
        let tokens = Token.Count()
        let pauses = Pauses()
        let scene = Scene(isSecure: false, handler: AttackTarget.application(-1, tokens, pauses))
        let peer = ScenePeer(scene)
        let stream = peer.request("/pause", method: "POST", body: Traffic.pattern(1, 40_000))
        scene.run { pauses.handle != nil }
        scene.wait(milliseconds: 100)
        leave(peer.wire, .halfClose)
        scene.wait(milliseconds: 100)
        pauses.isOver = true
        pauses.handle?.resume()
        #expect(scene.millisecondsUntilForgotten() < promptMs)
        scene.simulation.advance(byNs: 1_000_000_000)
        #expect(peer[stream].closedWith == 0 && peer.text(stream) == "40000", "\(peer[stream])")
        pauses.handle = nil
        #expect(scene.end() == [])
        #expect(tokens.alive == 0)
    }

    /// A drain does not wait long for peers that say nothing more: neither for the answer to its PING nor for their close.
    @Test(arguments: [false, true], [false, true]) func drainWithoutAnswer(_ isSecure: Bool, _ asksAhead: Bool) {
        let scene = Scene(isSecure: isSecure)
        var options = ClientOptions()
        options.closesAtEnd = false
        let peers = (0..<3).map { _ in ScenePeer(scene, options: options, tls: tls(isSecure)) }
        for peer in peers {
            let first = peer.request("/small")
            scene.run { peer[first].closedWith != nil }
            let streams = (0..<3).map { _ in asksAhead ? peer.submit("/small") : peer.request("/small") }
            peer.flush()
            peer.isMute = true
            scene.run { streams.allSatisfy { peer[$0].closedWith != nil } }
        }
        let before = scene.simulation.now
        #expect(scene.end() == [])
        let seconds = Double(scene.simulation.now - before) / 1e9
        // The time for a last word, once for the PING and once for the close, and what the timer wheel rounds up.
        #expect(seconds < 15, "\(seconds) s")
        for peer in peers { peer.wire.client.close() }
    }

    // MARK: HTTP/1.1

    /// Pipelines, and shuts his output down: all of it is answered, whole.
    @Test(arguments: [false, true], seeds(6)) func halfClosedPipeline(_ isSecure: Bool, _ seed: UInt64) {
        let scene = Scene(isSecure: isSecure, seed: seed, faults: .chaos)
        var random = RandomSource(seed: seed)
        var options = ClientOptions()
        (options.serverSendBytes, options.delayNs) = (random.within(500...5000), 1000...50_000)
        let clients = (0..<6).map { number in
            let exchanges = (0..<12).map { Traffic.exchange($0, &random, last: false, bytesMax: 20_000) }
            let client = TestClient(scene.simulation, to: scene.server.address, exchanges, .pipelined, options, tolerance: .closeBetween, tls: tls(isSecure, []))
            if isSecure {
                client.wire.onEstablished = { [unowned client] in leave(client.wire, number % 2 == 0 ? .halfClose : .closeNotify) }
            } else {
                leave(client.wire, .halfClose)
            }
            return client
        }
        scene.run { clients.allSatisfy(\.isDone) }
        for client in clients { #expect(client.problem == nil && client.answered == 12, "seed \(seed): \(client.answered)") }
        #expect(scene.millisecondsUntilForgotten() < promptMs, "seed \(seed)")
        #expect(scene.end() == [], "seed \(seed)")
        // The network calls them until the end.
        withExtendedLifetime(clients) {}
    }

    // MARK: TLS

    /// The client leaves at every byte of the handshake, and of the record behind it.
    @Test(arguments: [ClientTLSOptions.Version.tls12, .tls13], [Way.halfClose, .close, .reset]) func everyByteOfAHandshake(_ version: ClientTLSOptions.Version, _ way: Way) {
        let scene = Scene(isSecure: true)
        let probe = ClientTLS(ClientTLSOptions(version: version))
        probe.handshake()
        let hello = probe.takeOutgoing().count
        let steps: [SimulatedClient.Step] =
            switch way {
            case .halfClose, .closeNotify: [.halfClose]
            case .close: [.close]
            case .reset, .halfCloseThenReset: [.reset]
            }
        // Of a hello that is not whole nothing is understood: few places stand for all. Finished and the request come behind it.
        let places = Array(stride(from: 1, to: hello - 8, by: way == .halfClose ? 1 : 17)) + Array((hello - 8)..<(hello + 230))
        let wires = places.map { place in
            let cut = ClientWire.Cut(at: place, steps: steps, leaves: true)
            let wire = ClientWire(scene.simulation, to: scene.server.address, ClientOptions(), tls: ClientTLSOptions(version: version), cut: cut)
            wire.send(Array("GET /small HTTP/1.1\r\nHost: a\r\nX-Id: 1\r\n\r\n".utf8))
            return wire
        }
        scene.wait(milliseconds: 10)
        // Beyond all that a client sends: those have been answered.
        for wire in wires where !wire.hasLeft { leave(wire, way) }
        #expect(wires.contains { $0.hasLeft } && wires.contains { !$0.hasLeft })
        #expect(scene.millisecondsUntilForgotten() < promptMs)
        #expect(scene.server.loops[0].handshakesOpen == 0)
        let counters = scene.server.loops[0].tlsContext()?.counters ?? TLSCounters()
        // Every handshake that has begun has ended in some way that is counted.
        #expect(counters.started == counters.full + counters.failedTotal + counters.abandoned, "\(counters)")
        #expect(scene.server.loops[0].tlsContext()?.sessionCount == 0)
        #expect(scene.end() == [])
        withExtendedLifetime(wires) {}
    }

    // MARK: all at once

    /// Clients of every kind that leave at any moment, in any way, with every fault: a second after the last one nothing is left.
    @Test(arguments: seeds(24)) func anybodyAnywhere(_ seed: UInt64) {
        var faults = FaultPlan.chaos
        faults.clockStep = 0
        let isSecure = seed % 3 != 0
        let scene = Scene(isSecure: isSecure, seed: seed, faults: faults)
        var random = RandomSource(seed: seed &* 7919)
        var keep: [AnyObject] = []
        var departures = 0
        let total = 16
        for _ in 0..<total {
            var options = ClientOptions()
            options.delayNs = 0...random.within(0...200_000)
            options.serverSendBytes = random.within(300...30_000)
            let way = Way.allCases[random.below(Way.allCases.count)]
            let wire: ClientWire
            if random.chance(0.6) {
                let peer = ScenePeer(scene, window: UInt32(random.within(0...70_000)), options: options, tls: tls(isSecure))
                for _ in 0..<random.within(0...12) { _ = peer.request(["/bytes/30000", "/stream/40000", "/shared", "/file/7", "/parts/5", "/small"][random.below(6)]) }
                if random.chance(0.5) { _ = peer.request("/sum", method: "PUT", body: Traffic.pattern(1, random.within(0...50_000))) }
                peer.isMute = random.chance(0.5)
                keep.append(peer)
                wire = peer.wire
            } else {
                let exchanges = (0..<8).map { Traffic.exchange($0, &random, last: false, bytesMax: 20_000) }
                let client = TestClient(scene.simulation, to: scene.server.address, exchanges, .pipelined, options, tolerance: .breaks, tls: tls(isSecure, []))
                keep.append(client)
                wire = client.wire
            }
            scene.simulation.schedule(after: random.within(0...12_000_000)) {
                departures += 1
                leave(wire, way)
            }
        }
        scene.run { departures == total }
        let milliseconds = scene.millisecondsUntilForgotten()
        #expect(milliseconds < promptMs, "seed \(seed): \(milliseconds) ms")
        #expect(scene.server.loops[0].streamsOpen == 0 && scene.server.loops[0].handshakesOpen == 0 && scene.server.loops[0].chunksHeld == 0, "seed \(seed)")
        #expect((scene.server.loops[0].tlsContext()?.sessionCount ?? 0) == 0, "seed \(seed)")
        #expect(scene.end() == [], "seed \(seed)")
        withExtendedLifetime(keep) {}
    }
}
