// The parser against the reference parser on many generated requests: pieces of good and bad requests put together by a
// seeded generator, then damaged. Both must agree on acceptance and on every value.

import Testing
import UringHTTP
import UringHTTP1

/// SplitMix64: the same sequence on every machine.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

private let methods = ["GET", "GET", "GET", "POST", "OPTIONS", "CONNECT", "HEAD", "M-X", "get", "PRI"]
private let targets = [
    "/", "/", "/a/b?c=d", "/%41?", "*", "http://h/", "https://h:1/p?q", "h:80", "[::1]:443", "http://[::1]", "/a#b", "/a\\b", "/a?b\\c", "http://u@h/", "ftp://h/", "x", "/é", "h", "/" + String(repeating: "p", count: 70),
]
private let versions = ["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.3", "HTTP/2.0", "http/1.1", "HTTP/1.11"]
private let lines = [
    "Host: h", "Host: h", "Host: h", "host: localhost:8080", "Host: h:80808", "Host:  a.b ", "HOST:x", "Host: [::1]:1", "Host: a b", "Host:", "Host: [1::2::3]", "Host: a%41", "Host: localhost:12345",
    "Content-Length: 5", "Content-Length: 5, 5", "Content-Length: +5", "content-length:0", "Content-Length: 99999999999999999999", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "transfer-encoding: CHUNKED ,",
    "Connection: close", "Connection: keep-alive", "Connection: x, upgrade ,close", "Connection: Upgrade", "Upgrade: websocket", "Expect: 100-continue", "Expect: x", "Accept: */*", "X:", "X-Long: " + String(repeating: "v", count: 50),
    String(repeating: "n", count: 20) + ": v", "a b: c", "a : b", ": x", "noColon", " folded", "T: a\tb", "U: \u{e9}\u{ff}", "V: \u{1}", "W_x!#: \"q\"",
]
private let goodLines = [
    "Accept: */*", "X:", "Connection: keep-alive", "Connection: x, upgrade ,close", "Upgrade: websocket", "Expect: 100-continue", "Content-Length: 12", "Transfer-Encoding: chunked", "T: a\tb", "U: \u{e9}\u{ff}", "W_x!#: \"q\" ",
]
private let ends = ["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n"]

@Suite struct DifferentialTests {
    private static func generate(_ random: inout SeededGenerator) -> [UInt8] {
        func end() -> String { Int.random(in: 0..<4, using: &random) == 0 ? ends.randomElement(using: &random)! : "\r\n" }
        var text = String(repeating: "\r\n", count: max(0, Int.random(in: -12...3, using: &random)))
        func pick(_ good: [String], _ any: [String]) -> String {
            (Int.random(in: 0..<3, using: &random) == 0 ? any : good).randomElement(using: &random)!
        }
        text += methods.randomElement(using: &random)! + " " + pick(["/", "/a?b=c"], targets) + " " + pick(["HTTP/1.1", "HTTP/1.0"], versions) + "\r\n"
        if Int.random(in: 0..<4, using: &random) != 0 { text += "Host: h" + end() }
        for _ in 0..<Int.random(in: 0...4, using: &random) { text += pick(goodLines, lines) + (Int.random(in: 0..<8, using: &random) == 0 ? end() : "\r\n") }
        text += "\r\n"
        var bytes = latin1Bytes(text)
        switch Int.random(in: 0..<6, using: &random) {
        case 0: bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: .min ... .max, using: &random)
        case 1: bytes.remove(at: Int.random(in: 0..<bytes.count, using: &random))
        case 2: bytes.insert(Array(" \t\r\n:,\u{0}\"/".utf8).randomElement(using: &random)!, at: Int.random(in: 0..<bytes.count, using: &random))
        default: break
        }
        return bytes
    }

    @Test func agreesWithTheReference() {
        let seed: UInt64 = 20_260_101
        var random = SeededGenerator(state: seed)
        let memory = GuardedBytes(capacity: 4096)
        var accepted = 0
        for round in 0..<20_000 {
            let bytes = Self.generate(&random)
            let found = parse(bytes, memory: memory)
            let reference = ReferenceParser.parse(bytes)
            let mine = found.request.map {
                ReferenceRequest(
                    method: $0.method, target: $0.target, minorVersion: $0.head.minorVersion, fields: $0.fields.map { [$0.name, $0.value] },
                    authority: $0.authority, framing: $0.head.framing, keepAlive: $0.head.keepAlive, upgrade: $0.head.upgrade,
                    headLength: $0.head.headLength)
            }
            if mine != reference {
                Issue.record("seed \(seed), round \(round), \(latin1(bytes).debugDescription): parser \(found), reference \(String(describing: reference))")
                return
            }
            if mine != nil { accepted += 1 }
        }
        #expect(accepted > 2000, "the generator makes too few good requests: \(accepted)")
    }

    @Test func splittingGeneratedRequestsChangesNothing() {
        var random = SeededGenerator(state: 7)
        for _ in 0..<400 { _ = parseEveryWay(Self.generate(&random)) }
    }
}
