// Peers that mean harm to TLS and HTTP/2, or have gone silent, on the simulated clock: what they meet, when, and that nothing stays of them.

import Testing
import UringHTTP
import UringHTTP1
import UringHTTP2
import UringRing
import UringServer
import UringSimulation

@Suite struct SecureAttackTests {
    private func hello(_ version: ClientTLSOptions.Version = .tls13) -> [UInt8] {
        let tls = ClientTLS(ClientTLSOptions(version: version, protocols: ["h2"]))
        tls.handshake()
        return tls.takeOutgoing()
    }

    // MARK: TLS

    /// An alert, and the end.
    @Test func garbage() {
        let scene = Scene(isSecure: true)
        let client = scene.client([.send(Array("\u{1}\u{2}this is not TLS at all, and it goes on for a while".utf8))])
        scene.run { !client.isOpen }
        #expect(client.state == .finished || client.state == .reset)
        #expect(scene.seconds(of: client) < 6)
        #expect(scene.end() == [])
    }

    /// Who types http:// for https:// is told.
    @Test func plainHTTP() {
        let scene = Scene(isSecure: true)
        let client = scene.client([.send(Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8))])
        scene.run { !client.isOpen }
        let text = String(decoding: client.received, as: UTF8.self)
        #expect(text.hasPrefix("HTTP/1.1 400 ") && text.hasSuffix("https://.\r\n"), "\(text)")
        #expect(client.state == .finished)
        #expect(scene.end() == [])
    }

    /// The same for a client that sends its request with a large body and reads late: the answer is not lost to a reset.
    @Test func plainHTTPWithABody() {
        let scene = Scene(isSecure: true)
        let client = scene.client([.send(Array("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n".utf8) + [UInt8](repeating: 97, count: 300_000)), .awaitEnd])
        scene.run { !client.isOpen }
        #expect(String(decoding: client.received.prefix(12), as: UTF8.self) == "HTTP/1.1 400")
        #expect(client.state == .finished)
        #expect(scene.end() == [])
    }

    @Test(arguments: [0, 1, 5, 100, 10_000]) func aHandshakeThatStops(_ bytes: Int) {
        let scene = Scene(isSecure: true) { $0.handshakeTimeout = .seconds(7) }
        let client = scene.client([.send(Array(hello().prefix(bytes)))])
        scene.run { !client.isOpen }
        #expect(scene.seconds(of: client) >= 7 && scene.seconds(of: client) < 14, "at \(scene.seconds(of: client))")
        #expect(scene.end() == [])
    }

    /// A byte now and then does not prolong a handshake.
    @Test func aHandshakeThatTrickles() {
        let scene = Scene(isSecure: true) { $0.handshakeTimeout = .seconds(7) }
        let client = scene.client(hello().flatMap { [.send([$0]), .wait(1_000_000_000)] as [SimulatedClient.Step] })
        scene.run { !client.isOpen }
        #expect(scene.seconds(of: client) >= 7 && scene.seconds(of: client) < 14, "at \(scene.seconds(of: client))")
        #expect(scene.end() == [])
    }

    /// Established, and not a byte of a request.
    @Test(arguments: [ClientTLSOptions.Version.tls12, .tls13]) func silenceAfterTheHandshake(_ version: ClientTLSOptions.Version) {
        let scene = Scene(isSecure: true)
        scene.start()
        let wire = ClientWire(scene.simulation, to: scene.server.address, ClientOptions(), tls: ClientTLSOptions(version: version))
        scene.run { !wire.isOpen }
        #expect(wire.tls?.isEstablished == true && wire.tls?.end == .clean)
        #expect(scene.seconds(of: wire.client) >= 10 && scene.seconds(of: wire.client) < 17, "at \(scene.seconds(of: wire.client))")
        #expect(scene.end() == [])
    }

    /// More handshakes than may be: the others are closed, and those that finish make room.
    @Test func handshakeLimit() {
        let scene = Scene(isSecure: true) { $0.handshakesMax = 3 }
        let stuck = (0..<3).map { _ in scene.client([.send(Array(hello().prefix(100)))]) }
        scene.wait(seconds: 1)
        let before = scene.simulation.now
        let refused = scene.client([.send(hello())])
        scene.run { !refused.isOpen }
        #expect(refused.received.isEmpty && refused.lastActivityNs - before < 1_000_000_000)
        for client in stuck { #expect(client.isOpen) }
        for client in stuck { client.reset() }
        scene.wait(seconds: 1)
        let peer = ScenePeer(scene, tls: ClientTLSOptions(protocols: ["h2"]))
        let stream = peer.request("/small")
        scene.run { peer[stream].closedWith != nil }
        #expect(peer.text(stream) == "small 1\n")
        peer.wire.client.close()
        #expect(scene.end() == [])
    }

    /// Records that fail after the handshake end the connection with an alert.
    @Test func garbageAfterTheHandshake() {
        let scene = Scene(isSecure: true)
        scene.start()
        let wire = ClientWire(scene.simulation, to: scene.server.address, ClientOptions(), tls: ClientTLSOptions())
        scene.run { wire.tls?.isEstablished == true }
        wire.client.run([.send([23, 3, 3, 0, 40] + [UInt8](repeating: 1, count: 40))])
        scene.run { !wire.isOpen }
        #expect(wire.tls?.end != nil)
        #expect(scene.end() == [])
    }

    // MARK: HTTP/2

    @Test(arguments: [1, 10, 23]) func aPrefaceThatStops(_ bytes: Int) {
        let scene = Scene(isSecure: false)
        let client = scene.client([.send(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8.prefix(bytes)))])
        scene.run { !client.isOpen }
        #expect(String(decoding: client.received.prefix(12), as: UTF8.self) == "HTTP/1.1 408")
        #expect(scene.seconds(of: client) >= 10 && scene.seconds(of: client) < 17, "at \(scene.seconds(of: client))")
        #expect(scene.end() == [])
    }

    /// A cut preface, and the end of input.
    @Test(arguments: [1, 10, 23]) func aPrefaceThatIsCut(_ bytes: Int) {
        let scene = Scene(isSecure: false)
        let client = scene.client([.send(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8.prefix(bytes))), .halfClose])
        scene.run { !client.isOpen }
        #expect(String(decoding: client.received.prefix(12), as: UTF8.self) == "HTTP/1.1 400")
        #expect(scene.end() == [])
    }

    /// Preface and settings, and no request: the header timeout.
    @Test(arguments: [false, true]) func silence(_ isSecure: Bool) {
        let scene = Scene(isSecure: isSecure)
        let peer = ScenePeer(scene, tls: isSecure ? ClientTLSOptions(protocols: ["h2"]) : nil)
        scene.run { !peer.wire.isOpen }
        #expect(peer.session.goAway == 0 && peer.session.complaints == [])
        #expect(scene.seconds(of: peer.wire.client) >= 10 && scene.seconds(of: peer.wire.client) < 17, "at \(scene.seconds(of: peer.wire.client))")
        #expect(scene.end() == [])
    }

    /// After a request it is the idle timeout: GOAWAY, then the close.
    @Test(arguments: [false, true]) func idle(_ isSecure: Bool) {
        let scene = Scene(isSecure: isSecure)
        let peer = ScenePeer(scene, tls: isSecure ? ClientTLSOptions(protocols: ["h2"]) : nil)
        let stream = peer.request("/small")
        scene.run { !peer.wire.isOpen }
        #expect(peer.text(stream) == "small 1\n")
        #expect(peer.session.goAway == 0 && peer.session.complaints == [])
        #expect(scene.seconds(of: peer.wire.client) >= 75 && scene.seconds(of: peer.wire.client) < 82, "at \(scene.seconds(of: peer.wire.client))")
        #expect(scene.end() == [])
    }

    /// PINGs alone keep nobody connected.
    @Test func pingsOnly() {
        let scene = Scene(isSecure: false)
        let peer = ScenePeer(scene)
        let stream = peer.request("/small")
        for second in 1..<200 { scene.simulation.schedule(after: second * 1_000_000_000) { if peer.wire.isOpen { peer.session.ping(); peer.flush() } } }
        scene.run { !peer.wire.isOpen }
        #expect(peer.text(stream) == "small 1\n")
        #expect(scene.seconds(of: peer.wire.client) >= 75 && scene.seconds(of: peer.wire.client) < 82, "at \(scene.seconds(of: peer.wire.client))")
        #expect(scene.end() == [])
    }

    /// A stream whose window never opens is reset; its connection lives, and so do its other streams.
    @Test(arguments: [false, true]) func aWindowThatNeverOpens(_ isSecure: Bool) {
        let scene = Scene(isSecure: isSecure)
        let peer = ScenePeer(scene, window: 0, tls: isSecure ? ClientTLSOptions(protocols: ["h2"]) : nil)
        let stuck = ["/bytes/5000", "/stream/5000", "/shared", "/file/5"].map { peer.request($0) }
        let head = peer.request("/bytes/500", method: "HEAD")
        scene.run { stuck.allSatisfy { peer[$0].closedWith != nil } || !peer.wire.isOpen }
        #expect(peer.wire.isOpen)
        for stream in stuck { #expect(peer[stream].closedWith != 0 && peer[stream].body.isEmpty && peer[stream].status == 200, "\(peer[stream])") }
        #expect(peer[head].closedWith == 0)
        #expect(scene.seconds >= 5 && scene.seconds < 40, "at \(scene.seconds)")
        peer.session.setWindow(60_000)
        let after = peer.request("/small")
        scene.run { peer[after].closedWith != nil || !peer.wire.isOpen }
        #expect(peer.text(after) == "small 1\n")
        peer.wire.client.close()
        #expect(scene.end() == [])
    }

    /// A body that stops: 408 on its stream, the others go on.
    @Test(arguments: ["/echo", "/sum"]) func aBodyThatStops(_ path: String) {
        let scene = Scene(isSecure: false)
        let peer = ScenePeer(scene)
        var isFirst = true
        peer.session.uploadBytes = { most in
            defer { isFirst = false }
            return isFirst ? min(most, 100) : 0
        }
        let slow = peer.request(path, method: path == "/sum" ? "PUT" : "POST", body: [UInt8](repeating: 97, count: 5000))
        let other = peer.request("/small")
        scene.run { peer[slow].closedWith != nil || !peer.wire.isOpen }
        #expect(peer[slow].status == 408 && peer[slow].closedWith == 0, "\(peer[slow])")
        #expect(peer.text(other) == "small 1\n")
        #expect(scene.seconds >= 5 && scene.seconds < 37, "at \(scene.seconds)")
        let after = peer.request("/small")
        scene.run { peer[after].closedWith != nil || !peer.wire.isOpen }
        #expect(peer.text(after) == "small 1\n")
        peer.wire.client.close()
        #expect(scene.end() == [])
    }

    /// A handler that does not go on: its stream is reset, or answered 503 when nothing has left.
    @Test func aHandlerThatDoesNotAnswer() {
        let handler = HandlerBox(
            handle: { request, response in
                switch request.path {
                case "/stream": response.stream { _ in .wait(milliseconds: 1_000_000) }
                case "/pause": response.receiveBody { part, _ in part.isLast ? .pause : .pause }
                default: response.write("small")
                }
            }, wantsStream: { $0.path == "/pause" })
        let scene = Scene(isSecure: false, handler: handler)
        let peer = ScenePeer(scene)
        let stream = peer.request("/stream")
        let pause = peer.request("/pause", method: "POST", body: [UInt8](repeating: 97, count: 5000))
        scene.run { peer[stream].closedWith != nil && peer[pause].closedWith != nil || !peer.wire.isOpen }
        #expect(peer.wire.isOpen && scene.seconds < 40, "at \(scene.seconds)")
        #expect(peer[stream].status == 200 && peer[stream].closedWith != 0)
        #expect(peer[pause].status == 503)
        let after = peer.request("/small")
        scene.run { peer[after].closedWith != nil || !peer.wire.isOpen }
        #expect(peer.text(after) == "small")
        peer.wire.client.close()
        #expect(scene.end() == [])
    }

    /// Asks for much and never reads the socket: the write timeout ends the connection.
    @Test(arguments: [false, true]) func aClientThatNeverReads(_ isSecure: Bool) {
        let scene = Scene(isSecure: isSecure)
        let peer = ScenePeer(scene, window: 1_000_000, tls: isSecure ? ClientTLSOptions(protocols: ["h2"]) : nil)
        let first = peer.request("/small")
        scene.run { peer[first].closedWith != nil }
        peer.wire.client.stopReading()
        for _ in 0..<20 { _ = peer.request("/bytes/100000") }
        scene.run { !peer.wire.client.isOpen }
        #expect(peer.wire.client.state == .reset)
        #expect(scene.seconds(of: peer.wire.client) < 120, "at \(scene.seconds(of: peer.wire.client))")
        #expect(scene.end() == [])
    }

    @Test func requestsPerConnection() {
        let scene = Scene(isSecure: false, configure: { $0.keepAlive.requestsPerConnectionMax = 2 })
        let peer = ScenePeer(scene)
        let streams = (0..<2).map { _ in peer.request("/small") }
        scene.run { !peer.wire.isOpen }
        for stream in streams { #expect(peer.text(stream) == "small 1\n") }
        #expect(peer.session.goAway == 0)
        #expect(scene.end() == [])
    }

    /// Resets as fast as requests (CVE-2023-44487).
    @Test func rapidReset() {
        let scene = Scene(isSecure: false)
        let peer = ScenePeer(scene)
        for _ in 0..<500 where peer.wire.isOpen {
            let stream = peer.request("/stream/100000")
            if stream > 0 { peer.session.reset(stream) }
            peer.flush()
        }
        scene.run { !peer.wire.isOpen }
        #expect(peer.session.goAway == 11)
        #expect(scene.end() == [])
    }

    /// Streams beyond the slab's slots are refused, and the connection goes on.
    @Test func moreStreamsThanSlots() {
        let scene = Scene(isSecure: false, configure: { $0.connectionsMax = 4; $0.http2.local = .init(maxConcurrentStreams: 2000) })
        let peer = ScenePeer(scene, window: 0)
        scene.wait(seconds: 1)
        let streams = (0..<1200).map { _ in peer.request("/bytes/100") }
        scene.run { streams.count { peer[$0].closedWith == 7 } > 100 }
        peer.session.setWindow(1000)
        peer.flush()
        scene.run { streams.allSatisfy { peer[$0].closedWith != nil } || !peer.wire.isOpen }
        let answered = streams.count { peer[$0].closedWith == 0 }
        #expect(answered > 1000)
        #expect(peer.wire.isOpen)
        peer.wire.client.close()
        #expect(scene.end() == [])
    }
}
