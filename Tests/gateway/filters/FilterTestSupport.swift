// A gateway in this process, for tests of filters over the wire.

import Glibc
import TestSupport
import Testing
import UringBase

@testable import UringGateway

/// Serves a configuration on a free port of the loopback until it goes.
final class RunningGateway {
    private final class Lines: Sendable {
        let all = Locked<[String]>([])
    }

    let gateway: Gateway
    let endpoints: [Endpoint]
    var endpoint: Endpoint { endpoints[0] }
    private let lines: Lines
    private let listen: String

    /// Warnings of the operational log.
    var log: [String] { lines.all.withLock { $0 } }

    /// - Parameter isWhole: the lines say what it listens on, and how many loops there are.
    init(_ lines: String, listen: String = RunningGateway.listen, isWhole: Bool = false) throws {
        let written = Lines()
        (self.lines, self.listen) = (written, listen)
        let configuration = try isWhole ? #require(load(lines).configuration, "\(load(lines).render())") : Self.configuration(lines, listen: listen)
        gateway = try Gateway(configuration, log: OperationalLog(level: .warning) { line in written.all.withLock { $0.append(line) } })
        endpoints = gateway.listening.compactMap { Endpoint(line: $0) }
        try #require(!endpoints.isEmpty)
    }

    deinit {
        gateway.abort()
        gateway.stop()
    }

    /// - Parameter lines: the configuration but for loops and listeners.
    static func configuration(_ lines: String, listen: String = RunningGateway.listen) throws -> Configuration {
        let result = load("loops: 1\n\(listen)\n" + lines)
        return try #require(result.configuration, "\(result.render())")
    }

    static let listen = "listen: [{ address: \"127.0.0.1:0\" }]"

    func reload(_ lines: String) throws { _ = try gateway.reload(Self.configuration(lines, listen: listen)) }

    /// What a filter of a route has counted for a result; nil: nothing is counted.
    func count(_ route: String, _ filter: String, _ result: String) -> UInt64? {
        gateway.figures().filters.first { $0.route == route && $0.filter == filter }?.results.first { $0.name == result }?.count
    }

    /// One request on a connection of its own.
    func ask(_ path: String = "/", method: String = "GET", _ fields: String...) throws -> RawResponse {
        let client = try RawClient(endpoint)
        try client.send("\(method) \(path) HTTP/1.1\r\nHost: a.example\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n")
        return try client.readResponse(toHead: method == "HEAD")
    }
}

/// Runs a line of shell; answers everything it wrote to standard output.
@discardableResult
func shell(_ line: String) throws -> String {
    let process = try ServerProcess(["-c", line], listeners: 0, binary: "/bin/sh")
    try process.waitForExit()
    return process.output
}

/// A file of a test, which removes it.
func writeFile(_ path: String, _ text: String) throws {
    // As secrets have to be: readable by the owner alone.
    let file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    try #require(file >= 0)
    defer { close(file) }
    let bytes = Array(text.utf8)
    // The array lives through the call.
    #expect(unsafe write(file, bytes, bytes.count) == bytes.count)
}
