import Testing

@testable import UringPolicy

@Suite("Where a request came from")
struct ForwardedWalkTests {
    private let trusted = PrefixSet(["10.0.0.0/8", "2001:db8::/32"].map { try! Prefix.strict($0).get() })

    private func walk(_ peer: String, forwarded: Bool = false, _ lines: [String]) -> ForwardedWalk {
        var walk = ForwardedWalk(peer: address(peer), trusted: trusted)
        for line in lines.reversed() where walk.wantsMore {
            let bytes = Array(line.utf8)
            if forwarded { walk.take(forwarded: bytes.span, trusted: trusted) } else { walk.take(xForwardedFor: bytes.span, trusted: trusted) }
        }
        return walk
    }

    @Test("X-Forwarded-For: the rightmost that is not trusted", arguments: [
        ("192.0.2.1", ["203.0.113.7"], "192.0.2.1", .untrusted), ("10.0.0.1", [], "10.0.0.1", .open), ("10.0.0.1", ["203.0.113.7"], "203.0.113.7", .untrusted),
        ("10.0.0.1", ["1.2.3.4, 203.0.113.7"], "203.0.113.7", .untrusted), ("10.0.0.1", ["1.2.3.4, 203.0.113.7 ,10.0.0.2"], "203.0.113.7", .untrusted),
        ("10.0.0.1", ["1.2.3.4", "203.0.113.7", "10.0.0.3, 10.0.0.2"], "203.0.113.7", .untrusted), ("10.0.0.1", ["10.0.0.9,10.0.0.8"], "10.0.0.9", .open),
        ("10.0.0.1", ["203.0.113.7:4711"], "203.0.113.7", .untrusted), ("10.0.0.1", ["[2001:db9::1]:80"], "2001:db9::1", .untrusted), ("10.0.0.1", ["2001:db9::1"], "2001:db9::1", .untrusted),
        ("2001:db8::5", ["::ffff:203.0.113.7"], "203.0.113.7", .untrusted),
        ("10.0.0.1", ["203.0.113.7, unknown, 10.0.0.2"], "10.0.0.2", .notAnAddress), ("10.0.0.1", ["203.0.113.7,"], "10.0.0.1", .notAnAddress), ("10.0.0.1", [""], "10.0.0.1", .notAnAddress),
        ("10.0.0.1", ["203.0.113.7, 10.0.0.300"], "10.0.0.1", .notAnAddress), ("10.0.0.1", ["203.0.113.7:99999"], "10.0.0.1", .notAnAddress), ("10.0.0.1", ["[203.0.113.7]"], "10.0.0.1", .notAnAddress),
        ("10.0.0.1", ["[2001:db9::1"], "10.0.0.1", .notAnAddress), ("10.0.0.1", ["2001:db9::1]"], "10.0.0.1", .notAnAddress), ("10.0.0.1", ["[]:80"], "10.0.0.1", .notAnAddress), ("10.0.0.1", ["1.2.3.4:"], "10.0.0.1", .notAnAddress),
        ("10.0.0.1", ["1.2.3.4 5.6.7.8"], "10.0.0.1", .notAnAddress), ("10.0.0.1", ["\"203.0.113.7\""], "10.0.0.1", .notAnAddress),
    ] as [(String, [String], String, ForwardedWalk.End)])
    func xForwardedFor(_ peer: String, _ lines: [String], _ client: String, _ end: ForwardedWalk.End) {
        let walk = walk(peer, lines)
        #expect(walk.client == address(client) && walk.end == end, "\(walk.client) \(walk.end)")
    }

    @Test("Forwarded: the same, with what is said of protocol and host", arguments: [
        (["for=203.0.113.7"], "203.0.113.7", .untrusted, nil, nil), (["FOR=203.0.113.7;Proto=https;host=\"example.com:80\""], "203.0.113.7", .untrusted, "https", "example.com:80"),
        (["for=1.2.3.4, for=\"[2001:db9::1]:4711\";by=_x;ext=\"a,b;c\" , for=10.0.0.2;proto=http"], "2001:db9::1", .untrusted, nil, nil), (["for=203.0.113.7", "for=10.0.0.2"], "203.0.113.7", .untrusted, nil, nil),
        (["for=10.0.0.9;host=a"], "10.0.0.9", .open, nil, "a"), (["for=203.0.113.7, for=unknown"], "10.0.0.1", .notAnAddress, nil, nil), (["for=203.0.113.7, for=_hidden"], "10.0.0.1", .notAnAddress, nil, nil),
        (["for=203.0.113.7, proto=https"], "10.0.0.1", .notAnAddress, nil, nil), (["for=203.0.113.7, "], "203.0.113.7", .untrusted, nil, nil), ([""], "10.0.0.1", .open, nil, nil),
        (["for=203.0.113.7;for=1.2.3.4"], "10.0.0.1", .notAnAddress, nil, nil), (["for=\"203.0.113.7"], "10.0.0.1", .notAnAddress, nil, nil), (["for=\"203.0\\.113.7\""], "10.0.0.1", .notAnAddress, nil, nil),
        (["for=203.0.113.7 proto=https"], "10.0.0.1", .notAnAddress, nil, nil), (["for"], "10.0.0.1", .notAnAddress, nil, nil), (["for="], "10.0.0.1", .notAnAddress, nil, nil), (["for=203.0.113.7;"], "10.0.0.1", .notAnAddress, nil, nil),
        (["=x"], "10.0.0.1", .notAnAddress, nil, nil), (["x=\"a\", for=203.0.113.7, \"=b"], "10.0.0.1", .notAnAddress, nil, nil),
    ] as [([String], String, ForwardedWalk.End, String?, String?)])
    func forwarded(_ lines: [String], _ client: String, _ end: ForwardedWalk.End, _ proto: String?, _ host: String?) {
        let walk = walk("10.0.0.1", forwarded: true, lines)
        #expect(walk.client == address(client) && walk.end == end, "\(walk.client) \(walk.end)")
        // The line that was given last is the first.
        let line = Array(lines[0].utf8)
        func text(_ range: Range<Int>?) -> String? { range.map { String(decoding: line[$0], as: UTF8.self) } }
        #expect(text(walk.proto) == proto && text(walk.host) == host)
    }

    @Test("ends somewhere")
    func hops() {
        let line = Array(repeating: "10.0.0.2", count: 40)
        let long = walk("10.0.0.1", [line.joined(separator: ",")])
        #expect(long.end == .tooManyHops && long.hops == ForwardedWalk.hopsMax)
        let forwarded = walk("10.0.0.1", forwarded: true, [line.map { "for=" + $0 }.joined(separator: ",")])
        #expect(forwarded.end == .tooManyHops && forwarded.hops == ForwardedWalk.hopsMax)
        let last = walk("10.0.0.1", forwarded: true, [(Array(repeating: "for=1.2.3.4", count: 40) + ["for=203.0.113.7"]).joined(separator: ",")])
        #expect(last.client == address("203.0.113.7") && last.end == .untrusted)
    }

    @Test("does not trap on anything", arguments: 0..<10)
    func random(seed: UInt64) {
        var random = PolicyRandom(seed: seed)
        let pieces = ["for=", "10.0.0.1", "\"", "[", "]", ":", ",", ";", " ", "2001:db8::1", "proto=", "x", "\\", "=", "unknown", "\u{0}"]
        for _ in 0..<2000 {
            let bytes = (0..<random.below(12)).flatMap { _ in Array(pieces[Int(random.below(UInt64(pieces.count)))].utf8) }
            var walk = ForwardedWalk(peer: address("10.0.0.1"), trusted: trusted)
            exactly(bytes) { walk.take(forwarded: $0, trusted: trusted) }
            exactly(bytes) { walk.take(xForwardedFor: $0, trusted: trusted) }
            #expect(walk.hops <= ForwardedWalk.hopsMax)
        }
    }

    @Test("what is sent on reads back")
    func fields() {
        let host = Array("example.com:8080".utf8)
        let (v4, v6) = (address("192.0.2.1"), address("2001:db9::1"))
        #expect(text { ForwardingFields.appendForwarded(for: v4, by: v6, host: host.span, isSecure: true, to: &$0) } == "for=192.0.2.1;by=\"[2001:db9::1]\";host=\"example.com:8080\";proto=https")
        #expect(text { ForwardingFields.appendForwarded(for: nil, host: Array("a\"b".utf8).span, isSecure: false, to: &$0) } == "for=unknown;proto=http")
        #expect(text { ForwardingFields.appendForwarded(for: v4, host: Array("a.b".utf8).span, isSecure: false, to: &$0) } == "for=192.0.2.1;host=a.b;proto=http")
        let line = text {
            ForwardingFields.appendFormer(Array(" for=1.2.3.4 ".utf8).span, to: &$0)
            ForwardingFields.appendFormer(Array(" ".utf8).span, to: &$0)
            ForwardingFields.appendForwarded(for: v6, host: host.span, isSecure: true, to: &$0)
        }
        #expect(walk("10.0.0.1", forwarded: true, [line!]).client == v6)
        #expect(text { ForwardingFields.appendFor(v6, to: &$0) } == "2001:db9::1")
        #expect(text { ForwardingFields.appendPort(8443, to: &$0) } == "8443" && text { ForwardingFields.appendProto(isSecure: true, to: &$0) } == "https")
        for bad in ["", "a b", "a\r\n", "a/b", "ü", "a\"", String(repeating: "a", count: 256)] { #expect(exactly(bad) { ForwardingFields.isAuthority($0) } == false, "\(bad)") }
    }

    @Test("a request that goes in a circle is known by Via", arguments: [("1.1 edge-3", true), ("1.1 edge-31, 2 Edge-3 (x)", true), ("1.1 edge-31", false), ("1.1 my-edge-3", false), ("edge-3", false), ("", false), ("HTTP/1.1\tedge-3", true), ("1.1 edge-3:80", false)])
    func via(_ line: String, _ isLoop: Bool) {
        let name = Array("edge-3".utf8)
        #expect(exactly(line) { ForwardingFields.isLoop(via: $0, pseudonym: name.span) } == isLoop)
        #expect(text { ForwardingFields.appendVia(protocolVersion: "2", pseudonym: name.span, to: &$0) } == "2 edge-3")
        #expect(exactly("edge-3") { ForwardingFields.isPseudonym($0) } && !exactly("a b") { ForwardingFields.isPseudonym($0) })
    }
}
