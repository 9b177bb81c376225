// `uringd top`: the stream and the picture, without a server or a terminal.

import Testing

@testable import UringGateway

@Suite struct TopTests {
    private let stream = "retry: 1000\nevent: hello\ndata: {\"a\":1}\n\n: a comment\r\nid: 1\r\ndata: one\r\ndata:two\r\n\r\nid: 2\n\ndata\n\n"
    private let events: [EventStream.Event] = [
        .init(type: "hello", data: Array("{\"a\":1}".utf8)), .init(type: "message", data: Array("one\ntwo".utf8)), .init(type: "message", data: []),
    ]

    @Test func eventsAreFoundWhereverTheirBytesAreCut() {
        let bytes = Array(stream.utf8)
        for cut in 0...bytes.count {
            var reader = EventStream()
            #expect(reader.feed(Array(bytes[..<cut])) + reader.feed(Array(bytes[cut...])) == events, "\(cut)")
        }
        var one = EventStream()
        #expect(bytes.flatMap { one.feed([$0]) } == events)
    }

    @Test func anEndlessLineBreaksTheStream() {
        var reader = EventStream()
        _ = reader.feed([UInt8](repeating: 0x61, count: EventStream.lineBytesMax))
        #expect(!reader.isBroken)
        #expect(reader.feed([0x61]).isEmpty && reader.isBroken)
        #expect(reader.feed(Array("\ndata: x\n\n".utf8)).isEmpty)
    }

    private func value(_ text: String) throws -> JSONValue { try #require(JSONValue(answered: Array(text.utf8))) }

    private func sample(_ second: Int) -> String {
        let many = (0..<40).map { #"{"name":"silent\#($0)","c":[0,0,0,0,0],"b":[0,0,0],"ns":0,"bytes":0}"# }.joined(separator: ",")
        return """
            {"t":\(second * 1000),"ready":true,"limit":20000,"process":{"cpu":\(second * 500),"rss":10485760,"fds":12,"fdsMax":1024,"threads":5},
             "routes":[{"name":"busy","c":[0,\(900 * second),0,\(60 * second),\(40 * second)],"b":[\(500 * second),\(490 * second),\(10 * second)],"ns":1,"bytes":\(2048 * second)},\(many)],
             "loops":[{"n":0,"conn":7,"accepted":\(3 * second),"requests":\(1000 * second),"stalls":2,"depth":{"n":0,"sum":0},"batch":{"n":\(10 * second),"sum":\(25 * second),"p99":4},
                       "lag":{"n":\(10 * second),"sum":\(20000 * second),"p99":1500000},"phases":{"ns":[4098361,\(second * 4_098_361)]}}],
             "tls":{"full":\(2 * second),"sessionID":0},
             "upstreams":[{"name":"u","servers":[{"address":"h:1","state":"unhealthy","active":1,"requests":\(10 * second),"c":[0,\(8 * second),0,0,\(2 * second)],"failures":\(second),"ns":\(50_000_000 * second)}]}],
             "breakers":[{"group":"g","state":"open","dry":true},{"group":"h","state":"closed","dry":false}]}
            """
    }

    private func frame() throws -> TopFrame {
        try TopFrame(
            hello: value(#"{"version":"9","backend":"uring","loops":1,"pid":4711,"start":0,"bounds":[1000000,2000000]}"#), from: value(sample(90)), to: value(sample(92)))
    }

    @Test func ratesAreOfTheTimeBetween() throws {
        let text = try frame().lines(width: 200, height: 1000).joined(separator: "\n")
        for part in [
            "uringd 9  pid 4711  uring  1 loops  up 1 min 32 s  serving", "1000 requests/s  7 of 20.0k connections  CPU 50.0 %  memory 10.0 MiB  descriptors 12/1024  threads 5",
            "busy       1000     60     40   4.0 %  1.0 ms  2.0 ms  2.0 KiB/s", "0        7   1000         3  25 %  2.0 µs    1.5 ms    2.5      -       2",
            "u h:1     unhealthy       1     10      2         1  5.0 ms", "breaker g: open (dry run)", "TLS handshakes/s  full 2  session id 0",
        ] {
            #expect(text.contains(part), "\(part) in\n\(text)")
        }
        #expect(!text.contains("breaker h"))
        #expect(text.contains("silent39"))
    }

    @Test(arguments: [(80, 24), (40, 10), (20, 3), (1, 1)]) func itFitsTheTerminal(width: Int, height: Int) throws {
        let lines = try frame().lines(width: width, height: height)
        #expect(lines.count <= height && lines.allSatisfy { $0.count <= width }, "\(lines)")
        if height == 24 {
            #expect(lines.count == 24 && lines.contains { $0.hasSuffix("more routes") } && lines.contains { $0.hasPrefix("u h:1") })
        }
    }

    @Test func whatComesFromElsewhereDoesNoHarm() throws {
        let odd = try value(#"{"t":"x","routes":[{"name":"a\u001b[2Jb","c":[1e300,-5],"b":[1e300]},7],"loops":[{}],"upstreams":[[]],"process":[],"tls":{"full":9e99}}"#)
        let lines = TopFrame(hello: .null, from: odd, to: odd).lines(width: 80, height: 24)
        #expect(!lines.joined().unicodeScalars.contains { $0.value < 0x20 })
        #expect(lines.contains { $0.contains("a?[2Jb") }, "\(lines)")
        #expect(!TopFrame(hello: odd, from: .null, to: try value(sample(1))).lines(width: 80, height: 24).isEmpty)
    }
}
