// ResponseParser: reads a server's bytes as the strictest client would (RFC 9112). Bytes in, a response out; shares no code with the server, so that no
// mistake of its encoder can hide. Called by TestConnection with whatever has arrived.

internal import UringHTTP

package struct ResponseParser {
    enum Phase: Equatable {
        case head
        case counted(Int)
        case chunkSize
        case chunk(Int)
        case chunkEnd
        case trailers
        case untilClose
        case complete
    }

    /// The request was HEAD: no content follows, whatever the fields say.
    let isHead: Bool
    private(set) var phase = Phase.head
    package private(set) var response = TestResponse(.ok)
    /// Status and fields are there.
    private(set) var hasHead = false
    private var length: Int?
    private var isChunked = false
    private var dates = 0

    /// More than any server's head: what is longer has no end.
    private static let headBytesMax = 256 * 1024
    /// Largest chunk size in hexadecimal digits that fits an Int.
    private static let chunkDigitsMax = 15

    package init(isHead: Bool) { self.isHead = isHead }

    package var isComplete: Bool { phase == .complete }

    /// Takes what belongs to this response from the front of `input`.
    /// - Parameter ended: nothing will come behind `input`: the server has closed in order.
    package mutating func consume(_ input: inout ArraySlice<UInt8>, ended: Bool) throws {
        while true {
            switch phase {
            case .complete: return
            case .head:
                guard let lines = try Self.section(&input) else { return }
                try readHead(lines)
            case .counted(let left):
                guard !input.isEmpty else { return }
                let count = take(&input, left)
                phase = count == left ? .complete : .counted(left - count)
            case .chunkSize:
                guard let line = try Self.line(&input) else { return }
                let size = try Self.chunkSize(line)
                phase = size == 0 ? .trailers : .chunk(size)
            case .chunk(let left):
                guard !input.isEmpty else { return }
                let count = take(&input, left)
                phase = count == left ? .chunkEnd : .chunk(left - count)
            case .chunkEnd:
                guard input.count >= 2 else { return }
                guard input.starts(with: [13, 10]) else { throw TestFailure("no CR LF behind a chunk, but \(TestBytes(input.prefix(16)))") }
                input.removeFirst(2)
                phase = .chunkSize
            case .trailers:
                guard let lines = try Self.section(&input, isTrailer: true) else { return }
                for line in lines { try readTrailer(line) }
                phase = .complete
            case .untilClose:
                _ = take(&input, input.count)
                if ended { phase = .complete }
                return
            }
        }
    }

    private mutating func take(_ input: inout ArraySlice<UInt8>, _ most: Int) -> Int {
        let count = min(most, input.count)
        response.body.bytes += input.prefix(count)
        input.removeFirst(count)
        return count
    }

    // MARK: head

    private mutating func readHead(_ lines: [String]) throws {
        let status = try Self.status(lines.first ?? "")
        var final = TestResponse(status)
        final.interim = response.interim
        response = final
        (length, isChunked, dates) = (nil, false, 0)
        for line in lines.dropFirst() {
            let field = try Self.field(line)
            try readField(field)
            response.headers.add(field.name, field.value)
        }
        if status.forbidsContent, status.code != 304, length != nil || isChunked {
            throw TestFailure("\(status) with Content-Length or Transfer-Encoding (RFC 9110 section 8.6, RFC 9112 section 6.1)")
        }
        if status.isInformational, status != .switchingProtocols {
            response.interim.append(status)
            return
        }
        guard dates == 1 || status == .switchingProtocols else { throw TestFailure("\(dates) Date fields in \(status)") }
        if length != nil, isChunked { throw TestFailure("both Content-Length and Transfer-Encoding in \(status)") }
        hasHead = true
        if isHead || status.forbidsContent { phase = .complete }
        else if isChunked { phase = .chunkSize }
        else if let length { phase = length == 0 ? .complete : .counted(length) }
        else if response.closesConnection { phase = .untilClose }
        else { throw TestFailure("\(status) has neither length nor chunked coding, on a connection that stays open") }
    }

    private mutating func readField(_ field: TestHeaders.Field) throws {
        switch field.name.lowercased() {
        case "content-length":
            guard length == nil, let count = Int(field.value), count >= 0, field.value.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }) else {
                throw TestFailure("Content-Length '\(field.value)'\(length == nil ? "" : ", a second one")")
            }
            length = count
        case "transfer-encoding":
            guard field.value == "chunked", !isChunked else { throw TestFailure("Transfer-Encoding '\(field.value)'") }
            isChunked = true
        case "connection":
            if field.value.lowercased().split(separator: ",").contains(where: { $0.filter { $0 != " " } == "close" }) { response.closesConnection = true }
        case "date":
            dates += 1
            guard field.value.utf8.count == 29, field.value.hasSuffix(" GMT") else { throw TestFailure("Date '\(field.value)'") }
        default: break
        }
    }

    private mutating func readTrailer(_ line: String) throws {
        let field = try Self.field(line)
        if ["content-length", "transfer-encoding", "host", "connection", "trailer"].contains(field.name.lowercased()) {
            throw TestFailure("\(field.name) as trailer (RFC 9110 section 6.5.1)")
        }
        response.trailers.add(field.name, field.value)
    }
}

// MARK: lines

extension ResponseParser {
    /// A section of lines up to the empty one; nil when it is not all there.
    private static func section(_ input: inout ArraySlice<UInt8>, isTrailer: Bool = false) throws -> [String]? {
        var rest = input
        var lines: [String] = []
        while true {
            guard let line = try line(&rest) else { return nil }
            if line.isEmpty {
                guard isTrailer || !lines.isEmpty else { throw TestFailure("an empty line in front of a response") }
                input = rest
                return lines
            }
            lines.append(line)
        }
    }

    /// A line without its CR LF; nil when it is not all there.
    private static func line(_ input: inout ArraySlice<UInt8>) throws -> String? {
        guard let newline = input.firstIndex(of: 10) else {
            guard input.count <= headBytesMax else { throw TestFailure("a line of more than \(headBytesMax) bytes: \(TestBytes(input.prefix(32)))…") }
            return nil
        }
        let bytes = input[..<newline]
        guard bytes.last == 13 else { throw TestFailure("a line that ends without CR: \(TestBytes(bytes.prefix(80)))") }
        let text = bytes.dropLast()
        guard text.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 9 }) else { throw TestFailure("a control character in the line \(TestBytes(text.prefix(80)))") }
        input = input[(newline + 1)...]
        return String(decoding: text, as: UTF8.self)
    }

    private static func status(_ line: String) throws -> HTTPStatus {
        let bytes = Array(line.utf8)
        let digits = bytes.dropFirst(9).prefix(3)
        guard line.hasPrefix("HTTP/1.1 "), bytes.count >= 13, bytes[12] == 32, digits.allSatisfy({ $0 >= 48 && $0 <= 57 }),
            let status = Int(String(decoding: digits, as: UTF8.self)).flatMap(HTTPStatus.init(checked:))
        else { throw TestFailure("'\(line)' is no status line") }
        return status
    }

    private static func field(_ line: String) throws -> TestHeaders.Field {
        let bytes = Array(line.utf8)
        guard let colon = bytes.firstIndex(of: 58), colon > 0, bytes[..<colon].allSatisfy(isToken) else { throw TestFailure("'\(line)' is no field line") }
        var value = bytes[(colon + 1)...]
        while let first = value.first, first == 32 || first == 9 { value.removeFirst() }
        while let last = value.last, last == 32 || last == 9 { value.removeLast() }
        return TestHeaders.Field(name: String(decoding: bytes[..<colon], as: UTF8.self), value: String(decoding: value, as: UTF8.self))
    }

    private static func chunkSize(_ line: String) throws -> Int {
        let isHexadecimal = line.utf8.allSatisfy { $0 >= 48 && $0 <= 57 || $0 >= 65 && $0 <= 70 || $0 >= 97 && $0 <= 102 }
        guard isHexadecimal, line.utf8.count <= chunkDigitsMax, let size = Int(line, radix: 16) else { throw TestFailure("'\(line)' is no chunk size") }
        return size
    }

    /// RFC 9110 section 5.6.2.
    static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case 48...57, 65...90, 97...122: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}
