// The timeouts of the whole server, on the simulated clock: what a client sees, and when.

import Testing
import UringHTTP1
import UringHTTP2
import UringRing
import UringServer
import UringSimulation

@Suite struct ServerTimeoutTests {
    private struct Seen {
        var state: SimulatedClient.State
        /// When the connection ended, from the moment it was made.
        var seconds: Double
        var text: String
    }

    /// One client against a server without faults; runs until the client's connection has ended.
    private func see(
        _ steps: [SimulatedClient.Step], reads: Bool = true, sendBytes: Int = 64 * 1024, configure: @escaping (inout LoopConfiguration) -> Void = { _ in }
    ) -> Seen {
        let simulation = Simulation(seed: 1)
        let server = SimulatedServer(simulation, configure: configure)
        var options = ClientOptions()
        options.reads = reads
        options.serverSendBytes = sendBytes
        let began = simulation.now
        let client = simulation.connect(to: server.address, options: options)
        client.run(steps)
        server.run { !client.isOpen || simulation.now - began > 600_000_000_000 }
        let seen = Seen(
            state: client.state, seconds: Double(client.lastActivityNs - began) / 1e9, text: String(decoding: client.received, as: UTF8.self))
        server.stop()
        #expect(server.problems == [])
        return seen
    }

    private func about(_ seen: Seen, _ seconds: Double) -> Bool { seen.seconds >= seconds && seen.seconds < seconds + 1.1 }

    private func request(_ text: String) -> [UInt8] { Array(text.utf8) }
    private let whole = "GET /small HTTP/1.1\r\nHost: a\r\nX-Id: 1\r\n\r\n"

    @Test func silence() {
        let seen = see([])
        #expect(seen.state == .finished)
        #expect(about(seen, 10), "\(seen)")
    }

    @Test func halfAHead() {
        let seen = see([.send(request("GET / HTTP/1.1\r\nHo"))])
        #expect(seen.text.hasPrefix("HTTP/1.1 408 "))
        #expect(about(seen, 10), "\(seen)")
    }

    /// A byte now and then does not help: the head has its time as a whole.
    @Test func aHeadThatTrickles() {
        let seen = see((0..<100).flatMap { n -> [SimulatedClient.Step] in [.send([UInt8(ascii: n == 0 ? "G" : "E")]), .wait(500_000_000)] })
        #expect(seen.text.hasPrefix("HTTP/1.1 4"))
        #expect(seen.seconds < 11.1, "\(seen)")
    }

    @Test func idle() {
        let seen = see([.send(request(whole))])
        #expect(seen.state == .finished)
        #expect(seen.text.hasSuffix("small 1\n"))
        #expect(about(seen, 75), "\(seen)")
    }

    @Test func eachRequestStartsTheIdleTimeAgain() {
        let seen = see([.send(request(whole)), .wait(60_000_000_000), .send(request(whole)), .wait(60_000_000_000), .send(request(whole))])
        #expect(seen.state == .finished)
        #expect(about(seen, 195), "\(seen)")
    }

    @Test func aBodyThatStops() {
        let seen = see([.send(request("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n") + [UInt8](repeating: 97, count: 4000))])
        #expect(seen.text.hasPrefix("HTTP/1.1 408 "))
        #expect(seen.seconds >= 5 && seen.seconds < 31.1, "\(seen)")
    }

    /// 100 bytes a second are less than the 240 that are asked for.
    @Test func aBodyThatTrickles() {
        let trickle = (0..<500).flatMap { _ -> [SimulatedClient.Step] in [.send([UInt8](repeating: 97, count: 50)), .wait(500_000_000)] }
        let seen = see([.send(request("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n"))] + trickle)
        #expect(seen.text.hasPrefix("HTTP/1.1 408 "))
        #expect(seen.seconds >= 5 && seen.seconds < 12, "\(seen)")
    }

    /// 1000 bytes a second are enough.
    @Test func aSlowBodyThatIsFastEnough() {
        let trickle = (0..<60).flatMap { _ -> [SimulatedClient.Step] in [.wait(500_000_000), .send([UInt8](repeating: 97, count: 500))] }
        let seen = see([.send(request("POST /ignore HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 30000\r\n\r\n"))] + trickle)
        #expect(seen.text.hasPrefix("HTTP/1.1 200 "), "\(seen)")
        #expect(about(seen, 30), "\(seen)")
    }

    @Test func aClientThatNeverReads() {
        let seen = see([.send(request("GET /bytes/500000 HTTP/1.1\r\nHost: a\r\n\r\n"))], reads: false)
        #expect(seen.state == .reset)
        #expect(seen.seconds >= 5 && seen.seconds < 31.1, "\(seen)")
    }

    /// The producer waits for 3 ms at a time, then for ever: nobody waits with it.
    @Test func aHandlerThatDoesNotAnswer() {
        let handler = HandlerBox(handle: { _, response in response.stream { _ in .wait(milliseconds: 1_000_000) } })
        let simulation = Simulation(seed: 1)
        let server = SimulatedServer(simulation, handler: handler)
        let client = simulation.connect(to: server.address)
        client.run([.send(request(whole))])
        let began = simulation.now
        server.run { !client.isOpen }
        #expect(client.state == .reset)
        #expect(simulation.now - began < 31_100_000_000)
        server.stop()
        #expect(server.problems == [])
    }

    @Test func requestsPerConnection() {
        let three = whole + whole + whole
        let seen = see([.send(request(three))]) { $0.keepAlive.requestsPerConnectionMax = 2 }
        #expect(seen.state == .finished)
        #expect(seen.text.split(separator: "small 1\n").count == 2)
        #expect(seen.text.lowercased().contains("connection: close"))
    }

    // MARK: HTTP/2

    /// A stream of events whose client says nothing of its own accord.
    private func events(_ steps: [SimulatedClient.Step], configure: @escaping (inout LoopConfiguration) -> Void = { _ in }) -> (Seen, pings: Int) {
        let handler = HandlerBox(handle: { _, response in
            response.stream { writer in
                writer.write([UInt8(ascii: "e")])
                return .wait(milliseconds: 7000)
            }
        })
        let simulation = Simulation(seed: 1)
        let server = SimulatedServer(simulation, handler: handler, configure: configure)
        let client = simulation.connect(to: server.address)
        let preface = request("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") + [0, 0, 0, 4, 0, 0, 0, 0, 0]
        // GET http://a/ with indexed fields and a literal :authority (RFC 7541 6.1, 6.2.2).
        let get: [UInt8] = [0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0x01, 1, 97]
        client.run([.send(preface + get)] + steps)
        let began = simulation.now
        server.run { !client.isOpen || simulation.now - began > 300_000_000_000 }
        let seen = Seen(state: client.state, seconds: Double(client.lastActivityNs - began) / 1e9, text: "")
        let pings = client.received.indices.dropLast(8).filter { client.received[$0...].starts(with: [0, 0, 8, 6, 0, 0, 0, 0, 0]) }.count
        if client.isOpen { client.reset() }
        server.stop()
        #expect(server.problems == [])
        return (seen, pings)
    }

    /// Its kernel takes every event, and nobody is there: what a machine that hangs looks like.
    @Test func aClientThatIsGone() {
        let (seen, pings) = events([])
        #expect(seen.state == .reset)
        #expect(pings == 1)
        #expect(about(seen, 80), "\(seen)")
    }

    /// It answers, if late.
    @Test func aClientThatIsQuiet() {
        let answers = (1...4).flatMap { number -> [SimulatedClient.Step] in
            [.wait(70_000_000_000), .send([0, 0, 8, 6, 1, 0, 0, 0, 0] + [0, 0, 0, 0, 0, 0, 0, number])]
        }
        let (seen, pings) = events(answers)
        #expect(seen.state == .established && seen.seconds > 290, "\(seen)")
        #expect(pings == 4)
    }

    @Test func pingsThatAreOff() {
        let (seen, pings) = events([]) { $0.http2.keepAlive.afterNs = 0 }
        #expect(seen.state == .established)
        #expect(pings == 0)
    }
}
