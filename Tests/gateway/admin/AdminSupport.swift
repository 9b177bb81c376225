// A gateway on free loopback ports with its administration, and what tests ask it. Used by one test on one thread.

import Glibc
import TestSupport
import UringBase
@testable import UringGateway
import UringServer

final class AdminGateway {
    let gateway: Gateway
    let main: Endpoint
    let admin: Endpoint
    /// What the next reload reads.
    let later = Later()
    private let directory: String

    /// - Parameter configuration: besides `listen`, `loops` and, unless it is there, `admin`.
    init(_ configuration: String) throws {
        let directory = "/tmp/uringd-admin-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        unsafe mkdir(directory, 0o700)
        self.directory = directory
        let first = Self.load(configuration, directory)
        guard let loaded = first.configuration else { throw GatewayError(first.render()) }
        later.text = configuration
        gateway = try Gateway(
            loaded, log: OperationalLog(level: .critical), source: ConfigurationSource { [directory, later] in Self.load(later.text, directory) })
        let endpoints = gateway.listening.compactMap { Endpoint(line: $0) }
        (main, admin) = (endpoints[0], endpoints[endpoints.count - 1])
    }

    final class Later: Sendable {
        private let state = Locked("")
        var text: String {
            get { state.withLock { $0 } }
            set { state.withLock { $0 = newValue } }
        }
    }

    deinit {
        gateway.stop()
        _ = unsafe system("rm -rf \(directory)")
    }

    static func load(_ text: String, _ directory: String) -> ConfigLoadResult {
        var whole = "listen: [{ address: \"127.0.0.1:0\" }]\nloops: 2\nlog: { level: critical }\n" + text
        if !text.contains("admin:") { whole += "\nadmin: { address: \"127.0.0.1:0\" }" }
        if !text.contains("routes:") { whole += "\nroutes: [{ name: hello, match: { path: /hello }, respond: { body: hello } }]" }
        return ConfigLoader.load(bytes: Array(whole.utf8), file: "test.yaml", directory: directory + "/")
    }

    /// A path within a directory of the test's own.
    func file(_ name: String) -> String { directory + "/" + name }

    func ask(_ path: String, _ fields: String = "", method: String = "GET") throws -> RawResponse { try Self.ask(admin, path, fields, method: method) }
    func get(_ path: String, _ fields: String = "") throws -> RawResponse { try Self.ask(main, path, fields) }

    static func ask(_ endpoint: Endpoint, _ path: String, _ fields: String = "", method: String = "GET") throws -> RawResponse {
        let client = try RawClient(endpoint)
        try client.send("\(method) \(path) HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
        return try client.readResponse(toHead: method == "HEAD")
    }

    /// The value of a sample that is spelled so, labels included.
    func sample(_ name: String, in page: String) -> Double? {
        for line in page.split(separator: "\n") where line.hasPrefix(name + " ") { return Double(line.dropFirst(name.count + 1)) }
        return nil
    }
}
