// Traffic: requests of every shape the server knows, what must come back for each, and the application that answers them.

import Glibc
import UringHTTP
import UringRing
import UringServer
import UringSimulation

/// A request and the one right answer to it.
struct Exchange {
    let name: String
    let request: [UInt8]
    let status: Int
    /// Beyond Date and framing.
    let fields: [String]
    let body: [UInt8]
    /// What the request's body says, codings removed.
    var content: [UInt8] = []
    /// Fields behind the request's body, and behind the response's.
    var requestTrailers: [(String, String)] = []
    var trailers: [String] = []
    var isHead = false
    /// The request asks for the close of the connection.
    var closes = false
}

enum Traffic {
    static let sharedBody = pattern(7, 70_000)

    /// `count` bytes that no other id has.
    static func pattern(_ id: Int, _ count: Int) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            var state = UInt64(truncatingIfNeeded: id) &* 0x9E37_79B9_7F4A_7C15 | 1
            for index in 0..<count {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                unsafe buffer[index] = UInt8(truncatingIfNeeded: state >> 56)
            }
            filled = count
        }
    }

    /// Few large sizes, many small ones.
    private static func size(_ random: inout RandomSource, _ max: Int) -> Int {
        switch random.below(10) {
        case 0: 0
        case 1: random.within(0...max)
        case 2, 3: random.within(0...min(max, 8192))
        default: random.within(0...min(max, 300))
        }
    }

    /// One exchange. `id` must be unique within its connection.
    /// - Parameter files: requests for files may be among them.
    static func exchange(_ id: Int, _ random: inout RandomSource, last: Bool, bytesMax: Int, files: Bool = true) -> Exchange {
        let closes = last && random.chance(0.3)
        var common = "Host: sim.example\r\nX-Id: \(id)\r\n"
        // Fields that make heads of very different lengths.
        if random.chance(0.3) { common += "User-Agent: \(String(repeating: "simulated ", count: random.within(1...60)))\r\n" }
        if closes { common += "Connection: close\r\n" }
        let idField = "x-id: \(id)"
        func make(_ name: String, _ head: String, sending requestBody: [UInt8] = [], fields: [String] = [], status: Int = 200, answer body: [UInt8]) -> Exchange {
            Exchange(
                name: name, request: Array((head + common + "\r\n").utf8) + requestBody, status: status, fields: [idField] + fields, body: body,
                content: requestBody, closes: closes)
        }
        switch random.below(files ? 16 : 11) {
        case 0, 1, 2:
            return make("small", "GET /small?q=\(id) HTTP/1.1\r\n", answer: Array("small \(id)\n".utf8))
        case 3:
            let count = size(&random, bytesMax)
            return make("bytes \(count)", "GET /bytes/\(count) HTTP/1.1\r\n", answer: pattern(id, count))
        case 4:
            let content = pattern(id, size(&random, bytesMax))
            return make("echo \(content.count)", "POST /echo HTTP/1.1\r\nContent-Length: \(content.count)\r\n", sending: content, answer: content)
        case 5:
            let content = pattern(id, size(&random, bytesMax))
            let coded = chunk(content, &random)
            var exchange = make("chunked echo \(content.count)", "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", sending: coded, answer: content)
            exchange.content = content
            if coded.suffix(19) == Array("X-Trailer: seen\r\n\r\n".utf8)[...] { exchange.requestTrailers = [("x-trailer", "seen")] }
            return exchange
        case 6:
            let count = size(&random, bytesMax)
            if random.chance(0.3) {
                var exchange = make("stream \(count) with trailers", "GET /trailed/\(count) HTTP/1.1\r\n", answer: pattern(id, count))
                exchange.trailers = ["x-sum: \(count)"]
                return exchange
            }
            return make("stream \(count)", "GET /stream/\(count) HTTP/1.1\r\n", answer: pattern(id, count))
        case 7:
            let content = pattern(id, size(&random, bytesMax))
            return make(
                "sum \(content.count)", "PUT /sum HTTP/1.1\r\nContent-Length: \(content.count)\r\n", sending: content,
                answer: Array("\(content.count) \(content.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xFFFF_FFFF })".utf8))
        case 8:
            let count = size(&random, bytesMax)
            var exchange = make("head \(count)", "HEAD /bytes/\(count) HTTP/1.1\r\n", fields: ["content-length: \(count)"], answer: [])
            exchange.isHead = true
            return exchange
        case 9:
            return random.chance(0.2)
                ? make("shared", "GET /shared HTTP/1.1\r\n", answer: sharedBody) : make("none", "DELETE /none HTTP/1.1\r\n", status: 204, answer: [])
        case 10:
            let content = pattern(id, size(&random, 2000))
            return make(
                "expect", "POST /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: \(content.count)\r\n", sending: content, answer: content)
        case 11:
            let file = random.below(fileSizes.count)
            return make("file \(fileSizes[file])", "GET /file/\(file) HTTP/1.1\r\n", answer: fileBytes(file))
        case 12:
            let file = random.below(fileSizes.count)
            return make("parts of a file of \(fileSizes[file])", "GET /parts/\(file) HTTP/1.1\r\n", answer: partsBytes(file))
        case 13:
            let (file, content) = (random.below(fileSizes.count), pattern(id, size(&random, 2000)))
            return make(
                "file \(fileSizes[file]) for a body", "PUT /exchange/\(file) HTTP/1.1\r\nContent-Length: \(content.count)\r\n", sending: content,
                answer: fileBytes(file))
        case 14:
            return make("no such file", "GET /file/none HTTP/1.1\r\n", status: 404, answer: [])
        default:
            let content = pattern(id, size(&random, 2000))
            return make("ignored body", "POST /ignore HTTP/1.1\r\nContent-Length: \(content.count)\r\n", sending: content, answer: Array("ignored".utf8))
        }
    }

    private static func chunk(_ content: [UInt8], _ random: inout RandomSource) -> [UInt8] {
        var result: [UInt8] = []
        var rest = content[...]
        while !rest.isEmpty {
            let count = random.within(1...min(rest.count, 5000))
            let digits = random.chance(0.5) ? String(count, radix: 16) : "00" + String(count, radix: 16, uppercase: true)
            result += Array((digits + (random.chance(0.2) ? ";name=value" : "") + "\r\n").utf8) + rest.prefix(count) + [13, 10]
            rest = rest.dropFirst(count)
        }
        result += Array("0\r\n".utf8)
        if random.chance(0.3) { result += Array("X-Trailer: seen\r\n".utf8) }
        return result + [13, 10]
    }

    // MARK: files

    /// Around the size from which files are sent without being read.
    private static let fileSizes = [0, 1, 100, 5000, 40_000, 65_535, 65_536, 150_000]

    /// Made once: every world has them all.
    private static let fileContents = fileSizes.indices.map { pattern(1000 + $0, fileSizes[$0]) }
    private static func fileBytes(_ file: Int) -> [UInt8] { fileContents[file] }

    /// Text and pieces of the file in turn, as for multipart/byteranges.
    private static func pieces(_ file: Int, _ size: Int) -> [FilePiece] {
        let (third, half) = (size / 3, size / 2)
        return [
            .text(Array("first:".utf8)), .range(offset: 0, count: UInt64(third)), .text([]), .text(Array("second:".utf8)),
            .range(offset: UInt64(half), count: UInt64(size - half)), .range(offset: 0, count: UInt64(min(size, 10))), .text(Array("end".utf8)),
        ]
    }

    private static func partsBytes(_ file: Int) -> [UInt8] {
        let bytes = fileBytes(file)
        return pieces(file, bytes.count).flatMap { piece -> [UInt8] in
            switch piece {
            case .text(let text): text
            case .range(let offset, let count): Array(bytes[Int(offset)..<Int(offset + count)])
            }
        }
    }

    /// Puts the files there and opens their directory for the server.
    static func makeFiles(_ simulation: Simulation) -> Int32 {
        for file in fileSizes.indices { simulation.files.write("/www/\(file)", fileBytes(file)) }
        return simulation.openDirectory("/www")
    }

    // MARK: the application

    /// - Parameter directory: of `makeFiles`.
    static func handler(directory: Int32) -> HandlerBox {
        HandlerBox(handle: { try answer($0, &$1, directory) }, wantsStream: { $0.path == "/sum" || $0.methodName == "PUT" })
    }

    static func sendFile(_ path: String, _ response: inout Response, _ directory: Int32) {
        let isParts = path.hasPrefix("/parts/")
        let name = String(path.drop { $0 == "/" }.drop { $0 != "/" }.dropFirst())
        switch unsafe name.withCString({ unsafe response.openFile(directory: directory, path: $0) }) {
        case .pending: break
        case .failed(let code): response.status = code == ENOENT ? .notFound : .internalServerError
        case .opened(let file):
            let size = Int(file.status.size)
            response.send(file, pieces: isParts ? pieces(Int(name) ?? 0, size) : [.range(offset: 0, count: UInt64(size))])
        }
    }

    private static let shared = SharedBytes(sharedBody)

    private static func answer(_ request: borrowing Request, _ response: inout Response, _ directory: Int32) throws {
        var id = 0
        if let text = request.headers["x-id"] { id = Int(text.decimal ?? 0) }
        response.headers["x-id"] = String(id)
        switch request.path {
        case "/small": response.write("small \(id)\n")
        case "/echo": response.write(request.body)
        case "/shared": response.write(shared)
        case "/none": response.status = .noContent
        case "/ignore": response.write("ignored")
        case "/fail": throw SimulatedFailure()
        case "/sum":
            var (count, sum) = (0, 0)
            response.receiveBody { part, response in
                for index in 0..<part.bytes.count { sum = (sum &* 31 &+ Int(part.bytes[index])) & 0xFFFF_FFFF }
                count += part.bytes.count
                if part.isLast { response.write("\(count) \(sum)") }
                return part.isLast ? .finish : .more
            }
        default:
            let path = String(request.path)
            if path.hasPrefix("/exchange/") {
                // The request is gone when its receiver opens the file: the handler cannot be called again.
                return response.receiveBody { part, response in
                    guard part.isLast else { return .more }
                    sendFile(path, &response, directory)
                    return .finish
                }
            }
            if path.hasPrefix("/file/") || path.hasPrefix("/parts/") { return sendFile(path, &response, directory) }
            if path.hasPrefix("/bytes/"), let count = Int(path.dropFirst(7)) { return response.write(pattern(id, count)) }
            let hasTrailers = path.hasPrefix("/trailed/")
            guard hasTrailers || path.hasPrefix("/stream/"), let count = Int(path.dropFirst(hasTrailers ? 9 : 8)) else { return response.restart(.notFound) }
            let content = pattern(id, count)
            var position = 0
            response.stream { writer in
                let end = min(content.count, position + 3000)
                writer.write(Array(content[position..<end]))
                position = end
                if hasTrailers, position == content.count { writer.addTrailer("x-sum", String(count)) }
                return position == content.count ? .end : position % 7 == 0 ? .wait(milliseconds: 3) : .more
            }
        }
    }
}

struct SimulatedFailure: Error {}
