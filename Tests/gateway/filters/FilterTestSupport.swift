// A gateway in this process, for tests of filters over the wire.

import Glibc
import TestSupport
import Testing

@testable import UringGateway

/// Serves a configuration on a free port of the loopback until it goes.
final class RunningGateway {
    let gateway: Gateway
    let endpoint: Endpoint

    /// - Parameter isWhole: the lines say what it listens on, and how many loops there are.
    init(_ lines: String, isWhole: Bool = false) throws {
        let configuration = try isWhole ? #require(load(lines).configuration, "\(load(lines).render())") : Self.configuration(lines)
        gateway = try Gateway(configuration, log: OperationalLog(level: .critical))
        endpoint = try #require(gateway.listening.first.flatMap { Endpoint(line: $0) })
    }

    deinit {
        gateway.abort()
        gateway.stop()
    }

    /// - Parameter lines: the configuration but for loops and listeners.
    static func configuration(_ lines: String) throws -> Configuration {
        let result = load("loops: 1\nlisten: [{ address: \"127.0.0.1:0\" }]\n" + lines)
        return try #require(result.configuration, "\(result.render())")
    }

    func reload(_ lines: String) throws { _ = try gateway.reload(Self.configuration(lines)) }

    /// One request on a connection of its own.
    func ask(_ path: String = "/", method: String = "GET", _ fields: String...) throws -> RawResponse {
        let client = try RawClient(endpoint)
        try client.send("\(method) \(path) HTTP/1.1\r\nHost: a.example\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n")
        return try client.readResponse(toHead: method == "HEAD")
    }
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
