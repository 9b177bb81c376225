// ResponseReader: reads a server's bytes as a strict client would (RFC 9112). Written for the tests alone, so that a mistake of the
// server's own parser or encoder cannot hide in it.

import Glibc

/// One response, content decoded.
struct ReadResponse: Equatable {
    var status: Int
    /// Field lines in order, names in lower case, `date` left out.
    var fields: [String]
    var body: [UInt8]
    var closes: Bool
    /// Behind a body in chunks.
    var trailers: [String] = []

    func field(_ name: String) -> String? {
        fields.first { $0.hasPrefix(name + ": ") }.map { String($0.dropFirst(name.count + 2)) }
    }
}

enum ReadOutcome {
    /// Not before there are so many bytes is it worth asking again.
    case needsMore(Int)
    /// The response and how many bytes it took.
    case response(ReadResponse, Int)
    case malformed(String)
}

enum ResponseReader {
    /// - Parameters:
    ///   - isHead: the request was HEAD, so no content follows whatever the fields say.
    ///   - ended: the server has closed; nothing follows.
    static func read(_ bytes: ArraySlice<UInt8>, isHead: Bool, ended: Bool) -> ReadOutcome {
        guard let headEnd = endOfHead(bytes) else {
            if bytes.count > 65536 { return .malformed("a head of more than 64 KiB") }
            return .needsMore(bytes.count + 1)
        }
        let text = String(decoding: bytes[bytes.startIndex..<(headEnd - 4)], as: UTF8.self)
        var lines = text.components(separatedBy: "\r\n")
        let statusLine = lines.removeFirst()
        guard statusLine.hasPrefix("HTTP/1.1 "), let status = Int(statusLine.dropFirst(9).prefix(3)), statusLine.dropFirst(12).hasPrefix(" ") else {
            return .malformed("status line '\(statusLine)'")
        }
        var response = ReadResponse(status: status, fields: [], body: [], closes: false)
        var length: Int?
        var isChunked = false
        var dates = 0
        for line in lines {
            guard let colon = line.firstIndex(of: ":"), colon != line.startIndex, !line.contains("\r"), !line.contains("\n") else {
                return .malformed("field line '\(line)'")
            }
            let name = line[..<colon].lowercased()
            let value = String(line[line.index(after: colon)...].drop { $0 == " " })
            switch name {
            case "content-length":
                guard length == nil, let value = Int(value), value >= 0 else { return .malformed("Content-Length '\(value)'") }
                length = value
            case "transfer-encoding":
                guard value == "chunked", !isChunked else { return .malformed("Transfer-Encoding '\(value)'") }
                isChunked = true
            case "connection": response.closes = value.lowercased() == "close"
            case "date":
                dates += 1
                guard value.utf8.count == 29, value.hasSuffix(" GMT") else { return .malformed("Date '\(value)'") }
                continue
            default: break
            }
            response.fields.append("\(name): \(value)")
        }
        if status < 200 { return .response(response, headEnd - bytes.startIndex) }
        guard dates == 1 else { return .malformed("\(dates) Date fields") }
        guard length == nil || !isChunked else { return .malformed("Content-Length and Transfer-Encoding") }
        if isHead || status == 204 || status == 304 { return .response(response, headEnd - bytes.startIndex) }
        if isChunked { return readChunked(bytes, headEnd, response) }
        if let length {
            guard bytes.endIndex - headEnd >= length else { return .needsMore(headEnd + length - bytes.startIndex) }
            response.body = Array(bytes[headEnd..<(headEnd + length)])
            return .response(response, headEnd + length - bytes.startIndex)
        }
        // Neither length nor coding: everything up to the close.
        guard ended else { return .needsMore(.max) }
        response.body = Array(bytes[headEnd...])
        return .response(response, bytes.count)
    }

    private static func endOfHead(_ bytes: ArraySlice<UInt8>) -> Int? {
        var index = bytes.startIndex
        while let newline = bytes[index...].firstIndex(of: 10) {
            if newline - bytes.startIndex >= 3, bytes[newline - 1] == 13, bytes[newline - 2] == 10, bytes[newline - 3] == 13 { return newline + 1 }
            index = newline + 1
        }
        return nil
    }

    private static func readChunked(_ bytes: ArraySlice<UInt8>, _ start: Int, _ head: ReadResponse) -> ReadOutcome {
        var response = head
        var at = start
        while true {
            guard let newline = bytes[at...].firstIndex(of: 10) else { return .needsMore(bytes.count + 1) }
            guard newline > at, bytes[newline - 1] == 13 else { return .malformed("a chunk size without CR LF") }
            let text = String(decoding: bytes[at..<(newline - 1)], as: UTF8.self)
            guard let size = Int(text, radix: 16), size >= 0, !text.hasPrefix("+") else { return .malformed("chunk size '\(text)'") }
            at = newline + 1
            if size == 0 {
                guard bytes.endIndex - at >= 2 else { return .needsMore(bytes.count + 1) }
                if bytes[at] == 13, bytes[at + 1] == 10 { return .response(response, at + 2 - bytes.startIndex) }
                guard let end = endOfHead(bytes[at...]) else { return .needsMore(bytes.count + 1) }
                response.trailers = String(decoding: bytes[at..<(end - 4)], as: UTF8.self).components(separatedBy: "\r\n").map { $0.lowercased() }
                return .response(response, end - bytes.startIndex)
            }
            guard bytes.endIndex - at >= size + 2 else { return .needsMore(at + size + 2 - bytes.startIndex) }
            response.body += bytes[at..<(at + size)]
            guard bytes[at + size] == 13, bytes[at + size + 1] == 10 else { return .malformed("a chunk without CR LF behind it") }
            at += size + 2
        }
    }
}

/// Byte for byte. A generic comparison takes as long in a debug build as the simulation itself.
func isSame(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    // The arrays' memory, for this call.
    guard a.count == b.count, !a.isEmpty else { return a.count == b.count }
    return unsafe memcmp(a, b, a.count) == 0
}

extension String {
    /// Foundation's, for one caller.
    fileprivate func components(separatedBy separator: String) -> [String] {
        var parts: [String] = []
        var rest = self[...]
        while let range = rest.firstRange(of: separator) {
            parts.append(String(rest[..<range.lowerBound]))
            rest = rest[range.upperBound...]
        }
        parts.append(String(rest))
        return parts
    }
}
