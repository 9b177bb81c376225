// Slots from birth to death, requests on the wire, limits of the server, windows, ends of the connection and keep-alive: the client's side.

import Testing
import UringHPACK
import UringHTTP

@testable import UringHTTP2

@Suite struct ClientLifeTests {
    private func open(_ settings: HTTP2ClientSettings = HTTP2ClientSettings(), server: [(UInt16, UInt32)] = []) -> ClientHarness {
        let harness = ClientHarness(settings: settings)
        harness.receive(Client.settings(server) + Client.settingsAck)
        _ = harness.takeFrames()
        _ = harness.takeEvents()
        return harness
    }
    private func frames(_ harness: ClientHarness) -> [String] { harness.takeFrames().map(\.description) }
    private func bytes(_ count: Int) -> [UInt8] { [UInt8](repeating: 0x61, count: count) }

    // MARK: beginning

    @Test func preface() {
        let harness = ClientHarness(settings: HTTP2ClientSettings(connectionWindowBytes: 100_000))
        let bytes = harness.takeBytes()
        #expect(bytes.starts(with: Client.preface))
        let frames = WireFrame.parse(Array(bytes[24...]))
        #expect(frames.map(\.description) == ["SETTINGS", "WINDOW_UPDATE 0 \(100_000 - 65_535)"])
        let values = stride(from: 0, to: frames[0].payload.count, by: 6).map {
            (Int(frames[0].payload[$0]) << 8 | Int(frames[0].payload[$0 + 1]), frames[0].number(at: $0 + 2))
        }
        #expect(Dictionary(uniqueKeysWithValues: values) == [2: 0, 4: 65_536, 6: 32_768, 9: 1])
        let all = ClientHarness(settings: HTTP2ClientSettings(streamWindowBytes: 1, connectionWindowBytes: 1 << 30, headerTableBytes: 65_536, frameBytesMax: 1 << 20))
        #expect(all.takeFrames()[0].payload.count == 36)
    }

    /// Streams lie in a table of many: a server's is not to grow for the client's sake.
    @Test func streamsAreAsSmallAsBefore() { #expect(MemoryLayout<HTTP2Stream>.stride == 48) }

    @Test func requestsNeedNotWait() {
        let harness = ClientHarness()
        #expect(harness.open() == 1)
        #expect(harness.open("POST", "/", end: false) == 3)
        #expect(frames(harness) == ["SETTINGS", "WINDOW_UPDATE 0 983041", "HEADERS 1 end", "HEADERS 3"])
        #expect(unsafe !harness.engine.pointee.hasServerSettings)
        harness.receive(Peer.hello + Peer.response(1) + Peer.response(3))
        #expect(harness.takeEvents() == ["settings", "response 1 200 end", "response 3 200 end"])
        #expect(frames(harness) == ["SETTINGS ack"])
    }

    @Test func aRequestAheadOfThePreface() async {
        await #expect(processExitsWith: .failure) {
            let harness = ClientHarness(takesPreface: false)
            harness.drains = false
            harness.open()
        }
    }

    // MARK: requests

    @Test func malformedRequests() {
        let harness = open(server: [(8, 1)])
        for (method, path, authority, name) in [
            ("", "/", "a", ""), ("G T", "/", "a", ""), ("GET", "", "a", ""), ("GET", "a", "a", ""), ("GET", "/a b", "a", ""), ("GET", "/a#b", "a", ""),
            ("GET", "/a\r\nx: y", "a", ""), ("GET", "/a?b c", "a", ""), ("GET", "*", "a", ""), ("OPTIONS", "**", "a", ""), ("GET", "/", "", ""), ("GET", "/", "u@a", ""),
            ("GET", "/", "a b", ""), ("GET", "/", "a\n", ""), ("CONNECT", "/", "a:1", ""), ("CONNECT", "", "a", ""), ("GET", "/", "a", "websocket"), ("CONNECT", "", "a:1", "websocket"),
            ("CONNECT", "/", "a", "web socket"),
        ] {
            #expect(harness.tryOpen(method, path, authority: authority, connectProtocol: name) == .malformed, "\(method) \(path) \(authority) \(name)")
        }
        #expect(harness.activeStreams == 0 && frames(harness).isEmpty)
        #expect(harness.open("OPTIONS", "*") == 1)
        #expect(harness.open("CONNECT", "", authority: "a:1", end: false) == 3)
        #expect(harness.open("CONNECT", "/", connectProtocol: "websocket", end: false) == 5)
    }

    @Test func extendedConnectNeedsConsent() {
        let harness = ClientHarness()
        #expect(harness.tryOpen("CONNECT", "/", connectProtocol: "websocket", end: false) == .protocolNotOffered)
        harness.receive(Client.settings([(8, 1)]))
        #expect(unsafe harness.engine.pointee.knowsConnectProtocol)
        #expect(harness.open("CONNECT", "/", connectProtocol: "websocket", end: false) == 1)
    }

    @Test func largeHeadsAreSplit() {
        let harness = open()
        let value = String(repeating: "0123456789", count: 1500)
        harness.open(fields: "X-One: \(value)\r\nX-Two: \(value)\r\nX-Three: \(value)\r\n")
        let frames = harness.takeFrames()
        #expect(frames.map(\.description) == ["HEADERS 1 end", "CONTINUATION 1", "CONTINUATION 1"])
        #expect(frames.map { $0.flags & 4 } == [0, 0, 4])
    }

    @Test func fieldsThatTheServerDoesNotTake() {
        let harness = open(server: [(6, 1000)])
        #expect(harness.tryOpen(fields: "X-A: \(String(repeating: "v", count: 700))\r\n") == .fieldsTooLarge)
        #expect(harness.open(fields: "X-A: \(String(repeating: "v", count: 400))\r\n") == 1)
        // Few bytes, many lines: 32 more for each.
        #expect(harness.tryOpen(fields: String(repeating: "a: b\r\n", count: 40)) == .fieldsTooLarge)
        #expect(harness.open(fields: String(repeating: "a: b\r\n", count: 10)) == 3)
        #expect(harness.activeStreams == 2)
    }

    @Test func manyStreamsKeepTheirSlots() {
        let harness = open(HTTP2ClientSettings(streamsMax: 1000))
        let ids = (0..<1000).map { _ in harness.open() }
        #expect(Set(ids.map { harness.slot($0) }).count == 1000)
        #expect(harness.tryOpen() == .noStream)
        for id in ids.shuffled() { harness.receive(Peer.response(id)) }
        #expect(harness.activeStreams == 0 && harness.broken == nil)
        unsafe harness.engine.pointee.trim()
        #expect(harness.open() == 2001)
    }

    // MARK: how many streams

    @Test func concurrentStreams() {
        let harness = ClientHarness(settings: HTTP2ClientSettings(streamsMax: 1000))
        #expect(harness.spare == 100, "until the server has said how many")
        harness.receive(Client.settings([(3, 2)]))
        #expect(harness.spare == 2)
        #expect(harness.open() == 1)
        #expect(harness.open("POST", end: false) == 3)
        #expect(harness.tryOpen() == .noStream)
        harness.receive(Peer.response(3))
        #expect(harness.tryOpen() == .noStream, "its request goes on")
        harness.writeData(3, [], end: true)
        #expect(harness.open() == 5)
        harness.receive(Client.settings([(3, 0)]))
        #expect(harness.spare == 0)
        harness.reset(1)
        harness.reset(5)
        #expect(harness.tryOpen() == .noStream)
        harness.receive(Client.settings([(3, 0xffff_ffff)]))
        #expect(harness.spare == 1000)
        let other = ClientHarness(settings: HTTP2ClientSettings(streamsMax: 7))
        other.receive(Client.settings())
        #expect(other.spare == 7)
    }

    @Test func identifiersRunOut() {
        let harness = open()
        unsafe harness.engine.pointee.lastStreamID = 0x7fff_fffb
        #expect(harness.open() == 0x7fff_fffd)
        #expect(!harness.isEnding)
        #expect(harness.open() == 0x7fff_ffff)
        #expect(harness.isEnding && harness.spare == 0)
        #expect(harness.tryOpen() == .ending)
        harness.receive(Peer.response(0x7fff_ffff) + Peer.response(0x7fff_fffd))
        #expect(harness.activeStreams == 0)
        #expect(harness.takeEvents().count == 2)
    }

    // MARK: life of a slot

    @Test func endsOfBothSides() {
        let harness = open()
        harness.open("POST", end: false)
        harness.writeData(1, bytes(5), end: false)
        harness.receive(Peer.response(1, end: false) + Client.data(1, "hello", end: true))
        #expect(harness.activeStreams == 1)
        #expect(unsafe harness.engine.pointee.responseEnded(harness.slot(1)))
        harness.writeTrailers(1, "x-sum: 1\r\n")
        #expect(harness.activeStreams == 0)
        #expect(frames(harness) == ["HEADERS 1", "DATA 1 5", "HEADERS 1 end"])
        // The other order.
        harness.open("POST", end: false)
        harness.writeData(3, bytes(1), end: true)
        harness.receive(Peer.response(3, end: false) + Peer.trailers(3, [("a", "b")]))
        #expect(harness.activeStreams == 0 && harness.broken == nil)
    }

    @Test func aResponseEndsAheadOfItsRequest() {
        let harness = open()
        harness.open("POST", end: false)
        harness.receive(Peer.response(1, "413"))
        harness.reset(1, .noError)
        #expect(frames(harness) == ["HEADERS 1", "RST_STREAM 1 0"])
        #expect(harness.activeStreams == 0)
        harness.receive(Client.reset(1, 0) + Client.windowUpdate(1, 5))
        #expect(harness.takeEvents() == ["response 1 413 end"])
    }

    @Test func deadSlotsDoNothing() {
        let harness = open()
        harness.open("POST", end: false)
        let slot = harness.slot(1)
        harness.reset(1)
        #expect(frames(harness) == ["HEADERS 1", "RST_STREAM 1 8"])
        for slot in [slot, .none, StreamSlot(index: 9999)] {
            unsafe harness.engine.pointee.reset(slot)
            unsafe harness.engine.pointee.consumed(slot, 5)
            unsafe harness.engine.pointee.setReady(slot, true)
            #expect(unsafe harness.engine.pointee.streamID(slot) == 0)
            #expect(unsafe harness.engine.pointee.sendWindow(slot) == 0)
        }
        harness.writeData(1, [], end: true)
        harness.writeTrailers(1, "a: b\r\n")
        #expect(harness.nextSendable() == nil && frames(harness).isEmpty)
    }

    @Test func whatAStreamThatWasGivenUpStillGets() {
        let harness = open(HTTP2ClientSettings(streamWindowBytes: 40_000, connectionWindowBytes: 65_535))
        harness.open()
        harness.open()
        harness.receive(Peer.response(1, end: false) + Client.data(1, bytes(10_000)))
        harness.reset(1)
        _ = harness.takeFrames()
        _ = harness.takeEvents()
        // Skipped and credited, and the compression state is kept.
        harness.receive(Client.data(1, bytes(16_000)) + Client.data(1, bytes(14_000)))
        harness.receive(Client.headers(1, [0x40] + Client.string("x") + Client.string("y")) + Client.headers(3, [0x88, 0xbe]))
        #expect(harness.takeEvents() == ["response 3 200 [x: y] end"])
        #expect(frames(harness) == ["WINDOW_UPDATE 0 40000"])
        #expect(harness.broken == nil)
    }

    @Test func resetInTheMiddleOfAFrame() {
        let harness = open(HTTP2ClientSettings(streamWindowBytes: 40_000, connectionWindowBytes: 65_535))
        harness.open()
        harness.open()
        let frame = Client.data(1, bytes(16_000))
        harness.receive(Peer.response(1, end: false) + Array(frame[..<5000]))
        harness.reset(1)
        #expect(harness.broken == nil)
        harness.receive(Array(frame[5000...]) + Peer.response(3))
        #expect(harness.takeEvents().last == "response 3 200 end")
        #expect(harness.broken == nil)
    }

    /// A client that gives up more streams than are remembered does not lose its connection for the late answers to the oldest.
    @Test func manyStreamsAreGivenUp() {
        let harness = open(HTTP2ClientSettings(streamsMax: 300))
        let ids = (0..<300).map { _ in harness.open() }
        for id in ids { harness.reset(id) }
        _ = harness.takeFrames()
        for id in ids { harness.receive(Peer.response(id, end: false) + Client.data(id, "abc", end: true)) }
        #expect(harness.takeEvents().isEmpty && harness.broken == nil)
        #expect(harness.open() != 0)
    }

    // MARK: windows

    @Test func updatesComeAtHalfOfTheWindow() {
        let harness = open(HTTP2ClientSettings(streamWindowBytes: 1000, connectionWindowBytes: 65_535))
        harness.open()
        harness.receive(Peer.response(1, end: false) + Client.data(1, bytes(600)))
        _ = harness.takeFrames()
        harness.consume(1, 499)
        #expect(frames(harness).isEmpty)
        harness.consume(1, 1)
        #expect(frames(harness) == ["WINDOW_UPDATE 1 500"])
        harness.consume(1, 5000)
        harness.receive(Client.data(1, bytes(400)))
        harness.consume(1, .max)
        #expect(frames(harness) == ["WINDOW_UPDATE 1 500"])
        #expect(harness.broken == nil)
    }

    @Test func windowsExceeded() {
        let harness = open(HTTP2ClientSettings(streamWindowBytes: 1000, connectionWindowBytes: 65_535))
        harness.open()
        harness.receive(Peer.response(1, end: false) + Client.data(1, bytes(1000)))
        harness.receive(Client.data(1, "x"))
        #expect(harness.takeEvents().last == "ended 1 malformed FLOW_CONTROL_ERROR begun")
        let other = open(HTTP2ClientSettings(streamWindowBytes: 60_000, connectionWindowBytes: 65_535))
        other.open()
        other.open()
        other.receive(Peer.response(1, end: false) + Peer.response(3, end: false))
        for _ in 0..<4 { other.receive(Client.data(1, bytes(15_000))) }
        other.receive(Client.data(3, bytes(5535)))
        other.receive(Client.data(3, "x"))
        #expect(other.takeEvents().last == "failed FLOW_CONTROL_ERROR")
    }

    @Test func smallWindowHoldsOnlyOnceAcknowledged() {
        let harness = ClientHarness(settings: HTTP2ClientSettings(streamWindowBytes: 100))
        harness.open()
        harness.receive(Peer.hello + Peer.response(1, end: false) + Client.data(1, bytes(5000)))
        #expect(harness.takeEvents().last?.hasPrefix("data 1 ") == true)
        harness.receive(Client.settingsAck + Client.data(1, "x"))
        #expect(harness.takeEvents().last == "ended 1 malformed FLOW_CONTROL_ERROR begun")
    }

    @Test func paddingIsCreditedAtOnce() {
        let harness = open(HTTP2ClientSettings(streamWindowBytes: 400))
        harness.open()
        harness.receive(Peer.response(1, end: false) + Client.data(1, bytes(1), padding: 199))
        #expect(frames(harness).last == "WINDOW_UPDATE 1 200")
    }

    @Test func owedUpdatesComeWhenThereIsRoom() {
        var limits = HTTP2Limits()
        limits.controlBytesMax = 100
        let harness = ClientHarness(settings: HTTP2ClientSettings(streamWindowBytes: 100), limits: limits)
        let ids = (0..<20).map { _ in harness.open() }
        harness.receive(Peer.hello + Client.settingsAck)
        _ = harness.takeFrames()
        harness.drains = false
        for id in ids { harness.receive(Peer.response(id, end: false) + Client.data(id, bytes(100))) }
        for id in ids { harness.consume(id, 100) }
        #expect(frames(harness).sorted() == ids.map { "WINDOW_UPDATE \($0) 100" }.sorted())
    }

    @Test func sendWindows() {
        let harness = open(server: [(4, 100), (5, 20_000)])
        #expect(unsafe harness.engine.pointee.maxFrameBytes == 20_000)
        harness.open("POST", end: false)
        harness.open("POST", end: false)
        harness.writeData(1, bytes(60), end: false)
        #expect(harness.window(1) == 40 && harness.window(3) == 100)
        harness.setReady(1)
        harness.setReady(3)
        _ = harness.takeEvents()
        #expect((0..<4).map { _ in harness.nextSendable() } == [1, 3, 1, 3], "bodies take turns")
        harness.receive(Client.settings([(4, 10)]))
        #expect(harness.window(1) == -50)
        #expect(harness.nextSendable() == 3)
        harness.receive(Client.windowUpdate(1, 51))
        #expect(harness.takeEvents() == ["settings", "windowOpened"])
        harness.setReady(3, false)
        #expect(harness.nextSendable() == 1)
        harness.writeData(1, bytes(1), end: true)
        #expect(harness.nextSendable() == nil && harness.broken == nil)
    }

    // MARK: ends of the connection

    @Test func lostStreams() {
        let harness = open()
        for _ in 0..<5 { harness.open("POST", end: false) }
        harness.sweeps = false
        harness.receive(Peer.response(3, "100", end: false) + Peer.response(5) + Peer.goAway(7) + Client.windowUpdate(0, 0))
        #expect(harness.takeEvents().last == "failed PROTOCOL_ERROR")
        #expect(harness.processing(9) == .none)
        #expect(harness.lost() == ["1 unknown", "3 begun", "5 begun answered", "7 unknown", "9 none"])
        #expect(harness.activeStreams == 0)
        #expect(frames(harness).last == "GOAWAY 0 1")
        harness.receive(Peer.response(1))
        #expect(harness.takeEvents() == ["failed PROTOCOL_ERROR"])
        #expect(harness.tryOpen() == .ending)
    }

    @Test func transportEnds() {
        let harness = open()
        harness.open()
        harness.receive(Peer.goAway(1))
        unsafe harness.engine.pointee.transportEnded()
        #expect(harness.lost() == ["1 unknown"])
        #expect(frames(harness) == ["HEADERS 1 end"])
        #expect(harness.tryOpen() == .ending)
        harness.receive(Peer.response(1))
        #expect(harness.takeEvents().last == "failed NO_ERROR")
    }

    @Test func afterAFailureNothingIsSaid() {
        let harness = open(HTTP2ClientSettings(streamWindowBytes: 1000))
        harness.open("POST", end: false)
        harness.receive(Peer.response(1, end: false) + Client.data(1, bytes(900)) + Client.windowUpdate(0, 0))
        _ = harness.takeFrames()
        harness.consume(1, 900)
        unsafe harness.engine.pointee.ping(now: 5)
        unsafe harness.engine.pointee.drain()
        harness.writeData(1, [], end: true)
        harness.reset(1)
        #expect(frames(harness).isEmpty)
    }

    @Test func drain() {
        let harness = open()
        harness.open()
        unsafe harness.engine.pointee.drain()
        unsafe harness.engine.pointee.drain()
        #expect(frames(harness) == ["HEADERS 1 end", "GOAWAY 0 0"])
        #expect(harness.tryOpen() == .ending && harness.isEnding)
        harness.receive(Peer.response(1))
        #expect(harness.takeEvents() == ["response 1 200 end"])
        #expect(harness.activeStreams == 0)
        #expect(unsafe harness.engine.pointee.takeTally().goAways == 1)
    }

    @Test func endsAreCounted() {
        let harness = open()
        for _ in 0..<3 { harness.open() }
        harness.receive(Client.reset(1) + Client.reset(1) + Client.windowUpdate(3, 0))
        harness.reset(5)
        var expected = HTTP2Tally()
        (expected.resetsSent, expected.resetsReceived) = (2, 1)
        #expect(unsafe harness.engine.pointee.takeTally() == expected)
        harness.receive(Client.data(0, "x"))
        #expect(unsafe harness.engine.pointee.takeTally().failure == .protocolError)
    }

    // MARK: keep-alive

    @Test func keepAlive() {
        let harness = open()
        unsafe harness.engine.pointee.ping(now: 55)
        unsafe harness.engine.pointee.ping(now: 66)
        #expect(unsafe harness.engine.pointee.pingOutstandingSince == 55)
        let ping = harness.takeFrames()
        #expect(ping.map(\.description) == ["PING"])
        harness.receive(Client.ping(3, ack: true))
        #expect(unsafe harness.engine.pointee.pingOutstandingSince == 55)
        harness.receive(Client.frame(6, flags: 1, ping[0].payload))
        #expect(unsafe harness.engine.pointee.pingOutstandingSince == nil)
        harness.receive(Client.ping(9))
        #expect(harness.takeFrames().map(\.payload) == [[UInt8](repeating: 9, count: 8)])
    }

    /// Time is asked of the caller: nothing here waits.
    @Test func silenceOfTheServer() {
        var keepAlive = HTTP2KeepAlive()
        (keepAlive.afterNs, keepAlive.timeoutNs) = (1000, 100)
        let harness = ClientHarness()
        func deadline(whileIdle: Bool = false) -> UInt64 { unsafe harness.engine.pointee.silenceDeadline(keepAlive, whileIdle: whileIdle) }
        harness.now = 5000
        harness.receive(Peer.hello)
        #expect(deadline() == .max, "no stream is open")
        #expect(deadline(whileIdle: true) == 6000)
        harness.now = 9000
        harness.open()
        #expect(deadline() == 10_000, "it was not asked anything before")
        harness.now = 9500
        harness.receive(Client.windowUpdate(0, 1))
        #expect(deadline() == 10_500, "whatever it sends counts")
        unsafe harness.engine.pointee.postponePing(now: 10_500)
        #expect(deadline() == 11_500)
        unsafe harness.engine.pointee.ping(now: 11_500)
        #expect(deadline() == 11_600)
        keepAlive.afterNs = 0
        #expect(deadline() == .max)
    }
}
