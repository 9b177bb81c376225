// The application and the clients of the attack simulations: every kind of content a response can have, asked for by peers that do not read.

import Glibc
import UringHTTP
import UringServer
import UringSimulation

/// Lives as long as a closure that captured it: what the server forgot to let go of is counted.
final class Token {
    /// The simulations run on one thread each, several at once.
    final class Count: @unchecked Sendable {
        var alive = 0
    }
    private let count: Count
    init(_ count: Count) {
        self.count = count
        count.alive += 1
    }
    deinit { count.alive -= 1 }
}

/// What a receiver that pauses after each piece leaves for the test. One thread.
final class Pauses: @unchecked Sendable {
    var handle: ExchangeHandle?
    var isOver = false
    var upgrades = 0
}

enum AttackTarget {
    static let fileBytes = Traffic.pattern(3, 150_000)
    /// Two ranges of the file, the first long enough for sendfile, the second to be read into memory.
    static let ranges: [(offset: UInt64, count: UInt64)] = [(0, 70_000), (80_000, 30_000)]
    static let multipart = Array("<one>".utf8) + fileBytes[..<70_000] + Array("<two>".utf8) + fileBytes[80_000..<110_000] + Array("<end>".utf8)
    static let largeBytes = Traffic.pattern(5, 2_300_000)
    static let smallRange = Array(fileBytes[1000..<31_000])
    static let paths = ["/plain", "/large", "/shared", "/chunked", "/untimed", "/counted", "/multipart", "/small", "/sum", "/finish", "/upgrade"]

    /// - Parameter directory: of `file`, in the simulated file system.
    static func application(_ directory: Int32, _ tokens: Token.Count, _ pauses: Pauses = Pauses()) -> HandlerBox {
        HandlerBox(
            handle: { request, response in try answer(request, &response, directory, tokens, pauses) },
            wantsStream: { $0.path == "/sum" || $0.path == "/finish" || $0.path == "/pause" || $0.path == "/early" }, observe: { request, _ in _ = request.path.count })
    }

    private static func answer(_ request: borrowing Request, _ response: inout Response, _ directory: Int32, _ tokens: Token.Count, _ pauses: Pauses) throws {
        switch request.path {
        case "/plain": response.write("plain\n")
        case "/large": response.write(Traffic.pattern(1, 40_000))
        case "/shared": response.write(SharedBytes(Traffic.pattern(2, 50_000)))
        case "/chunked": produce(&response, length: nil, tokens)
        case "/counted": produce(&response, length: 30_000, tokens)
        case "/untimed":
            response.disableTimeout()
            produce(&response, length: 30_000, tokens)
        case "/pause":
            pauses.handle = response.exchange
            var received = 0
            response.receiveBody { part, response in
                received += part.bytes.count
                if part.isLast { response.write("\(received)") }
                return part.isLast ? .finish : pauses.isOver ? .more : .pause
            }
        // Answers before the body has come, and takes its time.
        case "/early": produce(&response, length: nil, tokens)
        case "/sum", "/finish":
            let token = Token(tokens)
            let stops = request.path == "/finish"
            response.receiveBody { part, response in
                withExtendedLifetime(token) {}
                if part.isLast || stops { response.write(Traffic.pattern(4, 20_000)) }
                return part.isLast || stops ? .finish : .more
            }
        case "/upgrade":
            let token = Token(tokens)
            response.upgrade(to: "echo") { _ in withExtendedLifetime(token) { pauses.upgrades += 1 } }
        case "/multipart":
            try sendFile(&response, directory) {
                [.text(Array("<one>".utf8)), .range(offset: ranges[0].offset, count: ranges[0].count), .text(Array("<two>".utf8)),
                 .range(offset: ranges[1].offset, count: ranges[1].count), .text(Array("<end>".utf8))]
            }
        case "/largefile": try sendFile(&response, directory, "large") { [.range(offset: 0, count: UInt64(largeBytes.count))] }
        case "/small": try sendFile(&response, directory) { [.range(offset: 1000, count: 30_000)] }
        default: response.restart(.notFound)
        }
    }

    private static func produce(_ response: inout Response, length: UInt64?, _ tokens: Token.Count) {
        let token = Token(tokens)
        var left = 30_000
        response.stream(length: length) { writer in
            withExtendedLifetime(token) {}
            writer.write([UInt8](repeating: 0x61, count: min(left, 3000)))
            left -= min(left, 3000)
            return left == 0 ? .end : .more
        }
    }

    private static func sendFile(_ response: inout Response, _ directory: Int32, _ name: String = "file", pieces: () -> [FilePiece]) throws {
        // The name is copied where it has to outlive the call.
        switch unsafe name.withCString({ unsafe response.openFile(directory: directory, path: $0) }) {
        case .opened(let file): response.send(file, pieces: pieces())
        case .failed: response.restart(.internalServerError)
        case .pending: break
        }
    }

    static func request(_ path: String) -> [UInt8] {
        let body = path == "/sum" || path == "/finish" ? "Content-Length: 4000\r\n\r\n" + String(repeating: "x", count: 4000) : "\r\n"
        return Array("\(body.utf8.count > 2 ? "POST" : "GET") \(path) HTTP/1.1\r\nHost: a\r\n\(body)".utf8)
    }
}
