// Random clients and a random server on one engine: nothing traps, no invariant breaks, no byte of a window is lost. Seeds are fixed; a
// failure names its seed.

import Testing

@testable import UringHTTP2

/// SplitMix64.
struct SeededRandom: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

@Suite struct RandomPeerTests {
    @Test(arguments: 0..<300)
    func invariantsHold(seed: Int) {
        var random = SeededRandom(state: UInt64(seed))
        var limits = HTTP2Limits()
        // Budgets out of the way for most, so that histories grow long.
        if seed % 4 != 0 {
            limits.resetsMax = 60_000
            limits.emptyFramesMax = 60_000
            limits.strayFramesMax = 60_000
            limits.pingsMax = 60_000
            limits.settingsMax = 60_000
            limits.prioritiesMax = 60_000
            limits.windowUpdatesMax = 60_000
        }
        let settings = HTTP2LocalSettings(
            maxConcurrentStreams: Int.random(in: 1...20, using: &random), streamWindowBytes: Int.random(in: 1...80_000, using: &random),
            connectionWindowBytes: Int.random(in: 65_535...100_000, using: &random))
        let harness = Harness(settings: settings, limits: limits)
        harness.receive(Client.hello)
        var client = RandomClient(hostility: seed % 3 == 0 ? 20 : 1)
        var model = WindowModel()
        model.note(fromServer: harness.takeFrames())
        for step in 0..<400 {
            harness.now += UInt64.random(in: 0...50_000_000, using: &random)
            var bytes = client.next(&random)
            if client.hostility > 1, Int.random(in: 0..<60, using: &random) == 0, !bytes.isEmpty {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            harness.receive(bytes, piece: Bool.random(using: &random) ? .max : Int.random(in: 1...50, using: &random))
            act(harness, &random)
            if let broken = unsafe harness.engine.pointee.brokenInvariant() {
                Issue.record("seed \(seed), step \(step): \(broken)")
                return
            }
            let failed = harness.takeEvents().contains { $0.hasPrefix("failed") }
            if client.hostility == 1 {
                model.note(fromClient: WireFrame.parse(bytes))
                model.note(fromServer: harness.takeFrames())
                #expect(unsafe failed || Int(harness.engine.pointee.receiveWindow.bytes) == model.clientMaySend, "seed \(seed), step \(step)")
                for stream in harness.slotOfStream.keys where !failed {
                    #expect(harness.window(stream) == model.serverMaySend(stream), "seed \(seed), step \(step), stream \(stream)")
                }
            }
            if failed { break }
        }
        _ = harness.takeFrames()
    }

    /// One or a few actions of the server.
    private func act(_ harness: Harness, _ random: inout SeededRandom) {
        for _ in 0..<Int.random(in: 0...3, using: &random) {
            guard let stream = harness.slotOfStream.keys.sorted().randomElement(using: &random) else { break }
            switch Int.random(in: 0..<12, using: &random) {
            case 0: harness.respond(stream)
            case 1: harness.writeHead(stream, fields: "x-a: \(Int.random(in: 0..<5, using: &random))\r\n")
            case 2, 3: harness.setReady(stream, Bool.random(using: &random))
            case 4, 5: harness.consume(stream, Int.random(in: 0...20_000, using: &random))
            case 6: harness.writeData(stream, [], end: Bool.random(using: &random))
            case 7: harness.stopReading(stream)
            case 8: if Int.random(in: 0..<5, using: &random) == 0 { harness.reset(stream) }
            case 9: harness.writeTrailers(stream, "a: b\r\n")
            default:
                if let next = harness.nextSendable() {
                    let room = min(harness.window(next), 16_384)
                    harness.writeData(next, [UInt8](repeating: 1, count: Int.random(in: 0...room, using: &random)), end: false)
                }
            }
        }
        if Int.random(in: 0..<2000, using: &random) == 0 { unsafe harness.engine.pointee.drain() }
    }
}

/// The windows as they follow from the frames alone (RFC 9113 6.9), without the engine's own accounts.
private struct WindowModel {
    /// What the client may send on the connection.
    var clientMaySend = 65_535
    private var connection = 65_535
    private var initial = 65_535
    /// Updates less DATA of each stream.
    private var streams: [UInt32: Int] = [:]

    mutating func note(fromClient frames: [WireFrame]) {
        for frame in frames {
            switch frame.type {
            case 0: clientMaySend -= frame.payload.count
            case 4 where !frame.payload.isEmpty: initial = Int(frame.number(at: 2))
            case 8 where frame.stream == 0: connection += Int(frame.number())
            case 8: streams[frame.stream, default: 0] += Int(frame.number())
            default: break
            }
        }
    }

    mutating func note(fromServer frames: [WireFrame]) {
        for frame in frames {
            switch frame.type {
            case 0:
                connection -= frame.payload.count
                streams[frame.stream, default: 0] -= frame.payload.count
            case 8 where frame.stream == 0: clientMaySend += Int(frame.number())
            default: break
            }
        }
    }

    func serverMaySend(_ stream: UInt32) -> Int { min(connection, initial + streams[stream, default: 0]) }
}

/// Sends frames that are mostly good, in an order that mostly is.
private struct RandomClient {
    let hostility: Int
    private var last: UInt32 = 0
    /// Streams whose body it has not ended.
    private var uploads: [UInt32] = []

    init(hostility: Int) { self.hostility = hostility }

    mutating func next(_ random: inout SeededRandom) -> [UInt8] {
        let old = last == 0 ? 1 : UInt32.random(in: 0...(last - 1) / 2, using: &random) * 2 + 1
        let recent = last <= 10 ? old : last - UInt32.random(in: 0...4, using: &random) * 2
        let number = Int.random(in: 0..<(hostility > 1 ? 20 : 16), using: &random)
        switch number {
        case 0...4: return open(&random)
        case 5: return Client.windowUpdate(0, UInt32.random(in: 1...70_000, using: &random))
        case 6: return last == 0 ? [] : Client.windowUpdate(recent, UInt32.random(in: 1...70_000, using: &random))
        case 7: return Client.settings([(4, UInt32.random(in: 0...100_000, using: &random))])
        case 8: return Client.ping()
        case 9: return Client.priorityUpdate(recent, "u=\(Int.random(in: 0...7, using: &random))\(Bool.random(using: &random) ? ", i" : "")")
        case 10:
            uploads.removeAll { $0 == recent }
            return last == 0 ? [] : Client.reset(recent)
        case 11: return Client.settingsAck
        case 12: return Client.frame(0x77, [UInt8](repeating: 0, count: Int.random(in: 0...300, using: &random)))
        case 16 where hostility > 1 && last > 0 && Int.random(in: 0..<20, using: &random) == 0:
            return Client.data(recent, "late", end: Bool.random(using: &random))
        default:
            guard let index = uploads.indices.randomElement(using: &random) else { return [] }
            let stream = uploads[index]
            let end = Int.random(in: 0..<4, using: &random) == 0
            if end { uploads.remove(at: index) }
            let body = [UInt8](repeating: 0x62, count: Int.random(in: 0...3000, using: &random))
            return Client.data(stream, body, end: end, padding: Bool.random(using: &random) ? 3 : nil)
        }
    }

    /// A request, whole with its body or left open.
    private mutating func open(_ random: inout SeededRandom) -> [UInt8] {
        last += 2 * UInt32.random(in: 1...2, using: &random) - (last == 0 ? 1 : 0)
        guard Bool.random(using: &random) else { return Client.request(last, "GET", "/x", more: [("priority", "u=\(Int.random(in: 0...7, using: &random)), i")]) }
        var bytes = Client.request(last, "POST", end: false)
        for _ in 0..<Int.random(in: 0...3, using: &random) {
            bytes += Client.data(last, [UInt8](repeating: 0x61, count: Int.random(in: 1...1000, using: &random)), padding: Bool.random(using: &random) ? 7 : nil)
        }
        switch Int.random(in: 0..<3, using: &random) {
        case 0: uploads.append(last)
        case 1: bytes += Client.data(last, [], end: true)
        default: bytes += Client.headers(last, Client.block([("x-sum", "1")]))
        }
        return bytes
    }
}
