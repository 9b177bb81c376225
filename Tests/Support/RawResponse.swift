// A response as it came over the wire, read strictly: what RFC 9112 asks of a sender is checked, nothing is repaired.
// Plain values; made by RawClient on the test's thread.

/// One HTTP/1 response.
package struct RawResponse: Hashable, Sendable {
    package struct Field: Hashable, Sendable {
        package let name: String
        package let value: String
    }

    package let version: String
    package let status: Int
    package let reason: String
    package let fields: [Field]
    package var body: [UInt8] = []
    package var trailers: [Field] = []
    /// The body ended with the connection (RFC 9112 6.3, last rule).
    package var isDelimitedByClose = false

    /// All values of a field, its name compared without case.
    package func values(_ name: String) -> [String] {
        fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
    }

    package func value(_ name: String) -> String? { values(name).first }

    /// Members of a comma-separated field, in lower case.
    package func tokens(_ name: String) -> [String] {
        values(name).joined(separator: ",").split(separator: ",").map { $0.filter { $0 != " " && $0 != "\t" }.lowercased() }
    }

    package var bodyText: String { String(decoding: body, as: UTF8.self) }
}

extension RawClient {
    /// Reads one response, interim ones (1xx) too.
    ///
    /// - Parameter toHead: the request was HEAD: the framing fields announce a body that does not come (RFC 9110 9.3.2).
    package func readResponse(toHead: Bool = false) throws -> RawResponse {
        let head = try readHead()
        var response = try parse(head)
        if toHead || response.status < 200 || response.status == 204 || response.status == 304 { return response }
        let codings = response.tokens("transfer-encoding")
        let lengths = response.values("content-length")
        if !codings.isEmpty, !lengths.isEmpty { throw malformed("Content-Length beside Transfer-Encoding", head) }
        if codings == ["chunked"] {
            try readChunked(into: &response)
        } else if !codings.isEmpty {
            throw malformed("unexpected coding \(codings)", head)
        } else if let text = lengths.first {
            guard lengths.count == 1, let length = Int(text), length >= 0 else { throw malformed("Content-Length \(lengths)", head) }
            response.body = try take(length)
        } else {
            response.isDelimitedByClose = true
            response.body = try readToEnd()
        }
        return response
    }

    /// The final response: interim ones before it are read over.
    package func readFinalResponse(toHead: Bool = false) throws -> RawResponse {
        while true {
            let response = try readResponse(toHead: toHead)
            if response.status >= 200 { return response }
        }
    }

    /// Reads the head of a response that is followed by something else than a body.
    package func readResponseHead() throws -> RawResponse { try parse(try readHead()) }

    private func readHead() throws -> [UInt8] {
        let end = Array("\r\n\r\n".utf8)
        var searched = 0
        while true {
            if let at = input.firstPosition(of: end, from: searched) { return try take(at + end.count) }
            searched = max(input.count - end.count + 1, 0)
            guard try receive() else { throw RawClientError.closedEarly(received: text(of: input)) }
        }
    }

    private func parse(_ head: [UInt8]) throws -> RawResponse {
        var lines = try lines(of: head.dropLast(2))
        // HTTP-version SP status-code SP [ reason-phrase ] (RFC 9112 4)
        let parts = lines.removeFirst().split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == "HTTP/1.1" || parts[0] == "HTTP/1.0", parts[1].utf8.count == 3, let status = Int(parts[1]), status >= 100
        else { throw malformed("status line", head) }
        return RawResponse(
            version: String(parts[0]), status: status, reason: String(parts[2]), fields: try lines.map { try field($0, in: head) })
    }

    private func field(_ line: String, in head: [UInt8]) throws -> RawResponse.Field {
        let token = Set("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
        guard let colon = line.firstIndex(of: ":"), colon != line.startIndex, line[..<colon].allSatisfy(token.contains) else {
            throw malformed("field line \(line.debugDescription)", head)
        }
        var value = line[line.index(after: colon)...]
        while value.first == " " || value.first == "\t" { value.removeFirst() }
        while value.last == " " || value.last == "\t" { value.removeLast() }
        return RawResponse.Field(name: String(line[..<colon]), value: String(value))
    }

    /// Lines that all end with CRLF and hold no other CR or LF.
    private func lines(of bytes: ArraySlice<UInt8>) throws -> [String] {
        var lines: [String] = []
        var rest = bytes
        while !rest.isEmpty {
            guard let end = rest.firstIndex(of: 10), end > rest.startIndex, rest[end - 1] == 13, !rest[..<(end - 1)].contains(13) else {
                throw malformed("a line that does not end with CRLF", Array(bytes))
            }
            lines.append(String(decoding: rest[..<(end - 1)], as: UTF8.self))
            rest = rest[(end + 1)...]
        }
        return lines
    }

    private func readChunked(into response: inout RawResponse) throws {
        while true {
            let line = try readLine()
            let digits = line.prefix { $0 != ";" }
            guard !digits.isEmpty, digits.allSatisfy(\.isHexDigit), let size = Int(digits, radix: 16) else {
                throw malformed("chunk size", Array(line.utf8))
            }
            if size == 0 { break }
            response.body += try take(size)
            guard try take(2) == [13, 10] else { throw malformed("chunk without CRLF behind it", response.body) }
        }
        while true {
            let line = try readLine()
            if line.isEmpty { return }
            response.trailers.append(try field(line, in: Array(line.utf8)))
        }
    }

    private func readLine() throws -> String {
        while true {
            if let end = input.firstIndex(of: 10) {
                let line = try take(end + 1)
                guard line.count >= 2, line[line.count - 2] == 13 else { throw malformed("a line that does not end with CRLF", line) }
                return String(decoding: line.dropLast(2), as: UTF8.self)
            }
            guard try receive() else { throw RawClientError.closedEarly(received: text(of: input)) }
        }
    }

    private func take(_ count: Int) throws -> [UInt8] {
        while input.count < count {
            guard try receive() else { throw RawClientError.closedEarly(received: text(of: input)) }
        }
        defer { input.removeFirst(count) }
        return Array(input.prefix(count))
    }

    private func malformed(_ problem: String, _ bytes: [UInt8]) -> RawClientError {
        .malformed(problem, received: text(of: bytes))
    }
}

extension [UInt8] {
    fileprivate func firstPosition(of needle: [UInt8], from start: Int) -> Int? {
        guard count >= needle.count else { return nil }
        return (start...Swift.max(start, count - needle.count)).first { $0 + needle.count <= count && self[$0..<($0 + needle.count)].elementsEqual(needle) }
    }
}
