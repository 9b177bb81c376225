// Lines of the access log: byte for byte, against hostile values, and against the C library's dates and addresses.

import Glibc
import Testing

@testable import UringGateway

/// Values of one request, owned, from which a line is made.
struct LogFixture {
    var peer = PeerAddress.ipv4(0x7f00_0001, port: 50123)
    var wallNs: UInt64 = 1_795_437_946_123_456_789
    var durationNs: UInt64 = 1_234_567
    var status: UInt16 = 200
    var bytes: UInt64 = 15
    var version: (major: UInt8, minor: UInt8) = (1, 1)
    var method = Array("GET".utf8)
    var target = Array("/healthz?a=b".utf8)
    var host = Array("example.com".utf8)
    var userAgent = Array("curl/8".utf8)
    var referer = Array("https://example.com/".utf8)
    var route = Array("health".utf8)
    var requestID = Array("4711".utf8)
    var tlsVersion: [UInt8] = []
    var cipher: [UInt8] = []
    var serverName: [UInt8] = []
    var clientSubject: [UInt8] = []
    var trace: (UInt64, UInt64) = (0, 0)

    func withEntry<R>(_ body: (borrowing AccessLogEntry) -> R) -> R {
        var entry = AccessLogEntry(
            peer: peer, wallNs: wallNs, durationNs: durationNs, status: status, bytes: bytes, version: version, method: method.span,
            target: target.span, host: host.span, userAgent: userAgent.span, referer: referer.span, route: route.span,
            requestID: requestID.span,
            tls: AccessLogTLS(version: tlsVersion.span, cipher: cipher.span, serverName: serverName.span, clientSubject: clientSubject.span))
        entry.trace = trace
        return body(entry)
    }

    func line(_ format: AccessLogConfiguration.Format) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: AccessLogLine.bytesMax)
        let count = withEntry { entry in
            // `buffer` lives through the closure.
            unsafe buffer.withUnsafeMutableBytes { unsafe AccessLogLine.write(entry, as: format, into: $0) }
        }
        return Array(buffer[..<count])
    }

    func text(_ format: AccessLogConfiguration.Format) -> String { String(decoding: line(format), as: UTF8.self) }
}

@Suite struct AccessLogLineTests {
    @Test func aJSONLine() {
        #expect(
            LogFixture().text(.json)
                == #"{"time":"2026-11-23T12:45:46.123456Z","peer":"127.0.0.1:50123","method":"GET","target":"/healthz?a=b","version":"HTTP/1.1","status":200,"bytes":15,"duration_ms":1.234,"host":"example.com","route":"health","request_id":"4711","user_agent":"curl/8","referer":"https://example.com/"}"#
                + "\n")
    }

    @Test func aTraceHasItsID() {
        var fixture = LogFixture()
        fixture.trace = (0x0af7_6519_16cd_43dd, 0x8448_eb21_1c80_319c)
        #expect(fixture.text(.json).contains(#""request_id":"4711","trace_id":"0af7651916cd43dd8448eb211c80319c","user_agent""#))
    }

    @Test func aCombinedLine() {
        #expect(
            LogFixture().text(.combined)
                == #"127.0.0.1 - - [23/Nov/2026:12:45:46 +0000] "GET /healthz?a=b HTTP/1.1" 200 15 "https://example.com/" "curl/8""# + "\n")
    }

    @Test func whatIsNotThereIsLeftOut() {
        var fixture = LogFixture()
        fixture.peer = .unix
        fixture.version = (2, 0)
        fixture.bytes = 0
        (fixture.host, fixture.userAgent, fixture.referer, fixture.route, fixture.requestID) = ([], [], [], [], [])
        fixture.durationNs = 0
        #expect(
            fixture.text(.json)
                == #"{"time":"2026-11-23T12:45:46.123456Z","peer":"unix:","method":"GET","target":"/healthz?a=b","version":"HTTP/2.0","status":200,"bytes":0,"duration_ms":0.000}"#
                + "\n")
        #expect(fixture.text(.combined) == #"unix: - - [23/Nov/2026:12:45:46 +0000] "GET /healthz?a=b HTTP/2.0" 200 - "-" "-""# + "\n")
    }

    @Test func aJSONLineOverTLS() {
        var fixture = LogFixture()
        fixture.version = (2, 0)
        fixture.tlsVersion = Array("TLSv1.3".utf8)
        fixture.cipher = Array("TLS_AES_128_GCM_SHA256".utf8)
        fixture.serverName = Array("example.com".utf8)
        let plain = fixture.text(.json)
        #expect(
            plain.contains(
                #""version":"HTTP/2.0","status":200,"bytes":15,"duration_ms":1.234,"host":"example.com","tls_version":"TLSv1.3","tls_cipher":"TLS_AES_128_GCM_SHA256","tls_server_name":"example.com","route":"health""#))
        fixture.clientSubject = Array("CN=\"a\"\n".utf8)
        #expect(fixture.text(.json).contains(#","tls_client":"CN=\"a\"\n","route""#))
        // The combined format has no place for it.
        #expect(fixture.text(.combined).contains(#""GET /healthz?a=b HTTP/2.0" 200 15 "https://example.com/" "curl/8""#))
    }

    @Test func hostileBytesAreEscaped() {
        var fixture = LogFixture()
        fixture.userAgent = Array("a\"b\\c\n\r\t\u{1b}[31m\u{7f}\u{85}\u{2028}\u{2029}é€😀".utf8) + [0xff, 0xc3, 0x28, 0xe2, 0x82, 0xed, 0xa0, 0x80, 0xc0, 0xaf, 0x00]
        #expect(
            fixture.text(.json).contains(
                #""user_agent":"a\"b\\c\n\r\t\u001b[31m\u007f\u0085\u2028\u2029é€😀\ufffd\ufffd(\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\u0000""#))
        #expect(
            fixture.text(.combined).hasSuffix(
                #" "a\"b\\c\x0a\x0d\x09\x1b[31m\x7f\xc2\x85\xe2\x80\xa8\xe2\x80\xa9\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xff\xc3(\xe2\x82\xed\xa0\x80\xc0\xaf\x00""# + "\n"))
    }

    @Test func longValuesAreCutAndMarked() {
        var fixture = LogFixture()
        fixture.target = [UInt8](repeating: UInt8(ascii: "a"), count: 100_000)
        let json = fixture.text(.json)
        #expect(json.contains("\"" + String(repeating: "a", count: AccessLogLine.targetBytesMax) + "\""))
        #expect(json.hasSuffix(#","cut":true}"# + "\n"))
        #expect(fixture.text(.combined).contains(" " + String(repeating: "a", count: AccessLogLine.targetBytesMax - 6) + "... HTTP/1.1"))
        fixture.target = [UInt8](repeating: UInt8(ascii: "a"), count: AccessLogLine.targetBytesMax)
        #expect(!fixture.text(.json).contains("cut"))
    }

    /// The worst that a client can send in every field stays within the bound, which the writer relies on.
    @Test(arguments: [0x00, 0x22, 0x61, 0x80, 0xff] as [UInt8])
    func theLongestLineFits(byte: UInt8) {
        var fixture = LogFixture()
        let long = [UInt8](repeating: byte, count: 10_000)
        (fixture.method, fixture.target, fixture.host, fixture.userAgent) = (long, long, long, long)
        (fixture.referer, fixture.route, fixture.requestID) = (long, long, long)
        (fixture.tlsVersion, fixture.cipher, fixture.serverName, fixture.clientSubject) = (long, long, long, long)
        (fixture.wallNs, fixture.durationNs, fixture.bytes, fixture.status) = (.max, .max, .max, .max)
        fixture.version = (255, 255)
        fixture.trace = (.max, .max)
        fixture.peer = .ipv6(high: 0x1111_1111_1111_1111, low: .max, port: .max)
        #expect(fixture.line(.json).count <= AccessLogLine.bytesMax)
        #expect(fixture.line(.combined).count <= AccessLogLine.bytesMax)
    }

    /// Any bytes in any field: the line has one newline, at its end, is JSON, and gives the value back.
    @Test(arguments: 0..<4 as Range<UInt64>)
    func linesOfAnyBytesAreOneObject(seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        // Pieces of characters, so that valid, cut and overlong sequences all occur.
        let pieces: [[UInt8]] = [
            [0x41], [0x22], [0x5c], [0x0a], [0x1b], [0x7f], [0xc2], [0x85], [0xc3, 0xa9], [0xe2, 0x82, 0xac], [0xe2, 0x80], [0xa8],
            [0xed], [0xa0, 0x80], [0xf0, 0x9f, 0x98, 0x80], [0xf4, 0x90], [0xff], [0xc0], [0xaf], [0x00], [0x20],
        ]
        func some() -> [UInt8] { (0..<random.below(40)).flatMap { _ in pieces[random.below(pieces.count)] } }
        for round in 0..<300 {
            var fixture = LogFixture()
            (fixture.method, fixture.target, fixture.host) = (some(), some(), some())
            (fixture.userAgent, fixture.referer) = (some(), some())
            let line = fixture.line(.json)
            #expect(line.firstIndex(of: 0x0a) == line.count - 1, "seed \(seed), round \(round)")
            #expect(!line.dropLast().contains { $0 < 0x20 || $0 == 0x7f }, "seed \(seed), round \(round)")
            let document = YAMLDocument.parse(line)
            #expect(document.diagnostics == [], "seed \(seed), round \(round)")
            guard case .mapping(let entries)? = document.root?.content else {
                Issue.record("seed \(seed), round \(round): no object")
                continue
            }
            let agent = entries.first { $0.key == "user_agent" }
            if case .scalar(let scalar)? = agent?.value.content, fixture.userAgent.count * 6 <= AccessLogLine.userAgentBytesMax {
                #expect(collapse(scalar.text) == collapse(String(decoding: fixture.userAgent, as: UTF8.self)), "seed \(seed), round \(round)")
            }
            let combined = fixture.line(.combined)
            #expect(combined.allSatisfy { $0 >= 0x20 && $0 < 0x7f || $0 == 0x0a }, "seed \(seed), round \(round)")
            #expect(combined.firstIndex(of: 0x0a) == combined.count - 1, "seed \(seed), round \(round)")
        }
    }

    /// Decoders differ in how many replacement characters they make of one broken sequence.
    private func collapse(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars where scalar != "\u{fffd}" || result.last != "\u{fffd}" { result.append(scalar) }
        return String(result)
    }

    @Test func datesAreThoseOfTheCLibrary() {
        var random = SplitMix(seed: 7)
        let special: [UInt64] = [0, 951_782_399, 951_782_400, 951_868_800, 1_709_164_800, 4_107_542_399, 4_107_542_400, 18_446_744_073]
        for seconds in special + (0..<2000).map({ _ in random.next() % 18_446_744_073 }) {
            let civil = CivilTime(seconds)
            #expect([civil.year, civil.month, civil.day, civil.secondOfDay] == libraryTime(seconds), "\(seconds)")
        }
    }

    /// Year, month, day and second of the day by gmtime_r, which writes into `parts` during the call.
    private func libraryTime(_ seconds: UInt64) -> [UInt64] {
        var time = time_t(seconds)
        var parts = unsafe tm()
        unsafe gmtime_r(&time, &parts)
        let second = unsafe parts.tm_hour * 3600 + parts.tm_min * 60 + parts.tm_sec
        return unsafe [parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, second].map { UInt64($0) }
    }

    @Test func addressesAreThoseOfTheCLibrary() {
        var random = SplitMix(seed: 8)
        for _ in 0..<2000 {
            // Many zero groups, so that runs of every length and place occur.
            var groups = (0..<8).map { _ in random.below(3) > 0 ? 0 : random.next() & (random.below(2) == 0 ? 0xf : 0xffff) }
            // ::1.2.3.4 is spelled by the C library in a way that RFC 5952 does not ask for.
            if groups[0..<6].allSatisfy({ $0 == 0 }) { groups[0] = 0x2001 }
            let high = groups[0..<4].reduce(0) { $0 << 16 | $1 }
            let low = groups[4..<8].reduce(0) { $0 << 16 | $1 }
            var fixture = LogFixture()
            fixture.peer = .ipv6(high: high, low: low, port: 1)
            let bytes = groups.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xff)] }
            let expected = ListenAddress.ipv6(bytes, zone: "", port: 1).description
            #expect(fixture.text(.json).contains("\"peer\":\"\(expected)\""), "\(expected)")
        }
        for (high, low, text) in [(0, 0, "::"), (0, 1, "::1"), (0, 0xffff_0102_0304, "::ffff:1.2.3.4"), (1 << 48, 0, "1::")] as [(UInt64, UInt64, String)] {
            var fixture = LogFixture()
            fixture.peer = .ipv6(high: high, low: low, port: 1)
            #expect(fixture.text(.combined).hasPrefix(text + " - - "))
        }
    }
}
