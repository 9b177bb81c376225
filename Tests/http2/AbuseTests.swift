// Each budget of HTTP2Limits is met once, just not met, and forgotten in time.

import Testing

@testable import UringHTTP2

@Suite struct AbuseTests {
    /// Gives `piece(n)` for n = 0…; answers how many passed before the connection ended, at most `count`.
    private func passed(_ harness: Harness, _ count: Int, _ piece: (Int) -> [UInt8]) -> Int {
        for index in 0..<count {
            harness.receive(piece(index))
            if harness.takeEvents().last == "failed ENHANCE_YOUR_CALM" { return index }
            _ = harness.takeFrames()
        }
        return count
    }
    private func open(_ limits: HTTP2Limits = HTTP2Limits(), _ settings: HTTP2LocalSettings = HTTP2LocalSettings()) -> Harness {
        let harness = Harness(settings: settings, limits: limits)
        harness.receive(Client.hello + Client.settingsAck)
        return harness
    }
    private func id(_ index: Int) -> UInt32 { UInt32(2 * index + 1) }

    @Test func rapidReset() {
        #expect(passed(open(), 1000) { Client.request(id($0)) + Client.reset(id($0)) } == 200)
    }

    @Test func answeredRequestsPayForResets() {
        let harness = open()
        harness.answering = .atEnd
        let count = passed(harness, 2000) { index in
            index % 2 == 0 ? Client.request(id(index)) : Client.request(id(index), "POST", end: false) + Client.reset(id(index))
        }
        #expect(count == 2000)
    }

    @Test func resetsAreForgotten() {
        let harness = open()
        #expect(passed(harness, 150) { Client.request(id($0)) + Client.reset(id($0)) } == 150)
        harness.now += 2 * HTTP2Limits.budgetWindowNanoseconds
        #expect(passed(harness, 1000) { Client.request(id($0 + 150)) + Client.reset(id($0 + 150)) } == 200 - 37)
    }

    @Test func resetsThatTheClientProvokes() {
        // "MadeYouReset": requests whose streams this side has to reset.
        #expect(passed(open(), 1000) { Client.request(id($0), "POST", end: false) + Client.windowUpdate(id($0), 0) } == 200)
        #expect(passed(open(), 1000) { Client.request(id($0)) + Client.data(id($0), "x") } == 200)
        #expect(passed(open(), 1000) { Client.headers(id($0), Client.block([("a", "b")])) } == 200)
    }

    @Test func refusedStreams() {
        let settings = HTTP2LocalSettings(maxConcurrentStreams: 2)
        let harness = open(HTTP2Limits(), settings)
        harness.receive(Client.request(1) + Client.request(3))
        harness.receive(Client.request(5))
        #expect(harness.takeFrames().last?.description == "RST_STREAM 5 7")
        #expect(passed(harness, 1000) { Client.request(id($0 + 3)) } == 199)
        // Without our settings the client cannot know the limit.
        let early = Harness(settings: settings)
        early.receive(Client.hello)
        #expect(passed(early, 3000) { Client.request(id($0)) } == 1024 + 200)
    }

    @Test func continuations() {
        #expect(passed(open(), 100) { $0 == 0 ? Client.headers(1, [], endHeaders: false) : Client.continuation(1, [], endHeaders: false) } == 33)
    }

    @Test func continuationBytes() {
        let part = [UInt8](repeating: 0x82, count: 16_384)
        #expect(passed(open(), 100) { $0 == 0 ? Client.headers(1, part, endHeaders: false) : Client.continuation(1, part, endHeaders: false) } == 4)
        // Known from the frame's header.
        let harness = open()
        for index in 0..<4 { harness.receive(index == 0 ? Client.headers(1, part, endHeaders: false) : Client.continuation(1, part, endHeaders: false)) }
        harness.receive(Array(Client.continuation(1, part)[..<9]))
        #expect(harness.takeEvents().last == "failed ENHANCE_YOUR_CALM")
    }

    @Test func listTooLarge() {
        let harness = open()
        let fields = (0..<30).map { ("x-\($0)", String(repeating: "v", count: 1500)) }
        let block = Client.block(Client.fields(more: fields))
        harness.receive(Client.headers(1, Array(block[..<16_000]), endHeaders: false) + Client.continuation(1, Array(block[16_000..<32_000]), endHeaders: false))
        harness.receive(Client.continuation(1, Array(block[32_000...])))
        #expect(harness.takeEvents() == ["headTooLarge 1 end"])
        harness.respond(1, status: 431)
        #expect(harness.takeFrames().last?.description == "HEADERS 1 end")
        #expect(harness.activeStreams == 0)
        harness.receive(Client.request(3))
        #expect(harness.takeEvents() == ["request 3 GET example.com / end"])
    }

    @Test func tooManyFields() {
        let harness = open()
        harness.receive(Client.request(1, more: (0..<100).map { ("x\($0)", "") }))
        #expect(harness.takeEvents().first?.hasPrefix("request 1") == true)
        harness.receive(Client.request(3, more: (0..<101).map { ("x\($0)", "") }, end: false))
        #expect(harness.takeEvents() == ["headTooLarge 3"])
    }

    @Test func compressionBomb() {
        // One large entry in the table, then thousands of references to it.
        let entry: [UInt8] = [0x40] + Client.string("x") + Client.string(String(repeating: "v", count: 4000))
        let harness = open()
        harness.receive(Client.headers(1, Client.block(Client.fields()) + entry + [UInt8](repeating: 0xbe, count: 10_000)))
        #expect(harness.takeEvents() == ["headTooLarge 1 end"])
    }

    @Test func settingsFlood() { #expect(passed(open(), 1000) { _ in Client.settings() } == 49) }

    @Test func pingFlood() { #expect(passed(open(), 1000) { _ in Client.ping() } == 200) }

    @Test func acknowledgementFlood() {
        #expect(passed(open(), 1000) { _ in Client.ping(ack: true) } == 500)
        #expect(passed(open(), 1000) { _ in Client.settingsAck } == 500)
    }

    @Test func dataPaysForPings() {
        let harness = open()
        harness.receive(Client.request(1, "POST", end: false))
        let count = passed(harness, 5000) { _ in
            harness.consume(1, 1)
            return Client.ping() + Client.data(1, "x")
        }
        #expect(count == 5000)
    }

    @Test func emptyData() {
        let harness = open()
        harness.receive(Client.request(1, "POST", end: false))
        #expect(passed(harness, 1000) { _ in Client.data(1, "") } == 100)
        let padded = open()
        padded.receive(Client.request(1, "POST", end: false))
        #expect(passed(padded, 1000) { _ in Client.data(1, [], padding: 20) } == 100)
    }

    @Test func emptyHeaders() {
        #expect(passed(open(), 1000) { Client.headers(id($0), [], endHeaders: false) + Client.continuation(id($0), Client.block(Client.fields())) } == 100)
    }

    @Test func tinyWindowUpdates() {
        #expect(passed(open(), 3000) { _ in Client.windowUpdate(0, 1) } == 1000)
        #expect(passed(open(), 3000) { _ in Client.windowUpdate(0, 1024) } == 3000)
    }

    @Test func priorityFlood() {
        #expect(passed(open(), 3000) { _ in Client.frame(2, stream: 1, [0, 0, 0, 0, 1]) } == 500)
        #expect(passed(open(), 3000) { Client.priorityUpdate(id($0), "u=1") } == 500)
    }

    @Test func unknownFrames() { #expect(passed(open(), 3000) { _ in Client.frame(0x99, [1, 2]) } == 500) }

    @Test func goAwayFlood() { #expect(passed(open(), 3000) { _ in Client.frame(7, Client.big(0) + Client.big(0)) } == 500) }

    @Test func resetsOfClosedStreams() {
        let harness = open()
        harness.answering = .atEnd
        harness.receive(Client.request(1))
        #expect(passed(harness, 3000) { _ in Client.reset(1) } == 500)
    }

    @Test func answersThatAreNotRead() {
        var limits = HTTP2Limits()
        limits.pingsMax = 10_000
        let harness = open(limits)
        harness.drains = false
        _ = harness.takeFrames()
        for _ in 0..<1000 { harness.receive(Client.ping()) }
        #expect(harness.takeEvents() == ["failed ENHANCE_YOUR_CALM"])
        let frames = harness.takeFrames()
        // What fits, and the last word in the reserve.
        #expect(frames.count == 4096 / 17 + 1)
        #expect(frames.last?.description == "GOAWAY 0 11")
    }

    @Test func earlyPrioritiesAreBounded() {
        let harness = open()
        for index in 0..<20 { harness.receive(Client.priorityUpdate(id(index), "u=0")) }
        for index in 0..<20 { harness.receive(Client.request(id(index))) }
        let urgent = (0..<20).filter { unsafe harness.engine.pointee.priority(harness.slot(id($0))).urgency == 0 }
        #expect(urgent == Array(12..<20))
    }

    @Test func clockThatStandsStillOrGoesBack() {
        let harness = open()
        #expect(passed(harness, 190) { Client.request(id($0)) + Client.reset(id($0)) } == 190)
        harness.now = 0
        #expect(passed(harness, 100) { Client.request(id($0 + 190)) + Client.reset(id($0 + 190)) } == 10)
    }
}
