// Certificates, clients and configured servers for the tests of HTTPS and HTTP/2. Owned by the test that makes them.

import Glibc
import Testing
import TestSupport

/// A site's directory, a configuration in it and the server that runs it.
final class Configured {
    let site: Site
    let server: ServerProcess

    /// - Parameter prepare: makes what the configuration names, before the server starts.
    init(_ configuration: String, listeners: Int = 1, loops: Int = 1, prepare: (Site) throws -> Void = { _ in }) throws {
        site = try Site()
        try prepare(site)
        try site.write("uringd.yaml", configuration)
        server = try ServerProcess(["serve", "--config", site.path + "/uringd.yaml", "--loops", "\(loops)"], listeners: listeners)
    }

    func reload(_ configuration: String? = nil) throws {
        if let configuration { try site.write("uringd.yaml", configuration) }
        let before = reloads
        server.send(signal: SIGHUP)
        guard eventually({ reloads > before }) else { throw ServerProcessError.timedOut(waitingFor: "reload", output: server.output) }
    }

    private var reloads: Int { server.output.split(separator: "\n").count { $0.contains("reloaded the configuration") } }
}

extension ServerProcess {
    /// Of the first listener, for clients that take URLs.
    func url(_ path: String = "/", scheme: String = "https", host: String = "127.0.0.1", listener: Int = 0) -> String {
        "\(scheme)://\(host):\(endpoints[listener].port ?? 0)\(path)"
    }
}

enum OpenSSL {
    /// Runs a command of openssl, its input from `input`; answers everything it wrote.
    @discardableResult
    static func run(_ command: String, input: String = "") throws -> String {
        // The shell's printf turns \r\n of requests into what they stand for.
        let text = input.replacing("\r", with: "\\r").replacing("\n", with: "\\n")
        let process = try ServerProcess(["-c", "printf '\(text)' | timeout 20 openssl \(command)"], listeners: 0, binary: "/bin/sh")
        try process.waitForExit()
        return process.output
    }

    /// A certificate of its own authority, `NAME.pem` and `NAME.key` in the site.
    static func certificate(_ name: String, for host: String, in site: Site) throws {
        try run(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=\(host) -addext subjectAltName=DNS:\(host)"
                + " -keyout \(site.path)/\(name).key -out \(site.path)/\(name).pem 2>&1")
        guard site.exists("\(name).pem") else { throw RawClientError.malformed("no certificate", received: name) }
    }

    /// `s_client` with one request, to the end of the connection.
    static func ask(_ server: ServerProcess, _ options: String, listener: Int = 0, request: String = get("/", "Connection: close")) throws -> String {
        try run("s_client -connect \(server.endpoints[listener]) -ign_eof \(options) 2>&1", input: request)
    }
}

extension Curl {
    /// Any certificate will do.
    static func insecure(_ arguments: String...) throws -> (output: String, exit: ServerProcess.Exit) { try run(["--insecure"] + arguments) }
}
