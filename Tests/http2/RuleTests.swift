// RFC 9113 rule by rule: inputs after the client's preface, and what must come of each. Every input is also cut at every byte.

import Testing

@testable import UringHTTP2

/// One rule: what the client sends after preface and settings, and what is expected.
struct Rule: Sendable, CustomTestStringConvertible {
    enum Outcome: Sendable {
        case failed(HTTP2ErrorCode)
        /// RST_STREAM for this stream, the connection goes on.
        case reset(UInt32, HTTP2ErrorCode)
        case events([String])
    }
    let name: String
    let input: [UInt8]
    let outcome: Outcome
    var answering = Answering.none
    /// Without preface and settings in front.
    var bare = false

    var testDescription: String { name }
    init(_ name: String, _ input: [UInt8], _ outcome: Outcome, answering: Answering = .none, bare: Bool = false) {
        (self.name, self.input, self.outcome, self.answering, self.bare) = (name, input, outcome, answering, bare)
    }
}

@Suite struct RuleTests {
    @Test(arguments: connectionRules + frameRules + stateRules + requestRules)
    func rule(_ rule: Rule) {
        let input = rule.bare ? rule.input : Client.hello + rule.input
        let whole = Transcript(input, answering: rule.answering)
        switch rule.outcome {
        case .failed(let code):
            #expect(whole.events.last == "failed \(code)")
            #expect(whole.goAway == code.rawValue)
        case .reset(let id, let code):
            #expect(whole.frames.contains { $0.type == 3 && $0.stream == id && $0.number() == code.rawValue }, "\(whole.frames)")
            #expect(!whole.events.contains { $0.hasPrefix("failed") }, "\(whole.events)")
        case .events(let events): #expect(whole.events == events)
        }
        for cut in 1..<input.count where input.count < 2000 || cut % 97 == 0 || cut > input.count - 40 {
            let parts = Transcript(input, answering: rule.answering, cutAt: cut)
            #expect(parts.events == whole.events, "cut at \(cut)")
            #expect(Set(parts.frames.map(\.description)) == Set(whole.frames.map(\.description)), "cut at \(cut)")
        }
        #expect(Transcript(input, answering: rule.answering, piece: 1).events == whole.events)
    }

    // MARK: 3.4, 5.4, 6.5 to 6.8: the connection

    static let connectionRules = [
        Rule("3.4 wrong preface", Array("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".utf8), .failed(.protocolError), bare: true),
        Rule("3.4 HTTP/1.1", Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8), .failed(.protocolError), bare: true),
        Rule("3.4 first frame is not SETTINGS", Client.preface + Client.ping(), .failed(.protocolError), bare: true),
        Rule("3.4 first frame is an acknowledgement", Client.preface + Client.settingsAck, .failed(.protocolError), bare: true),
        Rule("6.5 SETTINGS on a stream", Client.frame(4, stream: 1), .failed(.protocolError)),
        Rule("6.5 acknowledgement with payload", Client.frame(4, flags: 1, [0, 1, 0, 0, 0, 0]), .failed(.frameSizeError)),
        Rule("6.5 length", Client.frame(4, [0, 1, 0]), .failed(.frameSizeError)),
        Rule("6.5.2 ENABLE_PUSH 2", Client.settings([(2, 2)]), .failed(.protocolError)),
        Rule("6.5.2 initial window beyond 2^31-1", Client.settings([(4, 0x8000_0000)]), .failed(.flowControlError)),
        Rule("6.5.2 frame size too small", Client.settings([(5, 16_383)]), .failed(.protocolError)),
        Rule("6.5.2 frame size too large", Client.settings([(5, 1 << 24)]), .failed(.protocolError)),
        Rule("6.5.2 unknown setting", Client.settings([(0x99, 7)]) + Client.request(1), .events(["request 1 GET example.com / end"])),
        Rule("8441 ENABLE_CONNECT_PROTOCOL 2", Client.settings([(8, 2)]), .failed(.protocolError)),
        Rule("9218 NO_RFC7540_PRIORITIES 2", Client.settings([(9, 2)]), .failed(.protocolError)),
        Rule("9218 NO_RFC7540_PRIORITIES changes", Client.settings([(9, 1)]), .failed(.protocolError)),
        Rule("6.7 PING length", Client.frame(6, [1, 2, 3]), .failed(.frameSizeError)),
        Rule("6.7 PING on a stream", Client.frame(6, stream: 1, [0, 0, 0, 0, 0, 0, 0, 0]), .failed(.protocolError)),
        Rule("6.8 GOAWAY", Client.frame(7, Client.big(0) + Client.big(0) + Array("bye".utf8)), .events(["goAwayReceived"])),
        Rule("6.8 GOAWAY on a stream", Client.frame(7, stream: 1, Client.big(0) + Client.big(0)), .failed(.protocolError)),
        Rule("6.8 GOAWAY length", Client.frame(7, [0, 0, 0, 0]), .failed(.frameSizeError)),
        Rule("6.9 WINDOW_UPDATE length", Client.frame(8, [0, 0, 1]), .failed(.frameSizeError)),
        Rule("6.9 WINDOW_UPDATE of 0 on the connection", Client.windowUpdate(0, 0), .failed(.protocolError)),
        Rule("6.9.1 connection window beyond 2^31-1", Client.windowUpdate(0, 0x7fff_ffff), .failed(.flowControlError)),
    ]

    // MARK: 4.1 to 4.3, 5.5, 6.1 to 6.4, 6.6, 6.10: frames

    static let frameRules = [
        Rule("4.1 unknown frame type", Client.frame(0x77, flags: 0xff, stream: 9, [1, 2, 3]) + Client.request(1), .events(["request 1 GET example.com / end"])),
        Rule("4.1 undefined flags", Client.frame(1, flags: 0xc7 & ~0x02, stream: 1, Client.block(Client.fields())), .events(["request 1 GET example.com / end"])),
        Rule("4.1 reserved bit", Client.frame(1, flags: 5, stream: 0x8000_0001, Client.block(Client.fields())), .events(["request 1 GET example.com / end"])),
        Rule("4.2 too large", [0, 0x40, 1, 0, 0, 0, 0, 0, 1], .failed(.frameSizeError)),
        Rule("4.2 unknown type too large", [0x10, 0, 0, 0x99, 0, 0, 0, 0, 0], .failed(.frameSizeError)),
        Rule("4.3 compression", Client.headers(1, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), .failed(.compressionError)),
        Rule("4.3 table size update behind a field", Client.headers(1, [0x82, 0x20]), .failed(.compressionError)),
        Rule("4.3 index 0", Client.headers(1, [0x80]), .failed(.compressionError)),
        Rule("4.3 truncated", Client.headers(1, [0x40]), .failed(.compressionError)),
        Rule("4.3 PRIORITY within a block", Client.headers(1, [], endHeaders: false) + Client.frame(2, stream: 1, [0, 0, 0, 0, 1]), .failed(.protocolError)),
        Rule("4.3 other stream's CONTINUATION", Client.headers(1, [], endHeaders: false) + Client.continuation(3, []), .failed(.protocolError)),
        Rule("4.3 unknown frame within a block", Client.headers(1, [], endHeaders: false) + Client.frame(0x77), .failed(.protocolError)),
        Rule("6.1 DATA on the connection", Client.frame(0, [1]), .failed(.protocolError)),
        Rule("6.1 padding as long as the frame", Client.request(1, "POST", end: false) + Client.frame(0, flags: 8, stream: 1, [3, 1, 1]), .failed(.protocolError)),
        Rule("6.1 no pad length", Client.request(1, "POST", end: false) + Client.frame(0, flags: 8, stream: 1), .failed(.frameSizeError)),
        Rule(
            "6.1 padded DATA", Client.request(1, "POST", end: false) + Client.data(1, Array("abc".utf8), padding: 9) + Client.data(1, [], end: true, padding: 255),
            .events(["request 1 POST example.com / open", "data 1 abc end"])),
        Rule("6.2 HEADERS on the connection", Client.headers(0, Client.block(Client.fields())), .failed(.protocolError)),
        Rule("6.2 padding longer than the frame", Client.frame(1, flags: 0xd, stream: 1, [200, 0x82]), .failed(.protocolError)),
        Rule("6.2 no pad length", Client.frame(1, flags: 0xd, stream: 1), .failed(.frameSizeError)),
        Rule("6.2 no priority", Client.frame(1, flags: 0x25, stream: 1, [0, 0]), .failed(.frameSizeError)),
        Rule(
            "6.2 padding and priority", Client.frame(1, flags: 0x2d, stream: 1, [2, 0, 0, 0, 5, 1] + Client.block(Client.fields()) + [0, 0]),
            .events(["request 1 GET example.com / end"])),
        Rule("5.3.1 HEADERS that depends on itself", Client.frame(1, flags: 0x25, stream: 1, [0, 0, 0, 1, 1] + Client.block(Client.fields())), .reset(1, .protocolError)),
        Rule("6.3 PRIORITY on the connection", Client.frame(2, [0, 0, 0, 0, 1]), .failed(.protocolError)),
        Rule("6.3 PRIORITY length", Client.request(1, "POST", end: false) + Client.frame(2, stream: 1, [0, 0, 0, 0]), .reset(1, .frameSizeError)),
        Rule("6.3 PRIORITY depends on itself", Client.request(1, "POST", end: false) + Client.frame(2, stream: 1, [0, 0, 0, 1, 0]), .reset(1, .protocolError)),
        Rule("5.1 PRIORITY on an idle stream", Client.frame(2, stream: 7, [0, 0, 0, 0, 1]) + Client.request(1), .events(["request 1 GET example.com / end"])),
        Rule("6.4 RST_STREAM on the connection", Client.reset(0), .failed(.protocolError)),
        Rule("6.4 RST_STREAM on an idle stream", Client.reset(1), .failed(.protocolError)),
        Rule("6.4 RST_STREAM length", Client.request(1, end: false) + Client.frame(3, stream: 1, [0, 0, 0]), .failed(.frameSizeError)),
        Rule("6.4 RST_STREAM", Client.request(1, end: false) + Client.reset(1, 8), .events(["request 1 GET example.com / open", "reset 1 CANCEL"])),
        Rule("6.6 PUSH_PROMISE", Client.frame(5, flags: 4, stream: 1, Client.big(2) + [0x82]), .failed(.protocolError)),
        Rule("6.10 CONTINUATION without HEADERS", Client.continuation(1, []), .failed(.protocolError)),
        Rule("6.10 CONTINUATION after END_HEADERS", Client.request(1) + Client.continuation(1, []), .failed(.protocolError)),
        Rule(
            "6.10 CONTINUATION",
            Client.headers(1, Array(Client.block(Client.fields())[..<10]), endHeaders: false)
                + Client.continuation(1, Array(Client.block(Client.fields())[10..<30]), endHeaders: false)
                + Client.continuation(1, Array(Client.block(Client.fields())[30...])), .events(["request 1 GET example.com / end"])),
        Rule("9218 7.1 PRIORITY_UPDATE on a stream", Client.frame(0x10, stream: 1, Client.big(1)), .failed(.protocolError)),
        Rule("9218 7.1 PRIORITY_UPDATE length", Client.frame(0x10, [0, 0]), .failed(.frameSizeError)),
        Rule("9218 7.1 PRIORITY_UPDATE for stream 0", Client.priorityUpdate(0, "u=1"), .failed(.protocolError)),
        Rule("9218 7.1 PRIORITY_UPDATE for a pushed stream", Client.priorityUpdate(2, "u=1"), .failed(.protocolError)),
    ]

    // MARK: 5.1, 6.9: states of streams

    static let stateRules = [
        Rule("5.1 idle: DATA", Client.data(1, "x"), .failed(.protocolError)),
        Rule("5.1 idle: WINDOW_UPDATE", Client.windowUpdate(1, 5), .failed(.protocolError)),
        Rule("5.1 even stream: HEADERS", Client.request(2), .failed(.protocolError)),
        Rule("5.1 even stream: WINDOW_UPDATE", Client.windowUpdate(2, 5), .failed(.protocolError)),
        Rule("5.1 half-closed (remote): DATA", Client.request(1) + Client.data(1, "x"), .reset(1, .streamClosed)),
        Rule("5.1 half-closed (remote): HEADERS", Client.request(1) + Client.request(1), .reset(1, .streamClosed)),
        Rule("5.1 half-closed (remote): PRIORITY", Client.request(1) + Client.frame(2, stream: 1, [0, 0, 0, 0, 1]), .events(["request 1 GET example.com / end"])),
        Rule("5.1 closed: DATA", Client.request(1) + Client.data(1, "x"), .failed(.streamClosed), answering: .atEnd),
        Rule("5.1 closed: HEADERS", Client.request(1) + Client.request(1), .failed(.streamClosed), answering: .atEnd),
        Rule(
            "5.1 closed: WINDOW_UPDATE and RST_STREAM", Client.request(1) + Client.windowUpdate(1, 5) + Client.reset(1),
            .events(["request 1 GET example.com / end"]), answering: .atEnd),
        Rule("5.1 closed by RST_STREAM: DATA", Client.request(1, end: false) + Client.reset(1) + Client.data(1, "x"), .failed(.streamClosed)),
        Rule("5.1 closed by RST_STREAM: HEADERS", Client.request(1, end: false) + Client.reset(1) + Client.request(1), .failed(.streamClosed)),
        Rule("5.1.1 lower number", Client.request(5) + Client.request(3), .failed(.protocolError)),
        Rule("5.1.1 DATA on a stream that was passed over", Client.request(5) + Client.data(3, "x"), .failed(.protocolError)),
        Rule("6.9 WINDOW_UPDATE of 0 on a stream", Client.request(1) + Client.windowUpdate(1, 0), .reset(1, .protocolError)),
        Rule("6.9.1 stream window beyond 2^31-1", Client.request(1) + Client.windowUpdate(1, 0x7fff_ffff), .reset(1, .flowControlError)),
        Rule("6.9.2 initial window makes a window too large", Client.request(1) + Client.windowUpdate(1, 10) + Client.settings([(4, 0x7fff_ffff)]), .failed(.flowControlError)),
    ]

    // MARK: 8.1 to 8.5: requests

    private static func malformed(_ name: String, _ fields: [(String, String)], end: Bool = true) -> Rule {
        Rule(name, Client.headers(1, Client.block(fields), end: end), .reset(1, .protocolError))
    }
    private static func good(_ name: String, _ fields: [(String, String)], _ event: String, end: Bool = true) -> Rule {
        Rule(name, Client.headers(1, Client.block(fields), end: end), .events([event]))
    }
    private static func with(_ fields: (String, String)...) -> [(String, String)] { Client.fields(more: fields) }

    static let requestRules = [
        malformed("8.1.1 content-length with END_STREAM", with(("content-length", "5"))),
        malformed("8.1.1 content-length twice", with(("content-length", "0"), ("content-length", "0"))),
        malformed("8.1.1 content-length is no number", with(("content-length", "+1"))),
        malformed("8.1.1 content-length beyond 2^63", with(("content-length", "9223372036854775808"))),
        good("8.1.1 content-length 0", with(("content-length", "0")), "request 1 GET example.com / length=0 [content-length: 0] end"),
        Rule("8.1.1 more DATA than content-length", Client.request(1, "POST", more: [("content-length", "2")], end: false) + Client.data(1, "abc"), .reset(1, .protocolError)),
        Rule("8.1.1 less DATA than content-length", Client.request(1, "POST", more: [("content-length", "4")], end: false) + Client.data(1, "abc", end: true), .reset(1, .protocolError)),
        Rule(
            "8.1.1 trailers before content-length is met",
            Client.request(1, "POST", more: [("content-length", "4")], end: false) + Client.data(1, "abc") + Client.headers(1, Client.block([("a", "b")])), .reset(1, .protocolError)),
        Rule(
            "8.1.1 content-length met", Client.request(1, "POST", more: [("content-length", "3")], end: false) + Client.data(1, "ab") + Client.data(1, "c", end: true),
            .events(["request 1 POST example.com / length=3 [content-length: 3]", "data 1 abc end"])),
        Rule(
            "8.1 trailers", Client.request(1, "POST", end: false) + Client.data(1, "abc") + Client.headers(1, Client.block([("x-sum", "1")])),
            .events(["request 1 POST example.com / open", "data 1 abc", "trailers 1 [x-sum: 1]"])),
        Rule("8.1 trailers without END_STREAM", Client.request(1, "POST", end: false) + Client.headers(1, Client.block([("a", "b")]), end: false), .reset(1, .protocolError)),
        Rule("8.1 pseudo field in trailers", Client.request(1, "POST", end: false) + Client.headers(1, Client.block([(":path", "/")])), .reset(1, .protocolError)),
        Rule("8.1 content-length in trailers", Client.request(1, "POST", end: false) + Client.headers(1, Client.block([("content-length", "0")])), .reset(1, .protocolError)),
        malformed("8.2.1 upper case", with(("X-A", "b"))),
        malformed("8.2.1 empty name", with(("", "b"))),
        malformed("8.2.1 space in a name", with(("a b", "b"))),
        malformed("8.2.1 colon in a name", with(("a:b", "b"))),
        malformed("8.2.1 line feed in a value", with(("a", "b\nc"))),
        malformed("8.2.1 NUL in a value", with(("a", "b\0c"))),
        malformed("8.2.1 space in front of a value", with(("a", " b"))),
        malformed("8.2.2 connection", with(("connection", "close"))),
        malformed("8.2.2 keep-alive", with(("keep-alive", "1"))),
        malformed("8.2.2 proxy-connection", with(("proxy-connection", "close"))),
        malformed("8.2.2 transfer-encoding", with(("transfer-encoding", "chunked"))),
        malformed("8.2.2 upgrade", with(("upgrade", "h2c"))),
        malformed("8.2.2 te", with(("te", "gzip"))),
        good("8.2.2 te trailers", with(("te", "trailers")), "request 1 GET example.com / [te: trailers] end"),
        good("8.2.3 cookie crumbs", with(("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")), "request 1 GET example.com / [cookie: a=1; b=2; c=3, x: y] end"),
        malformed("8.3 unknown pseudo field", with() + [(":x", "y")]),
        malformed("8.3 response's pseudo field", [(":status", "200")] + Client.fields()),
        malformed("8.3 late pseudo field", [(":method", "GET"), (":scheme", "https"), ("a", "b"), (":path", "/"), (":authority", "x")]),
        malformed("8.3.1 no method", [(":scheme", "https"), (":authority", "x"), (":path", "/")]),
        malformed("8.3.1 no scheme", [(":method", "GET"), (":authority", "x"), (":path", "/")]),
        malformed("8.3.1 no path", [(":method", "GET"), (":scheme", "https"), (":authority", "x")]),
        malformed("8.3.1 empty path", Client.fields("GET", "")),
        malformed("8.3.1 method twice", [(":method", "GET")] + Client.fields()),
        malformed("8.3.1 path twice", Client.fields() + [(":path", "/")]),
        malformed("8.3.1 no host at all", [(":method", "GET"), (":scheme", "https"), (":path", "/")]),
        malformed("8.3.1 user information", [(":method", "GET"), (":scheme", "https"), (":authority", "u@x"), (":path", "/")]),
        malformed("8.3.1 empty authority", [(":method", "GET"), (":scheme", "https"), (":authority", ""), (":path", "/")]),
        malformed("8.3.1 host differs", with(("host", "other.com"))),
        malformed("8.3.1 host twice", with(("host", "example.com"), ("host", "example.com"))),
        good("8.3.1 host in another case", with(("host", "EXAMPLE.com")), "request 1 GET example.com / [host: EXAMPLE.com] end"),
        good("8.3.1 host alone", [(":method", "GET"), (":scheme", "http"), (":path", "/a?b"), ("host", "h:8080")], "request 1 GET h:8080 /a?b [host: h:8080] end"),
        malformed("8.3.1 path without slash", Client.fields("GET", "a")),
        malformed("8.3.1 absolute path", Client.fields("GET", "http://example.com/")),
        malformed("8.3.1 space in a path", Client.fields("GET", "/a b")),
        malformed("8.3.1 fragment", Client.fields("GET", "/a#b")),
        malformed("8.3.1 asterisk with GET", Client.fields("GET", "*")),
        good("8.3.1 asterisk with OPTIONS", Client.fields("OPTIONS", "*"), "request 1 OPTIONS example.com * end"),
        malformed("8.3.1 scheme", [(":method", "GET"), (":scheme", "ftp"), (":authority", "x"), (":path", "/")]),
        malformed("9.1 method is no token", Client.fields("G T")),
        good("9.1 other method", Client.fields("PURGE"), "request 1 PURGE example.com / end"),
        good("8.5 CONNECT", [(":method", "CONNECT"), (":authority", "h:443")], "request 1 CONNECT h:443 h:443 open", end: false),
        malformed("8.5 CONNECT with path", Client.fields("CONNECT", "/")),
        malformed("8.5 CONNECT without port", [(":method", "CONNECT"), (":authority", "h")], end: false),
        malformed("8441 :protocol without consent", [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", "x"), (":path", "/")], end: false),
        malformed("8441 :protocol with GET", [(":method", "GET"), (":protocol", "websocket"), (":scheme", "https"), (":authority", "x"), (":path", "/")]),
        malformed("empty block", []),
        good("expect", with(("expect", "100-continue")), "request 1 GET example.com / open expects [expect: 100-continue]", end: false),
        good("expect without body", with(("expect", "100-continue")), "request 1 GET example.com / [expect: 100-continue] end"),
    ]
}
