import Foundation
import Testing

@testable import UringPolicy

/// What decisions cost. Not for the usual run: POLICY_MEASURE=1 swift test -c release -Xswiftc -enable-testing --filter PolicyMeasurements
@Suite("Measurements", .serialized, .enabled(if: ProcessInfo.processInfo.environment["POLICY_MEASURE"] != nil, "POLICY_MEASURE=1 measures"))
struct PolicyMeasurements {
    /// ns for each of `count` calls, the best of five rounds.
    private func measure(_ name: String, _ count: Int, _ body: (Int) -> UInt64) {
        var best = Double.infinity
        var sum: UInt64 = 0
        for _ in 0..<5 {
            let start = DispatchTime.now().uptimeNanoseconds
            for index in 0..<count { sum &+= body(index) }
            best = min(best, Double(DispatchTime.now().uptimeNanoseconds - start) / Double(count))
        }
        print("\(name): \((best * 10).rounded() / 10) ns (checksum \(sum))")
    }

    @Test func rates() throws {
        let policy = try #require(RatePolicy(tokens: 1_000_000, per: second, burst: 1000))
        let hasher = RateKeyHasher()
        for keys in [1, 1000, 100_000, 1_000_000] {
            let table = SharedRateTable(entries: max(65_536, keys))
            var random = PolicyRandom(seed: 1)
            let order = (0..<1_000_000).map { _ in IPAddress(ipv4: UInt32(random.below(UInt64(keys)))) }
            measure("rate check, \(keys) keys, key included", order.count) { index in
                table.check(hasher.key(order[index], policy: 1), policy, now: UInt64(index) * 100).remaining
            }
        }
        let bytes = Array("6f1c3c1e-8f3a-4a73-9a54-0ad5f3e1c2b7".utf8)
        measure("key of 36 bytes", 1_000_000) { hasher.key(bytes.span, policy: UInt64($0)).low }
        let table = SharedRateTable(entries: 65_536)
        let hot = hasher.key(address("192.0.2.1"), policy: 1)
        for threads in [1, 2] {
            let start = DispatchTime.now().uptimeNanoseconds
            DispatchQueue.concurrentPerform(iterations: threads) { _ in
                for index in 0..<2_000_000 { _ = table.check(hot, policy, now: start + UInt64(index) * 2000) }
            }
            print("rate check, one key, \(threads) threads: \(Double(DispatchTime.now().uptimeNanoseconds - start) / 2_000_000) ns each")
        }
    }

    @Test func prefixes() throws {
        var random = PolicyRandom(seed: 1)
        for count in [10, 1000, 100_000] {
            let v4 = (0..<count).map { _ in Prefix(IPAddress(ipv4: UInt32(truncatingIfNeeded: random.next())), length: 96 + 8 + Int(random.below(25))) }
            let v6 = (0..<count).map { _ in Prefix(IPAddress(high: 0x2000_0000_0000_0000 | random.next() >> 3, low: 0), length: 20 + Int(random.below(45))) }
            let start = DispatchTime.now().uptimeNanoseconds
            let (set4, set6) = (PrefixSet(v4), PrefixSet(v6))
            print("\(count) prefixes of each family: built in \((DispatchTime.now().uptimeNanoseconds - start) / 1_000_000) ms, \(set4.memoryBytes) and \(set6.memoryBytes) bytes")
            let probes4 = (0..<1_000_000).map { _ in IPAddress(ipv4: UInt32(truncatingIfNeeded: random.next())) }
            let probes6 = (0..<1_000_000).map { _ in IPAddress(high: 0x2000_0000_0000_0000 | random.next() >> 3, low: 1) }
            measure("IPv4 in \(count) prefixes", probes4.count) { UInt64(set4.match(probes4[$0]) ?? 0) }
            measure("IPv6 in \(count) prefixes", probes6.count) { UInt64(set6.match(probes6[$0]) ?? 0) }
        }
    }
}
