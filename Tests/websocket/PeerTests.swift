// Another implementation as the oracle: the client of PyPI's `websockets` (peer.py) makes a handshake, sends random messages and expects them back,
// through pipes. Its handshake, masks, fragments, zlib and close are its own. Skipped by name when python3 or the module is missing.

import Foundation
import Testing
import UringHTTP
import UringHTTP1
@testable import UringWebSocket

/// Whether the oracle is there.
let hasPeer: Bool = {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["python3", "-c", "import websockets.client"]
    process.standardError = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
}()

@Suite struct PeerTests {
    struct Offer: CustomTestStringConvertible {
        let deflate: String
        var takeover = false
        var bits: Int32 = 15
        var testDescription: String { "\(deflate)\(takeover ? " takeover" : "") \(bits)" }
    }
    static let offers = [
        Offer(deflate: "off"), Offer(deflate: "client_max_window_bits"), Offer(deflate: "client_max_window_bits", takeover: true),
        Offer(deflate: "client_max_window_bits", takeover: true, bits: 9), Offer(deflate: "server_no_context_takeover", takeover: true),
        Offer(deflate: "client_no_context_takeover,server_max_window_bits=10", takeover: true),
        Offer(deflate: "server_max_window_bits=8,client_max_window_bits=9", takeover: true),
    ]

    @Test(.enabled(if: hasPeer, "python3 with the module websockets is missing"), arguments: offers, [1, 2])
    func echo(offer: Offer, seed: Int) throws {
        var deflate = WebSocketDeflatePolicy(isEnabled: true)
        deflate.serverTakesContextOver = offer.takeover
        deflate.clientTakesContextOver = offer.takeover
        deflate.serverWindowBitsMax = offer.bits
        deflate.clientWindowBitsMax = offer.bits
        let process = Process()
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("peer.py").path
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", script, "\(seed)", "60", offer.deflate]
        let (input, output, errors) = (Pipe(), Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        EchoServer(seed: UInt64(seed), policy: WebSocketPolicy(protocols: [Array("echo".utf8)], deflate: deflate))
            .serve(from: output.fileHandleForReading, to: input.fileHandleForWriting)
        let words = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(words)")
    }
}

/// Answers a handshake and sends every message back: compressed where that is possible, and sometimes in fragments.
private final class EchoServer {
    private var random: Random
    private let policy: WebSocketPolicy
    private let compression = Compression()

    init(seed: UInt64, policy: WebSocketPolicy) {
        random = Random(seed)
        self.policy = policy
    }

    func serve(from reader: FileHandle, to writer: FileHandle) {
        defer { try? writer.close() }
        var early: [UInt8] = []
        while true {
            let data = reader.availableData
            guard !data.isEmpty else { return }
            early += data
            guard let (agreement, used, answer) = handshake(early) else { continue }
            writer.write(Data(answer))
            talk(agreement, Array(early[used...]), reader, writer)
            return
        }
    }

    private func handshake(_ bytes: [UInt8]) -> (WebSocketAgreement, Int, [UInt8])? {
        var head = RequestHead()
        let fields = UnsafeMutablePointer<FieldSlot>.allocate(capacity: 100)
        let out = UnsafeMutablePointer<UInt8>.allocate(capacity: 4096)
        defer {
            unsafe fields.deallocate()
            unsafe out.deallocate()
        }
        return unsafe bytes.withUnsafeBufferPointer { bytes in
            guard
                unsafe RequestParser.parse(
                    bytes.baseAddress!, count: bytes.count, alreadyScanned: 0, head: &head, fields: fields, fieldCapacity: 100, limits: ParserLimits())
                    == .complete,
                case .accepted(let agreement) = unsafe WebSocketHandshake.check(
                    head, fields: fields, bytes: bytes.baseAddress!, policy: policy, allowsOrigin: { _ in true })
            else { return nil }
            let count = unsafe WebSocketHandshake.writeFields(agreement, bytes: bytes.baseAddress!, into: out)!
            let lines = unsafe Array(UnsafeBufferPointer(start: out, count: count))
            return (agreement, head.headLength, Array("HTTP/1.1 101 Switching Protocols\r\n".utf8) + lines + Array("\r\n".utf8))
        }
    }

    private func talk(_ agreement: WebSocketAgreement, _ early: [UInt8], _ reader: FileHandle, _ writer: FileHandle) {
        let harness = Harness(deflate: agreement.deflate, compression: compression)
        var echoed = 0
        var pending = early
        while true {
            // Cut anew, so that frames are torn where the pipe does not tear them.
            var at = 0
            while at < pending.count {
                let count = min(1 + random.below(random.below(2) == 0 ? 50 : 40_000), pending.count - at)
                harness.receive(slice: pending[at..<(at + count)])
                at += count
            }
            while echoed < harness.messages.count {
                echo(harness, echoed)
                echoed += 1
            }
            let bytes = harness.takeBytes()
            if !bytes.isEmpty { writer.write(Data(bytes)) }
            if harness.isOver { return }
            let data = reader.availableData
            guard !data.isEmpty else { return }
            pending = Array(data)
        }
    }

    private func echo(_ harness: Harness, _ index: Int) {
        let kind = harness.kinds[index]
        let content = harness.messages[index]
        let cut = random.below(3) == 0 ? random.below(content.count + 1) : content.count
        if cut == content.count {
            if case .written = harness.sendDeflated(kind, content) { return }
            harness.send(kind, content)
            return
        }
        let pieces = [Array(content[..<cut]), Array(content[cut...])]
        let isCompressed = harness.sendDeflated(kind, pieces[0], last: false) != .plain
        if !isCompressed { harness.sendFragment(kind, pieces[0], last: false) }
        if isCompressed { harness.sendDeflated(kind, pieces[1], last: true) } else { harness.sendFragment(kind, pieces[1], last: true) }
    }
}
