// HTTP/2 as clients speak it, in clear and over TLS, and its rules one frame at a time.

import Glibc
import Testing
import TestSupport

/// Around the sizes of frames, records, windows and buffers.
let bodySizes = [0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 1 << 20]

func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) } }

@Suite(.timeLimit(.minutes(3))) struct HTTP2Tests {
    private func limited(_ limits: String, _ more: String = "") -> String {
        """
        listen: [{ address: "127.0.0.1:0" }]
        limits: { \(limits) }
        \(more)
        routes: [{ name: all, match: {}, respond: { body: hello } }]
        """
    }

    // MARK: protocols

    @Test func priorKnowledge() throws {
        let server = try Uringd.respond()
        for (version, expected) in [("--http2-prior-knowledge", "2"), ("--http1.1", "1.1"), ("--http1.0", "1.1")] {
            let (output, _) = try Curl.run([version, "-w", " %{http_code} %{http_version}", server.url(scheme: "http")])
            #expect(output == "hello 200 \(expected)")
        }
        let off = try Uringd.respond(["--http2", "off"])
        #expect(try RawClient(off.endpoint).ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").status == 505)
    }

    /// `--http2 only`: whatever is not the preface is answered by GOAWAY, after the server's own SETTINGS (RFC 9113 section 3.4), and nothing of it by HTTP/1.1.
    @Test func nothingElseInClear() throws {
        let directory = try TemporaryDirectory()
        let server = try Uringd.respond(["--http2", "only"], listen: "unix:\(directory.path)/socket")
        #expect(try Curl.run(["--http2-prior-knowledge", "--unix-socket", "\(directory.path)/socket", "-w", " %{http_version}", "http://a/"]).output == "hello 2")
        let preface = FrameClient.preface
        var refused = [Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8), [0], [0x16, 3, 1, 0, 5], Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\rX".utf8)]
        // One byte of the preface changed, each in turn.
        for at in preface.indices { refused.append(preface[..<at] + [preface[at] ^ 1] + preface[(at + 1)...]) }
        for bytes in refused {
            for cut in Set([0, 1, bytes.count / 2, bytes.count - 1]) {
                let client = try RawClient(server.endpoint)
                try client.send(bytes[..<cut])
                try client.waitUntilTaken()
                do { try client.send(bytes[cut...]) } catch RawClientError.reset {}
                let answer = try client.readToEnd()
                let frames = HTTP2Frame.all(in: answer)
                #expect(frames.first?.kind == HTTP2Frame.Kind.settings, "\(bytes) \(cut)")
                let last = try #require(frames.last)
                #expect(last.kind == HTTP2Frame.Kind.goAway && last.errorCode == 1 && last.lastStream == 0, "\(bytes) \(cut): \(answer)")
            }
        }
        // The same in a listener with both is HTTP/1.1.
        let both = try Uringd.respond()
        #expect(try RawClient(both.endpoint).ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\rX\r\n\r\n").status == 505)
    }

    /// The preface may come in any pieces, also where nothing else is spoken.
    @Test func prefaceInPiecesWhereNothingElseIsSpoken() throws {
        let directory = try TemporaryDirectory()
        let server = try Uringd.respond(["--http2", "only"], listen: "unix:\(directory.path)/socket")
        for cut in 1..<FrameClient.preface.count {
            let client = try RawClient(server.endpoint)
            try client.send(FrameClient.preface[..<cut])
            try client.waitUntilTaken()
            try client.send(FrameClient.preface[cut...] + HTTP2Frame(HTTP2Frame.Kind.settings).bytes + FrameClient.request(1).bytes)
            client.finishSending()
            #expect(String(decoding: try client.readToEnd(), as: UTF8.self).contains(answer), "cut at \(cut)")
        }
    }

    /// Over TLS: ALPN offers h2 alone, and who does not offer it is refused (RFC 7301 section 3.2, RFC 9113 section 3.3).
    @Test func nothingElseOverTLS() throws {
        let server = try Uringd.respond(["--http2", "only", "--tls", "self-signed"])
        #expect(try Curl.insecure("--http2", "-w", " %{http_code} %{http_version}", server.url()).output == "hello 200 2")
        for version in ["-tls1_2", "-tls1_3"] {
            for offer in ["-alpn h2", "-alpn http/1.1,h2"] {
                #expect(try OpenSSL.run("s_client -connect \(server.endpoint) \(version) \(offer) 2>&1").contains("ALPN protocol: h2\n"), "\(version) \(offer)")
            }
            for offer in ["-alpn http/1.1", "-alpn foo", ""] {
                let output = try OpenSSL.run("s_client -connect \(server.endpoint) \(version) \(offer) 2>&1")
                #expect(output.contains("alert no application protocol") && output.contains("SSL alert number 120"), "\(version) \(offer): \(output)")
            }
        }
        // What is not the preface within TLS is answered as in clear: never by HTTP/1.1.
        let output = try OpenSSL.run("s_client -connect \(server.endpoint) -alpn h2 -ign_eof 2>&1", input: get())
        #expect(!output.contains("HTTP/1.1 "))
        // A reload goes over to it while a connection lives.
        let text = { (mode: String) in "listen: [{ address: \"127.0.0.1:0\", http2: \(mode) }]\nroutes: [{ name: all, match: {}, respond: { body: hello } }]\n" }
        let served = try Configured(text("true"))
        let client = try RawClient(served.server.endpoint)
        #expect(try client.ask(get("/")).status == 200)
        let begun = try RawClient(served.server.endpoint)
        try begun.send("GET / HTTP/1.1\r\n")
        // It is answered behind the bytes of the other, which the one loop has read then.
        #expect(try client.ask(get("/")).status == 200)
        try served.reload(text("only"))
        #expect(try client.ask(get("/")).status == 200)
        #expect(try begun.ask("Host: a\r\n\r\n").status == 200)
        let fresh = try RawClient(served.server.endpoint)
        try fresh.send(get("/"))
        #expect(HTTP2Frame.all(in: try fresh.readToEnd()).last?.errorCode == 1)
    }

    /// The preface may come in any pieces.
    @Test func prefaceInPieces() throws {
        let directory = try TemporaryDirectory()
        let server = try Uringd.respond(listen: "unix:\(directory.path)/socket")
        for cut in 1..<FrameClient.preface.count {
            let client = try RawClient(server.endpoint)
            try client.send(FrameClient.preface[..<cut])
            try client.waitUntilTaken()
            let rest = HTTP2Frame(HTTP2Frame.Kind.settings).bytes + FrameClient.request(1).bytes
            try client.send(FrameClient.preface[cut...] + rest)
            client.finishSending()
            let bytes = try client.readToEnd()
            // Length and kind of the server's preface.
            #expect(bytes.count > 9 && bytes[3] == HTTP2Frame.Kind.settings, "cut at \(cut)")
            #expect(String(decoding: bytes, as: UTF8.self).contains(answer), "cut at \(cut)")
        }
    }

    @Test func nghttpAsksManyThingsAtOnce() throws {
        let site = try Site()
        for size in bodySizes { try site.write("\(size)", pattern(size)) }
        let server = try ServerProcess(["files", site.path, "--listen", "127.0.0.1:0", "--tls", "self-signed"])
        let urls = bodySizes.map { server.url("/\($0)") }
        let nghttp = try ServerProcess(["-n", "-s", "-m", "4"] + urls, listeners: 0, binary: "/usr/bin/nghttp")
        #expect(try nghttp.waitForExit() == .code(0))
        let lines = nghttp.output.split(separator: "\n").filter { $0.contains(" /") }
        #expect(lines.count { $0.contains(" 200 ") } == bodySizes.count * 4, "\(nghttp.output)")
    }

    // MARK: bodies

    @Test func filesAreTheSameByEveryProtocol() throws {
        let site = try Site()
        for size in bodySizes { try site.write("\(size).bin", pattern(size)) }
        let clear = try ServerProcess(["files", site.path, "--listen", "127.0.0.1:0"])
        let tls = try ServerProcess(["files", site.path, "--listen", "127.0.0.1:0", "--tls", "self-signed"])
        for (url, version) in [
            (clear.url("", scheme: "http"), "--http2-prior-knowledge"), (tls.url(""), "--http2"), (tls.url(""), "--http1.1"),
        ] {
            for size in bodySizes {
                let (output, _) = try Curl.insecure(version, "-o", site.path + "/got", "-w", "%{http_code} %{size_download}", "\(url)/\(size).bin")
                #expect(output == "200 \(size)", "\(version)")
                #expect(try same(site, "got", "\(size).bin"), "\(version) \(size)")
            }
            let (head, _) = try Curl.insecure(version, "-I", "\(url)/65536.bin")
            #expect(head.lowercased().contains("content-length: 65536\r\n"), "\(version)")
            let (range, _) = try Curl.insecure(version, "-r", "100-199", "-o", site.path + "/got", "-w", "%{http_code}", "\(url)/65536.bin")
            #expect(range == "206")
            #expect(try site.bytes("got") == Array(pattern(65_536)[100..<200]), "\(version)")
            #expect(try Curl.insecure(version, "-r", "65536-", "-o", "/dev/null", "-w", "%{http_code}", "\(url)/65536.bin").output == "416")
            let tag = try #require(head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("etag: ") }?.dropFirst(6))
            let (unchanged, _) = try Curl.insecure(version, "-H", "If-None-Match: \(tag)", "-w", "%{http_code} %{size_download}", "\(url)/65536.bin")
            #expect(unchanged == "304 0", "\(version)")
        }
    }

    private func same(_ site: Site, _ one: String, _ other: String) throws -> Bool { try site.bytes(one) == site.bytes(other) }

    @Test func bodiesOfRequests() throws {
        let site = try Site()
        let clear = try Uringd.respond()
        let tls = try Uringd.respond(["--tls", "self-signed"])
        for size in bodySizes {
            try site.write("body", pattern(size))
            for (url, version) in [(clear.url(scheme: "http"), "--http2-prior-knowledge"), (tls.url(), "--http2"), (tls.url(), "--http1.1")] {
                // With Content-Length, without, and asking first.
                for how in [["--data-binary", "@\(site.path)/body"], ["-X", "POST", "-T", "-"], ["-H", "Expect: 100-continue", "-T", "-"]] {
                    let arguments = (["--insecure", version, "-w", " %{http_code}"] + how + [url]).map { "'\($0)'" }.joined(separator: " ")
                    let curl = try ServerProcess(["-c", "curl -s --max-time 60 \(arguments) < \(site.path)/body"], listeners: 0, binary: "/bin/sh")
                    try curl.waitForExit()
                    #expect(curl.output == "hello 200", "\(version) \(how) \(size)")
                }
            }
        }
    }

    /// The limit is exact, and a body beyond it costs the connection nothing.
    @Test func largeBodies() throws {
        let served = try Configured(limited("body-bytes: 1000"))
        let client = try FrameClient(served.server.endpoint)
        // As much as allowed: announced, and not announced and in pieces, the last of them empty.
        try client.send(FrameClient.request(1, "POST", "/", [("content-length", "1000")], ends: false), FrameClient.data(1, pattern(1000), ends: true))
        #expect(try client.answer(1).status == 200)
        try client.send(FrameClient.request(3, "POST", ends: false))
        try client.send(FrameClient.data(3, pattern(600)), FrameClient.data(3, pattern(400)), FrameClient.data(3, [], ends: true))
        #expect(try client.answer(3).status == 200)
        let next = try FrameClient(served.server.endpoint)
        try next.send(FrameClient.request(1, "POST", "/", [("content-length", "1001")], ends: false))
        let refused = try next.answer(1)
        #expect(refused.status == 413)
        #expect(refused.hasEnded)
        // What was under way is skipped.
        try next.send(FrameClient.data(1, pattern(1001), ends: true))
        try next.send(FrameClient.request(3, "POST", ends: false), FrameClient.data(3, pattern(600)), FrameClient.data(3, pattern(600), ends: true))
        #expect(try next.answer(3).status == 413)
        #expect(try next.ask(5).bodyText == "hello")
        #expect(next.goAways == [])
    }

    @Test func largeHeads() throws {
        let served = try Configured(limited("request-line-bytes: 1KiB, header-bytes: 4KiB, header-count: 20"))
        let client = try FrameClient(served.server.endpoint)
        #expect(try client.ask(1, "GET", "/", [("x", String(repeating: "y", count: 3000))]).status == 200)
        #expect(try client.ask(3, "GET", "/", [("x", String(repeating: "y", count: 5000))]).status == 431)
        #expect(try client.ask(5, "GET", "/", (0..<30).map { ("x-\($0)", "y") }).status == 431)
        #expect(try client.ask(7).status == 200)
        #expect(client.goAways == [])
    }

    @Test func interimResponsesAndTrailers() throws {
        let server = try Uringd.respond()
        let other = try FrameClient(server.endpoint)
        try other.send(FrameClient.request(1, "POST", "/", [("expect", "100-continue")], ends: false))
        while other.answers[1]?.interim != [100] { _ = try #require(try other.next()) }
        try other.send(FrameClient.data(1, pattern(10)))
        let flags = HTTP2Frame.Flag.endHeaders | HTTP2Frame.Flag.endStream
        try other.send(HTTP2Frame(HTTP2Frame.Kind.headers, flags: flags, stream: 1, FrameClient.block([("checksum", "1")])))
        let final = try other.answer(1)
        #expect(final.status == 200 && final.bodyText == answer)
        #expect(final.interim == [100])
    }

    // MARK: streams

    /// A slow stream holds nobody up, and nothing is sent that no window allows.
    @Test func windowsOfStreamsAreIndependent() throws {
        let site = try Site()
        try site.write("large", pattern(300_000))
        try site.write("small", pattern(10))
        let server = try ServerProcess(["files", site.path, "--listen", "127.0.0.1:0", "--loops", "1"])
        // Initial window 100 bytes.
        let client = try FrameClient(server.endpoint, settings: [(4, 100)])
        client.returnsWindow = false
        try client.send(FrameClient.request(1, "GET", "/large"))
        #expect(try client.ask(3, "GET", "/small").body == pattern(10))
        try client.synchronise()
        #expect(client.answers[1]?.body.count == 100)
        // Smaller by SETTINGS: the window is negative then (RFC 9113 6.9.2).
        try client.send(HTTP2Frame(HTTP2Frame.Kind.settings, [0, 4] + HTTP2Frame.number(50)))
        try client.send(HTTP2Frame(HTTP2Frame.Kind.windowUpdate, stream: 1, HTTP2Frame.number(60)))
        while client.answers[1]?.body.count != 110 { _ = try #require(try client.next()) }
        try client.synchronise()
        #expect(client.answers[1]?.body.count == 110)
        try client.send(HTTP2Frame(HTTP2Frame.Kind.windowUpdate, stream: 1, HTTP2Frame.number(1 << 20)))
        try client.send(HTTP2Frame(HTTP2Frame.Kind.windowUpdate, HTTP2Frame.number(1 << 20)))
        #expect(try client.answer(1).body == pattern(300_000))
    }

    @Test func resetStreamsAreForgotten() throws {
        let site = try Site()
        try site.write("large", pattern(300_000))
        let server = try ServerProcess(["files", site.path, "--listen", "127.0.0.1:0", "--loops", "1"])
        let client = try FrameClient(server.endpoint)
        client.returnsWindow = false
        for stream in stride(from: UInt32(1), to: 201, by: 2) {
            try client.send(FrameClient.request(stream, "GET", "/large"), FrameClient.reset(stream))
        }
        client.returnsWindow = true
        try client.synchronise()
        try client.send(HTTP2Frame(HTTP2Frame.Kind.windowUpdate, HTTP2Frame.number(1 << 24)))
        #expect(try client.ask(301, "GET", "/large").body == pattern(300_000))
    }

    @Test func streamsBeyondTheLimitAreRefused() throws {
        let served = try Configured(limited("body-bytes: 1MiB", "http2: { streams: 4 }"))
        let client = try FrameClient(served.server.endpoint)
        try client.synchronise()
        #expect(client.settings[3] == 4)
        for stream in stride(from: UInt32(1), through: 9, by: 2) { try client.send(FrameClient.request(stream, "POST", ends: false)) }
        // REFUSED_STREAM: it may be asked again (RFC 9113 8.7).
        #expect(try client.answer(9).resetCode == 7)
        for stream in stride(from: UInt32(1), through: 7, by: 2) {
            try client.send(FrameClient.data(stream, [1], ends: true))
            #expect(try client.answer(stream).status == 200)
        }
        #expect(try client.ask(11).status == 200)
    }

    // MARK: ends

    @Test func halfClosedConnectionsAreAnswered() throws {
        let server = try Uringd.respond()
        let half = try FrameClient(server.endpoint)
        for stream in stride(from: UInt32(1), to: 41, by: 2) { try half.send(FrameClient.request(stream)) }
        half.connection.finishSending()
        try half.readToEnd()
        #expect(half.answers.values.count { $0.status == 200 && $0.hasEnded } == 20)
    }

    /// As many requests as allowed, every one of them answered, and the client knows which is the last.
    @Test func requestsPerConnection() throws {
        let served = try Configured(limited("requests-per-connection: 10"))
        // Together: a client that asks ahead is warned first, for more may be on its way.
        let client = try FrameClient(served.server.endpoint)
        try client.send((0..<10).map { FrameClient.request($0 * 2 + 1) })
        try client.readToEnd()
        #expect(client.answers.values.count { $0.status == 200 && $0.hasEnded } == 10)
        #expect(client.goAways.allSatisfy { $0.errorCode == 0 })
        #expect(client.goAways.last?.lastStream == 19)
        // One after the other: the last response, then GOAWAY, and nothing else.
        let serial = try FrameClient(served.server.endpoint)
        for stream in 0..<UInt32(10) { #expect(try serial.ask(stream * 2 + 1).status == 200) }
        try serial.readToEnd()
        #expect(serial.goAways.map(\.lastStream) == [19])
        // One that is still at work is waited for.
        let slow = try FrameClient(served.server.endpoint)
        try slow.send((0..<10).map { FrameClient.request($0 * 2 + 1, "POST", ends: false) })
        while slow.goAways.isEmpty { _ = try #require(try slow.next()) }
        for stream in 0..<UInt32(10) { try slow.send(FrameClient.data(stream * 2 + 1, [1], ends: true)) }
        try slow.readToEnd()
        #expect(slow.answers.values.count { $0.status == 200 && $0.hasEnded } == 10)
        #expect(slow.goAways.allSatisfy { $0.errorCode == 0 })
        #expect(slow.goAways.last?.lastStream == 19)
    }

    /// curl goes on to the next connection.
    @Test func requestsPerConnectionOverTLS() throws {
        let text = """
            listen: [{ address: "127.0.0.1:0", tls: { certificates: [{ cert: a.pem, key: a.key }] } }]
            limits: { requests-per-connection: 10 }
            routes: [{ name: all, match: {}, respond: { body: hello } }]
            """
        let served = try Configured(text) { try OpenSSL.certificate("a", for: "a.example", in: $0) }
        let urls = Array(repeating: served.server.url(), count: 35)
        let (output, _) = try Curl.run(["--insecure", "--http2", "-w", " %{http_code} %{num_connects};"] + urls)
        #expect(output.components(of: "hello 200 0;") == 31)
        #expect(output.components(of: "hello 200 1;") == 4)
    }

    /// SIGTERM: GOAWAY at once, then every stream to its end, then the connection's.
    @Test func drainAnswersEveryStream() throws {
        let site = try Site()
        try site.write("large", pattern(200_000))
        try site.write("uringd.yaml", """
            listen: [{ address: "127.0.0.1:0" }]
            routes:
              - { name: up, match: { methods: [POST] }, respond: { body: hello } }
              - { name: site, match: {}, files: { root: . } }
            """)
        let server = try ServerProcess(["serve", "--config", site.path + "/uringd.yaml", "--loops", "1"])
        let client = try FrameClient(server.endpoint, settings: [(4, 1000)])
        client.returnsWindow = false
        // Downloads that wait for their windows, and an upload that waits for its end.
        for stream in [UInt32(1), 3, 5] { try client.send(FrameClient.request(stream, "GET", "/large")) }
        try client.send(FrameClient.request(7, "POST", ends: false), FrameClient.data(7, pattern(10)))
        try client.synchronise()
        let idle = try FrameClient(server.endpoint)
        try idle.synchronise()
        server.send(signal: SIGTERM)
        while client.goAways.isEmpty { _ = try #require(try client.next()) }
        #expect(client.goAways[0].errorCode == 0)
        try idle.readToEnd()
        #expect(idle.goAways.last?.errorCode == 0)
        client.returnsWindow = true
        try client.send(HTTP2Frame(HTTP2Frame.Kind.windowUpdate, HTTP2Frame.number(1 << 24)))
        for stream in [UInt32(1), 3, 5] { try client.send(HTTP2Frame(HTTP2Frame.Kind.windowUpdate, stream: stream, HTTP2Frame.number(1 << 20))) }
        try client.send(FrameClient.data(7, pattern(10), ends: true))
        try client.readToEnd()
        for stream in [UInt32(1), 3, 5] {
            #expect(client.answers[stream]?.body == pattern(200_000))
            #expect(client.answers[stream]?.hasEnded == true)
        }
        #expect(client.answers[7]?.bodyText == "hello")
        let last = try #require(client.goAways.last)
        #expect(last.lastStream >= 7)
        client.connection.finishSending()
        #expect(try server.waitForExit() == .code(0))
    }
}

extension String {
    /// How often a text occurs in it.
    func components(of text: String) -> Int { split(separator: text, omittingEmptySubsequences: false).count - 1 }
}

extension Site {
    /// A file's bytes, whatever they are.
    func bytes(_ name: String) throws -> [UInt8] {
        guard let file = unsafe fopen(path + "/" + name, "r") else { throw RawClientError.system(call: "fopen", errno: errno) }
        defer { unsafe fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            // The array owns the bytes through the call.
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe fread($0.baseAddress, 1, $0.count, file) }
            if count == 0 { return bytes }
            bytes += chunk.prefix(count)
        }
    }
}
