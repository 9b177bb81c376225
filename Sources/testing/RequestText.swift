// RequestText: requests as they go over the wire. Called by TestConnection and TestExchange.

internal import UringHTTP

/// The body of a request that a test sends.
public enum TestRequestBody: Sendable {
    /// No body, and no field that speaks of one.
    case none
    /// Sent with the head, with its `content-length`.
    case whole(TestBytes)
    /// So many bytes follow by `TestExchange.send`.
    case length(Int)
    /// Pieces follow by `TestExchange.send`, a chunk each, and the end by `TestExchange.finish`.
    case chunked
}

enum RequestText {
    static func head(_ method: HTTPMethod, _ target: String, _ headers: TestHeaders, _ body: TestRequestBody) throws -> [UInt8] {
        guard method != .other else { throw TestFailure("a method without a name: send the request's bytes with TestConnection.send") }
        guard !target.isEmpty, target.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) else {
            throw TestFailure("'\(target)' is no request target: spaces are written %20; malformed requests are sent as bytes, with TestConnection.send")
        }
        var text = "\(method.name) \(target) HTTP/1.1\r\n"
        // First, as RFC 9110 section 7.2 wants it.
        if headers["host"] == nil { text += "host: test\r\n" }
        for field in headers { text += try line(field) }
        if headers["content-length"] == nil, headers["transfer-encoding"] == nil {
            switch body {
            case .none: break
            case .whole(let bytes): text += "content-length: \(bytes.count)\r\n"
            case .length(let count): text += "content-length: \(count)\r\n"
            case .chunked: text += "transfer-encoding: chunked\r\n"
            }
        }
        return Array((text + "\r\n").utf8)
    }

    private static func line(_ field: TestHeaders.Field) throws -> String {
        guard !field.name.isEmpty, field.name.utf8.allSatisfy(ResponseParser.isToken) else { throw TestFailure("'\(field.name)' is no field name") }
        guard field.value.utf8.allSatisfy({ $0 != 13 && $0 != 10 && $0 != 0 }) else {
            throw TestFailure("the value of \(field.name) contains CR, LF or NUL: malformed requests are sent as bytes, with TestConnection.send")
        }
        return "\(field.name): \(field.value)\r\n"
    }

    static func chunk(_ bytes: TestBytes) -> [UInt8] {
        bytes.isEmpty ? [] : Array("\(String(bytes.count, radix: 16))\r\n".utf8) + bytes.bytes + [13, 10]
    }

    static func lastChunk(_ trailers: TestHeaders) throws -> [UInt8] { Array(("0\r\n" + (try trailers.map(line).joined()) + "\r\n").utf8) }
}
