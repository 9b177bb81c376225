// The end of a connection (RFC 6455 5.5.1, 7): codes, who says it first, deadlines. Control frames of ours, and the keep-alive PING.

import Testing
@testable import UringWebSocket

@Suite struct CloseTests {
    private func events(_ bytes: [UInt8], _ location: SourceLocation = #_sourceLocation) -> [String] {
        story(bytes) { Issue.record("\($0)", sourceLocation: location) }
    }

    // MARK: what clients say

    @Test(arguments: [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] as [UInt16])
    func goodCodes(code: UInt16) {
        #expect(events(ClientFrame.close(code)).first == "close \(code)")
        let harness = Harness()
        harness.receive(ClientFrame.close(code, Array("bye €".utf8)))
        #expect(harness.events == ["close \(code) bye €"])
        #expect(harness.takeFrames() == [ServerFrame(final: true, compressed: false, opcode: 8, payload: [UInt8(code >> 8), UInt8(code & 255)])])
        #expect(harness.isOver)
    }

    @Test(arguments: [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] as [UInt16])
    func badCodes(code: UInt16) {
        #expect(events(ClientFrame.close(code)).first == "failed 1002")
        let harness = Harness()
        harness.receive(ClientFrame.close(code, Array("bye".utf8)))
        #expect(harness.takeFrames().first?.code == 1002)
    }

    @Test func everyCode() {
        for raw in 0...65_535 as ClosedRange<UInt16> {
            let expected = (1000...1003).contains(raw) || (1007...1014).contains(raw) || (3000...4999).contains(raw)
            if WebSocketCloseCode(rawValue: raw).mayBeSent != expected { Issue.record("\(raw)") }
        }
    }

    @Test func payloads() {
        // None: the answer has none either.
        let harness = Harness()
        harness.receive(ClientFrame.make(ClientFrame.close))
        #expect(harness.events == ["close 1005"])
        #expect(harness.takeFrames() == [ServerFrame(final: true, compressed: false, opcode: 8, payload: [])])
        #expect(events(ClientFrame.make(ClientFrame.close, [3])).first == "failed 1002")
        // The longest reason; one byte more is no control frame.
        let reason = [UInt8](repeating: 0x41, count: 123)
        #expect(events(ClientFrame.close(1000, reason)).first == "close 1000 \(String(repeating: "A", count: 123))")
        #expect(events(ClientFrame.close(1000, reason + [0x41])).first == "failed 1002")
        // A reason is UTF-8.
        #expect(events(ClientFrame.close(1000, [0xed, 0xa0, 0x80])).first == "failed 1007")
        #expect(events(ClientFrame.close(1000, [0xe2, 0x82])).first == "failed 1007")
    }

    @Test func nothingAfterClose() {
        #expect(events(ClientFrame.close(1000) + ClientFrame.text("late") + ClientFrame.make(ClientFrame.ping) + [1, 2, 3]) == ["close 1000", "8:" + String(decoding: [0x03, 0xe8] as [UInt8], as: UTF8.self)])
        // Within a message too.
        let harness = Harness()
        harness.receive(ClientFrame.text("a", final: false) + ClientFrame.close(1001))
        #expect(harness.events == ["close 1001"] && harness.isOver)
        #expect(!harness.send(.text, [65]) && !harness.sendFragment(.text, [65], last: true) && harness.sendDeflated(.text, [65]) == .refused)
        // Said by us afterwards: nothing more.
        harness.close(.normal)
        #expect(harness.takeFrames().count == 1)
    }

    // MARK: what we say

    @Test func serverClosesFirst() {
        let harness = Harness()
        harness.close(.goingAway, "restart")
        #expect(unsafe !harness.engine.pointee.isOpen)
        #expect(!harness.isOver)
        harness.close(.normal, "again")
        let frames = harness.takeFrames()
        #expect(frames == [ServerFrame(final: true, compressed: false, opcode: 8, payload: [0x03, 0xe9] + Array("restart".utf8))])
        #expect(!harness.send(.text, [65]))
        // What the client has sent before it knew arrives; it is not answered any more.
        harness.receive(ClientFrame.text("before") + ClientFrame.make(ClientFrame.ping, [65]))
        #expect(harness.takeEvents() == ["text before", "ping A"] && harness.takeFrames().isEmpty && !harness.isOver)
        harness.receive(ClientFrame.close(1001))
        #expect(harness.takeEvents() == ["close 1001"] && harness.takeFrames().isEmpty && harness.isOver)
    }

    @Test func bothAtOnce() {
        let harness = Harness()
        harness.drains = false
        harness.close(.normal)
        harness.receive(ClientFrame.close(4000))
        #expect(harness.events == ["close 4000"] && !harness.isOver)
        #expect(harness.takeFrames().map(\.code) == [1000])
        #expect(harness.isOver)
    }

    @Test func failingAfterOurClose() {
        let harness = Harness()
        harness.close(.normal)
        harness.receive(ClientFrame.make(ClientFrame.text, mask: nil))
        #expect(harness.events == ["failed 1002"])
        // Close is said once.
        #expect(harness.takeFrames().map(\.code) == [1000])
        #expect(harness.isOver)
    }

    @Test func longReasons() {
        for (text, kept) in [("A", 123), ("é", 122), ("€", 123), ("😀", 120)] {
            let harness = Harness()
            harness.close(.normal, String(repeating: text, count: 200))
            let payload = harness.takeFrames()[0].payload.dropFirst(2)
            #expect(payload.count == kept && String(validating: payload, as: UTF8.self) != nil)
        }
        let empty = Harness()
        empty.close(.noStatus)
        #expect(empty.takeFrames()[0].payload.isEmpty)
    }

    @Test func abandon() {
        let harness = Harness()
        harness.receive(ClientFrame.text("a", final: false))
        unsafe harness.engine.pointee.abandon()
        #expect(harness.isOver && harness.takeFrames().isEmpty)
    }

    // MARK: control output

    @Test func pongs() {
        let harness = Harness()
        harness.receive(ClientFrame.make(ClientFrame.ping, Array("abc".utf8)))
        #expect(harness.takeFrames() == [ServerFrame(final: true, compressed: false, opcode: 10, payload: Array("abc".utf8))])
        // The newest alone, when none could leave (5.5.3).
        harness.drains = false
        for text in ["one", "two", "three"] { harness.receive(ClientFrame.make(ClientFrame.ping, Array(text.utf8))) }
        #expect(harness.takeFrames().map(\.description) == ["10:three"])
        // Close takes its place.
        harness.receive(ClientFrame.make(ClientFrame.ping, Array("four".utf8)))
        harness.close(.normal)
        harness.receive(ClientFrame.make(ClientFrame.ping, Array("five".utf8)))
        #expect(harness.takeFrames().map(\.opcode) == [8])
    }

    @Test func controlOutputIsTakenInWholeFrames() {
        let harness = Harness()
        harness.drains = false
        unsafe harness.engine.pointee.ping(now: harness.now)
        harness.receive(ClientFrame.make(ClientFrame.ping, [UInt8](repeating: 65, count: 125)))
        #expect(unsafe harness.engine.pointee.controlCount == WebSocketConnection.controlBytesMax)
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: 200)
        defer { unsafe room.deallocate() }
        #expect(unsafe harness.engine.pointee.takeControl(into: room, capacity: 9) == 0)
        #expect(unsafe harness.engine.pointee.takeControl(into: room, capacity: 100) == 10)
        #expect(unsafe harness.engine.pointee.takeControl(into: room, capacity: 126) == 0)
        #expect(unsafe harness.engine.pointee.takeControl(into: room, capacity: 127) == 127)
        #expect(unsafe harness.engine.pointee.controlCount == 0)
    }

    // MARK: keep-alive

    @Test func silence() {
        let harness = Harness()
        var keepAlive = WebSocketKeepAlive()
        keepAlive.afterNs = 1000
        keepAlive.timeoutNs = 300
        let start = harness.now
        #expect(unsafe harness.engine.pointee.silenceDeadline(keepAlive) == start + 1000)
        harness.now += 500
        harness.receive(ClientFrame.text("a"))
        #expect(unsafe harness.engine.pointee.silenceDeadline(keepAlive) == start + 1500)
        unsafe harness.engine.pointee.postponePing(now: start + 900)
        #expect(unsafe harness.engine.pointee.silenceDeadline(keepAlive) == start + 1900)
        // The question, once.
        unsafe harness.engine.pointee.ping(now: start + 1900)
        unsafe harness.engine.pointee.ping(now: start + 1950)
        #expect(unsafe harness.engine.pointee.silenceDeadline(keepAlive) == start + 2200)
        #expect(unsafe harness.engine.pointee.pingOutstandingSince == start + 1900)
        let frames = harness.takeFrames()
        #expect(frames.count == 1 && frames[0].opcode == 9 && frames[0].payload.count == 8)
        // Another PONG is no answer; the right one is.
        harness.now = start + 2000
        harness.receive(ClientFrame.make(ClientFrame.pong, [1, 2, 3]))
        #expect(unsafe harness.engine.pointee.pingOutstandingSince != nil)
        harness.receive(ClientFrame.make(ClientFrame.pong, frames[0].payload))
        #expect(unsafe harness.engine.pointee.pingOutstandingSince == nil)
        #expect(unsafe harness.engine.pointee.silenceDeadline(keepAlive) == start + 3000)
        // Never, when it is off; no longer, when the end was said.
        keepAlive.afterNs = 0
        #expect(unsafe harness.engine.pointee.silenceDeadline(keepAlive) == .max)
        keepAlive.afterNs = .max
        #expect(unsafe harness.engine.pointee.silenceDeadline(keepAlive) == .max)
    }

    @Test func closeDeadline() {
        let harness = Harness()
        let keepAlive = WebSocketKeepAlive()
        #expect(unsafe harness.engine.pointee.closeDeadline(keepAlive) == .max)
        harness.now += 77
        harness.close(.normal)
        #expect(unsafe harness.engine.pointee.closeDeadline(keepAlive) == harness.now + keepAlive.closeNs)
        #expect(unsafe harness.engine.pointee.silenceDeadline(keepAlive) == .max)
        unsafe harness.engine.pointee.ping(now: harness.now)
        #expect(harness.takeFrames().map(\.opcode) == [8])
    }

    // MARK: output

    @Test func orderOfOutput() {
        let harness = Harness()
        #expect(harness.sendFragment(.text, [65], last: false))
        #expect(!harness.send(.text, [66]))
        #expect(harness.sendDeflated(.text, [66]) == .plain)
        #expect(harness.sendFragment(.binary, [], last: false))
        #expect(harness.sendFragment(.text, [67], last: true))
        #expect(harness.send(.binary, [68]))
        #expect(harness.takeFrames().map(\.description) == ["…1:A", "…0:", "0:C", "2:D"])
    }

    @Test func size() {
        // The target for a whole idle connection is 2 KiB.
        #expect(MemoryLayout<WebSocketConnection>.size <= 512)
    }
}
