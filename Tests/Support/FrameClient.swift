// A client of HTTP/2 that knows frames and no more: what a test writes is what goes over the wire, in order or not. Owns one connection; used by
// one test on one thread.
//
// It allows the server no dynamic table, so a status is a number of the static table or a literal: all that it reads of a field section.

/// A frame as it came, or as it goes.
package struct HTTP2Frame: Hashable, Sendable {
    package enum Kind {
        package static let data: UInt8 = 0
        package static let headers: UInt8 = 1
        package static let priority: UInt8 = 2
        package static let resetStream: UInt8 = 3
        package static let settings: UInt8 = 4
        package static let pushPromise: UInt8 = 5
        package static let ping: UInt8 = 6
        package static let goAway: UInt8 = 7
        package static let windowUpdate: UInt8 = 8
        package static let continuation: UInt8 = 9
    }

    package enum Flag {
        package static let endStream: UInt8 = 0x1
        package static let ack: UInt8 = 0x1
        package static let endHeaders: UInt8 = 0x4
        package static let padded: UInt8 = 0x8
    }

    package var kind: UInt8
    package var flags: UInt8 = 0
    package var stream: UInt32 = 0
    package var payload: [UInt8] = []

    package init(_ kind: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) {
        (self.kind, self.flags, self.stream, self.payload) = (kind, flags, stream, payload)
    }

    package var bytes: [UInt8] {
        let length = payload.count
        return [UInt8(length >> 16 & 0xff), UInt8(length >> 8 & 0xff), UInt8(length & 0xff), kind, flags] + HTTP2Frame.number(stream) + payload
    }

    /// The whole frames that bytes begin with.
    package static func all(in bytes: [UInt8]) -> [HTTP2Frame] {
        var (frames, rest): ([HTTP2Frame], ArraySlice<UInt8>) = ([], bytes[...])
        while rest.count >= 9 {
            let head = rest.prefix(9).map { UInt32($0) }
            let length = Int(head[0] << 16 | head[1] << 8 | head[2])
            guard rest.count >= 9 + length else { break }
            let stream = (head[5] << 24 | head[6] << 16 | head[7] << 8 | head[8]) & 0x7fff_ffff
            frames.append(HTTP2Frame(UInt8(head[3]), flags: UInt8(head[4]), stream: stream, Array(rest.dropFirst(9).prefix(length))))
            rest = rest.dropFirst(9 + length)
        }
        return frames
    }

    package static func number(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }

    /// The error code of RST_STREAM or GOAWAY.
    package var errorCode: UInt32 { number(at: kind == Kind.goAway ? 4 : 0) }
    /// The last stream of a GOAWAY.
    package var lastStream: UInt32 { number(at: 0) }

    package func number(at offset: Int) -> UInt32 {
        guard payload.count >= offset + 4 else { return .max }
        return payload[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) }
    }
}

/// What came for one stream.
package struct HTTP2Answer: Sendable {
    package var interim: [Int] = []
    package var status: Int?
    package var body: [UInt8] = []
    package var hasTrailers = false
    package var hasEnded = false
    package var resetCode: UInt32?
    /// The field section of the final response, as it came.
    package var headBlock: [UInt8] = []

    package init() {}

    /// Whether the head has a field whose name no table knows, with this value: the server's encoder writes both as plain literals.
    package func has(_ name: String, _ value: String) -> Bool {
        let wanted = [UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.utf8.count)] + Array(value.utf8)
        return headBlock.indices.contains { headBlock[$0...].starts(with: wanted) }
    }

    package var bodyText: String { String(decoding: body, as: UTF8.self) }
}

package final class FrameClient {
    package static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    package let connection: RawClient
    package private(set) var answers: [UInt32: HTTP2Answer] = [:]
    package private(set) var goAways: [HTTP2Frame] = []
    /// The server's settings, by number.
    package private(set) var settings: [UInt16: UInt32] = [:]
    private var acknowledged = 0
    private var pongs = 0
    /// Whether the windows are opened again for what was read.
    package var returnsWindow = true

    /// - Parameter settings: number and value, beside those that make the client able to read.
    package init(_ endpoint: Endpoint, settings: [(UInt16, UInt32)] = []) throws {
        connection = try RawClient(endpoint)
        var payload: [UInt8] = []
        for (number, value) in [(1, 0)] + settings { payload += [UInt8(number >> 8), UInt8(number & 0xff)] + HTTP2Frame.number(value) }
        try connection.send(FrameClient.preface + HTTP2Frame(HTTP2Frame.Kind.settings, payload).bytes)
    }

    // MARK: writing

    package func send(_ frames: HTTP2Frame...) throws { try connection.send(frames.flatMap(\.bytes)) }
    package func send(_ frames: [HTTP2Frame]) throws { try connection.send(frames.flatMap(\.bytes)) }

    /// A field section whose fields are literals that no table keeps.
    package static func block(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { name, value in [0] + string(Array(name.utf8)) + string(Array(value.utf8)) }
    }

    private static func string(_ bytes: [UInt8]) -> [UInt8] { integer(bytes.count, bits: 7) + bytes }

    /// An integer as RFC 7541 section 5.1 has it; the bits before the prefix are 0.
    package static func integer(_ value: Int, bits: Int) -> [UInt8] {
        let limit = 1 << bits - 1
        guard value >= limit else { return [UInt8(value)] }
        var (rest, bytes) = (value - limit, [UInt8(limit)])
        while rest >= 128 {
            bytes.append(UInt8(rest & 0x7f | 0x80))
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    package static func head(_ method: String = "GET", _ path: String = "/", _ fields: [(String, String)] = []) -> [UInt8] {
        block([(":method", method), (":scheme", "http"), (":path", path), (":authority", "a")] + fields)
    }

    package static func request(
        _ stream: UInt32, _ method: String = "GET", _ path: String = "/", _ fields: [(String, String)] = [], ends: Bool = true
    ) -> HTTP2Frame {
        let flags = HTTP2Frame.Flag.endHeaders | (ends ? HTTP2Frame.Flag.endStream : 0)
        return HTTP2Frame(HTTP2Frame.Kind.headers, flags: flags, stream: stream, head(method, path, fields))
    }

    package static func data(_ stream: UInt32, _ bytes: [UInt8], ends: Bool = false) -> HTTP2Frame {
        HTTP2Frame(HTTP2Frame.Kind.data, flags: ends ? HTTP2Frame.Flag.endStream : 0, stream: stream, bytes)
    }

    package static func reset(_ stream: UInt32, _ code: UInt32 = 8) -> HTTP2Frame {
        HTTP2Frame(HTTP2Frame.Kind.resetStream, stream: stream, HTTP2Frame.number(code))
    }

    // MARK: reading

    /// The next frame, whatever it is; nil at the orderly end of the connection. Settings, windows and PINGs are seen to.
    package func next() throws -> HTTP2Frame? {
        while connection.input.count < 9 {
            guard try connection.receive() else {
                guard connection.input.isEmpty else { throw RawClientError.closedEarly(received: connection.text(of: connection.input)) }
                return nil
            }
        }
        let head = connection.input.prefix(9).map { UInt32($0) }
        let length = Int(head[0] << 16 | head[1] << 8 | head[2])
        while connection.input.count < 9 + length {
            guard try connection.receive() else { throw RawClientError.closedEarly(received: connection.text(of: connection.input)) }
        }
        let stream = (head[5] << 24 | head[6] << 16 | head[7] << 8 | head[8]) & 0x7fff_ffff
        let frame = HTTP2Frame(UInt8(head[3]), flags: UInt8(head[4]), stream: stream, Array(connection.input[9..<9 + length]))
        connection.input.removeFirst(9 + length)
        try note(frame)
        return frame
    }

    private func note(_ frame: HTTP2Frame) throws {
        switch frame.kind {
        case HTTP2Frame.Kind.settings where frame.flags & HTTP2Frame.Flag.ack != 0: acknowledged += 1
        case HTTP2Frame.Kind.settings:
            for at in stride(from: 0, to: frame.payload.count - 5, by: 6) {
                settings[UInt16(frame.payload[at]) << 8 | UInt16(frame.payload[at + 1])] = frame.number(at: at + 2)
            }
            try answerQuietly(HTTP2Frame(HTTP2Frame.Kind.settings, flags: HTTP2Frame.Flag.ack))
        case HTTP2Frame.Kind.goAway: goAways.append(frame)
        case HTTP2Frame.Kind.ping where frame.flags & HTTP2Frame.Flag.ack != 0: pongs += 1
        // The server's own, by which it knows when a GOAWAY has been read.
        case HTTP2Frame.Kind.ping: try answerQuietly(HTTP2Frame(HTTP2Frame.Kind.ping, flags: HTTP2Frame.Flag.ack, frame.payload))
        case HTTP2Frame.Kind.resetStream: answers[frame.stream, default: HTTP2Answer()].resetCode = frame.errorCode
        case HTTP2Frame.Kind.data:
            answers[frame.stream, default: HTTP2Answer()].body += frame.payload
            if frame.flags & HTTP2Frame.Flag.endStream != 0 { answers[frame.stream]?.hasEnded = true }
            guard returnsWindow, !frame.payload.isEmpty else { return }
            let increment = HTTP2Frame.number(UInt32(frame.payload.count))
            try answerQuietly(
                HTTP2Frame(HTTP2Frame.Kind.windowUpdate, increment), HTTP2Frame(HTTP2Frame.Kind.windowUpdate, stream: frame.stream, increment))
        case HTTP2Frame.Kind.headers: try noteHead(frame)
        default: break
        }
    }

    /// A server that has said GOAWAY may have closed: what it cannot be told any more it need not know.
    private func answerQuietly(_ frames: HTTP2Frame...) throws {
        do { try send(frames) } catch RawClientError.reset {}
    }

    private func noteHead(_ frame: HTTP2Frame) throws {
        var answer = answers[frame.stream, default: HTTP2Answer()]
        if answer.status != nil {
            answer.hasTrailers = true
        } else {
            let status = try FrameClient.status(of: frame.payload)
            if status < 200 { answer.interim.append(status) } else { (answer.status, answer.headBlock) = (status, frame.payload) }
        }
        if frame.flags & HTTP2Frame.Flag.endStream != 0 { answer.hasEnded = true }
        answers[frame.stream] = answer
    }

    /// `:status` comes first.
    static func status(of block: [UInt8]) throws -> Int {
        var rest = block[...]
        // Changes of the table's size, to 0.
        while let first = rest.first, first & 0xe0 == 0x20 { rest = rest.dropFirst() }
        let known = [200, 204, 206, 304, 400, 404, 500]
        guard let first = rest.first else { throw RawClientError.malformed("field section", received: "\(block)") }
        if first & 0x80 != 0, (8...14).contains(first & 0x7f) { return known[Int(first & 0x7f) - 8] }
        let index = first & 0x40 != 0 ? first & 0x3f : first & 0x0f
        guard (8...14).contains(index), rest.count >= 2 else { throw RawClientError.malformed("field section", received: "\(block)") }
        let length = rest[rest.startIndex + 1]
        let value = rest.dropFirst(2).prefix(Int(length & 0x7f))
        let digits = length & 0x80 == 0 ? String(decoding: value, as: UTF8.self) : coded(Array(value))
        guard let status = Int(digits) else { throw RawClientError.malformed("status \(digits)", received: "\(block)") }
        return status
    }

    /// Three digits in the Huffman code: 0 to 2 have five bits, the others six (RFC 7541 appendix B).
    private static func coded(_ bytes: [UInt8]) -> String {
        var bits = bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << UInt32(32 - 8 * bytes.count)
        var digits = ""
        for _ in 0..<3 {
            let short = bits >> 27
            digits += "\(short <= 2 ? short : (bits >> 26) - 0x16)"
            bits <<= short <= 2 ? 5 : 6
        }
        return digits
    }

    // MARK: waiting

    /// Reads until the stream has ended, by the answer's end or by a reset.
    package func answer(_ stream: UInt32) throws -> HTTP2Answer {
        while true {
            if let answer = answers[stream], answer.hasEnded || answer.resetCode != nil { return answer }
            guard try next() != nil else { throw RawClientError.closedEarly(received: "stream \(stream): \(answers[stream] as Any), \(goAways)") }
        }
    }

    /// Sends a request and reads its answer.
    package func ask(_ stream: UInt32, _ method: String = "GET", _ path: String = "/", _ fields: [(String, String)] = []) throws -> HTTP2Answer {
        try send(FrameClient.request(stream, method, path, fields))
        return try answer(stream)
    }

    /// Returns when the server has taken up everything sent so far: it answers a PING in turn.
    package func synchronise() throws {
        let before = pongs
        try send(HTTP2Frame(HTTP2Frame.Kind.ping, [1, 2, 3, 4, 5, 6, 7, 8]))
        while pongs == before {
            guard try next() != nil else { throw RawClientError.closedEarly(received: "\(goAways)") }
        }
    }

    /// Reads until GOAWAY with an error, or the end. A reset behind GOAWAY is the end too: a server that was flooded has not read it all.
    package func readToGoAway() throws -> HTTP2Frame? {
        do { while goAways.last.map({ $0.errorCode == 0 }) ?? true, try next() != nil {} } catch RawClientError.reset {}
        return goAways.last
    }

    /// Reads to the orderly end.
    package func readToEnd() throws { while try next() != nil {} }
}
