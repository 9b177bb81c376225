// The opening handshake (RFC 6455 4.2, RFC 8441 5) and the negotiation of permessage-deflate (RFC 7692 7.1): requests as text, through the parser.

import Testing
import UringHTTP
import UringHTTP1
@testable import UringWebSocket

@Suite struct HandshakeTests {
    static let key = "dGhlIHNhbXBsZSBub25jZQ=="
    static let good = [
        "Host: server.example.com", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: \(key)", "Sec-WebSocket-Version: 13",
    ]
    private let everything = WebSocketPolicy(
        protocols: [Array("chat".utf8), Array("superchat".utf8)], deflate: WebSocketDeflatePolicy(isEnabled: true))

    private func check(
        _ lines: [String], request: String = "GET /chat HTTP/1.1", policy: WebSocketPolicy = WebSocketPolicy(), connect: String? = nil,
        origin: @escaping (String?) -> Bool = { _ in true }
    ) -> (WebSocketVerdict, String) {
        let text = Array((request + "\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\n").utf8)
        var head = RequestHead()
        let fields = UnsafeMutablePointer<FieldSlot>.allocate(capacity: 100)
        let out = UnsafeMutablePointer<UInt8>.allocate(capacity: 4096)
        defer {
            unsafe fields.deallocate()
            unsafe out.deallocate()
        }
        return unsafe text.withUnsafeBufferPointer { text in
            let bytes = text.baseAddress!
            let outcome = unsafe RequestParser.parse(
                bytes, count: text.count, alreadyScanned: 0, head: &head, fields: fields, fieldCapacity: 100, limits: ParserLimits())
            precondition(outcome == .complete, "\(outcome)")
            let hook: (UnsafeBufferPointer<UInt8>?) -> Bool = { value in origin(unsafe value.map { unsafe String(decoding: $0, as: UTF8.self) }) }
            let verdict: WebSocketVerdict
            if let connect {
                head.method = .connect
                let name = Array(connect.utf8)
                verdict = unsafe name.withUnsafeBufferPointer { name in
                    unsafe WebSocketHandshake.checkConnect(
                        protocolName: name.baseAddress!, protocolCount: name.count, head, fields: fields, bytes: bytes, policy: policy, allowsOrigin: hook)
                }
            } else {
                verdict = unsafe WebSocketHandshake.check(head, fields: fields, bytes: bytes, policy: policy, allowsOrigin: hook)
            }
            guard case .accepted(let agreement) = verdict else { return (verdict, "") }
            let count = unsafe WebSocketHandshake.writeFields(agreement, bytes: bytes, into: out)!
            precondition(count <= WebSocketHandshake.fieldBytesMax(agreement))
            return (verdict, unsafe String(decoding: UnsafeBufferPointer(start: out, count: count), as: UTF8.self))
        }
    }
    private func refusal(_ lines: [String], request: String = "GET /chat HTTP/1.1") -> WebSocketRefusal? {
        guard case .refused(let refusal) = check(lines, request: request).0 else { return nil }
        return refusal
    }
    private func replacing(_ name: String, _ lines: String...) -> [String] { Self.good.filter { !$0.hasPrefix(name + ":") } + lines }

    @Test func exampleOfTheRFC() {
        let (verdict, fields) = check(Self.good)
        guard case .accepted(let agreement) = verdict else { return #expect(Bool(false), "\(verdict)") }
        #expect(agreement.status == .switchingProtocols && !agreement.deflate.isOn)
        #expect(fields == "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")
    }

    @Test func manners() {
        // Case, lists, more than one Connection.
        let lines = [
            "host: a", "UPGRADE: h2c, WebSocket", "Connection: keep-alive", "connection: foo, upgrade", "sec-websocket-key:   \(Self.key)  ", "Sec-WebSocket-Version: 13",
        ]
        #expect(check(lines).1.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
        #expect(refusal(Self.good + ["Content-Length: 0"]) == nil)
    }

    @Test func refusals() {
        #expect(refusal(["Host: a"]) == .notAsked)
        #expect(refusal(replacing("Upgrade", "Upgrade: h2c")) == .notAsked)
        #expect(refusal(replacing("Connection", "Connection: close")) == .notAsked)
        #expect(refusal(Self.good, request: "POST / HTTP/1.1") == .badRequest)
        #expect(refusal(Self.good, request: "GET / HTTP/1.0") == .notAsked)
        #expect(refusal(Self.good + ["Content-Length: 3"]) == .badRequest)
        #expect(refusal(Self.good + ["Transfer-Encoding: chunked"]) == .badRequest)
        for key in ["", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ===", "dGhlIHNhbXBsZSBub25jZSE=", "dGhlIHNhbXBs*SBub25jZQ=="] {
            #expect(refusal(replacing("Sec-WebSocket-Key", "Sec-WebSocket-Key: \(key)")) == .badKey)
        }
        #expect(refusal(replacing("Sec-WebSocket-Key")) == .badKey)
        #expect(refusal(Self.good + ["Sec-WebSocket-Key: \(Self.key)"]) == .badKey)
        for version in ["8", "12", "013", "13, 8", ""] {
            #expect(refusal(replacing("Sec-WebSocket-Version", "Sec-WebSocket-Version: \(version)")) == .badVersion)
        }
        #expect(refusal(replacing("Sec-WebSocket-Version")) == .badVersion)
        #expect(refusal(Self.good + ["Sec-WebSocket-Version: 13"]) == .badVersion)
        #expect(WebSocketRefusal.badVersion.status == .upgradeRequired)
        #expect("\(WebSocketRefusal.badVersion.fields)".contains("Sec-WebSocket-Version: 13\r\n"))
        #expect(WebSocketRefusal.badKey.status == .badRequest && WebSocketRefusal.forbiddenOrigin.status == .forbidden)
    }

    @Test func origins() {
        var seen: [String?] = []
        let lines = Self.good + ["Origin: https://example.com"]
        _ = check(lines) { seen.append($0); return true }
        _ = check(Self.good) { seen.append($0); return true }
        #expect(seen == ["https://example.com", nil])
        #expect(check(lines) { _ in false }.0 == .refused(.forbiddenOrigin))
        #expect(refusal(lines + ["Origin: null"]) == .badList)
    }

    @Test func subprotocols() {
        func chosen(_ lines: String...) -> String? {
            let text = check(Self.good + lines, policy: everything).1
            return text.split(separator: "\r\n").first { $0.hasPrefix("Sec-WebSocket-Protocol: ") }.map { String($0.dropFirst(24)) }
        }
        #expect(chosen() == nil)
        #expect(chosen("Sec-WebSocket-Protocol: superchat, chat") == "superchat")
        #expect(chosen("Sec-WebSocket-Protocol: x", "Sec-WebSocket-Protocol: y,chat", "Sec-WebSocket-Protocol: superchat") == "chat")
        #expect(chosen("Sec-WebSocket-Protocol: Chat, other") == nil)
        #expect(check(Self.good + ["Sec-WebSocket-Protocol: a b"], policy: everything).0 == .refused(.badList))
    }

    @Test func extendedConnect() {
        let lines = ["Host: a", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Extensions: permessage-deflate", "Origin: o"]
        let (verdict, fields) = check(lines, policy: everything, connect: "websocket")
        guard case .accepted(let agreement) = verdict else { return #expect(Bool(false), "\(verdict)") }
        #expect(agreement.status == .ok)
        #expect(fields == "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n")
        #expect(check(lines, connect: "connect-udp").0 == .refused(.notAsked))
        #expect(check(["Host: a"], connect: "websocket").0 == .refused(.badVersion))
        #expect(check(lines, connect: "WebSocket", origin: { $0 != "o" }).0 == .refused(.forbiddenOrigin))
    }

    // MARK: permessage-deflate

    /// The answer to an offer, without the name; nil when it is declined.
    private func answer(_ offers: String..., policy: WebSocketDeflatePolicy? = nil) -> String? {
        var deflate = policy ?? WebSocketDeflatePolicy(isEnabled: true)
        deflate.isEnabled = true
        let lines = Self.good + offers.map { "Sec-WebSocket-Extensions: " + $0 }
        let (verdict, fields) = check(lines, policy: WebSocketPolicy(deflate: deflate))
        if case .refused(let refusal) = verdict { return "\(refusal)" }
        return fields.split(separator: "\r\n").first { $0.hasPrefix("Sec-WebSocket-Extensions: permessage-deflate") }.map { String($0.dropFirst(44)) }
    }

    private var takeover: WebSocketDeflatePolicy {
        var policy = WebSocketDeflatePolicy(isEnabled: true)
        policy.serverTakesContextOver = true
        policy.clientTakesContextOver = true
        return policy
    }

    @Test func offers() {
        let none = "; server_no_context_takeover; client_no_context_takeover"
        #expect(answer("permessage-deflate") == none)
        #expect(answer("permessage-deflate; client_max_window_bits") == none)
        #expect(answer("x-webkit-deflate-frame, permessage-deflate") == none)
        #expect(answer("foo; bar=\"baz\"; q = 1", "permessage-deflate") == none)
        #expect(answer("PerMessage-Deflate") == none)
        #expect(answer("foo") == nil)
        #expect(check(Self.good + ["Sec-WebSocket-Extensions: permessage-deflate"]).1.contains("Extensions") == false)
    }

    @Test func contextTakeover() {
        #expect(answer("permessage-deflate", policy: takeover) == "")
        #expect(answer("permessage-deflate; server_no_context_takeover", policy: takeover) == "; server_no_context_takeover")
        #expect(answer("permessage-deflate; client_no_context_takeover", policy: takeover) == "; client_no_context_takeover")
    }

    @Test func windowBits() {
        #expect(answer("permessage-deflate; server_max_window_bits=10", policy: takeover) == "; server_max_window_bits=10")
        #expect(answer("permessage-deflate; server_max_window_bits=\"15\"", policy: takeover) == "; server_max_window_bits=15")
        #expect(answer("permessage-deflate; server_max_window_bits=8", policy: takeover) == "; server_max_window_bits=8")
        #expect(answer("permessage-deflate; client_max_window_bits=9", policy: takeover) == "")
        var small = takeover
        small.serverWindowBitsMax = 11
        small.clientWindowBitsMax = 12
        #expect(answer("permessage-deflate", policy: small) == "; server_max_window_bits=11")
        #expect(answer("permessage-deflate; client_max_window_bits", policy: small) == "; server_max_window_bits=11; client_max_window_bits=12")
        #expect(answer("permessage-deflate; client_max_window_bits=10; server_max_window_bits=9", policy: small) == "; server_max_window_bits=9")
    }

    @Test func declined() {
        for parameter in [
            "unknown", "server_max_window_bits", "server_max_window_bits=7", "server_max_window_bits=16", "server_max_window_bits=08", "server_max_window_bits=100",
            "client_max_window_bits=7", "client_max_window_bits=x", "server_no_context_takeover=1", "client_no_context_takeover=true",
            "server_no_context_takeover; server_no_context_takeover", "client_max_window_bits; client_max_window_bits=10",
        ] {
            #expect(answer("permessage-deflate; \(parameter)") == nil)
            // The next offer is looked at.
            #expect(answer("permessage-deflate; \(parameter), permessage-deflate; server_max_window_bits=12", policy: takeover) == "; server_max_window_bits=12")
        }
    }

    @Test func notWellFormed() {
        for value in ["permessage-deflate;", "permessage-deflate; =1", "permessage-deflate; a=", "permessage-deflate; a=\"b", "permessage-deflate; a=\"b\\c\"", "permessage-deflate x", "a@b", "a; b c", ";a"] {
            #expect(answer(value) == "badList")
        }
        for value in ["", ",", " , ,", "foo,,bar"] { #expect(answer(value) == nil) }
    }
}
