import Testing

@testable import UringPolicy

@Suite("The random numbers of policies")
struct PolicyRandomTests {
    @Test("are those of SplitMix64")
    func reference() {
        // The first numbers for the seed 1234567 of the authors' program.
        var random = PolicyRandom(seed: 1_234_567)
        #expect([random.next(), random.next(), random.next()] == [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423])
    }

    @Test("fall below their bound, evenly")
    func below() {
        var random = PolicyRandom(seed: 1)
        var counts = [Int](repeating: 0, count: 7)
        for _ in 0..<70_000 { counts[Int(random.below(7))] += 1 }
        #expect(counts.allSatisfy { $0 > 9_500 && $0 < 10_500 }, "\(counts)")
        #expect(random.below(1) == 0)
    }
}
