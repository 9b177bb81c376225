// Redirect: the answer of a `redirect` route. Made at start and on each reload, immutable, shared by all loops; answering takes memory of
// the request only.

internal import UringHTTP
package import UringServer

@safe
package final class Redirect: Sendable {
    /// The target with one control byte, which no URL has, in each place of a part of the request.
    private enum Mark {
        static let host: UInt8 = 1
        static let path: UInt8 = 2
        static let query: UInt8 = 3
    }

    // Written in init only, freed in deinit; whoever answers holds this object.
    nonisolated(unsafe) private let target: UnsafeMutableBufferPointer<UInt8>
    private let status: HTTPStatus
    private let needsHost: Bool

    package init(_ configuration: RedirectConfiguration) {
        var bytes: [UInt8] = []
        for part in configuration.target.parts {
            switch part {
            case .literal(let text): bytes += Array(text.utf8)
            case .host: bytes.append(Mark.host)
            case .path: bytes.append(Mark.path)
            case .query: bytes.append(Mark.query)
            }
        }
        unsafe target = .allocate(capacity: bytes.count)
        _ = unsafe target.initialize(from: bytes)
        status = HTTPStatus(UInt16(clamping: configuration.status))
        needsHost = configuration.target.needsHost
    }

    deinit { unsafe target.deallocate() }

    /// Answers one request. On a loop's thread.
    package func respond(to request: borrowing Request, _ response: inout Response) {
        let host = RequestHost.name(in: request.authority.span)
        guard !needsHost || !host.isEmpty else { return response.fail(.badRequest) }
        let path = request.path
        // The query is a part of the target.
        guard var memory = request.scratch(bytesMax(host.count, path.count, request.target.count)) else {
            return response.fail(.internalServerError)
        }
        let count: Int
        if let query = request.query {
            count = write(host: host, path: path.span, query: query.span, hasQuery: true, into: &memory)
        } else {
            count = write(host: host, path: path.span, query: Span(), hasQuery: false, into: &memory)
        }
        response.restart(status)
        response.headers.add("location", ByteView(memory.span.extracting(first: count)))
    }

    /// Room for the target: a part may occur several times, and each of its bytes be escaped.
    func bytesMax(_ host: Int, _ path: Int, _ query: Int) -> Int {
        var count = 0
        for index in unsafe target.indices {
            let byte = unsafe target[index]
            switch byte {
            case Mark.host: count &+= host
            case Mark.path: count &+= 3 &* max(path, 1)
            case Mark.query: count &+= 3 &* query &+ 1
            default: count &+= 1
            }
        }
        return count
    }

    /// Writes the target; `memory` has room for `bytesMax`. Answers the count of bytes.
    func write(host: Span<UInt8>, path: Span<UInt8>, query: Span<UInt8>, hasQuery: Bool, into memory: inout MutableSpan<UInt8>) -> Int {
        var output = TargetOutput()
        for index in unsafe target.indices {
            let byte = unsafe target[index]
            switch byte {
            case Mark.host: for index in 0..<host.count { output.append(host[index], &memory) }
            case Mark.path:
                // `OPTIONS *` is about the server as a whole, which has no path.
                if path.isEmpty || path[0] != UInt8(ascii: "/") { output.append(UInt8(ascii: "/"), &memory) } else { output.escape(path, &memory) }
            case Mark.query:
                guard hasQuery else { continue }
                output.append(UInt8(ascii: "?"), &memory)
                output.escape(query, &memory)
            default: output.append(byte, &memory)
            }
        }
        return output.count
    }
}

/// Bytes appended to a span that is large enough.
private struct TargetOutput {
    var count = 0

    mutating func append(_ byte: UInt8, _ memory: inout MutableSpan<UInt8>) {
        memory[count] = byte
        count &+= 1
    }

    /// A part of the request as it was sent, but for bytes that no URL has (RFC 3986 section 2): browsers would read a backslash as a slash.
    mutating func escape(_ part: Span<UInt8>, _ memory: inout MutableSpan<UInt8>) {
        for index in 0..<part.count {
            let byte = part[index]
            guard Self.needsEscape(byte) else {
                append(byte, &memory)
                continue
            }
            append(UInt8(ascii: "%"), &memory)
            append(Self.hexDigit(byte >> 4), &memory)
            append(Self.hexDigit(byte & 15), &memory)
        }
    }

    private static func needsEscape(_ byte: UInt8) -> Bool {
        switch byte {
        case 0...0x20, 0x7f...0xff, UInt8(ascii: "\""), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "\\"), UInt8(ascii: "^"),
            UInt8(ascii: "`"), UInt8(ascii: "{"), UInt8(ascii: "|"), UInt8(ascii: "}"), UInt8(ascii: "#"):
            true
        default: false
        }
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? UInt8(ascii: "0") &+ value : UInt8(ascii: "A") &+ value &- 10 }
}

/// The host that a request is for.
package enum RequestHost {
    /// Name or address without the port; empty when there is none, or when it is not one that a URL may have.
    @_lifetime(copy authority)
    package static func name(in authority: Span<UInt8>) -> Span<UInt8> {
        let end = portStart(authority)
        guard end > 0, end <= 253 else { return authority.extracting(first: 0) }
        let isAddress = authority[0] == UInt8(ascii: "[")
        if isAddress, end < 4 || authority[end &- 1] != UInt8(ascii: "]") { return authority.extracting(first: 0) }
        for index in (isAddress ? 1 : 0)..<(isAddress ? end &- 1 : end) {
            guard isAddress ? isAddressByte(authority[index]) : isNameByte(authority[index]) else { return authority.extracting(first: 0) }
        }
        // A name that begins with a dot or a hyphen is none (RFC 1123 section 2.1).
        if !isAddress, authority[0] == UInt8(ascii: ".") || authority[0] == UInt8(ascii: "-") { return authority.extracting(first: 0) }
        return authority.extracting(first: end)
    }

    /// Where `:PORT` begins, or the end. A colon without digits is a port too (RFC 3986 section 3.2.3).
    private static func portStart(_ authority: Span<UInt8>) -> Int {
        var index = authority.count
        while index > 0 {
            index &-= 1
            if authority[index] == UInt8(ascii: ":") { return index }
            guard authority[index] >= UInt8(ascii: "0"), authority[index] <= UInt8(ascii: "9") else { break }
        }
        return authority.count
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    private static func isAddressByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: ":"), UInt8(ascii: "."):
            true
        default: false
        }
    }
}
