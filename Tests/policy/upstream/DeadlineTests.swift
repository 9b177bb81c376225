import Testing

@testable import UringPolicy

@Suite("Deadlines of requests")
struct DeadlineTests {
    private static func grpc(_ text: String) -> UInt64? {
        let bytes = Array(text.utf8)
        return RequestDeadline.parseGRPC(bytes.span)
    }

    private static func milliseconds(_ text: String) -> UInt64? {
        let bytes = Array(text.utf8)
        return RequestDeadline.parseMilliseconds(bytes.span)
    }

    private static func text(_ text: TimeoutText?) -> String? {
        guard let text else { return nil }
        let span = text.span
        return String(decoding: span.indices.map { span[$0] }, as: UTF8.self)
    }

    @Test("are read from grpc-timeout")
    func parse() {
        #expect(Self.grpc("1H") == 3_600_000_000_000 && Self.grpc("2M") == 120_000_000_000 && Self.grpc("3S") == 3_000_000_000)
        #expect(Self.grpc("4m") == 4_000_000 && Self.grpc("5u") == 5000 && Self.grpc("99999999n") == 99_999_999 && Self.grpc("0n") == 0)
        #expect(Self.grpc("99999999H") == .max)
        for bad in ["", "S", "1", "123456789S", "1s", "1 S", "-1S", "+1S", "1.5S", "0x1S", "１S", "1SS", "1h"] { #expect(Self.grpc(bad) == nil, "\(bad)") }
    }

    @Test("are read in ms")
    func parseMilliseconds() {
        #expect(Self.milliseconds("1") == 1_000_000 && Self.milliseconds("0015") == 15_000_000 && Self.milliseconds("999999999999999") == .max)
        for bad in ["", "0", "000", "-1", "1.5", "1s", " 1", "1000000000000000"] { #expect(Self.milliseconds(bad) == nil, "\(bad)") }
    }

    @Test("are told without more time than there is", arguments: policySeeds(20))
    func format(seed: UInt64) {
        var random = PolicyRandom(seed: seed)
        for _ in 0..<500 {
            let ns = max(random.next() >> random.below(64), 1)
            guard let text = Self.text(TimeoutText.grpc(ns)), let back = Self.grpc(text) else {
                Issue.record("\(ns) has no text")
                return
            }
            // Rounded down, and five digits at least: eight are too few for the unit before.
            #expect(text.utf8.count <= 9 && back <= ns && ns - back <= ns / 100_000, "\(ns) \(text)")
        }
        #expect(Self.text(TimeoutText.grpc(0)) == nil)
        #expect(Self.text(TimeoutText.grpc(99_999_999)) == "99999999n" && Self.text(TimeoutText.grpc(100_000_000)) == "100000u")
        #expect(Self.text(TimeoutText.grpc(.max)) == "5124095H")
    }

    @Test("run out")
    func remaining() {
        let deadline = RequestDeadline(now: 5_000_000, after: 2_500_000)
        #expect(deadline.remaining(now: 5_500_000) == 2_000_000 && !deadline.isExpired(now: 7_499_999) && deadline.isExpired(now: 7_500_000))
        #expect(deadline.remaining(now: 9_000_000) == 0)
        #expect(Self.text(deadline.milliseconds(now: 5_000_000)) == "2" && Self.text(deadline.milliseconds(now: 7_000_000)) == nil)
        #expect(Self.text(deadline.grpcTimeout(now: 5_000_000)) == "2500000n" && Self.text(deadline.grpcTimeout(now: 8_000_000)) == nil)
        #expect(RequestDeadline.none.remaining(now: 3) == nil && Self.text(RequestDeadline.none.grpcTimeout(now: 3)) == nil && !RequestDeadline.none.isExpired(now: 3))
        #expect(deadline.earlier(.none) == deadline && RequestDeadline.none.earlier(deadline) == deadline)
        #expect(RequestDeadline(now: 5, after: .max) == .none)
        #expect(Self.text(TimeoutText.decimal(.max)) == "18446744073709551615" && Self.text(TimeoutText.decimal(0)) == "0")
    }
}
