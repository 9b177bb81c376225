import Testing

@testable import UringPolicy

@Suite("Trace context")
struct TraceContextTests {
    private func parse(_ text: String) -> TraceContext? { exactly(text) { TraceContext($0) } }
    private let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    @Test("is read and written")
    func roundTrip() throws {
        let context = try #require(parse(good))
        #expect(context.trace == TraceID(high: 0x4bf9_2f35_77b3_4da6, low: 0xa3ce_929d_0e0e_4736) && context.span == 0x00f0_67aa_0ba9_02b7 && context.isSampled)
        #expect(text { context.append(to: &$0) } == good)
        #expect(parse(good.dropLast(2) + "00")?.isSampled == false)
        // Other versions: what is known of them.
        for later in ["01" + good.dropFirst(2), "cc" + good.dropFirst(2) + "-what-ever"] { #expect(parse(later)?.trace == context.trace, "\(later)") }
        #expect(text { parse("cc" + good.dropFirst(2).dropLast(2) + "ff")!.append(to: &$0) } == good.dropLast(2) + "03")
    }

    @Test("is refused when it is none")
    func malformed() {
        for end in 0..<good.utf8.count { #expect(parse(String(good.prefix(end))) == nil) }
        for bad in [
            good + "-", good + "x", good + "-00", "ff" + good.dropFirst(2), "cc" + good.dropFirst(2) + "x", good.uppercased(), "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", " " + good, "0x" + good.dropFirst(2),
        ] { #expect(parse(bad) == nil, "\(bad)") }
        for at in good.utf8.indices {
            var bytes = Array(good.utf8)
            bytes[good.utf8.distance(from: good.utf8.startIndex, to: at)] = 0x67
            #expect(exactly(bytes) { TraceContext($0) } == nil)
        }
    }

    @Test("goes on in children, and begins anew")
    func ids() throws {
        var random = PolicyRandom(seed: 1)
        let parent = try #require(parse(good))
        let child = parent.child(random: &random, isSampled: false)
        #expect(child.trace == parent.trace && child.span != parent.span && !child.isSampled)
        let new = TraceContext(random: &random, isSampled: true)
        #expect(new.isSampled && parse(text { new.append(to: &$0) }!) == new)
        struct Zeros: RandomNumberGenerator { mutating func next() -> UInt64 { 0 } }
        var zeros = Zeros()
        #expect(TraceContext(random: &zeros, isSampled: false).span == 1)
    }

    @Test("is sampled as the parent says, or by ratio")
    func sampling() throws {
        var random = PolicyRandom(seed: 1)
        let parent = try #require(parse(good))
        #expect(TraceSampler(ratio: 0).context(parent: parent, random: &random).isSampled)
        #expect(!TraceSampler(ratio: 0, followsParent: false).context(parent: parent, random: &random).isSampled)
        for ratio in [-1, 0, 0.25, 0.5, 1, 2, Double.nan] {
            let sampler = TraceSampler(ratio: ratio)
            let count = (0..<10_000).reduce(0) { sum, _ in sum + (sampler.context(parent: nil, random: &random).isSampled ? 1 : 0) }
            let expected = ratio.isNaN ? 0 : 10_000 * min(1, max(0, ratio))
            #expect(abs(Double(count) - expected) < (expected == 0 || expected == 10_000 ? 1 : 300), "\(ratio): \(count)")
        }
        #expect(TraceSampler(ratio: 1.0.nextDown).isSampled(TraceID(high: 0, low: 1)!))
    }

    @Test("tracestate", arguments: [
        ("", true), ("a=1", true), ("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7", true), ("a=1, b=2\t,,c=3", true), ("fw529a3039@dt=FfffFFFF", true), ("1a@b=x", true), ("a=b c", true), ("a=1,a=2", false), ("a", false), ("=1", false), ("a=", false),
        ("A=1", false), ("a=1=2", false), ("a@=1", false), ("@a=1", false), ("a@b@c=1", false), ("_a=1", false), ("a=\u{1}", false), ("a=ü", false), ("a =1", false),
    ])
    func state(_ line: String, _ isValid: Bool) {
        var members = 0
        #expect(exactly(line) { TraceState.isValid($0, members: &members) } == isValid)
    }

    @Test("tracestate has limits")
    func stateLimits() {
        func isValid(_ line: String) -> Bool {
            var members = 0
            return exactly(line) { TraceState.isValid($0, members: &members) }
        }
        #expect(isValid((0..<32).map { "k\($0)=1" }.joined(separator: ",")) && !isValid((0..<33).map { "k\($0)=1" }.joined(separator: ",")))
        #expect(isValid(String(repeating: "k", count: 256) + "=" + String(repeating: "v", count: 256)))
        #expect(!isValid(String(repeating: "k", count: 257) + "=v") && !isValid("k=" + String(repeating: "v", count: 257)))
        #expect(!isValid(String(repeating: ",", count: TraceState.bytesMax + 1)))
    }

    @Test("request ids sort by time")
    func requestIDs() throws {
        var random = PolicyRandom(seed: 1)
        // The time of RFC 9562's example, appendix A.6.
        let id = try #require(text { RequestID.appendUUID(now: 0x017f_22e2_79b0 * 1_000_000, random: &random, to: &$0) })
        #expect(id.utf8.count == RequestID.uuidBytes && id.hasPrefix("017f22e2-79b0-7") && "89ab".contains(Array(id)[19]))
        #expect(exactly(id) { RequestID.isAcceptable($0) })
        for bad in ["", "a b", "a\n", "<x>", String(repeating: "a", count: 129)] { #expect(!exactly(bad) { RequestID.isAcceptable($0) }) }
    }
}
