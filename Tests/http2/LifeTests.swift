// Slots from birth to death, responses on the wire, drain and keep-alive.

import Testing
import UringHPACK
import UringHTTP

@testable import UringHTTP2

@Suite struct LifeTests {
    private func open(_ settings: HTTP2LocalSettings = HTTP2LocalSettings()) -> Harness {
        let harness = Harness(settings: settings)
        harness.receive(Client.hello + Client.settingsAck)
        _ = harness.takeFrames()
        return harness
    }
    private func frames(_ harness: Harness) -> [String] { harness.takeFrames().map(\.description) }

    @Test func preface() {
        let frames = Harness(settings: HTTP2LocalSettings(maxConcurrentStreams: 7)).takeFrames()
        #expect(frames[0].type == 4 && frames[0].flags == 0 && frames[0].stream == 0)
        let values = stride(from: 0, to: frames[0].payload.count, by: 6).map {
            (Int(frames[0].payload[$0]) << 8 | Int(frames[0].payload[$0 + 1]), frames[0].number(at: $0 + 2))
        }
        #expect(Dictionary(uniqueKeysWithValues: values) == [3: 7, 4: 65_536, 6: 32_768, 9: 1])
    }

    @Test func settingsAreAcknowledged() {
        let harness = Harness()
        _ = harness.takeFrames()
        harness.receive(Client.preface + Client.settings([(1, 0), (3, 5)]) + Client.settings())
        #expect(frames(harness) == ["SETTINGS ack", "SETTINGS ack"])
    }

    @Test func pingIsAnswered() {
        let harness = open()
        harness.receive(Client.ping(9))
        let frame = harness.takeFrames()[0]
        #expect(frame.description == "PING ack")
        #expect(frame.payload == [UInt8](repeating: 9, count: 8))
    }

    @Test func responseEndsTheSlot() {
        let harness = open()
        harness.receive(Client.request(1) + Client.request(3))
        #expect(harness.activeStreams == 2)
        harness.respond(1, body: Array("hello".utf8))
        #expect(frames(harness) == ["HEADERS 1", "DATA 1 5 end"])
        harness.respond(3, status: 204)
        #expect(frames(harness) == ["HEADERS 3 end"])
        #expect(harness.activeStreams == 0)
    }

    @Test func requestEndsTheSlot() {
        let harness = open()
        harness.receive(Client.request(1, "POST", end: false))
        harness.respond(1, body: Array("hello".utf8))
        #expect(harness.activeStreams == 1)
        harness.receive(Client.data(1, "abc", end: true))
        #expect(harness.takeEvents().last == "data 1 abc end")
        #expect(harness.activeStreams == 0)

        harness.receive(Client.request(3, "POST", end: false))
        harness.respond(3)
        harness.receive(Client.headers(3, Client.block([("a", "b")])))
        #expect(harness.takeEvents().last == "trailers 3 [a: b]")
        #expect(harness.activeStreams == 0)
    }

    @Test func stopReading() {
        let harness = open()
        harness.receive(Client.request(1, "POST", end: false))
        harness.stopReading(1)
        #expect(harness.activeStreams == 1)
        harness.respond(1, status: 413)
        harness.stopReading(1)
        #expect(frames(harness) == ["HEADERS 1 end", "RST_STREAM 1 0"])
        #expect(harness.activeStreams == 0)
        // What was under way is no fault.
        _ = harness.takeEvents()
        harness.receive(Client.data(1, "abc") + Client.headers(1, Client.block([("a", "b")])) + Client.request(3))
        #expect(harness.takeEvents() == ["request 3 GET example.com / end"])
    }

    @Test func deadSlotsDoNothing() {
        let harness = open()
        harness.receive(Client.request(1))
        let slot = harness.slot(1)
        harness.reset(1)
        #expect(frames(harness) == ["RST_STREAM 1 8"])
        unsafe harness.engine.pointee.reset(slot, .cancel)
        unsafe harness.engine.pointee.stopReading(slot)
        unsafe harness.engine.pointee.consumed(slot, 5)
        unsafe harness.engine.pointee.setReady(slot, true)
        unsafe harness.engine.pointee.consumed(.none, 5)
        unsafe harness.engine.pointee.reset(StreamSlot(index: 9999), .cancel)
        #expect(unsafe harness.engine.pointee.streamID(slot) == 0)
        #expect(harness.nextSendable() == nil)
        #expect(frames(harness).isEmpty)
    }

    @Test func interimAndTrailers() {
        let harness = open()
        harness.receive(Client.request(1, "POST", end: false))
        harness.writeInterim(1)
        harness.writeTrailers(1, "a: b\r\n")
        #expect(frames(harness) == ["HEADERS 1"])
        harness.writeHead(1)
        harness.writeInterim(1)
        harness.writeHead(1)
        harness.writeTrailers(1, "grpc-status: 0\r\n")
        harness.writeTrailers(1, "grpc-status: 0\r\n")
        harness.writeData(1, [1], end: false)
        #expect(frames(harness) == ["HEADERS 1", "HEADERS 1 end"])
    }

    @Test func largeHeadsAreSplit() {
        let harness = open()
        harness.receive(Client.request(1))
        let value = String(repeating: "0123456789", count: 1500)
        harness.writeHead(1, fields: "X-One: \(value)\r\nX-Two: \(value)\r\nX-Three: \(value)\r\n", end: true)
        let frames = harness.takeFrames()
        #expect(frames.map(\.description) == ["HEADERS 1 end", "CONTINUATION 1", "CONTINUATION 1"])
        #expect(frames.map { $0.flags & 4 } == [0, 0, 4])
        #expect(frames.allSatisfy { $0.payload.count <= 16_384 })
        #expect(decoded(frames.flatMap(\.payload)) == [":status: 200", "x-one: \(value)", "x-two: \(value)", "x-three: \(value)"])
    }

    @Test func responseFields() {
        let harness = open()
        harness.receive(Client.request(1))
        harness.writeHead(1, status: 404, fields: "Content-Type: text/plain\r\nConnection: close\r\nX-A: \r\n", length: 12)
        #expect(decoded(harness.takeFrames()[0].payload) == [":status: 404", "content-length: 12", "content-type: text/plain", "x-a: "])
    }

    private func decoded(_ block: [UInt8]) -> [String] {
        var decoder = HPACKDecoder()
        let text = UnsafeMutablePointer<UInt8>.allocate(capacity: 100_000)
        let slots = UnsafeMutablePointer<FieldSlot>.allocate(capacity: 100)
        defer { unsafe text.deallocate() }
        defer { unsafe slots.deallocate() }
        var sink = unsafe HPACKFieldSink(text: text, textCapacity: 100_000, slots: slots, slotCapacity: 100, listBytesMax: 100_000)
        let outcome = unsafe block.withUnsafeBufferPointer { unsafe decoder.decode($0.baseAddress!, count: block.count, into: &sink) }
        #expect(outcome == .complete)
        return unsafe (0..<sink.slotCount).map {
            let slot = unsafe slots[$0]
            let name = unsafe String(decoding: UnsafeBufferPointer(start: text + Int(slot.nameOffset), count: Int(slot.nameLength)), as: UTF8.self)
            return unsafe name + ": " + String(decoding: UnsafeBufferPointer(start: text + Int(slot.valueOffset), count: Int(slot.valueLength)), as: UTF8.self)
        }
    }

    @Test func pathAndQuery() {
        let harness = open()
        harness.receive(Client.request(1, "GET", "/a/b?c=d?e"))
        #expect(harness.path == "/a/b")
        #expect(harness.query == "c=d?e")
        harness.receive(Client.request(3, "GET", "/a?"))
        #expect(harness.query == "")
        harness.receive(Client.request(5, "GET", "/"))
        #expect(harness.path == "/" && harness.query == nil)
    }

    @Test func extendedConnect() {
        let harness = open(HTTP2LocalSettings(extendedConnect: true))
        let fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", "x"), (":path", "/chat")]
        harness.receive(Client.headers(1, Client.block(fields), end: false))
        #expect(harness.takeEvents() == ["request 1 CONNECT x /chat open"])
        #expect(harness.connectProtocol == "websocket")
        harness.receive(Client.request(3))
        #expect(harness.connectProtocol == nil)
        // Only where it was announced (RFC 8441 3), and only with CONNECT.
        for (settings, method) in [(HTTP2LocalSettings(), "CONNECT"), (HTTP2LocalSettings(extendedConnect: true), "GET")] {
            let other = open(settings)
            other.receive(Client.headers(1, Client.block([(":method", method)] + fields.dropFirst()), end: false))
            #expect(other.takeEvents() == [] && other.takeFrames().last?.description == "RST_STREAM 1 1")
        }
    }

    @Test func tableGrowsAndIsGivenBack() {
        let harness = open()
        let ids = (0..<128).map { UInt32(2 * $0 + 1) }
        for id in ids { harness.receive(Client.request(id)) }
        #expect(harness.activeStreams == 128)
        #expect(Set(ids.map { harness.slot($0) }).count == 128)
        for id in ids.shuffled() { harness.respond(id) }
        #expect(harness.activeStreams == 0)
        unsafe harness.engine.pointee.trim()
        harness.receive(Client.request(999))
        #expect(harness.activeStreams == 1)
    }

    @Test func collidingStreams() {
        // Identifiers of one bucket.
        let harness = open()
        let ids = (0..<100).map { UInt32(256 * $0 + 1) }
        for id in ids { harness.receive(Client.request(id)) }
        for id in ids.shuffled() {
            #expect(unsafe harness.engine.pointee.streamID(harness.slot(id)) == id)
            harness.respond(id)
        }
        #expect(harness.activeStreams == 0)
    }

    // MARK: drain

    @Test func drainInTwoSteps() {
        let harness = open()
        harness.receive(Client.request(1))
        unsafe harness.engine.pointee.drain()
        var frames = harness.takeFrames()
        #expect(frames.map(\.description) == ["GOAWAY 2147483647 0", "PING"])
        #expect(unsafe !harness.engine.pointee.isDrained)
        // Sent before the client knew.
        harness.receive(Client.request(3))
        #expect(harness.takeEvents().last == "request 3 GET example.com / end")
        harness.receive(Client.frame(6, flags: 1, frames[1].payload))
        frames = harness.takeFrames()
        #expect(frames.map(\.description) == ["GOAWAY 3 0"])
        // Ignored, and the compression state is kept: the field goes into the table all the same.
        harness.receive(Client.headers(5, Client.block(Client.fields()) + [0x40] + Client.string("x") + Client.string("y")))
        harness.receive(Client.data(5, "abc", end: true))
        #expect(harness.takeEvents() == [])
        harness.respond(1)
        #expect(unsafe !harness.engine.pointee.isDrained)
        harness.respond(3)
        #expect(unsafe harness.engine.pointee.isDrained)
    }

    @Test func drainAtOnceAtTheSecondCall() {
        let harness = open()
        harness.receive(Client.request(1))
        harness.respond(1)
        _ = harness.takeFrames()
        unsafe harness.engine.pointee.drain()
        unsafe harness.engine.pointee.drain()
        unsafe harness.engine.pointee.drain()
        #expect(frames(harness) == ["GOAWAY 2147483647 0", "PING", "GOAWAY 1 0"])
        #expect(unsafe harness.engine.pointee.isDrained)
    }

    /// What was said and heard of ends is counted until it is asked for.
    @Test func endsAreCounted() {
        let harness = open()
        harness.receive(Client.request(1, end: false) + Client.request(3, end: false) + Client.request(5, end: false) + Client.reset(1) + Client.reset(1))
        harness.receive(Client.windowUpdate(3, 0))
        unsafe harness.engine.pointee.reset(harness.slotOfStream[5]!, .cancel)
        var expected = HTTP2Tally()
        (expected.resetsSent, expected.resetsReceived) = (2, 1)
        #expect(unsafe harness.engine.pointee.takeTally() == expected)
        #expect(unsafe harness.engine.pointee.takeTally() == .none)
        unsafe harness.engine.pointee.drain()
        unsafe harness.engine.pointee.drain()
        #expect(unsafe harness.engine.pointee.takeTally().goAways == 2)
        harness.receive(Client.data(0, "x"))
        #expect(unsafe harness.engine.pointee.takeTally().failure == .protocolError)
    }

    @Test func drainAtOnce() {
        let harness = open()
        harness.receive(Client.request(1))
        harness.respond(1)
        _ = harness.takeFrames()
        unsafe harness.engine.pointee.drainAtOnce()
        unsafe harness.engine.pointee.drainAtOnce()
        unsafe harness.engine.pointee.drain()
        #expect(frames(harness) == ["GOAWAY 1 0"])
        #expect(unsafe harness.engine.pointee.isDrained)
        // Behind a warning it names the last stream.
        let warned = open()
        unsafe warned.engine.pointee.drain()
        unsafe warned.engine.pointee.drainAtOnce()
        #expect(frames(warned) == ["GOAWAY 2147483647 0", "PING", "GOAWAY 0 0"])
    }

    @Test func skippedStreamsKeepTheTable() {
        let harness = open(HTTP2LocalSettings(maxConcurrentStreams: 1))
        harness.receive(Client.request(1))
        harness.receive(Client.headers(3, Client.block(Client.fields()) + [0x40] + Client.string("x") + Client.string("y")))
        harness.respond(1)
        _ = harness.takeEvents()
        harness.receive(Client.headers(5, Client.block(Client.fields()) + [0xbe]))
        #expect(harness.takeEvents() == ["request 5 GET example.com / [x: y] end"])
    }

    @Test func failureNamesTheLastStream() {
        let harness = open()
        harness.receive(Client.request(1) + Client.request(7) + Client.ping() + Client.windowUpdate(0, 0) + Client.request(9))
        #expect(harness.takeEvents().last == "failed PROTOCOL_ERROR")
        let frame = harness.takeFrames().last
        #expect(frame?.description == "GOAWAY 7 1")
        #expect(frame.map { String(decoding: $0.payload[8...], as: UTF8.self) } == "WINDOW_UPDATE of nothing")
        harness.receive(Client.request(11))
        #expect(harness.takeEvents() == ["failed PROTOCOL_ERROR"])
        #expect(harness.takeFrames().isEmpty)
    }

    // MARK: keep-alive

    @Test func keepAlive() {
        let harness = open()
        unsafe harness.engine.pointee.ping(now: 55)
        unsafe harness.engine.pointee.ping(now: 66)
        #expect(unsafe harness.engine.pointee.pingOutstandingSince == 55)
        let frames = harness.takeFrames()
        #expect(frames.map(\.description) == ["PING"])
        harness.receive(Client.ping(3, ack: true))
        #expect(unsafe harness.engine.pointee.pingOutstandingSince == 55)
        harness.receive(Client.frame(6, flags: 1, frames[0].payload))
        #expect(unsafe harness.engine.pointee.pingOutstandingSince == nil)
    }

    /// Time is asked of the caller: nothing here waits.
    @Test func silenceOfTheClient() {
        var keepAlive = HTTP2KeepAlive()
        (keepAlive.afterNs, keepAlive.timeoutNs) = (1000, 100)
        let harness = open()
        func deadline() -> UInt64 { unsafe harness.engine.pointee.silenceDeadline(keepAlive) }
        #expect(deadline() == .max, "no stream is open: the idle timeout is enough")
        harness.now = 5000
        harness.receive(Client.request(1))
        #expect(deadline() == 6000)
        harness.now = 5500
        harness.receive(Client.windowUpdate(0, 1))
        #expect(deadline() == 6500, "whatever the client sends counts")
        unsafe harness.engine.pointee.postponePing(now: 6500)
        #expect(deadline() == 7500)
        unsafe harness.engine.pointee.ping(now: 7500)
        #expect(deadline() == 7600)
        let ping = harness.takeFrames().last { $0.description == "PING" }
        harness.now = 7590
        harness.receive(Client.windowUpdate(0, 1))
        #expect(deadline() == 7690, "not the acknowledgement, but it is there")
        harness.now = 7600
        harness.receive(Client.frame(6, flags: 1, ping?.payload ?? []))
        #expect(deadline() == 8600)
        harness.now = .max - 10
        harness.receive(Client.windowUpdate(0, 1))
        #expect(deadline() == .max)
        keepAlive.afterNs = 0
        #expect(deadline() == .max)
    }
}
