// HTTPS with the clients that people use: versions, resumption, names, client certificates, reloads, and what is not TLS.

import Glibc
import Testing
import TestSupport

@Suite(.timeLimit(.minutes(3))) struct HTTPSTests {
    private func listener(_ name: String, _ more: String = "") -> String {
        "{ address: \"127.0.0.1:0\", tls: { certificates: [{ cert: \(name).pem, key: \(name).key }]\(more) } }"
    }

    private func answering(_ listeners: String, _ more: String = "") -> String {
        """
        listen: [\(listeners)]
        \(more)
        routes: [{ name: all, match: {}, respond: { body: hello } }]
        """
    }

    // MARK: handshakes

    @Test func protocolsByALPN() throws {
        let server = try Uringd.respond(["--tls", "self-signed"])
        #expect(server.output.contains("listening on https://127.0.0.1:"))
        for (version, expected) in [("--http2", "2"), ("--http1.1", "1.1"), ("--no-alpn", "1.1")] {
            #expect(try Curl.insecure(version, "-w", " %{http_code} %{http_version}", server.url()).output == "hello 200 \(expected)")
        }
        let offered = [("h2", "ALPN protocol: h2"), ("http/1.1", "ALPN protocol: http/1.1"), ("http/1.1,h2", "ALPN protocol: h2")]
        for (offer, expected) in offered { #expect(try OpenSSL.run("s_client -connect \(server.endpoint) -alpn \(offer) 2>&1").contains(expected)) }
        // RFC 7301 section 3.2.
        #expect(try OpenSSL.run("s_client -connect \(server.endpoint) -alpn foo 2>&1").contains("alert no application protocol"))
        let off = try Uringd.respond(["--tls", "self-signed", "--http2", "off"])
        #expect(try Curl.insecure("--http2", "-w", " %{http_version}", off.url()).output == "hello 1.1")
    }

    @Test func versions() throws {
        let served = try Configured(
            answering(listener("a") + ", " + listener("a", ", min-version: \"1.3\"")), listeners: 2,
            prepare: { try OpenSSL.certificate("a", for: "a.example", in: $0) })
        for version in ["1.2", "1.3"] {
            let output = try OpenSSL.ask(served.server, "-tls\(version.replacing(".", with: "_"))")
            #expect(output.contains("New, TLSv\(version),") && output.contains("hello"), "\(version)")
        }
        #expect(try OpenSSL.ask(served.server, "-tls1_1 -cipher DEFAULT@SECLEVEL=0").contains("alert protocol version"))
        #expect(try OpenSSL.ask(served.server, "-tls1_2", listener: 1).contains("alert protocol version"))
        #expect(try OpenSSL.ask(served.server, "-tls1_3", listener: 1).contains("hello"))
        // No renegotiation (RFC 5746, and CVE-2011-1473).
        #expect(try !OpenSSL.run("s_client -connect \(served.server.endpoint) -tls1_2 2>&1", input: "R\n" + get()).contains("hello"))
    }

    /// Resumption of both kinds in TLS 1.2, and by pre-shared key in 1.3; also on another loop than the first time.
    @Test func resumption() throws {
        let site = try Site()
        let server = try Uringd.respond(["--tls", "self-signed", "--loops", "2"])
        let off = try Uringd.respond(["--tls", "self-signed", "--session-tickets", "off", "--loops", "1"])
        for (name, at, options) in [
            ("ticket", server, "-tls1_2"), ("session id", server, "-tls1_2 -no_ticket"), ("session id, tickets off", off, "-tls1_2"),
        ] {
            let output = try OpenSSL.run("s_client -connect \(at.endpoint) -reconnect \(options) 2>&1")
            #expect(output.components(of: "\nNew, ") == 1, "\(name)")
            #expect(output.components(of: "\nReused, ") == 5, "\(name)")
        }
        for version in ["-tls1_2", "-tls1_3"] {
            let first = try OpenSSL.ask(server, "\(version) -sess_out \(site.path)/session")
            #expect(first.contains("\nNew, ") && first.contains("hello"))
            for _ in 0..<8 {
                let again = try OpenSSL.ask(server, "\(version) -sess_in \(site.path)/session")
                #expect(again.contains("\nReused, ") && again.contains("hello"), "\(version)")
            }
            // A server that does not know it makes a new one.
            let stranger = try OpenSSL.ask(off, "\(version) -sess_in \(site.path)/session")
            #expect(stranger.contains("\nNew, ") && stranger.contains("hello"), "\(version)")
        }
        let none = try OpenSSL.ask(off, "-tls1_3 -sess_out \(site.path)/none")
        #expect(none.contains("hello"))
    }

    @Test func certificatesByName() throws {
        let text = """
            listen:
              - address: 127.0.0.1:0
                tls: { certificates: [{ cert: a.pem, key: a.key }, { cert: b.pem, key: b.key }] }
            routes: [{ name: all, match: {}, respond: { body: hello } }]
            """
        let served = try Configured(text) { site in
            for name in ["a", "b"] { try OpenSSL.certificate(name, for: "\(name).example", in: site) }
        }
        let port = served.server.endpoint.port!
        // Each client knows one certificate only, and asks for its name.
        for name in ["a", "b"] {
            let url = "https://\(name).example:\(port)/"
            for protocolOption in ["--http2", "--http1.1"] {
                let (output, exit) = try Curl.run(
                    ["--cacert", "\(served.site.path)/\(name).pem", "--resolve", "\(name).example:\(port):127.0.0.1", protocolOption, url])
                #expect(output == "hello" && exit == .code(0))
            }
        }
        let subject: (String) throws -> String = { try OpenSSL.run("s_client -connect \(served.server.endpoint) \($0) 2>&1") }
        #expect(try subject("-servername b.example").contains("CN = b.example"))
        #expect(try subject("-servername other.example").contains("CN = a.example"))
        #expect(try subject("-noservername").contains("CN = a.example"))
    }

    @Test func clientCertificates() throws {
        let text = answering(
            listener("a", ", client-auth: { mode: required, ca: client.pem }") + ", " + listener("a", ", client-auth: { mode: optional, ca: client.pem }"),
            "access-log: { path: access.log, format: json, flush: 10ms }")
        let served = try Configured(text, listeners: 2) { site in
            for name in ["a", "client", "stranger"] { try OpenSSL.certificate(name, for: "\(name).example", in: site) }
        }
        let path = served.site.path
        for options in ["-tls1_2", "-tls1_3"] {
            let known = "\(options) -cert \(path)/client.pem -key \(path)/client.key"
            let unknown = "\(options) -cert \(path)/stranger.pem -key \(path)/stranger.key"
            for listener in [0, 1] {
                #expect(try OpenSSL.ask(served.server, known, listener: listener).contains("hello"), "\(options) \(listener)")
                #expect(try !OpenSSL.ask(served.server, unknown, listener: listener).contains("hello"), "\(options) \(listener)")
            }
            #expect(try !OpenSSL.ask(served.server, options, listener: 0).contains("hello"), "\(options)")
            #expect(try OpenSSL.ask(served.server, options, listener: 1).contains("hello"), "\(options)")
        }
        served.server.send(signal: SIGTERM)
        #expect(try served.server.waitForExit() == .code(0))
        let log = try served.site.read("access.log")
        #expect(log.components(of: #""tls_client":"CN=client.example""#) == 4)
        #expect(log.split(separator: "\n").count == 6)
    }

    // MARK: what is said over TLS

    @Test func redirectAndStrictTransportSecurity() throws {
        let text = """
            listen: [{ address: "127.0.0.1:0" }, \(listener("a"))]
            routes:
              - { name: up, match: {}, redirect: { to: https }, hsts: { max-age: 1h } }
              - { name: all, match: {}, respond: { body: hello }, hsts: { max-age: 1h } }
            """
        let served = try Configured(text, listeners: 2) { try OpenSSL.certificate("a", for: "a.example", in: $0) }
        let clear = try RawClient(served.server.endpoints[0]).ask(get("/x"))
        #expect(clear.status == 308)
        #expect(clear.value("location") == "https://a/x")
        #expect(clear.value("strict-transport-security") == nil)
        for version in ["--http2", "--http1.1"] {
            let (output, _) = try Curl.insecure(version, "-i", "--max-redirs", "3", "-L", served.server.url("/x", listener: 1))
            #expect(output.hasSuffix("hello"), "\(version)")
            #expect(output.lowercased().components(of: "strict-transport-security: max-age=3600") == 1, "\(version)")
        }
    }

    @Test func accessLog() throws {
        let text = answering(listener("a"), "access-log: { path: access.log, format: json, flush: 10ms }")
        let served = try Configured(text) { try OpenSSL.certificate("a", for: "a.example", in: $0) }
        let port = served.server.endpoint.port!
        for version in ["--http2", "--http1.1"] {
            _ = try Curl.insecure(version, "--resolve", "a.example:\(port):127.0.0.1", "https://a.example:\(port)/\(version)")
        }
        _ = try Curl.insecure("--http2", "--tls-max", "1.2", "-d", "x", served.server.url("/post"))
        served.server.send(signal: SIGTERM)
        #expect(try served.server.waitForExit() == .code(0))
        let lines = try served.site.read("access.log").split(separator: "\n").map(String.init)
        try #require(lines.count == 3)
        for (line, parts) in zip(lines, [
            [#""target":"/--http2""#, #""version":"HTTP/2.0""#, #""tls_version":"TLSv1.3""#, #""tls_server_name":"a.example""#, #""tls_cipher":"TLS_"#, #""bytes":5"#],
            [#""target":"/--http1.1""#, #""version":"HTTP/1.1""#, #""tls_version":"TLSv1.3""#, #""tls_server_name":"a.example""#, #""bytes":5"#],
            [#""method":"POST""#, #""version":"HTTP/2.0""#, #""tls_version":"TLSv1.2""#, #""tls_cipher":"ECDHE-"#, #""status":200"#, #""bytes":5"#],
        ]) {
            for part in parts { #expect(line.contains(part), "\(part) in \(line)") }
        }
    }

    // MARK: reload and drain

    @Test func reloadChangesTheCertificate() throws {
        let served = try Configured(answering(listener("a"))) { try OpenSSL.certificate("a", for: "first.example", in: $0) }
        let subject: () throws -> String = { try OpenSSL.run("s_client -connect \(served.server.endpoint) 2>&1") }
        #expect(try subject().contains("CN = first.example"))
        try OpenSSL.certificate("a", for: "second.example", in: served.site)
        try served.reload()
        #expect(try subject().contains("CN = second.example"))
        // One that does not fit its key changes nothing.
        try OpenSSL.certificate("b", for: "third.example", in: served.site)
        try served.site.rename("b.pem", to: "a.pem")
        served.server.send(signal: SIGHUP)
        try served.server.wait(forOutput: "was not reloaded")
        #expect(try subject().contains("CN = second.example"))
    }

    /// A listener goes over to TLS and back on its address; connections that are there stay what they are.
    @Test func reloadOfAListenerFromClearToTLS() throws {
        let clear = answering("{ address: \"127.0.0.1:0\" }")
        let served = try Configured(clear) { try OpenSSL.certificate("a", for: "a.example", in: $0) }
        let kept = try RawClient(served.server.endpoint)
        #expect(try kept.ask(get()).status == 200)
        try served.reload(answering(listener("a")))
        #expect(try Curl.insecure(served.server.url()).output == "hello")
        #expect(try RawClient(served.server.endpoint).ask(get()).status == 400)
        #expect(try kept.ask(get()).status == 200)
        try served.reload(clear)
        #expect(try Curl.get(served.server.url(scheme: "http")) == "hello")
        #expect(try kept.ask(get()).status == 200)
    }

    @Test func drainOverTLS() throws {
        let site = try Site()
        try site.write("large", pattern(8 << 20))
        let server = try ServerProcess(["files", site.path, "--listen", "127.0.0.1:0", "--tls", "self-signed", "--loops", "1"])
        // Slow enough that it is under way when the drain begins.
        let url = server.url("/large")
        let curl = try ServerProcess(
            ["-sk", "--http2", "--limit-rate", "8M", "-o", site.path + "/got", "-w", "%{http_code} %{size_download}", url], listeners: 0, binary: "/usr/bin/curl")
        #expect(eventually { site.exists("got") })
        server.send(signal: SIGTERM)
        #expect(try curl.waitForExit() == .code(0))
        #expect(curl.output == "200 \(8 << 20)")
        #expect(try site.bytes("got") == pattern(8 << 20))
        #expect(try server.waitForExit() == .code(0))
    }

    // MARK: what is not TLS

    @Test func clearTextOnTheTLSPort() throws {
        let server = try Uringd.respond(["--tls", "self-signed", "--loops", "1"])
        for request in [get(), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "BREW / HTTP/1.0\r\n\r\n"] {
            let client = try RawClient(server.endpoint)
            let response = try client.ask(request)
            #expect(response.status == 400)
            #expect(response.bodyText.contains("https://"))
            #expect(response.value("connection") == "close")
        }
        #expect(try Curl.insecure(server.url()).output == "hello")
    }

    /// Records that are none, records cut off, handshakes that are left: others are served.
    @Test func garbageOnTheTLSPort() throws {
        let server = try Uringd.respond(["--tls", "self-signed", "--loops", "1"])
        let beginnings: [[UInt8]] = [
            [0], [0x16], [0x16, 3, 1], [0x16, 3, 1, 0xff, 0xff], [0x16, 3, 1, 0, 4, 1, 0, 0, 0], [0x17, 3, 3, 0, 1, 0], [0x15, 3, 3, 0, 2, 2, 0],
            [0x80, 0x2e, 1, 0, 2], pattern(10_000), [UInt8](repeating: 0x16, count: 20_000), [UInt8](repeating: 0, count: 100),
        ]
        for bytes in beginnings {
            for ends in [true, false] {
                let client = try RawClient(server.endpoint)
                do {
                    try client.send(bytes)
                    if ends {
                        client.finishSending()
                        _ = try client.readToEnd()
                    } else {
                        client.resetOnClose()
                    }
                } catch RawClientError.reset {}
            }
        }
        #expect(try Curl.insecure("--http2", server.url()).output == "hello")
        #expect(server.isRunning)
    }

    /// A message of TLS in pieces of any size, and the end of the connection in every place of a handshake.
    @Test func handshakesThatAreLeft() throws {
        let server = try Uringd.respond(["--tls", "self-signed", "--loops", "1"])
        let hello = try #require(clientHello(of: try OpenSSL.run("s_client -connect \(server.endpoint) -tls1_3 -msg 2>&1")))
        for cut in stride(from: 1, through: hello.count, by: 7) {
            let client = try RawClient(server.endpoint)
            try client.send(hello[..<cut])
            client.finishSending()
            // An alert, the server's first flight, or nothing: then the end.
            do { _ = try client.readToEnd() } catch RawClientError.reset {}
        }
        let slow = try RawClient(server.endpoint)
        for byte in hello { try slow.send([byte]) }
        // ServerHello.
        #expect(try slow.readSome(6).last == 2)
        #expect(try Curl.insecure(server.url()).output == "hello")
    }

    /// The bytes of the message as openssl prints them, within a record.
    private func clientHello(of output: String) -> [UInt8]? {
        guard let start = output.firstRange(of: "ClientHello\n") else { return nil }
        let lines = output[start.upperBound...].split(separator: "\n").prefix { $0.hasPrefix("    ") }
        let bytes = lines.flatMap { $0.split(separator: " ").compactMap { UInt8($0, radix: 16) } }
        guard bytes.count > 40 else { return nil }
        return [0x16, 3, 1, UInt8(bytes.count >> 8), UInt8(bytes.count & 0xff)] + bytes
    }
}
