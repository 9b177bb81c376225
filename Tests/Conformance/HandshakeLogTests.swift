// What the log says of TLS handshakes: why clients fail, boundedly, and what all came to when the server has drained.

import Glibc
import Testing
import TestSupport

@Suite(.timeLimit(.minutes(3))) struct HandshakeLogTests {
    private func stop(_ server: ServerProcess) throws -> [String] {
        server.send(signal: SIGTERM)
        #expect(try server.waitForExit() == .code(0))
        return server.output.split(separator: "\n").map(String.init)
    }

    @Test func failuresAndTheirSum() throws {
        let site = try Site()
        let server = try Uringd.respond(["--tls", "self-signed", "--loops", "1"])
        #expect(try OpenSSL.ask(server, "-tls1_3 -sess_out \(site.path)/session").contains("hello"))
        #expect(try OpenSSL.ask(server, "-tls1_3 -sess_in \(site.path)/session").contains("hello"))
        for _ in 0..<50 { #expect(try RawClient(server.endpoint).ask(get()).status == 400) }
        #expect(try OpenSSL.run("s_client -connect \(server.endpoint) -alpn foo 2>&1").contains("alert"))
        let lines = try stop(server)
        let plain = lines.filter { $0.contains("a TLS handshake failed: plain-http") }
        // One for each second that the fifty took.
        #expect(plain.count >= 1 && plain.count < 50)
        #expect(plain.first?.contains(", client 127.0.0.1:") == true)
        #expect(lines.count { $0.contains("a TLS handshake failed: no-application-protocol") } == 1)
        let sum = "TLS handshakes: 1 full, 0 of them fall-backs, 0 by ticket, 0 by session id, 1 by pre-shared key, "
            + "51 failed (plain-http 50, no-application-protocol 1), 0 abandoned, 0 refused"
        #expect(lines.last?.hasSuffix(sum) == true, "\(lines.suffix(2))")
    }

    @Test func nothingWithoutTLS() throws {
        let server = try Uringd.respond(["--loops", "1"])
        #expect(try RawClient(server.endpoint).ask(get()).status == 200)
        #expect(try !stop(server).contains { $0.contains("TLS handshakes") })
    }
}
