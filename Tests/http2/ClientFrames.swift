// The client's side of the wire for tests, written from RFC 9113 and RFC 7541 without the code under test.

/// Bytes that a client sends.
enum Client {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    static func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
        let length = payload.count
        return [UInt8(length >> 16), UInt8(length >> 8 & 255), UInt8(length & 255), type, flags] + big(stream) + payload
    }

    static func big(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }

    static func settings(_ values: [(UInt16, UInt32)] = []) -> [UInt8] {
        frame(4, values.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 255)] + big($0.1) })
    }
    static let settingsAck = frame(4, flags: 1)
    /// The preface and empty settings.
    static var hello: [UInt8] { preface + settings() }

    static func ping(_ byte: UInt8 = 7, ack: Bool = false) -> [UInt8] { frame(6, flags: ack ? 1 : 0, [UInt8](repeating: byte, count: 8)) }
    static func windowUpdate(_ stream: UInt32, _ increment: UInt32) -> [UInt8] { frame(8, stream: stream, big(increment)) }
    static func reset(_ stream: UInt32, _ code: UInt32 = 8) -> [UInt8] { frame(3, stream: stream, big(code)) }
    static func priorityUpdate(_ stream: UInt32, _ value: String) -> [UInt8] { frame(0x10, big(stream) + Array(value.utf8)) }

    static func headers(_ stream: UInt32, _ block: [UInt8], end: Bool = true, endHeaders: Bool = true) -> [UInt8] {
        frame(1, flags: (end ? 1 : 0) | (endHeaders ? 4 : 0), stream: stream, block)
    }
    static func continuation(_ stream: UInt32, _ block: [UInt8], endHeaders: Bool = true) -> [UInt8] {
        frame(9, flags: endHeaders ? 4 : 0, stream: stream, block)
    }
    static func data(_ stream: UInt32, _ bytes: [UInt8], end: Bool = false, padding: Int? = nil) -> [UInt8] {
        guard let padding else { return frame(0, flags: end ? 1 : 0, stream: stream, bytes) }
        return frame(0, flags: (end ? 1 : 0) | 8, stream: stream, [UInt8(padding)] + bytes + [UInt8](repeating: 0, count: padding))
    }
    static func data(_ stream: UInt32, _ text: String, end: Bool = false) -> [UInt8] { data(stream, Array(text.utf8), end: end) }

    /// Literal fields without indexing and without Huffman coding.
    static func block(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { [0x00] + string($0.0) + string($0.1) }
    }
    static func string(_ text: String) -> [UInt8] { integer(text.utf8.count) + Array(text.utf8) }
    private static func integer(_ value: Int) -> [UInt8] {
        guard value >= 127 else { return [UInt8(value)] }
        var rest = value - 127
        var bytes: [UInt8] = [127]
        while rest >= 128 {
            bytes.append(UInt8(rest & 127) | 128)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    static func fields(_ method: String = "GET", _ path: String = "/", more: [(String, String)] = []) -> [(String, String)] {
        [(":method", method), (":scheme", "https"), (":authority", "example.com"), (":path", path)] + more
    }
    static func request(_ stream: UInt32, _ method: String = "GET", _ path: String = "/", more: [(String, String)] = [], end: Bool = true) -> [UInt8] {
        headers(stream, block(fields(method, path, more: more)), end: end)
    }
}

/// A frame as it stands on the wire.
struct WireFrame: Equatable, CustomStringConvertible {
    var type: UInt8
    var flags: UInt8
    var stream: UInt32
    var payload: [UInt8]

    /// Splits bytes into frames; what is left over must be nothing.
    static func parse(_ bytes: [UInt8]) -> [WireFrame] {
        var frames: [WireFrame] = []
        var at = 0
        while at + 9 <= bytes.count {
            let length = Int(bytes[at]) << 16 | Int(bytes[at + 1]) << 8 | Int(bytes[at + 2])
            let stream = bytes[at + 5..<at + 9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            guard at + 9 + length <= bytes.count else { break }
            frames.append(WireFrame(type: bytes[at + 3], flags: bytes[at + 4], stream: stream, payload: Array(bytes[at + 9..<at + 9 + length])))
            at += 9 + length
        }
        precondition(at == bytes.count, "output is not whole frames")
        return frames
    }

    func number(at offset: Int = 0) -> UInt32 { payload[offset..<offset + 4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } }

    var description: String {
        switch type {
        case 0: "DATA \(stream) \(payload.count)\(flags & 1 == 1 ? " end" : "")"
        case 1: "HEADERS \(stream)\(flags & 1 == 1 ? " end" : "")"
        case 3: "RST_STREAM \(stream) \(number())"
        case 4: flags & 1 == 1 ? "SETTINGS ack" : "SETTINGS"
        case 6: flags & 1 == 1 ? "PING ack" : "PING"
        case 7: "GOAWAY \(number()) \(number(at: 4))"
        case 8: "WINDOW_UPDATE \(stream) \(number())"
        case 9: "CONTINUATION \(stream)"
        default: "frame \(type)"
        }
    }
}
