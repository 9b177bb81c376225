// RFC 9113 rule by rule for a client: what a server sends, and what must come of it. Every input is also cut at every byte.

import Testing

@testable import UringHTTP2

/// One rule: what the server sends behind its preface, to a client with some open requests, and what is expected.
struct ServerRule: Sendable, CustomTestStringConvertible {
    enum Outcome: Sendable {
        case failed(HTTP2ErrorCode)
        /// RST_STREAM for this stream, the connection goes on.
        case reset(UInt32, HTTP2ErrorCode)
        case events([String])
    }
    /// Requests that are open, stream 1 first.
    enum Request: Sendable { case get, head, upload, connect, websocket }

    let name: String
    let input: [UInt8]
    let outcome: Outcome
    var requests: [Request]
    /// Without SETTINGS in front.
    var bare = false

    var testDescription: String { name }
    init(_ name: String, _ input: [UInt8], _ outcome: Outcome, _ requests: [Request] = [.get], bare: Bool = false) {
        (self.name, self.input, self.outcome, self.requests, self.bare) = (name, input, outcome, requests, bare)
    }

    /// What the input does to a new connection, in pieces or whole.
    func run(cutAt cut: Int? = nil, piece: Int = .max) -> Transcript {
        let harness = ClientHarness()
        if requests.contains(.websocket) { harness.receive(Client.settings([(8, 1)])) }
        for request in requests {
            switch request {
            case .get: harness.open()
            case .head: harness.open("HEAD")
            case .upload: harness.open("POST", end: false)
            case .connect: harness.open("CONNECT", "", authority: "h:443", end: false)
            case .websocket: harness.open("CONNECT", "/chat", connectProtocol: "websocket", end: false)
            }
        }
        _ = harness.takeFrames()
        let all = bare ? input : Peer.hello + input
        if let cut {
            harness.receive(Array(all[..<cut]))
            harness.receive(Array(all[cut...]))
        } else {
            harness.receive(all, piece: piece)
        }
        let events = harness.takeEvents().filter { $0 != "settings" }
        if !events.contains(where: { $0.hasPrefix("failed") }) { #expect(harness.broken == nil) }
        return Transcript(events: events, frames: harness.takeFrames())
    }
}

extension Transcript {
    init(events: [String], frames: [WireFrame]) { (self.events, self.frames) = (events, frames) }
}

@Suite struct ClientRuleTests {
    @Test(arguments: connectionRules + frameRules + stateRules + responseRules + goAwayRules)
    func rule(_ rule: ServerRule) {
        let whole = rule.run()
        switch rule.outcome {
        case .failed(let code):
            #expect(whole.events.last == "failed \(code)")
            #expect(whole.goAway == code.rawValue)
        case .reset(let id, let code):
            #expect(whole.frames.contains { $0.type == 3 && $0.stream == id && $0.number() == code.rawValue }, "\(whole.frames)")
            #expect(whole.events.contains { $0.hasPrefix("ended \(id) ") && $0.contains("\(code)") }, "\(whole.events)")
            #expect(!whole.events.contains { $0.hasPrefix("failed") }, "\(whole.events)")
        case .events(let events): #expect(whole.events == events)
        }
        let length = rule.input.count + (rule.bare ? 0 : Peer.hello.count)
        for cut in 1..<length where length < 2000 || cut % 97 == 0 || cut > length - 40 {
            let parts = rule.run(cutAt: cut)
            #expect(parts.events == whole.events, "cut at \(cut)")
            #expect(Set(parts.frames.map(\.description)) == Set(whole.frames.map(\.description)), "cut at \(cut)")
        }
        #expect(rule.run(piece: 1).events == whole.events)
    }

    private static let ok = Peer.response(1)
    private static let okEvent = ["response 1 200 end"]

    // MARK: 3.4, 6.5 to 6.8: the connection

    static let connectionRules = [
        ServerRule("3.4 HTTP/1.1", Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8), .failed(.protocolError), bare: true),
        ServerRule("3.4 first frame is not SETTINGS", Client.ping(), .failed(.protocolError), bare: true),
        ServerRule("3.4 first frame is an acknowledgement", Client.settingsAck, .failed(.protocolError), bare: true),
        ServerRule("3.4 response ahead of SETTINGS", ok, .failed(.protocolError), bare: true),
        ServerRule("6.5 SETTINGS on a stream", Client.frame(4, stream: 1), .failed(.protocolError)),
        ServerRule("6.5 acknowledgement with payload", Client.frame(4, flags: 1, [0, 1, 0, 0, 0, 0]), .failed(.frameSizeError)),
        ServerRule("6.5 length", Client.frame(4, [0, 1, 0]), .failed(.frameSizeError)),
        ServerRule("6.5.2 ENABLE_PUSH 1", Client.settings([(2, 1)]), .failed(.protocolError)),
        ServerRule("6.5.2 ENABLE_PUSH 0", Client.settings([(2, 0)]) + ok, .events(okEvent)),
        ServerRule("6.5.2 initial window beyond 2^31-1", Client.settings([(4, 0x8000_0000)]), .failed(.flowControlError)),
        ServerRule("6.5.2 frame size too small", Client.settings([(5, 16_383)]), .failed(.protocolError)),
        ServerRule("6.5.2 frame size too large", Client.settings([(5, 1 << 24)]), .failed(.protocolError)),
        ServerRule("6.5.2 unknown setting", Client.settings([(0x99, 7)]) + ok, .events(okEvent)),
        ServerRule("8441 ENABLE_CONNECT_PROTOCOL 2", Client.settings([(8, 2)]), .failed(.protocolError)),
        ServerRule("8441 ENABLE_CONNECT_PROTOCOL taken back", Client.settings([(8, 1)]) + Client.settings([(8, 0)]), .failed(.protocolError)),
        ServerRule("9218 NO_RFC7540_PRIORITIES 2", Client.settings([(9, 2)]), .failed(.protocolError)),
        ServerRule("6.7 PING length", Client.frame(6, [1, 2, 3]), .failed(.frameSizeError)),
        ServerRule("6.7 PING on a stream", Client.frame(6, stream: 1, [0, 0, 0, 0, 0, 0, 0, 0]), .failed(.protocolError)),
        ServerRule("6.7 acknowledgement of nothing", Client.ping(ack: true) + ok, .events(okEvent)),
        ServerRule("6.9 WINDOW_UPDATE length", Client.frame(8, [0, 0, 1]), .failed(.frameSizeError)),
        ServerRule("6.9 WINDOW_UPDATE of 0 on the connection", Client.windowUpdate(0, 0), .failed(.protocolError)),
        ServerRule("6.9.1 connection window beyond 2^31-1", Client.windowUpdate(0, 0x7fff_ffff), .failed(.flowControlError)),
    ]

    // MARK: 4.1 to 4.3, 5.5, 6.1 to 6.4, 6.6, 6.10: frames

    static let frameRules = [
        ServerRule("4.1 unknown frame type", Client.frame(0x77, flags: 0xff, stream: 9, [1, 2, 3]) + ok, .events(okEvent)),
        ServerRule("4.1 reserved bit", Client.frame(1, flags: 5, stream: 0x8000_0001, Client.block([(":status", "200")])), .events(okEvent)),
        ServerRule("4.2 too large", [0, 0x40, 1, 0, 0, 0, 0, 0, 1], .failed(.frameSizeError)),
        ServerRule("4.3 compression", Client.headers(1, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), .failed(.compressionError)),
        ServerRule("4.3 truncated", Client.headers(1, [0x40]), .failed(.compressionError)),
        ServerRule("4.3 PING within a block", Client.headers(1, [], endHeaders: false) + Client.ping(), .failed(.protocolError)),
        ServerRule("4.3 other stream's CONTINUATION", Client.headers(1, [], endHeaders: false) + Client.continuation(3, []), .failed(.protocolError), [.get, .get]),
        ServerRule("6.1 DATA on the connection", Client.frame(0, [1]), .failed(.protocolError)),
        ServerRule("6.1 padding as long as the frame", Peer.response(1, end: false) + Client.frame(0, flags: 8, stream: 1, [3, 1, 1]), .failed(.protocolError)),
        ServerRule("6.1 no pad length", Peer.response(1, end: false) + Client.frame(0, flags: 8, stream: 1), .failed(.frameSizeError)),
        ServerRule(
            "6.1 padded DATA", Peer.response(1, end: false) + Client.data(1, Array("abc".utf8), padding: 9) + Client.data(1, [], end: true, padding: 255),
            .events(["response 1 200", "data 1 abc end"])),
        ServerRule("6.2 HEADERS on the connection", Client.headers(0, Client.block([(":status", "200")])), .failed(.protocolError)),
        ServerRule("6.2 padding longer than the frame", Client.frame(1, flags: 0xd, stream: 1, [200, 0x88]), .failed(.protocolError)),
        ServerRule("6.2 no pad length", Client.frame(1, flags: 0xd, stream: 1), .failed(.frameSizeError)),
        ServerRule("6.2 no priority", Client.frame(1, flags: 0x25, stream: 1, [0, 0]), .failed(.frameSizeError)),
        ServerRule("6.2 padding and priority", Client.frame(1, flags: 0x2d, stream: 1, [2, 0, 0, 0, 5, 1, 0x88, 0, 0]), .events(okEvent)),
        ServerRule("6.3 PRIORITY on the connection", Client.frame(2, [0, 0, 0, 0, 1]), .failed(.protocolError)),
        ServerRule("6.3 PRIORITY length", Client.frame(2, stream: 1, [0, 0, 0, 0]), .failed(.frameSizeError)),
        ServerRule("6.3 PRIORITY", Client.frame(2, stream: 1, [0, 0, 0, 0, 1]) + ok, .events(okEvent)),
        ServerRule("6.4 RST_STREAM on the connection", Client.reset(0), .failed(.protocolError)),
        ServerRule("6.4 RST_STREAM on an idle stream", Client.reset(3), .failed(.protocolError)),
        ServerRule("6.4 RST_STREAM length", Client.frame(3, stream: 1, [0, 0, 0]), .failed(.frameSizeError)),
        ServerRule("8.4 PUSH_PROMISE", Client.frame(5, flags: 4, stream: 1, Client.big(2) + [0x82]), .failed(.protocolError)),
        ServerRule("6.10 CONTINUATION without HEADERS", Client.continuation(1, []), .failed(.protocolError)),
        ServerRule(
            "6.10 CONTINUATION",
            Client.headers(1, Array(Client.block([(":status", "200"), ("a", "b")])[..<5]), endHeaders: false)
                + Client.continuation(1, Array(Client.block([(":status", "200"), ("a", "b")])[5..<9]), endHeaders: false)
                + Client.continuation(1, Array(Client.block([(":status", "200"), ("a", "b")])[9...])), .events(["response 1 200 [a: b] end"])),
        ServerRule("9218 7.1 PRIORITY_UPDATE", Client.priorityUpdate(1, "u=1"), .failed(.protocolError)),
    ]

    // MARK: 5.1, 6.9: states of streams

    static let stateRules = [
        ServerRule("5.1 idle: HEADERS", Peer.response(3), .failed(.protocolError)),
        ServerRule("5.1 idle: DATA", Client.data(3, "x"), .failed(.protocolError)),
        ServerRule("5.1 idle: WINDOW_UPDATE", Client.windowUpdate(3, 5), .failed(.protocolError)),
        ServerRule("5.1 even stream: HEADERS", Peer.response(2), .failed(.protocolError)),
        ServerRule("5.1 even stream: RST_STREAM", Client.reset(2), .failed(.protocolError)),
        ServerRule("5.1 half-closed (remote): DATA", ok + Client.data(1, "x"), .reset(1, .streamClosed), [.upload]),
        ServerRule("5.1 half-closed (remote): HEADERS", ok + ok, .reset(1, .streamClosed), [.upload]),
        ServerRule("5.1 closed: DATA", ok + Client.data(1, "x"), .failed(.streamClosed)),
        ServerRule("5.1 closed: HEADERS", ok + ok, .failed(.streamClosed)),
        ServerRule("5.1 closed: WINDOW_UPDATE and RST_STREAM", ok + Client.windowUpdate(1, 5) + Client.reset(1), .events(okEvent)),
        ServerRule("5.1 closed by RST_STREAM: DATA", Client.reset(1) + Client.data(1, "x"), .failed(.streamClosed)),
        ServerRule("6.4 RST_STREAM", Client.reset(1, 2), .events(["ended 1 reset INTERNAL_ERROR unknown"])),
        ServerRule("6.4 RST_STREAM within a response", Peer.response(1, end: false) + Client.reset(1), .events(["response 1 200", "ended 1 reset CANCEL begun"])),
        ServerRule("6.4 unknown code", Client.reset(1, 0x1234), .events(["ended 1 reset 0x1234 unknown"])),
        ServerRule("8.7 REFUSED_STREAM", Client.reset(1, 7), .events(["ended 1 reset REFUSED_STREAM none"])),
        ServerRule("8.7 REFUSED_STREAM behind an interim response", Peer.response(1, "100", end: false) + Client.reset(1, 7), .events(["interim 1 100", "ended 1 reset REFUSED_STREAM begun"])),
        ServerRule("8.1 no more of the request is wanted", ok + Client.reset(1, 0), .events(okEvent + ["ended 1 reset NO_ERROR begun answered"]), [.upload]),
        ServerRule("6.9 WINDOW_UPDATE of 0 on a stream", Client.windowUpdate(1, 0), .reset(1, .protocolError), [.upload]),
        ServerRule("6.9.1 stream window beyond 2^31-1", Client.windowUpdate(1, 0x7fff_ffff), .reset(1, .flowControlError), [.upload]),
        ServerRule("6.9.2 initial window makes a window too large", Client.windowUpdate(1, 10) + Client.settings([(4, 0x7fff_ffff)]), .failed(.flowControlError), [.upload]),
    ]

    // MARK: 8.1 to 8.5: responses

    private static func malformed(_ name: String, _ fields: [(String, String)], end: Bool = true, _ requests: [ServerRule.Request] = [.get]) -> ServerRule {
        ServerRule(name, Client.headers(1, Client.block(fields), end: end), .reset(1, .protocolError), requests)
    }
    private static func good(_ name: String, _ input: [UInt8], _ events: String..., requests: [ServerRule.Request] = [.get]) -> ServerRule {
        ServerRule(name, input, .events(events), requests)
    }
    private static func with(_ fields: (String, String)...) -> [(String, String)] { [(":status", "200")] + fields }
    private static func bad(_ name: String, _ input: [UInt8], _ requests: [ServerRule.Request] = [.get]) -> ServerRule {
        ServerRule(name, input, .reset(1, .protocolError), requests)
    }

    static let responseRules = [
        malformed("8.1.1 content-length with END_STREAM", with(("content-length", "5"))),
        malformed("8.1.1 content-length twice", with(("content-length", "0"), ("content-length", "0"))),
        malformed("8.1.1 content-length is no number", with(("content-length", "+1"))),
        malformed("8.1.1 content-length is empty", with(("content-length", ""))),
        malformed("8.1.1 content-length beyond 2^63", with(("content-length", "9223372036854775808"))),
        good("8.1.1 content-length 0", Peer.response(1, "200", [("content-length", "0")]), "response 1 200 length=0 [content-length: 0] end"),
        bad("8.1.1 more DATA than content-length", Peer.response(1, "200", [("content-length", "2")], end: false) + Client.data(1, "abc")),
        bad("8.1.1 less DATA than content-length", Peer.response(1, "200", [("content-length", "4")], end: false) + Client.data(1, "abc", end: true)),
        bad(
            "8.1.1 trailers before content-length is met",
            Peer.response(1, "200", [("content-length", "4")], end: false) + Client.data(1, "abc") + Peer.trailers(1, [("a", "b")])),
        good(
            "8.1.1 content-length met", Peer.response(1, "200", [("content-length", "3")], end: false) + Client.data(1, "ab") + Client.data(1, "c", end: true),
            "response 1 200 length=3 [content-length: 3]", "data 1 abc end"),
        good("8.1.1 HEAD announces content", Peer.response(1, "200", [("content-length", "9")]), "response 1 200 length=9 [content-length: 9] end", requests: [.head]),
        good(
            "8.1.1 HEAD ends with DATA", Peer.response(1, "200", [("content-length", "9")], end: false) + Client.data(1, "", end: true),
            "response 1 200 length=9 [content-length: 9]", "data 1  end", requests: [.head]),
        bad("8.1.1 content behind HEAD", Peer.response(1, "200", [("content-length", "1")], end: false) + Client.data(1, "x", end: true), [.head]),
        good("8.1.1 304 announces content", Peer.response(1, "304", [("content-length", "9")]), "response 1 304 length=9 [content-length: 9] end"),
        bad("8.1.1 content behind 204", Peer.response(1, "204", end: false) + Client.data(1, "x")),
        good("8.1 interim responses", Peer.response(1, "100", end: false) + Peer.response(1, "103", [("link", "a")], end: false) + ok, "interim 1 100", "interim 1 103 [link: a]", "response 1 200 end"),
        bad("8.1 interim response with END_STREAM", Peer.response(1, "103")),
        bad("8.6 101", Peer.response(1, "101", end: false)),
        bad("8.1 DATA without a head", Client.data(1, "x")),
        bad("8.1 DATA behind an interim response", Peer.response(1, "100", end: false) + Client.data(1, "x")),
        bad("8.1 end without a head", Client.data(1, "", end: true)),
        good(
            "8.1 trailers", Peer.response(1, end: false) + Client.data(1, "abc") + Peer.trailers(1, [("grpc-status", "0"), ("x", "y")]),
            "response 1 200", "data 1 abc", "trailers 1 [grpc-status: 0, x: y]"),
        good("8.1 trailers without content", Peer.response(1, end: false) + Peer.trailers(1, [("a", "b")]), "response 1 200", "trailers 1 [a: b]"),
        good(
            "gRPC trailers only", Peer.response(1, "200", [("content-type", "application/grpc"), ("grpc-status", "5")]),
            "response 1 200 [content-type: application/grpc, grpc-status: 5] end"),
        bad("8.1 trailers without END_STREAM", Peer.response(1, end: false) + Peer.trailers(1, [("a", "b")], end: false)),
        bad("8.1 second head", Peer.response(1, end: false) + ok),
        bad("8.1 interim response behind the final one", Peer.response(1, end: false) + Peer.response(1, "103", end: false)),
        bad("8.1 content-length in trailers", Peer.response(1, end: false) + Peer.trailers(1, [("content-length", "0")])),
        malformed("8.2.1 upper case", with(("X-A", "b"))),
        malformed("8.2.1 empty name", with(("", "b"))),
        malformed("8.2.1 space in a name", with(("a b", "b"))),
        malformed("8.2.1 line feed in a value", with(("a", "b\nc"))),
        malformed("8.2.1 NUL in a value", with(("a", "b\0c"))),
        malformed("8.2.1 space behind a value", with(("a", "b "))),
        malformed("8.2.2 connection", with(("connection", "close"))),
        malformed("8.2.2 keep-alive", with(("keep-alive", "1"))),
        malformed("8.2.2 proxy-connection", with(("proxy-connection", "close"))),
        malformed("8.2.2 transfer-encoding", with(("transfer-encoding", "chunked"))),
        malformed("8.2.2 upgrade", with(("upgrade", "h2c"))),
        malformed("8.3 unknown pseudo field", with() + [(":x", "y")]),
        malformed("8.3 request's pseudo field", with() + [(":path", "/")]),
        malformed("8.3 late pseudo field", [("a", "b"), (":status", "200")]),
        malformed("8.3.2 no status", [("a", "b")]),
        malformed("8.3.2 status twice", with() + [(":status", "200")]),
        malformed("8.3.2 empty block", []),
        malformed("8.3.2 status of two digits", [(":status", "20")]),
        malformed("8.3.2 status of four digits", [(":status", "2000")]),
        malformed("8.3.2 status below 100", [(":status", "099")]),
        malformed("8.3.2 status is no number", [(":status", "2x0")]),
        malformed("8.3.2 empty status", [(":status", "")]),
        good("9110 15 status above 599", Peer.response(1, "777"), "response 1 599 end"),
        good(
            "8.5 CONNECT", Peer.response(1, "200", [("content-length", "1")], end: false) + Client.data(1, "abc") + Client.data(1, "", end: true),
            "response 1 200 length=1 [content-length: 1]", "data 1 abc end", requests: [.connect]),
        bad("8.5 trailers in a tunnel", Peer.response(1, end: false) + Peer.trailers(1, [("a", "b")]), [.connect]),
        good("8.5 CONNECT refused", Peer.response(1, "403", [("content-length", "3")], end: false) + Client.data(1, "abc", end: true), "response 1 403 length=3 [content-length: 3]", "data 1 abc end", requests: [.connect]),
        ServerRule("8441 websocket", Peer.response(1, end: false) + Client.data(1, "abc"), .events(["response 1 200", "data 1 abc"]), [.websocket], bare: true),
        good("streams apart", Peer.response(3, end: false) + ok + Client.data(3, "x", end: true), "response 3 200", "response 1 200 end", "data 3 x end", requests: [.get, .get]),
    ]

    // MARK: 6.8: GOAWAY

    static let goAwayRules = [
        ServerRule("6.8 GOAWAY on a stream", Client.frame(7, stream: 1, Client.big(0) + Client.big(0)), .failed(.protocolError)),
        ServerRule("6.8 GOAWAY length", Client.frame(7, [0, 0, 0, 0]), .failed(.frameSizeError)),
        ServerRule("6.8 GOAWAY", Peer.goAway(3, 0, "bye"), .events(["goAway NO_ERROR", "unprocessed 5 7"]), [.get, .get, .get, .upload]),
        ServerRule("6.8 GOAWAY twice", Peer.goAway(0x7fff_ffff) + Peer.goAway(1, 11), .events(["goAway NO_ERROR", "goAway ENHANCE_YOUR_CALM", "unprocessed 3"]), [.get, .get]),
        ServerRule("6.8 GOAWAY takes back", Peer.goAway(1) + Peer.goAway(3), .failed(.protocolError), [.get, .get]),
        ServerRule("6.8 streams at or below go on", Peer.goAway(1) + ok, .events(["goAway NO_ERROR", "unprocessed 3"] + okEvent), [.get, .get]),
        ServerRule(
            "6.8 frames of streams above", Peer.goAway(1) + Peer.response(3, end: false) + Client.data(3, "abc", end: true) + ok,
            .events(["goAway NO_ERROR", "unprocessed 3"] + okEvent), [.get, .get]),
        ServerRule(
            "6.8 a stream above that is being answered", Peer.response(3, end: false) + Peer.goAway(1) + Client.data(3, "x", end: true),
            .events(["response 3 200", "goAway NO_ERROR", "data 3 x end"]), [.get, .get]),
    ]
}
