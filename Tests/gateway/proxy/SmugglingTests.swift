// Requests that two servers could read as different ones (RFC 9112 section 11.2), sent through the gateway to a server that notes each byte: either the gateway refuses, or what
// arrives is exactly one request that can be read in one way only. Each is followed by another request, which must get its own answer.

import TestSupport
import Testing
import UringServer

@testable import UringGateway

@Suite struct SmugglingTests {
    /// What would be smuggled: it is counted if it ever arrives as a request.
    private static let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\nX: "

    /// What stands behind `Host: a` of a POST, or the whole where it begins with a method.
    private static let ambiguous: [(name: String, text: String)] = [
        ("CL.TE", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled),
        ("TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n" + smuggled + "\r\n0\r\n\r\n"),
        ("TE.TE, two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + smuggled),
        ("TE.TE, other first", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled),
        ("TE.TE, chunked twice", "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + smuggled),
        ("TE, chunked not last", "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + smuggled),
        ("TE, misspelt", "Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + smuggled),
        ("TE, vertical tab", "Content-Length: 5\r\nTransfer-Encoding: \u{0b}chunked\r\n\r\n0\r\n\r\n" + smuggled),
        ("TE, quoted", "Content-Length: 5\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" + smuggled),
        ("TE, space before colon", "Content-Length: 5\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + smuggled),
        ("TE, space before name", "Content-Length: 5\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled),
        ("TE, folded", "Content-Length: 5\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + smuggled),
        ("TE behind a bare CR", "Content-Length: 5\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled),
        ("TE behind a bare LF", "Content-Length: 5\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled),
        ("TE with NUL", "Content-Length: 5\r\nTransfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n" + smuggled),
        ("TE with 8-bit space", "Content-Length: 5\r\nTransfer-Encoding: \u{a0}chunked\r\n\r\n0\r\n\r\n" + smuggled),
        ("TE named by Connection", "Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n\r\n0\r\n\r\n" + smuggled),
        ("CL named by Connection", "Content-Length: 5\r\nConnection: close, Content-Length\r\n\r\nhello" + smuggled),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello" + smuggled),
        ("two lengths in a list", "Content-Length: 5, 0\r\n\r\nhello" + smuggled),
        ("the same length twice", "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" + smuggled),
        ("length with sign", "Content-Length: +5\r\n\r\nhello" + smuggled),
        ("length below zero", "Content-Length: -5\r\n\r\nhello" + smuggled),
        ("length in hexadecimal", "Content-Length: 0x5\r\n\r\nhello" + smuggled),
        ("length with underscore", "Content-Length: 1_0\r\n\r\nhello" + smuggled),
        ("length beyond 64 bits", "Content-Length: 18446744073709551621\r\n\r\nhello" + smuggled),
        ("length that is empty", "Content-Length:\r\n\r\n" + smuggled),
        ("length with NUL", "Content-Length: 5\0\r\n\r\nhello" + smuggled),
        ("chunk beyond 64 bits", "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n" + smuggled),
        ("chunk with sign", "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n" + smuggled),
        ("chunk with 0x", "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n" + smuggled),
        ("chunk behind a space", "Transfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n" + smuggled),
        ("chunk without its end", "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n" + smuggled),
        ("chunk ended by LF", "Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n" + smuggled),
        ("chunk extension with LF", "Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n" + smuggled),
        ("chunk extension with CR", "Transfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n" + smuggled),
        ("chunk extension", "Transfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\n\r\n" + smuggled),
        ("length in a trailer", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n" + smuggled),
        ("two hosts", "Host: b\r\nContent-Length: 0\r\n\r\n" + smuggled),
        ("two hosts, folded", "X: y\r\n Host: b\r\nContent-Length: 0\r\n\r\n" + smuggled),
        ("host in Connection", "Connection: Host\r\nContent-Length: 0\r\n\r\n" + smuggled),
        ("field without name", ": y\r\nContent-Length: 0\r\n\r\n" + smuggled),
        ("field without colon", "Content-Length\r\n\r\n" + smuggled),
        ("name with a bracket", "Content-Length[]: 5\r\n\r\n" + smuggled),
        ("content of GET", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + smuggled),
        ("content of HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + smuggled),
        ("content of a method unknown", "GPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + smuggled),
        ("chunked of HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + smuggled),
        ("HTTP/1.2", "POST / HTTP/1.2\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + smuggled),
        ("HTTP/0.9", "GET /\r\n\r\n" + smuggled),
        ("no host", "GET / HTTP/1.1\r\n\r\n" + smuggled),
        ("host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n" + smuggled),
        ("host with credentials", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n" + smuggled),
        ("absolute target and another host", "GET http://a/x HTTP/1.1\r\nHost: b\r\n\r\n" + smuggled),
        ("target with a tab", "GET /\ta HTTP/1.1\r\nHost: a\r\n\r\n" + smuggled),
        ("target with a space", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n" + smuggled),
        ("target with NUL", "GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n" + smuggled),
        ("target with a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n" + smuggled),
        ("target with an escaped line", "GET /a%0d%0aHost:%20b HTTP/1.1\r\nHost: a\r\n\r\n" + smuggled),
        ("line ended by CR CR LF", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n" + smuggled),
        ("CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n" + smuggled),
        ("upgrade to h2c", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n" + smuggled),
        ("expectation unknown", "POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 5\r\n\r\nhello" + smuggled),
    ]

    private static let methods = ["GET ", "HEAD ", "GPOST ", "POST ", "CONNECT "]

    @Test func oneRequestOrNone() throws {
        let server = try RecordingServer { request, _ in [.answer(200, request.line.hasPrefix("HEAD") ? "" : request.line)] }
        let gateway = try TestGateway(UpstreamConfiguration(ports: [server.port]))
        for (name, text) in Self.ambiguous {
            let before = server.requests.count
            let client = try RawClient(gateway.endpoint)
            let whole = Self.methods.contains { text.hasPrefix($0) } ? text : "POST /first HTTP/1.1\r\nHost: a\r\n" + text
            try? client.send(whole)
            // Whatever comes behind belongs to a client that has ended, and never to a request of its own.
            client.finishSending()
            let answers = (try? client.readToEnd()) ?? []
            try expectOneOrNone(name, server, from: before, statuses: Self.statuses(in: answers))
            // The server's connection is in step: another client gets the answer to its own question.
            let canary = try gateway.get("/canary-\(before)")
            #expect(canary.bodyText == "GET /canary-\(before) HTTP/1.1", "\(name)")
        }
    }

    /// The same fields as HTTP/2 carries them, which has no lines and no chunks.
    private static let fields: [(name: String, fields: [(String, String)])] = [
        ("line in a value", [("x", "y\r\nTransfer-Encoding: chunked")]), ("LF in a value", [("x", "y\nTransfer-Encoding: chunked")]),
        ("CR in a value", [("x", "y\rz")]), ("NUL in a value", [("x", "y\0z")]), ("line in a name", [("x: y\r\nhost", "b")]), ("colon in a name", [("host:", "b")]),
        ("space in a name", [("x y", "z")]), ("upper case in a name", [("Content-Length", "5")]), ("empty name", [("", "x")]),
        ("transfer-encoding", [("transfer-encoding", "chunked")]), ("connection", [("connection", "content-length")]), ("upgrade", [("upgrade", "h2c")]),
        ("te", [("te", "chunked")]), ("keep-alive", [("keep-alive", "1")]), ("proxy-connection", [("proxy-connection", "keep-alive")]),
        ("length that is wrong", [("content-length", "50")]), ("two lengths", [("content-length", "5"), ("content-length", "0")]),
        ("length that is none", [("content-length", "5x")]), ("another host", [("host", "b")]), ("two hosts", [("host", "a"), ("host", "b")]),
        ("pseudo-field behind fields", [("x", "y"), (":path", "/smuggled")]), ("pseudo-field unknown", [(":x", "y")]), ("second path", [(":path", "/smuggled")]),
    ]

    @Test func oneRequestOrNoneOverHTTP2() throws {
        let server = try RecordingServer { request, _ in [.answer(200, request.line)] }
        let gateway = try TestGateway(UpstreamConfiguration(ports: [server.port]))
        for (name, fields) in Self.fields {
            try ask(name, server, gateway) { FrameClient.block([(":method", "POST"), (":scheme", "http"), (":path", "/first"), (":authority", "a")] + fields) }
        }
        for path in ["/a b", "/a\r\nHost: b", "/a HTTP/1.1\r\nHost: b\r\n\r\n" + Self.smuggled, "/a\0", "a", "", "/a#b", "http://b/a", "*"] {
            try ask("path \(path)", server, gateway) { FrameClient.block([(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "a")]) }
        }
        for method in ["GET / HTTP/1.1\r\nHost: b\r\n\r\nGET", "G ET", "", "POST\0"] {
            try ask("method \(method)", server, gateway) { FrameClient.block([(":method", method), (":scheme", "http"), (":path", "/first"), (":authority", "a")]) }
        }
        for authority in ["a\r\nX: y", "a b", "a/b", "u@a", "a\0"] {
            try ask("authority \(authority)", server, gateway) { FrameClient.block([(":method", "POST"), (":scheme", "http"), (":path", "/first"), (":authority", authority)]) }
        }
    }

    private func ask(_ name: String, _ server: RecordingServer, _ gateway: TestGateway, _ block: () -> [UInt8]) throws {
        let before = server.requests.count
        let client = try FrameClient(gateway.endpoint)
        let flags = HTTP2Frame.Flag.endHeaders
        try? client.send(HTTP2Frame(HTTP2Frame.Kind.headers, flags: flags, stream: 1, block()), FrameClient.data(1, Array("hello".utf8), ends: true))
        let answer = try? client.answer(1)
        try expectOneOrNone(name, server, from: before, statuses: answer?.status.map { [$0] } ?? [])
        let canary = try gateway.get("/canary-\(before)")
        #expect(canary.bodyText == "GET /canary-\(before) HTTP/1.1", "\(name)")
    }

    private static func statuses(in bytes: [UInt8]) -> [Int] {
        String(decoding: bytes, as: UTF8.self).split(separator: "HTTP/1.1 ").compactMap { Int($0.prefix(3)) }.filter { $0 >= 200 }
    }

    private func expectOneOrNone(_ name: String, _ server: RecordingServer, from before: Int, statuses: [Int]) throws {
        let arrived = Array(server.requests[before...])
        #expect(arrived.count <= 1, "\(name): \(arrived.map(\.head))")
        // The answer of the server, and no other, is 200.
        #expect(statuses.count { $0 == 200 } <= arrived.count, "\(name): \(statuses)")
        if arrived.isEmpty { #expect(statuses.allSatisfy { $0 >= 400 }, "\(name): \(statuses)") }
        for request in arrived {
            #expect(!request.line.contains("smuggled"), "\(name): \(request.head)")
            #expect(request.values("host").count == 1, "\(name): \(request.head)")
            let (lengths, codings) = (request.values("content-length"), request.values("transfer-encoding"))
            #expect(lengths.count + codings.count <= 1, "\(name): \(request.head)")
            #expect(lengths.allSatisfy { $0.utf8.allSatisfy { (0x30...0x39).contains($0) } } && codings.allSatisfy { $0 == "chunked" }, "\(name): \(request.head)")
            #expect(request.line.hasSuffix(" HTTP/1.1") && request.line.split(separator: " ").count == 3, "\(name): \(request.line)")
            for line in request.head.split(separator: "\r\n").dropFirst() {
                #expect(line.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }, "\(name): \(request.head)")
                #expect(!line.hasPrefix(" ") && !line.hasPrefix("\t") && line.contains(":"), "\(name): \(line)")
            }
        }
    }
}
