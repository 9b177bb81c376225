// The measuring of small pieces: one clock, one way to repeat, one way to count, for all layers. One thread.
//
// Each benchmark is a closure that does an operation n times and answers a sum over what came out, which is printed: work that nobody looks at
// would be optimised away, and a sum that changes between two versions says that they did not do the same.

import CAllocationCount
import CLayersCallgrind
import CUringBase
import Glibc

struct Benchmark {
    let name: String
    /// Bytes that one operation reads or writes; 0 where that means nothing.
    var size = 0
    /// Operations come in such multiples: a batch of the ring, a chunk that is emptied.
    var multiple = 1
    /// Only what lies between `own.begin()` and `own.end()` counts: the rest is the other side's, or the simulation's.
    var countsOwn = false
    /// The kernel or another thread takes part, so instructions in this process say nothing.
    var isAlone = true
    /// How often it is run for the checksum: few where it is slow.
    var checks = 512
    let run: (Int) -> UInt64
}

/// Time and counts of the parts that are a benchmark's own.
struct OwnParts {
    private(set) var ticks: UInt64 = 0
    private(set) var counts = ac_counts()
    var counting = false
    private var began: UInt64 = 0
    private var before = ac_counts()
    private let isInstrumented = cg_is_running()

    mutating func reset() { (ticks, counts) = (0, ac_counts()) }

    @inline(__always) mutating func begin() {
        if counting { before = ac_read() }
        if isInstrumented { cg_toggle() }
        began = ur_ticks()
    }

    /// Time of another thread, in place of the ticks.
    mutating func took(ns: UInt64) { ticks = UInt64(Double(ns) / nsPerTick) }

    @inline(__always) mutating func end() {
        ticks &+= ur_ticks() &- began
        if isInstrumented { cg_toggle() }
        if counting { counts.add(ac_read(), since: before) }
    }
}

nonisolated(unsafe) var own = OwnParts()

extension ac_counts {
    mutating func add(_ now: ac_counts, since before: ac_counts) {
        allocations += now.allocations - before.allocations
        retains += now.retains - before.retains
        releases += now.releases - before.releases
        openssl += now.openssl - before.openssl
        asked += now.asked - before.asked
    }
}

/// CPU time of this thread, ns.
func threadTime() -> UInt64 { clock(CLOCK_THREAD_CPUTIME_ID) }

func clock(_ id: clockid_t) -> UInt64 {
    var time = timespec()
    clock_gettime(id, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Of `ur_ticks`, against the monotonic clock over 20 ms.
let nsPerTick: Double = {
    let (ticks, began) = (ur_ticks(), clock(CLOCK_MONOTONIC_RAW))
    while clock(CLOCK_MONOTONIC_RAW) - began < 20_000_000 {}
    let (moreTicks, ended) = (ur_ticks(), clock(CLOCK_MONOTONIC_RAW))
    return Double(ended - began) / Double(moreTicks - ticks)
}()

/// splitmix64: the inputs of every run are the same.
struct FixedRandom: RandomNumberGenerator {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

/// Something that cannot be copied, where closures reach it. Lives as long as the process.
func place<T: ~Copyable>(_ value: consuming T) -> UnsafeMutablePointer<T> {
    let memory = UnsafeMutablePointer<T>.allocate(capacity: 1)
    memory.initialize(to: value)
    return memory
}

/// Bytes that stay where they are for the life of the process.
func bytes(_ content: some Collection<UInt8>) -> UnsafeMutableBufferPointer<UInt8> {
    let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: max(1, content.count))
    _ = memory.initialize(from: content)
    return UnsafeMutableBufferPointer(rebasing: memory[..<content.count])
}

/// One benchmark while it is measured.
final class Measurement {
    let benchmark: Benchmark
    private(set) var nanoseconds: [Double] = []
    private(set) var checksum: UInt64 = 0
    private(set) var counts = ac_counts()
    private(set) var counted = 1
    private var repeats = 1

    init(_ benchmark: Benchmark) { self.benchmark = benchmark }

    private func rounded(_ count: Int) -> Int { max(1, (count + benchmark.multiple - 1) / benchmark.multiple) * benchmark.multiple }

    /// The first run of all gives the checksum; then as many operations are found as take the time.
    func prepare(batchNs: Double, checksOnly: Bool = false) {
        checksum = benchmark.run(rounded(benchmark.checks))
        if checksOnly { return }
        repeats = rounded(1)
        while true {
            let (ns, _) = once(repeats)
            if ns * Double(repeats) >= batchNs || repeats > 1 << 26 { break }
            repeats = rounded(max(repeats * 2, min(repeats * 16, Int(Double(repeats) * batchNs / max(1, ns * Double(repeats))))))
        }
    }

    private func once(_ count: Int) -> (nsPerOperation: Double, sum: UInt64) {
        own.reset()
        let began = threadTime()
        let sum = benchmark.run(count)
        let spent = threadTime() - began
        return ((benchmark.countsOwn ? Double(own.ticks) * nsPerTick : Double(spent)) / Double(count), sum)
    }

    func round() { nanoseconds.append(once(repeats).nsPerOperation) }

    /// In a run of its own: reading counters takes time.
    func count() {
        counted = rounded(min(repeats, 4096))
        own.reset()
        own.counting = benchmark.countsOwn
        let before = ac_read()
        _ = benchmark.run(counted)
        let after = ac_read()
        own.counting = false
        counts = benchmark.countsOwn ? own.counts : ac_counts()
        if !benchmark.countsOwn { counts.add(after, since: before) }
    }

    /// Under callgrind.
    func instructions() {
        let count = rounded(benchmark.checks)
        _ = benchmark.run(count)
        cg_begin()
        if !benchmark.countsOwn { cg_toggle() }
        _ = benchmark.run(count)
        if !benchmark.countsOwn { cg_toggle() }
        cg_end("\(benchmark.name) \(count)")
    }

    var json: String {
        let sorted = nanoseconds.sorted()
        let middle = sorted[sorted.count / 2]
        func per(_ count: UInt64) -> Double { Double(count) / Double(counted) }
        let spread = middle > 0 ? (sorted[sorted.count * 3 / 4] - sorted[sorted.count / 4]) / 2 / middle : 0
        return #"{"name":"\#(benchmark.name)","ns":\#(middle),"least_ns":\#(sorted[0]),"spread":\#(spread),"rounds":\#(sorted.count),"operations_per_round":\#(repeats),"#
            + #""allocations":\#(per(counts.allocations)),"allocated_bytes":\#(per(counts.asked)),"openssl_allocations":\#(per(counts.openssl)),"#
            + #""retains":\#(per(counts.retains)),"releases":\#(per(counts.releases)),"size":\#(benchmark.size),"checksum":"\#(String(checksum, radix: 16))"}"#
    }
}
