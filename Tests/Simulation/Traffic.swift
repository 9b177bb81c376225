// Traffic: requests of every shape the server knows, what must come back for each, and the application that answers them.

import UringHTTP
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
    static func exchange(_ id: Int, _ random: inout RandomSource, last: Bool, bytesMax: Int) -> Exchange {
        let closes = last && random.chance(0.3)
        var common = "Host: sim.example\r\nX-Id: \(id)\r\n"
        // Fields that make heads of very different lengths.
        if random.chance(0.3) { common += "User-Agent: \(String(repeating: "simulated ", count: random.within(1...60)))\r\n" }
        if closes { common += "Connection: close\r\n" }
        let idField = "x-id: \(id)"
        func make(_ name: String, _ head: String, sending requestBody: [UInt8] = [], fields: [String] = [], status: Int = 200, answer body: [UInt8]) -> Exchange {
            Exchange(
                name: name, request: Array((head + common + "\r\n").utf8) + requestBody, status: status, fields: [idField] + fields, body: body,
                closes: closes)
        }
        switch random.below(12) {
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
            return make("chunked echo \(content.count)", "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", sending: chunk(content, &random), answer: content)
        case 6:
            let count = size(&random, bytesMax)
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

    // MARK: the application

    static let handler = HandlerBox(handle: answer, wantsStream: { $0.path == "/sum" })

    private static let shared = SharedBytes(sharedBody)

    @Sendable private static func answer(_ request: borrowing Request, _ response: inout Response) throws {
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
            if path.hasPrefix("/bytes/"), let count = Int(path.dropFirst(7)) { return response.write(pattern(id, count)) }
            guard path.hasPrefix("/stream/"), let count = Int(path.dropFirst(8)) else { return response.restart(.notFound) }
            let content = pattern(id, count)
            var position = 0
            response.stream { writer in
                let end = min(content.count, position + 3000)
                writer.write(Array(content[position..<end]))
                position = end
                return position == content.count ? .end : position % 7 == 0 ? .wait(milliseconds: 3) : .more
            }
        }
    }
}

struct SimulatedFailure: Error {}
