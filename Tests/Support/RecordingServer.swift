// RecordingServer: a server made of threads and blocking sockets that notes what it was sent, byte for byte, and answers what a test says. It parses as little as it can: to
// find where a request ends, strictly, so that whatever a proxy smuggles shows up as another request.

import Glibc
import UringBase

/// What a `RecordingServer` does with a request.
package enum ServerAct: Sendable {
    case send(String)
    case sendBytes([UInt8])
    case pause(milliseconds: UInt32)
    /// Closes with FIN.
    case close
    /// Closes with RST.
    case reset
    /// Sends back what comes, until the peer ends.
    case echo
    /// Says nothing more, until the peer ends.
    case hang

    /// A response with a body of known length.
    package static func answer(_ status: Int = 200, _ body: String = "", _ fields: String...) -> ServerAct {
        let lines = fields.map { $0 + "\r\n" }.joined()
        return .send("HTTP/1.1 \(status) Whatever\r\nContent-Length: \(body.utf8.count)\r\n\(lines)\r\n\(body)")
    }
}

package struct RecordedRequest: Sendable {
    /// Of the server's connections, from 0.
    package let connection: Int
    /// Request line and field lines, as they came, without the empty line.
    package let head: String
    /// As it came, chunked coding included.
    package let body: [UInt8]

    package var line: String { head.split(separator: "\r\n", omittingEmptySubsequences: false).first.map(String.init) ?? "" }
    package func values(_ name: String) -> [String] {
        head.components(separatedByCRLF: ()).dropFirst().compactMap { line in
            guard let colon = line.firstIndex(of: ":"), line[..<colon].lowercased() == name.lowercased() else { return nil }
            return String(line[line.index(after: colon)...].drop { $0 == " " })
        }
    }
    package var text: String { String(decoding: body, as: UTF8.self) }
}

extension String {
    fileprivate func components(separatedByCRLF: Void) -> [Substring] {
        var parts: [Substring] = []
        var rest = self[...]
        while let end = rest.firstIndex(of: "\r\n") {
            parts.append(rest[..<end])
            rest = rest[rest.index(after: end)...]
        }
        return parts + [rest]
    }
}

package final class RecordingServer: Sendable {
    package typealias Script = @Sendable (RecordedRequest, Int) -> [ServerAct]

    package let port: UInt16
    private let door: Door
    private let state = Locked<(requests: [RecordedRequest], connections: Int, ended: Int)>(([], 0, 0))

    package var requests: [RecordedRequest] { state.withLock { $0.requests } }
    package var connections: Int { state.withLock { $0.connections } }
    /// Connections that have ended, by either side.
    package var ended: Int { state.withLock { $0.ended } }

    /// - Parameters:
    ///   - script: what to do with a request and its number, from 0, of all connections.
    ///   - address: of the loopback, host order.
    package init(port: UInt16 = 0, address host: UInt32 = 0x7f00_0001, _ script: @escaping Script) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let door = Door(listener)
        self.door = door
        var on: Int32 = 1
        unsafe setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = host.bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        // The address is the calls' own.
        let bound = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(listener, $0, length) == 0 && listen(listener, 64) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        guard bound else { throw RawClientError.system(call: "bind", errno: errno) }
        self.port = UInt16(bigEndian: address.sin_port)
        start { [weak self] in
            defer { door.close() }
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                guard let server = self else {
                    close(connection)
                    return
                }
                let number = server.state.withLock { state in
                    state.connections += 1
                    return state.connections - 1
                }
                start { [weak server] in Peer(connection, number).serve(server, script) }
            }
        }
    }

    deinit { stop() }

    /// A port of the loopback that nobody has just now, for programs that cannot choose one.
    package static func freePort() throws -> UInt16 { try RecordingServer { _, _ in [] }.port }

    /// Takes no further connections.
    package func stop() { door.shut() }

    fileprivate func end() { state.withLock { $0.ended += 1 } }

    fileprivate func record(_ request: RecordedRequest) -> Int {
        state.withLock { state in
            state.requests.append(request)
            return state.requests.count - 1
        }
    }
}

/// A listening socket. The thread that accepts closes it, and nobody else: its number may be another's the moment after.
private final class Door: Sendable {
    private let fd: Locked<Int32?>

    init(_ fd: Int32) { self.fd = Locked(fd) }

    /// Connections are refused from here on, and the thread that accepts ends.
    func shut() { fd.withLock { if let fd = $0 { shutdown(fd, Int32(SHUT_RDWR)) } } }

    func close() {
        fd.withLock { fd in
            if let fd { Glibc.close(fd) }
            fd = nil
        }
    }
}

private final class Start {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

private func start(_ body: @escaping @Sendable () -> Void) {
    var thread = pthread_t()
    let box = unsafe Unmanaged.passRetained(Start(body)).toOpaque()
    // The thread takes the box over.
    let code = unsafe pthread_create(&thread, nil, { box in
        let start = unsafe Unmanaged<Start>.fromOpaque(box!).takeRetainedValue()
        start.body()
        return nil
    }, box)
    precondition(code == 0, "no thread")
    pthread_detach(thread)
}

/// One connection, on its thread.
private final class Peer {
    private let fd: Int32
    private let number: Int
    private var input: [UInt8] = []

    init(_ fd: Int32, _ number: Int) { (self.fd, self.number) = (fd, number) }

    func serve(_ server: RecordingServer?, _ script: RecordingServer.Script) {
        weak let server = server
        var isOpen = true
        while isOpen, let request = read(), let live = server {
            let count = live.record(request)
            for act in script(request, count) where isOpen { isOpen = perform(act) }
        }
        if isOpen { close(fd) }
        server?.end()
    }

    private func perform(_ act: ServerAct) -> Bool {
        switch act {
        case .send(let text): return send(RawClient.bytes(text))
        case .sendBytes(let bytes): return send(bytes)
        case .pause(let milliseconds):
            usleep(milliseconds * 1000)
            return true
        case .close:
            shutdown(fd, Int32(SHUT_RDWR))
            close(fd)
            return false
        case .reset:
            var option = linger(l_onoff: 1, l_linger: 0)
            unsafe setsockopt(fd, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
            close(fd)
            return false
        case .echo:
            if !input.isEmpty { guard send(input) else { return true } }
            input = []
            while fill() {
                guard send(input) else { break }
                input = []
            }
            return true
        case .hang:
            while fill() {}
            return true
        }
    }

    private func send(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            // The slice owns the bytes through the call.
            let sent = unsafe rest.withUnsafeBytes { unsafe Glibc.send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard sent > 0 else { return false }
            rest = rest.dropFirst(sent)
        }
        return true
    }

    private func fill() -> Bool {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = unsafe recv(fd, &chunk, chunk.count, 0)
        guard count > 0 else { return false }
        input += chunk.prefix(count)
        return true
    }

    private func read() -> RecordedRequest? {
        let end = Array("\r\n\r\n".utf8)
        var headEnd: Int?
        while true {
            headEnd = input.indices.first { input[$0...].starts(with: end) }
            if headEnd != nil { break }
            guard fill() else { return nil }
        }
        guard let headEnd else { return nil }
        let head = String(decoding: input[..<headEnd], as: UTF8.self)
        input.removeFirst(headEnd + 4)
        let probe = RecordedRequest(connection: number, head: head, body: [])
        var body: [UInt8] = []
        if probe.values("transfer-encoding").contains(where: { $0.lowercased() == "chunked" }) {
            let last = Array("0\r\n".utf8)
            // Good for tests' bodies, which have no such line in them.
            while !(input.starts(with: last) || contains(Array("\r\n0\r\n".utf8))) || !endsWithEmptyLine() { guard fill() else { return nil } }
            body = input
            input = []
        } else if let length = probe.values("content-length").first.flatMap({ Int($0) }) {
            while input.count < length { guard fill() else { return nil } }
            body = Array(input.prefix(length))
            input.removeFirst(length)
        }
        return RecordedRequest(connection: number, head: head, body: body)
    }

    private func contains(_ bytes: [UInt8]) -> Bool { input.indices.contains { input[$0...].starts(with: bytes) } }
    private func endsWithEmptyLine() -> Bool { input.suffix(4).elementsEqual("\r\n\r\n".utf8) }
}
