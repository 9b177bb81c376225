// Another implementation as the oracle of the whole server: the client of PyPI's `websockets` (peer.py), in clear and over TLS, with and without
// compression. Skipped by name when python3 or the module is missing.

import Foundation
import Testing

@testable import UringServer

@Suite struct WebSocketPeerTests {
    private static func run(_ arguments: [String]) throws -> (status: Int32, words: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3"] + arguments
        let errors = Pipe()
        process.standardError = errors
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        let words = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, words)
    }

    static let isThere: Bool = ((try? run(["-c", "import websockets.sync.client"]))?.status ?? 1) == 0

    enum Compression: CaseIterable { case off, on, keepsContext }

    @Test(.enabled(if: isThere, "python3 with the module websockets is missing"), arguments: [false, true], Compression.allCases)
    func echo(_ isSecure: Bool, _ compression: Compression) throws {
        var options = WebSocketOptions()
        if compression != .off { options.compression = .on }
        if compression == .keepsContext {
            options.compression.keepsContext = true
            options.compression.clientKeepsContext = true
        }
        let log = EventLog()
        try run(isSecure, compression, Application { [options] request, response in
            response.webSocket(options) { socket, event in
                if case .message(let message) = event { socket.send(message) }
                if case .closed = event { log.note(event) }
            }
        })
        #expect(log.all == ["closed 4321 clean done", "closed 4321 clean done"])
    }

    @Test(.enabled(if: isThere, "python3 with the module websockets is missing"), arguments: [false, true], [Compression.off, .on])
    func asyncEcho(_ isSecure: Bool, _ compression: Compression) throws {
        var options = WebSocketOptions()
        if compression == .on { options.compression = .on }
        let log = EventLog()
        var router = Router()
        router.webSocket("/", options: options) { socket in
            do { for try await message in socket.messages { try await socket.send(message) } } catch { log.add("\(error)") }
        }
        try run(isSecure, compression, try Application(router: router))
        log.wait { $0.all.count == 2 }
        #expect(log.all == ["the WebSocket is closed: 4321 (done)", "the WebSocket is closed: 4321 (done)"])
    }

    /// Two clients, one after the other.
    private func run(_ isSecure: Bool, _ compression: Compression, _ application: Application) throws {
        var server = ServerOptions()
        server.loops = .count(1)
        server.deferAccept = false
        let running = try Server(
            listeners: [isSecure ? Listener("127.0.0.1:0", tls: .selfSigned()) : Listener("127.0.0.1:0")], options: server, application: application
        ).start()
        defer { running.stop(within: .seconds(20)) }
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("peer.py").path
        let port = try #require(running.addresses[0].split(separator: ":").last)
        for seed in 1...2 {
            let (status, words) = try Self.run([script, "\(isSecure ? "wss" : "ws")://127.0.0.1:\(port)/", "\(seed)", "60", compression == .off ? "off" : "on"])
            #expect(status == 0, "\(words)")
        }
    }
}
