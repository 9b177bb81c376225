// A client that knows nothing of HTTP but the reading of responses: what a test writes is what goes over the wire.
// Owns one socket, closes it with itself; used by one test on one thread.

import Glibc

/// Why a client did not get what it waited for. The bytes that did arrive are in it, for the test's message.
package enum RawClientError: Error, Hashable, CustomStringConvertible {
    case connect(endpoint: String, errno: Int32)
    /// Nothing more came before the deadline.
    case timedOut(received: String)
    /// The peer reset the connection (ECONNRESET, EPIPE).
    case reset(received: String)
    /// The peer closed in the middle of what was waited for.
    case closedEarly(received: String)
    /// What arrived is not an HTTP/1 response.
    case malformed(String, received: String)
    case system(call: String, errno: Int32)

    package var description: String {
        switch self {
        case .connect(let endpoint, let errno): "cannot connect to \(endpoint): errno \(errno)"
        case .timedOut(let received): "nothing more came; so far: \(received.debugDescription)"
        case .reset(let received): "the server reset the connection after: \(received.debugDescription)"
        case .closedEarly(let received): "the server closed after: \(received.debugDescription)"
        case .malformed(let problem, let received): "\(problem) in: \(received.debugDescription)"
        case .system(let call, let errno): "\(call): errno \(errno)"
        }
    }
}

/// One connection to a server under test.
package final class RawClient {
    /// 20 s: far beyond any answer of a healthy server on a busy machine, so that only a server that hangs meets it.
    package static let defaultTimeoutMs: Int32 = 20_000

    private let socket: Int32
    private let timeoutMs: Int32
    private let isUnix: Bool
    /// Received and not yet consumed.
    var input: [UInt8] = []

    package init(_ endpoint: Endpoint, timeoutMs: Int32 = defaultTimeoutMs) throws {
        self.timeoutMs = timeoutMs
        switch endpoint {
        case .ipv4(let host, let port): socket = try RawClient.connectIPv4(host, port)
        case .ipv6(let host, let port): socket = try RawClient.connectIPv6(host, port)
        case .unix(let path): socket = try RawClient.connectUnix(path)
        }
        if case .unix = endpoint { isUnix = true } else { isUnix = false }
    }

    deinit {
        close(socket)
    }

    // MARK: Writing

    /// Sends all bytes, waiting while the socket is full.
    package func send(_ bytes: some Sequence<UInt8>) throws {
        let bytes = Array(bytes)
        var sent = 0
        while sent < bytes.count {
            // The array owns the bytes through the call.
            let result = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.send(socket, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
            if result >= 0 {
                sent += result
            } else if errno == EAGAIN {
                try wait(for: Int16(POLLOUT))
            } else if errno != EINTR {
                throw errno == EPIPE || errno == ECONNRESET
                    ? RawClientError.reset(received: text(of: input)) : RawClientError.system(call: "send", errno: errno)
            }
        }
    }

    /// Sends what the socket takes, giving up when it takes nothing for `patienceMs`; answers how many bytes went.
    package func sendUntilHeldBack(_ bytes: [UInt8], patienceMs: Int32) throws -> Int {
        var sent = 0
        while sent < bytes.count {
            // The array owns the bytes through the call.
            let result = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.send(socket, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
            if result >= 0 {
                sent += result
            } else if errno == EAGAIN {
                var poller = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
                // The kernel writes the entry during the call only.
                if unsafe poll(&poller, 1, patienceMs) == 0 { return sent }
            } else if errno != EINTR {
                throw RawClientError.system(call: "send", errno: errno)
            }
        }
        return sent
    }

    /// Sends text whose characters stand for bytes (ISO 8859-1), so that any byte can be written as `\u{ff}`.
    package func send(_ text: String) throws {
        try send(RawClient.bytes(text))
    }

    /// The bytes of ISO 8859-1 text.
    package static func bytes(_ text: String) -> [UInt8] {
        text.unicodeScalars.map { scalar in
            precondition(scalar.value < 256, "BUG: \(scalar) is not one byte")
            return UInt8(scalar.value)
        }
    }

    /// Ends this direction (FIN); answers can still be read.
    package func finishSending() {
        shutdown(socket, Int32(SHUT_WR))
    }

    /// Makes the close a reset (RST) instead of an orderly end.
    package func resetOnClose() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        // The kernel reads the value during the call only.
        _ = unsafe setsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
    }

    /// Returns when the server has taken every byte sent so far out of the socket, so that what is sent next is a separate arrival.
    /// Unix sockets only: there alone the kernel tells the sender (SIOCOUTQ, unix(7)); for TCP it tells what was acknowledged.
    package func waitUntilTaken() throws {
        precondition(isUnix, "BUG: only unix sockets tell")
        let deadline = RawClient.now() + Int64(timeoutMs) * 1_000_000
        var waiting: Int32 = 0
        repeat {
            // The kernel writes the value during the call only.
            guard unsafe ioctl(socket, UInt(TIOCOUTQ), &waiting) == 0 else { throw RawClientError.system(call: "ioctl(SIOCOUTQ)", errno: errno) }
            if waiting == 0 { return }
            sched_yield()
        } while RawClient.now() < deadline
        throw RawClientError.timedOut(received: text(of: input))
    }

    // MARK: Reading

    /// Everything up to an orderly end of the connection; a reset is an error.
    package func readToEnd() throws -> [UInt8] {
        var isOpen = true
        while isOpen { isOpen = try receive() }
        defer { input = [] }
        return input
    }

    /// The next bytes, as many as asked for.
    package func readSome(_ count: Int) throws -> [UInt8] {
        while input.count < count {
            guard try receive() else { throw RawClientError.closedEarly(received: text(of: input)) }
        }
        defer { input.removeFirst(count) }
        return Array(input.prefix(count))
    }

    /// What has arrived, at least one byte; empty at an orderly end.
    package func readAvailable() throws -> [UInt8] {
        if input.isEmpty { _ = try receive() }
        defer { input = [] }
        return input
    }

    /// Reads more into `input`; false at an orderly end.
    func receive() throws -> Bool {
        try wait(for: Int16(POLLIN))
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        // The array owns the bytes through the call.
        let result: Int = unsafe chunk.withUnsafeMutableBytes { unsafe recv(socket, $0.baseAddress, $0.count, 0) }
        guard result >= 0 else {
            throw errno == ECONNRESET ? RawClientError.reset(received: text(of: input)) : RawClientError.system(call: "recv", errno: errno)
        }
        input += chunk.prefix(result)
        return result > 0
    }

    private func wait(for events: Int16) throws {
        var request = pollfd(fd: socket, events: events, revents: 0)
        // The kernel writes the request during the call only.
        let result = unsafe poll(&request, 1, timeoutMs)
        if result == 0 { throw RawClientError.timedOut(received: text(of: input)) }
        if result < 0, errno != EINTR { throw RawClientError.system(call: "poll", errno: errno) }
    }

    func text(of bytes: some Collection<UInt8>) -> String {
        String(decoding: bytes.prefix(2000), as: UTF8.self)
    }

    private static func now() -> Int64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    // MARK: Connecting

    private static func connectIPv4(_ host: String, _ port: UInt16) throws -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        guard unsafe inet_pton(AF_INET, host, &address.sin_addr) == 1 else { throw RawClientError.connect(endpoint: host, errno: EINVAL) }
        return try connect(AF_INET, &address, MemoryLayout<sockaddr_in>.size, "\(host):\(port)")
    }

    private static func connectIPv6(_ host: String, _ port: UInt16) throws -> Int32 {
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = port.bigEndian
        guard unsafe inet_pton(AF_INET6, host, &address.sin6_addr) == 1 else { throw RawClientError.connect(endpoint: host, errno: EINVAL) }
        return try connect(AF_INET6, &address, MemoryLayout<sockaddr_in6>.size, "[\(host)]:\(port)")
    }

    private static func connectUnix(_ path: String) throws -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { throw RawClientError.connect(endpoint: path, errno: ENAMETOOLONG) }
        // The address is a local value; its path is filled within the closure.
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        return try connect(AF_UNIX, &address, MemoryLayout<sockaddr_un>.size, path)
    }

    private static func connect<Address>(_ family: Int32, _ address: inout Address, _ size: Int, _ name: String) throws -> Int32 {
        let socket = Glibc.socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { throw RawClientError.system(call: "socket", errno: errno) }
        // The kernel reads the address during the call only.
        let result = unsafe withUnsafeBytes(of: &address) {
            unsafe Glibc.connect(socket, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(size))
        }
        guard result == 0 else {
            let code = errno
            close(socket)
            throw RawClientError.connect(endpoint: name, errno: code)
        }
        var one: Int32 = 1
        // Every send is an arrival of its own where the server is quick enough.
        if family != AF_UNIX { _ = unsafe setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4) }
        return socket
    }
}
