// What a loop's flight recorder keeps of real connections, and of events that are made up.

import TestSupport
import Testing
@testable import UringServer

@Suite struct FlightTests {
    private func options(events: Int = 1024) -> ServerOptions {
        var options = ServerOptions()
        options.flightRecorderEvents = events
        return options
    }

    @Test func connectionsAndRequestsAreTold() throws {
        let server = try TestServer(options: options()) { request, response in
            response.setRoute(RouteName("here"))
            if request.path == "/later" {
                var isFirst = true
                return response.stream { writer in
                    defer { isFirst = false }
                    writer.write("piece")
                    return isFirst ? .more : .end
                }
            }
            response.status = .accepted
            response.write("ok")
        }
        let client = try server.client()
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readFinalResponse(toHead: false).status == 202)
        try client.send("GET /later HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        #expect(try client.readFinalResponse(toHead: false).status == 200)
        #expect(try server.exchange("BAD\r\n\r\n").status == 400)
        // A loop makes its answer between two turns: what it did before is written.
        _ = server.running.snapshots()
        let record = try #require(server.running.flightRecords().first)
        #expect(record.loop == 0 && record.written >= UInt64(record.events.count) && record.events.count >= 6)
        let accepted = try #require(record.events.first)
        #expect(accepted.kind == .accept && accepted.connection > 0 && accepted.value > 2)
        let first = record.events.filter { $0.connection == accepted.connection }
        #expect(first.map(\.kind).prefix(4) == [.accept, .request, .begun, .request])
        #expect(first.filter { $0.kind == .request }.map(\.status) == [202, 200])
        #expect(first.dropFirst().prefix(3).allSatisfy { $0.route == "here" })
        let fault = try #require(record.events.last { $0.kind == .request })
        #expect(fault.status == 400 && fault.route == "fault" && fault.connection != accepted.connection)
        #expect(zip(record.events, record.events.dropFirst()).allSatisfy { $0.nanoseconds <= $1.nanoseconds })
        #expect(record.events.filter { $0.kind == .close }.allSatisfy { $0.end != nil })
    }

    @Test func nothingIsKeptUnlessItIsAskedFor() throws {
        let server = try TestServer { _, response in response.write("ok") }
        #expect(try server.get("/").status == 200)
        #expect(server.running.flightRecords().isEmpty)
    }

    @Test func onlyTheLastAreKept() throws {
        let server = try TestServer(options: options(events: 8)) { _, response in response.write("ok") }
        let client = try server.client()
        for _ in 0..<40 {
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readFinalResponse(toHead: false).status == 200)
        }
        let record = try #require(server.running.flightRecords().first)
        #expect(record.events.count <= 7 && record.written >= 41)
        // The accept is long gone.
        #expect(record.events.allSatisfy { $0.kind != .accept })
    }

    @Test func stallsAndReplacementsAreTold() throws {
        let reports = Reports()
        var application = Application { _, response in
            response.setRoute(RouteName("slow"))
            let end = ContinuousClock.now + .milliseconds(20)
            while ContinuousClock.now < end {}
        }
        application.reporter = reports
        var options = options()
        options.loops = .count(1)
        options.stallThreshold = .milliseconds(10)
        let running = try Server(listen: ["127.0.0.1:0"], options: options, application: application).start()
        defer { running.stop(within: .seconds(20)) }
        let client = try RawClient(try #require(Endpoint(line: "listening on http://\(running.addresses[0])")))
        try client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        #expect(try client.readFinalResponse(toHead: false).status == 200)
        running.replace(options: options, application: application)
        _ = running.snapshots()
        let events = try #require(running.flightRecords().first).events
        let stall = try #require(events.first { $0.kind == .stall })
        #expect(stall.route == "slow" && stall.value >= 10_000_000)
        #expect(events.contains { $0.kind == .replaced })
        // That turn was longer than a millisecond too.
        let turn = try #require(events.first { $0.kind == .turn })
        #expect(turn.value >= 10_000_000 && turn.requests == 1 && turn.completions >= 1)
    }

    @Test func layersOfSampledTurnsAreOneEvent() throws {
        let server = try TestServer(options: options()) { _, response in response.write("ok") }
        let client = try server.client()
        for _ in 0..<4 * (unsafe PhaseMeter.period) {
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readFinalResponse(toHead: false).status == 200)
        }
        let events = try #require(server.running.flightRecords().first).events
        let layers = events.filter { $0.kind == .layers && $0.requests > 0 }
        #expect(!layers.isEmpty && layers.allSatisfy { $0.layers.count == LoopPhase.allCases.count && $0.layers[Int(LoopPhase.parse.rawValue)] > 0 })
    }

    @Test func wordsThatNobodyWroteAreNoEvents() {
        let kind = { (kind: FlightEvent.Kind, small: UInt64) in UInt64(kind.rawValue) << 56 | small << 48 }
        let words: [(UInt64, UInt64, UInt64, UInt64)] = [
            (1, 0, 0, 0), (2, 255 << 56, 0, 0),
            // The end of a turn whose beginning is gone; then a whole one.
            (3, kind(.layers, 1), 0, 0), (3, kind(.layers, 2), 0, 0),
            (4, kind(.layers, 0), 1 << 32 | 2, 3 << 32 | 4), (4, kind(.layers, 1), 5 << 32 | 6, 7 << 32 | 8), (4, kind(.layers, 2), 9 << 32 | 10, 0),
            (5, kind(.close, 200) | 7, 99, 0),
        ]
        let events = FlightWords.events(words, loop: 3) { $0 * 10 }
        #expect(events.map(\.kind) == [.layers, .close])
        #expect(events[0].layers == [1, 2, 3, 4, 5, 6, 7, 8, 9] && events[0].requests == 10 && events[0].nanoseconds == 40)
        #expect(events[1].connection == 3 << 48 | 7 && events[1].end == nil && events[1].value == 99)
        #expect(FlightWords.pair(.max, 5) == 0xFFFF_FFFF_0000_0005)
    }
}
