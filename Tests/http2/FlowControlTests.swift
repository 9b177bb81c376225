// Flow control in both directions (RFC 9113 5.2, 6.9), and whose turn it is to send (RFC 9218 10).

import Testing

@testable import UringHTTP2

@Suite struct ReceiveWindowTests {
    private func uploading(_ settings: HTTP2LocalSettings, streams: [UInt32] = [1], acknowledged: Bool = true) -> Harness {
        let harness = Harness(settings: settings)
        harness.receive(Client.hello + (acknowledged ? Client.settingsAck : []))
        for stream in streams { harness.receive(Client.request(stream, "POST", end: false)) }
        _ = harness.takeFrames()
        _ = harness.takeEvents()
        return harness
    }
    private func bytes(_ count: Int) -> [UInt8] { [UInt8](repeating: 0x61, count: count) }

    @Test func prefaceOpensTheConnectionWindow() {
        let frames = Harness(settings: HTTP2LocalSettings(connectionWindowBytes: 100_000)).takeFrames()
        #expect(frames.map(\.description) == ["SETTINGS", "WINDOW_UPDATE 0 \(100_000 - 65_535)"])
        #expect(Harness(settings: HTTP2LocalSettings(connectionWindowBytes: 65_535)).takeFrames().map(\.description) == ["SETTINGS"])
    }

    @Test func updatesComeAtHalfOfTheWindow() {
        let harness = uploading(HTTP2LocalSettings(streamWindowBytes: 1000, connectionWindowBytes: 65_535))
        harness.receive(Client.data(1, bytes(600)))
        #expect(harness.takeFrames().isEmpty)
        harness.consume(1, 499)
        #expect(harness.takeFrames().isEmpty)
        harness.consume(1, 1)
        #expect(harness.takeFrames().map(\.description) == ["WINDOW_UPDATE 1 500"])
    }

    @Test func moreThanArrivedIsNotConsumed() {
        let harness = uploading(HTTP2LocalSettings(streamWindowBytes: 1000))
        harness.receive(Client.data(1, bytes(600)))
        harness.consume(1, 5000)
        #expect(harness.takeFrames().map(\.description) == ["WINDOW_UPDATE 1 600"])
    }

    @Test func streamWindowExceeded() {
        let harness = uploading(HTTP2LocalSettings(streamWindowBytes: 1000))
        harness.receive(Client.data(1, bytes(1000)))
        harness.receive(Client.data(1, bytes(1)))
        #expect(harness.takeEvents().last == "reset 1 FLOW_CONTROL_ERROR")
        #expect(harness.takeFrames().map(\.description) == ["RST_STREAM 1 3"])
        // The connection goes on.
        harness.receive(Client.request(3))
        #expect(harness.takeEvents() == ["request 3 GET example.com / end"])
    }

    @Test func connectionWindowExceeded() {
        let harness = uploading(HTTP2LocalSettings(streamWindowBytes: 60_000, connectionWindowBytes: 65_535), streams: [1, 3])
        for _ in 0..<4 { harness.receive(Client.data(1, bytes(15_000))) }
        harness.receive(Client.data(3, bytes(5535)))
        #expect(!harness.takeEvents().contains { $0.hasPrefix("failed") })
        harness.receive(Client.data(3, bytes(1)))
        #expect(harness.takeEvents() == ["failed FLOW_CONTROL_ERROR"])
    }

    @Test func smallWindowHoldsOnlyOnceAcknowledged() {
        // Until it has seen our settings a client may use the protocol's window (RFC 9113 6.9.2).
        let harness = uploading(HTTP2LocalSettings(streamWindowBytes: 100), acknowledged: false)
        harness.receive(Client.data(1, bytes(5000)))
        #expect(harness.takeEvents().last?.hasPrefix("data 1 ") == true)
        harness.receive(Client.settingsAck + Client.data(1, bytes(1)))
        #expect(harness.takeEvents().last == "reset 1 FLOW_CONTROL_ERROR")
    }

    @Test func paddingIsCreditedAtOnce() {
        let harness = uploading(HTTP2LocalSettings(streamWindowBytes: 400))
        harness.receive(Client.data(1, bytes(1), padding: 199))
        #expect(harness.takeFrames().map(\.description) == ["WINDOW_UPDATE 1 200"])
    }

    @Test func bytesOfEndedStreamsAreCredited() {
        let harness = uploading(HTTP2LocalSettings(streamWindowBytes: 40_000, connectionWindowBytes: 65_535))
        for _ in 0..<3 { harness.receive(Client.data(1, bytes(12_000))) }
        #expect(harness.takeFrames().isEmpty)
        harness.reset(1)
        #expect(harness.takeFrames().map(\.description) == ["WINDOW_UPDATE 0 36000", "RST_STREAM 1 8"])
        // What was still under way is skipped and credited.
        harness.receive(Client.data(1, bytes(16_000)) + Client.data(1, bytes(16_000)) + Client.data(1, bytes(4000), end: true))
        #expect(harness.takeEvents().filter { !$0.hasPrefix("data") }.isEmpty)
        #expect(harness.takeFrames().map(\.description) == ["WINDOW_UPDATE 0 36000"])
    }

    @Test func resetInTheMiddleOfAFrame() {
        let harness = uploading(HTTP2LocalSettings(streamWindowBytes: 40_000, connectionWindowBytes: 65_535))
        let frame = Client.data(1, bytes(16_000))
        harness.receive(Array(frame[..<5000]))
        harness.reset(1)
        harness.receive(Array(frame[5000...]) + Client.request(3))
        #expect(harness.takeEvents().last == "request 3 GET example.com / end")
        harness.receive(Client.data(1, bytes(16_000)) + Client.data(1, bytes(16_000)))
        #expect(harness.takeFrames().map(\.description).last?.hasPrefix("WINDOW_UPDATE 0") == true)
    }

    @Test func owedUpdatesComeWhenThereIsRoom() {
        var limits = HTTP2Limits()
        limits.controlBytesMax = 100
        let harness = Harness(settings: HTTP2LocalSettings(streamWindowBytes: 100), limits: limits)
        harness.receive(Client.hello + Client.settingsAck)
        for index in 0..<20 { harness.receive(Client.request(UInt32(2 * index + 1), "POST", end: false)) }
        _ = harness.takeFrames()
        harness.drains = false
        for index in 0..<20 { harness.receive(Client.data(UInt32(2 * index + 1), bytes(100))) }
        for index in 0..<20 { harness.consume(UInt32(2 * index + 1), 100) }
        #expect(harness.takeFrames().map(\.description).sorted() == (0..<20).map { "WINDOW_UPDATE \(2 * $0 + 1) 100" }.sorted())
    }
}

@Suite struct SendWindowTests {
    private func serving(_ streams: [UInt32], settings: [(UInt16, UInt32)] = []) -> Harness {
        let harness = Harness()
        harness.receive(Client.preface + Client.settings(settings))
        for stream in streams {
            harness.receive(Client.request(stream))
            harness.writeHead(stream)
        }
        _ = harness.takeFrames()
        _ = harness.takeEvents()
        return harness
    }

    @Test func initialWindows() {
        #expect(serving([1]).window(1) == 65_535)
        #expect(serving([1], settings: [(4, 100)]).window(1) == 100)
        // The connection's window is not a setting.
        #expect(serving([1], settings: [(4, 1_000_000)]).window(1) == 65_535)
    }

    @Test func windowsAreCharged() {
        let harness = serving([1, 3], settings: [(4, 100)])
        harness.writeData(1, [UInt8](repeating: 1, count: 60), end: false)
        #expect(harness.window(1) == 40)
        #expect(harness.window(3) == 100)
        harness.receive(Client.windowUpdate(1, 10_000))
        #expect(harness.window(1) == 10_040)
        for _ in 0..<4 { harness.receive(Client.windowUpdate(3, 20_000)) }
        for _ in 0..<4 { harness.writeData(3, [UInt8](repeating: 1, count: 16_000), end: false) }
        #expect(harness.window(1) == 65_535 - 60 - 64_000)
    }

    @Test func windowMayBecomeNegative() {
        let harness = serving([1])
        harness.writeData(1, [UInt8](repeating: 1, count: 10_000), end: false)
        harness.receive(Client.settings([(4, 5000)]))
        #expect(harness.window(1) == -5000)
        harness.setReady(1)
        #expect(harness.nextSendable() == nil)
        harness.receive(Client.windowUpdate(1, 5000))
        #expect(harness.nextSendable() == nil)
        harness.receive(Client.windowUpdate(1, 1))
        #expect(harness.nextSendable() == 1)
        // An end without content needs no window.
        harness.receive(Client.settings([(4, 0)]))
        harness.writeData(1, [], end: true)
        #expect(harness.activeStreams == 0)
    }

    @Test func openedWindowsAreTold() {
        let harness = serving([1], settings: [(4, 0)])
        harness.receive(Client.windowUpdate(0, 5000))
        #expect(harness.takeEvents() == [])
        harness.setReady(1)
        #expect(harness.nextSendable() == nil)
        harness.receive(Client.windowUpdate(1, 5000))
        #expect(harness.takeEvents() == ["windowOpened"])
        #expect(harness.nextSendable() == 1)
        harness.receive(Client.settings([(4, 10)]))
        #expect(harness.takeEvents() == ["windowOpened"])
    }

    @Test func frameSize() {
        let harness = serving([1], settings: [(5, 20_000)])
        #expect(unsafe harness.engine.pointee.maxFrameBytes == 20_000)
        #expect(unsafe harness.engine.pointee.canSendWhole(harness.slot(1), 20_000))
        #expect(unsafe !harness.engine.pointee.canSendWhole(harness.slot(1), 20_001))
    }

    // MARK: scheduling

    private func prioritized(_ values: [(UInt32, String?)]) -> Harness {
        let harness = Harness()
        harness.receive(Client.hello)
        for (stream, value) in values {
            harness.receive(Client.request(stream, more: value.map { [("priority", $0)] } ?? []))
            harness.writeHead(stream)
            harness.setReady(stream)
        }
        return harness
    }

    @Test func urgencyComesFirst() {
        let harness = prioritized([(1, "u=5"), (3, nil), (5, "u=0"), (7, "u=7")])
        for stream in [5, 3, 1, 7] as [UInt32] {
            #expect(harness.nextSendable() == stream)
            #expect(harness.nextSendable() == stream)
            harness.setReady(stream, false)
        }
        #expect(harness.nextSendable() == nil)
    }

    @Test func wholeResponsesGoInOrderOfStreams() {
        let harness = prioritized([(1, nil), (3, nil), (5, nil)])
        harness.setReady(1, false)
        harness.setReady(1)
        harness.setReady(3, false)
        harness.setReady(3)
        for stream in [1, 3, 5] as [UInt32] {
            #expect(harness.nextSendable() == stream)
            harness.setReady(stream, false)
        }
    }

    @Test func incrementalResponsesTakeTurns() {
        let harness = prioritized([(1, "i"), (3, "u=3, i"), (5, "i=?1;x")])
        #expect((0..<6).map { _ in harness.nextSendable() } == [1, 3, 5, 1, 3, 5])
    }

    @Test func wholeAndIncrementalAlternate() {
        let harness = prioritized([(1, nil), (3, "i"), (5, "i")])
        #expect((0..<6).map { _ in harness.nextSendable() } == [1, 3, 1, 5, 1, 3])
    }

    @Test func streamsWithoutWindowAreSkipped() {
        let harness = prioritized([(1, nil), (3, nil)])
        harness.receive(Client.settings([(4, 10)]))
        harness.writeData(1, [UInt8](repeating: 0, count: 10), end: false)
        #expect(harness.nextSendable() == 3)
        harness.receive(Client.windowUpdate(1, 1))
        #expect(harness.nextSendable() == 1)
    }

    @Test func priorityUpdates() {
        let harness = Harness()
        // Ahead of its stream, and stronger than the field.
        harness.receive(Client.hello + Client.priorityUpdate(3, "u=1"))
        for stream in [1, 3, 5] as [UInt32] {
            harness.receive(Client.request(stream, more: [("priority", "u=2")]))
            harness.writeHead(stream)
            harness.setReady(stream)
        }
        #expect(harness.nextSendable() == 3)
        harness.receive(Client.priorityUpdate(5, "u=0, i"))
        #expect(harness.nextSendable() == 5)
        harness.receive(Client.priorityUpdate(5, "nonsense"))
        #expect(harness.nextSendable() == 3)
        harness.setReady(3, false)
        #expect(harness.nextSendable() == 1)
    }

    @Test(arguments: [
        ("", 3, false), ("u=0", 0, false), ("u=8", 3, false), ("u=7, i", 7, true), ("i,u=2", 2, true), ("i=?0", 3, false), ("u=1;a=b, i;c", 1, true),
        ("x=\"y\"", 3, false), ("u=-1", 3, false), ("U=1", 3, false),
    ])
    func priorityField(_ text: String, _ urgency: UInt8, _ incremental: Bool) {
        let bytes = Array(text.utf8) + [0]
        let priority = unsafe bytes.withUnsafeBufferPointer { unsafe StreamPriority($0.baseAddress!, count: text.utf8.count) }
        #expect(priority.urgency == urgency)
        #expect(priority.incremental == incremental)
    }
}
