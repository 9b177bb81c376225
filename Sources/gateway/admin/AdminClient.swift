// AdminClient: asks the administration of a server that runs. Blocking, on the thread of a command (`uringd reload`, `uringd top`); never on a loop's.

internal import Glibc
internal import UringHTTP
internal import UringHTTP1

/// Why there is no answer: a sentence.
package struct AdminFailure: Error, CustomStringConvertible, Sendable {
    package let description: String

    package init(description: String) { self.description = description }
}

/// One request, and its response as it comes. Used by one thread.
package final class AdminConnection {
    /// Longest silence, in seconds: a reload waits for files, names and keys.
    private static let silenceSeconds = 60
    private static let fieldsMax = 100
    private static let receiveBytes = 64 << 10

    /// For those who wait for more than one thing; becomes readable when `receive` has something to do.
    package let descriptor: CInt
    package private(set) var status = 0
    private let address: ListenAddress
    private var reader = ResponseBodyReader(.none)
    /// Received, and not handed out yet.
    private var bytes: [UInt8] = []

    /// Sends a request and waits for the head of its response.
    /// - Parameters:
    ///   - token: of `admin.tokens`.
    ///   - accept: the kind of content that is wanted.
    package init(_ address: ListenAddress, _ method: String, _ path: String, token: String? = nil, accept: String) throws(AdminFailure) {
        self.address = address
        descriptor = try Self.connect(address)
        // Fields of a request end with a line: a token that has one would write further fields.
        if let token, !token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) { throw AdminFailure(description: "the token has characters that a token cannot have") }
        let host = if case .unix = address { "localhost" } else { "\(address)" }
        try send(
            "\(method) \(path) HTTP/1.1\r\nHost: \(host)\r\nAccept: \(accept)\r\nConnection: close\r\n"
                + (token.map { "Authorization: Bearer \($0)\r\n" } ?? "") + (method == "POST" ? "Content-Length: 0\r\n\r\n" : "\r\n"))
        try receiveHead()
    }

    deinit { close(descriptor) }

    // MARK: connecting

    private static func connect(_ address: ListenAddress) throws(AdminFailure) -> CInt {
        var code: CInt = 0
        switch address {
        case .unix(let path):
            var unix = sockaddr_un()
            unix.sun_family = sa_family_t(AF_UNIX)
            let start = MemoryLayout<sa_family_t>.size
            // `ListenAddress` takes no longer path than the kernel does.
            var name = Array(path.utf8)
            let isAbstract = path.hasPrefix("@")
            if isAbstract { name[0] = 0 }
            // The address lives through the calls.
            let descriptor = unsafe withUnsafeMutableBytes(of: &unix) { raw -> CInt in
                unsafe UnsafeMutableRawBufferPointer(rebasing: raw[start...]).copyBytes(from: name)
                return unsafe connect(raw.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(start + name.count + (isAbstract ? 0 : 1)), AF_UNIX, &code)
            }
            if descriptor >= 0 { return descriptor }
        case .ipv4(_, let port), .ipv6(_, _, let port), .name(_, let port):
            var hints = unsafe addrinfo()
            unsafe hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
            var list: UnsafeMutablePointer<addrinfo>?
            let failure = unsafe getaddrinfo(host(of: address), "\(port)", &hints, &list)
            guard failure == 0, let first = unsafe list else { throw AdminFailure(description: "\(address): \(unsafe String(cString: gai_strerror(failure)))") }
            // The list is ours until freeaddrinfo.
            defer { unsafe freeaddrinfo(first) }
            var entry: UnsafeMutablePointer<addrinfo>? = unsafe first
            while let candidate = unsafe entry {
                let descriptor = unsafe connect(candidate.pointee.ai_addr, candidate.pointee.ai_addrlen, candidate.pointee.ai_family, &code)
                if descriptor >= 0 { return descriptor }
                unsafe entry = candidate.pointee.ai_next
            }
        }
        let hint = code == ECONNREFUSED || code == ENOENT ? ": does a server run, with `admin.address` as this?" : ""
        throw AdminFailure(description: "cannot reach the administration at \(address): \(ConfigFileChecks.reason(code))\(hint)")
    }

    /// -1 and the errno when it cannot.
    private static func connect(_ address: UnsafePointer<sockaddr>, _ length: socklen_t, _ family: CInt, _ code: inout CInt) -> CInt {
        let descriptor = socket(family, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        var patience = timeval(tv_sec: silenceSeconds, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            // The value lives through the call; the time for sending bounds connecting too (socket(7)).
            _ = unsafe setsockopt(descriptor, SOL_SOCKET, option, &patience, socklen_t(MemoryLayout<timeval>.size))
        }
        // The caller's address.
        if descriptor >= 0, unsafe Glibc.connect(descriptor, address, length) == 0 { return descriptor }
        code = errno
        if descriptor >= 0 { close(descriptor) }
        return -1
    }

    private static func host(of address: ListenAddress) -> String {
        let text = address.description
        let host = text.lastIndex(of: ":").map { String(text[..<$0]) } ?? text
        return host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
    }

    // MARK: bytes

    private func send(_ text: String) throws(AdminFailure) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            // The slice owns the bytes through the call.
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure("sending to") }
            rest = rest.dropFirst(count)
        }
    }

    /// - Returns: false at the end.
    private func fill() throws(AdminFailure) -> Bool {
        var chunk = [UInt8](repeating: 0, count: Self.receiveBytes)
        while true {
            // The array owns the bytes through the call.
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, 0) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure("receiving from") }
            bytes += chunk.prefix(count)
            return count > 0
        }
    }

    private func failure(_ what: String) -> AdminFailure {
        let code = errno
        return AdminFailure(
            description: code == EAGAIN ? "the administration at \(address) has said nothing for \(Self.silenceSeconds) s" : "\(what) the administration at \(address): \(ConfigFileChecks.reason(code))")
    }

    private var malformed: AdminFailure { AdminFailure(description: "what listens at \(address) does not answer as an administration of uringd does") }

    // MARK: the response

    private func receiveHead() throws(AdminFailure) {
        var scanned = 0
        while true {
            switch parseHead(scanned) {
            case .complete(let head):
                bytes.removeFirst(head.headLength)
                if head.isInterim {
                    scanned = 0
                    continue
                }
                (status, reader) = (Int(head.status.code), ResponseBodyReader(head.framing))
                return
            case .needMore:
                scanned = bytes.count
                guard try fill() else { throw malformed }
            case .malformed: throw malformed
            }
        }
    }

    private enum Head { case complete(ResponseHead), needMore, malformed }

    private func parseHead(_ scanned: Int) -> Head {
        guard !bytes.isEmpty else { return .needMore }
        return unsafe withUnsafeTemporaryAllocation(of: FieldSlot.self, capacity: Self.fieldsMax) { slots in
            // The array owns the bytes, the allocation the slots, through the call.
            unsafe bytes.withUnsafeBufferPointer { input in
                var head = ResponseHead()
                let outcome = unsafe ResponseParser.parse(
                    input.baseAddress!, count: input.count, alreadyScanned: scanned, method: .get, head: &head, fields: slots.baseAddress!, fieldCapacity: Self.fieldsMax,
                    limits: ParserLimits())
                switch outcome {
                case .complete: return .complete(head)
                case .needMore: return .needMore
                case .malformed: return .malformed
                }
            }
        }
    }

    /// Waits for more of the body.
    /// - Returns: what has come, perhaps nothing; nil at the end.
    /// - Throws: also when the response was cut.
    package func receive() throws(AdminFailure) -> [UInt8]? {
        if reader.isDone { return nil }
        var content: [UInt8] = []
        if bytes.isEmpty, try !fill() {
            guard reader.endOfConnection != .truncated else { throw AdminFailure(description: "the server at \(address) has gone") }
            return nil
        }
        while !bytes.isEmpty, !reader.isDone {
            // The array owns the bytes through the call.
            let step = unsafe bytes.withUnsafeBufferPointer { unsafe reader.next($0.baseAddress!, count: $0.count) }
            switch step {
            case .data(let start, let length):
                content += bytes[start..<start + length]
                bytes.removeFirst(start + length)
            case .end: bytes = []
            case .needMore(let consumed):
                bytes.removeFirst(consumed)
                // The beginning of a trailer section.
                if !bytes.isEmpty { guard try fill() else { throw malformed } }
            case .malformed: throw malformed
            }
        }
        return content
    }

    /// Waits for the whole body.
    package func collect() throws(AdminFailure) -> [UInt8] {
        var body: [UInt8] = []
        while let part = try receive() { body += part }
        return body
    }
}

extension JSONValue {
    /// What a server of ours has written; nil when it is not JSON. JSON is read as YAML, of which it is a part.
    package init?(answered bytes: [UInt8]) {
        let document = YAMLDocument.parse(bytes)
        guard let root = document.root, document.diagnostics.isEmpty else { return nil }
        self = root.json { _, _ in }
    }

    package var text: String? {
        if case .string(let text) = self { text } else { nil }
    }
}
