// Hostile servers: each budget is met once, and what is bounded is bounded.

import Testing

@testable import UringHTTP2

@Suite struct ClientAbuseTests {
    /// A client with open requests.
    private func open(_ streams: Int = 1, _ limits: HTTP2Limits = HTTP2Limits()) -> ClientHarness {
        let harness = ClientHarness(settings: HTTP2ClientSettings(streamsMax: max(streams, 1)), limits: limits)
        harness.receive(Peer.hello + Client.settingsAck)
        for _ in 0..<streams { harness.open("POST", end: false) }
        _ = harness.takeFrames()
        _ = harness.takeEvents()
        return harness
    }
    /// Gives `piece(n)` for n = 0…; answers how many passed before the connection ended, at most `count`.
    private func passed(_ harness: ClientHarness, _ count: Int, _ piece: (Int) -> [UInt8]) -> Int {
        for index in 0..<count {
            harness.receive(piece(index))
            if harness.takeEvents().last == "failed ENHANCE_YOUR_CALM" { return index }
            _ = harness.takeFrames()
        }
        return count
    }

    @Test func continuations() {
        #expect(passed(open(), 100) { $0 == 0 ? Client.headers(1, [], endHeaders: false) : Client.continuation(1, [], endHeaders: false) } == 33)
    }

    @Test func continuationBytes() {
        let part = [UInt8](repeating: 0x88, count: 16_384)
        #expect(passed(open(), 100) { $0 == 0 ? Client.headers(1, part, endHeaders: false) : Client.continuation(1, part, endHeaders: false) } == 4)
        // Known from the frame's header.
        let harness = open()
        for index in 0..<4 { harness.receive(index == 0 ? Client.headers(1, part, endHeaders: false) : Client.continuation(1, part, endHeaders: false)) }
        harness.receive(Array(Client.continuation(1, part)[..<9]))
        #expect(harness.takeEvents().last == "failed ENHANCE_YOUR_CALM")
    }

    @Test func listTooLarge() {
        let harness = open(2)
        let fields = [(":status", "200")] + (0..<30).map { ("x-\($0)", String(repeating: "v", count: 1500)) }
        let block = Client.block(fields)
        harness.receive(Client.headers(1, Array(block[..<16_000]), endHeaders: false) + Client.continuation(1, Array(block[16_000..<32_000]), endHeaders: false))
        harness.receive(Client.continuation(1, Array(block[32_000...])))
        #expect(harness.takeEvents() == ["ended 1 tooLarge ENHANCE_YOUR_CALM unknown"])
        harness.receive(Peer.response(3))
        #expect(harness.takeEvents() == ["response 3 200 end"])
    }

    @Test func tooManyFields() {
        let harness = open(2)
        harness.receive(Peer.response(1, "200", (0..<100).map { ("x\($0)", "") }))
        #expect(harness.takeEvents().first?.hasPrefix("response 1 200 [x0: ") == true)
        harness.receive(Peer.response(3, "200", (0..<101).map { ("x\($0)", "") }))
        #expect(harness.takeEvents() == ["ended 3 tooLarge ENHANCE_YOUR_CALM unknown"])
    }

    @Test func compressionBomb() {
        // One large entry in the table, then thousands of references to it.
        let entry: [UInt8] = [0x40] + Client.string("x") + Client.string(String(repeating: "v", count: 4000))
        let harness = open()
        harness.receive(Client.headers(1, [0x88] + entry + [UInt8](repeating: 0xbe, count: 10_000)))
        #expect(harness.takeEvents() == ["ended 1 tooLarge ENHANCE_YOUR_CALM unknown"])
    }

    @Test func trailersBomb() {
        let entry: [UInt8] = [0x40] + Client.string("x") + Client.string(String(repeating: "v", count: 4000))
        let harness = open()
        harness.receive(Peer.response(1, end: false) + Client.headers(1, entry + [UInt8](repeating: 0xbe, count: 10_000)))
        #expect(harness.takeEvents() == ["response 1 200", "ended 1 tooLarge ENHANCE_YOUR_CALM begun"])
    }

    @Test func settingsFlood() { #expect(passed(open(), 1000) { _ in Client.settings() } == 49) }
    @Test func settingsBombs() {
        // Each shifts the windows of all streams: bounded by the count of frames.
        #expect(passed(open(100), 1000) { Client.settings([(4, UInt32($0))]) } == 49)
    }
    @Test func pingFlood() { #expect(passed(open(), 1000) { _ in Client.ping() } == 200) }
    @Test func acknowledgementFlood() {
        #expect(passed(open(), 1000) { _ in Client.ping(ack: true) } == 500)
        #expect(passed(open(), 1000) { _ in Client.settingsAck } == 500)
    }

    @Test func dataPaysForPings() {
        let harness = open()
        harness.receive(Peer.response(1, end: false))
        let count = passed(harness, 5000) { _ in
            harness.consume(1, 1)
            return Client.ping() + Client.data(1, "x")
        }
        #expect(count == 5000)
    }

    @Test func emptyData() {
        let harness = open()
        harness.receive(Peer.response(1, end: false))
        #expect(passed(harness, 1000) { _ in Client.data(1, "") } == 100)
        let padded = open()
        padded.receive(Peer.response(1, end: false))
        #expect(passed(padded, 1000) { _ in Client.data(1, [], padding: 20) } == 100)
    }

    @Test func interimResponses() {
        #expect(passed(open(), 1000) { _ in Peer.response(1, "103", end: false) } == 200)
        // With responses they are no burden.
        let harness = open(0)
        let count = passed(harness, 1000) { _ in
            let id = harness.open()
            return Peer.response(id, "100", end: false) + Peer.response(id, "103", end: false) + Peer.response(id)
        }
        #expect(count == 1000)
    }

    @Test func emptyHeaders() {
        let harness = open(0)
        let count = passed(harness, 1000) { _ in
            let id = harness.open("POST", end: false)
            return Client.headers(id, [], end: false, endHeaders: false) + Client.continuation(id, Client.block([(":status", "200")])) + Client.reset(id)
        }
        #expect(count == 100)
    }

    @Test func tinyWindowUpdates() {
        #expect(passed(open(), 3000) { _ in Client.windowUpdate(0, 1) } == 1000)
        #expect(passed(open(), 3000) { _ in Client.windowUpdate(0, 1024) } == 3000)
        #expect(passed(open(), 3000) { _ in Client.windowUpdate(1, 1) } == 1000)
    }

    @Test func framesOfNoUse() {
        #expect(passed(open(), 3000) { _ in Client.frame(0x99, [1, 2]) } == 500)
        #expect(passed(open(), 3000) { _ in Peer.goAway(0x7fff_ffff) } == 500)
        #expect(passed(open(), 3000) { _ in Client.frame(2, stream: 1, [0, 0, 0, 0, 1]) } == 500)
    }

    /// A reset of an open stream costs us a request each, a reset of one that is gone costs the server nothing.
    @Test func resets() {
        let harness = open(0)
        #expect(passed(harness, 2000) { _ in Client.reset(harness.open(), 7) } == 2000)
        #expect(passed(harness, 3000) { _ in Client.reset(1) } == 500)
    }

    @Test func framesOnStreamsThatWereGivenUp() {
        let harness = open(1)
        harness.reset(1)
        #expect(passed(harness, 3000) { _ in Client.headers(1, Client.block([(":status", "200")])) } == 500)
        let empty = open(1)
        empty.reset(1)
        #expect(passed(empty, 3000) { _ in Client.data(1, "") } == 500)
        // What fits the connection's window and is credited back goes on for ever; it is paid for by bytes.
        let full = open(1)
        full.reset(1)
        #expect(passed(full, 3000) { _ in Client.data(1, String(repeating: "x", count: 1000)) } == 3000)
        #expect(full.broken == nil)
    }

    @Test func answersThatAreNotRead() {
        var limits = HTTP2Limits()
        limits.pingsMax = 10_000
        let harness = open(1, limits)
        harness.drains = false
        for _ in 0..<1000 { harness.receive(Client.ping()) }
        #expect(harness.takeEvents() == ["failed ENHANCE_YOUR_CALM"])
        let frames = harness.takeFrames()
        // What fits, and the last word in the reserve.
        #expect(frames.count == 4096 / 17 + 1)
        #expect(frames.last?.description == "GOAWAY 0 11")
    }

    @Test func responsesThatBreakRules() {
        var limits = HTTP2Limits()
        limits.controlBytesMax = 300
        let harness = open(100, limits)
        harness.drains = false
        for index in 0..<100 { harness.receive(Client.windowUpdate(UInt32(2 * index + 1), 0)) }
        #expect(harness.takeEvents().last == "failed ENHANCE_YOUR_CALM")
        #expect(harness.lost().count == 76)
    }

    @Test func clockThatStandsStillOrGoesBack() {
        let harness = open()
        #expect(passed(harness, 190) { _ in Client.ping() } == 190)
        harness.now = 0
        #expect(passed(harness, 100) { _ in Client.ping() } == 10)
    }
}
