// A redis-server of a test's own, and one that only pretends. Used by one test each.

import Foundation
import Glibc
import TestSupport
import Testing
import UringBase

/// Debian's redis-server on a free port of the loopback, without a file of its own; ends with this object.
final class RedisProcess {
    static let path = "/usr/bin/redis-server"
    static var isInstalled: Bool { unsafe access(path, X_OK) == 0 }
    static let skipped: Comment = "SKIPPED: redis-server is not installed"

    let port: UInt16
    private let arguments: [String]
    private var process: ServerProcess?

    /// - Parameter tls: certificate and key.
    init(_ more: [String] = [], tls: (cert: String, key: String)? = nil) throws {
        let common = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1"] + more
        for _ in 0..<20 {
            let port = try RecordingServer.freePort()
            let listen = tls.map { ["--port", "0", "--tls-port", "\(port)", "--tls-cert-file", $0.cert, "--tls-key-file", $0.key, "--tls-auth-clients", "no"] } ?? ["--port", "\(port)"]
            let process = try ServerProcess(listen + common, listeners: 0, binary: Self.path)
            guard (try? process.wait(forOutput: "Ready to accept connections")) != nil, process.isRunning else { continue }
            (self.port, arguments, self.process) = (port, listen + common, process)
            return
        }
        throw ServerProcessError.timedOut(waitingFor: "redis-server on a free port", output: "")
    }

    func send(_ signal: Int32) { process?.send(signal: signal) }

    func kill() throws {
        send(SIGKILL)
        _ = try process?.waitForExit()
        process = nil
    }

    /// Again on the same port, with nothing remembered.
    func start() throws {
        let made = try ServerProcess(arguments, listeners: 0, binary: Self.path)
        try made.wait(forOutput: "Ready to accept connections")
        process = made
    }

    /// What it answers to a line, as it comes.
    func command(_ line: String) throws -> String {
        let client = try RawClient(.ipv4(host: "127.0.0.1", port: port))
        try client.send("\(line)\r\nQUIT\r\n")
        return String(decoding: try client.readToEnd(), as: UTF8.self)
    }

    var keys: [String] { get throws { try command("KEYS *").split(separator: "\r\n").map(String.init).filter { $0.hasPrefix("uringd:") || $0.hasPrefix("edge:") }.sorted() } }
}

/// Answers the same bytes to whatever comes, on each connection.
final class FalseRedis: Sendable {
    let port: UInt16
    private let listener: Int32

    init(_ answer: String) throws {
        let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        // The address lives through the calls.
        let isBound = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(fd, $0, size) == 0 && getsockname(fd, $0, &size) == 0 && listen(fd, 16) == 0 }
        }
        try #require(isBound)
        (listener, port) = (fd, UInt16(bigEndian: address.sin_port))
        let bytes = Array(answer.utf8)
        Thread.detachNewThread {
            while true {
                let connection = accept(fd, nil, nil)
                if connection < 0 { return }
                Thread.detachNewThread {
                    var room = [UInt8](repeating: 0, count: 4096)
                    // Arrays live through the calls.
                    while unsafe read(connection, &room, room.count) > 0 { _ = unsafe send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }
                    close(connection)
                }
            }
        }
    }

    deinit { shutdown(listener, Int32(SHUT_RDWR)) }
}
