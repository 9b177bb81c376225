// What the adapters' tests share: threads for blocking clients, servers within the process.

import Foundation
import Synchronization
import TestSupport
import Testing
import UringServer

/// Runs a blocking client on a thread of its own: those that tasks share are few, and the servers under test need them.
func offTheTask<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Result(catching: body)) }
    }
}

/// Of a server on a free port of the loopback.
extension Endpoint {
    static func of(_ address: String) throws -> Endpoint { try #require(Endpoint(line: "listening on http://\(address)")) }
}

extension Endpoint {
    /// One request on a connection of its own.
    func exchange(_ request: String) throws -> RawResponse {
        let client = try RawClient(self)
        try client.send(request)
        return try client.readFinalResponse(toHead: request.hasPrefix("HEAD"))
    }
    func get(_ target: String, _ lines: String...) throws -> RawResponse {
        try exchange("GET \(target) HTTP/1.1\r\nHost: example.com\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\n")
    }
}

/// A server of one loop.
final class LocalServer: Sendable {
    let running: RunningServer
    let endpoint: Endpoint

    init(_ application: Application) throws {
        var options = ServerOptions()
        options.loops = .count(1)
        options.stallThreshold = .zero
        running = try Server(listen: ["127.0.0.1:0"], options: options, application: application).start()
        endpoint = try Endpoint.of(running.addresses[0])
    }
    deinit { running.stop(within: .seconds(20)) }
}

/// Waits for something that another thread does, without a bound in time but the test's.
func eventually(_ condition: @Sendable () -> Bool) async throws {
    while !condition() { try await Task.sleep(for: .milliseconds(5)) }
}
