// Our request parser against picohttpparser on the same bytes, in turns, in one process. Run it with ./run.
//
// Ours does more: it classifies every name, validates Host and targets, decides framing and persistence. The figure is the
// fastest and the median round, so that a neighbour's burst does not count.

import Glibc
import Pico
import UringHTTP
import UringHTTP1

func nanoseconds() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC_RAW, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

let slots = UnsafeMutablePointer<FieldSlot>.allocate(capacity: 128)
let headers = UnsafeMutablePointer<phr_header>.allocate(capacity: 128)
let head = UnsafeMutablePointer<RequestHead>.allocate(capacity: 1)
let limits = ParserLimits()

@inline(never) func ours(_ bytes: UnsafePointer<UInt8>, _ count: Int, rounds: Int) -> Int {
    var sum = 0
    for _ in 0..<rounds {
        let outcome = unsafe RequestParser.parse(
            bytes, count: count, alreadyScanned: 0, head: head, fields: slots, fieldCapacity: 128, limits: limits)
        guard outcome == .complete else { fatalError("ours: \(outcome)") }
        sum &+= unsafe head.pointee.headLength &+ head.pointee.fieldCount
    }
    return sum
}

@inline(never) func pico(_ bytes: UnsafePointer<UInt8>, _ count: Int, rounds: Int) -> Int {
    var sum = 0
    let text = unsafe UnsafeRawPointer(bytes).assumingMemoryBound(to: CChar.self)
    for _ in 0..<rounds {
        var method: UnsafePointer<CChar>?
        var path: UnsafePointer<CChar>?
        var methodLength = 0
        var pathLength = 0
        var minorVersion: Int32 = 0
        var headerCount = 128
        let length = unsafe phr_parse_request(
            text, count, &method, &methodLength, &path, &pathLength, &minorVersion, headers, &headerCount, 0)
        guard length > 0 else { fatalError("pico: \(length)") }
        sum &+= Int(length) &+ headerCount
    }
    return sum
}

func pad(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }
func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
func hundredths(_ value: Double) -> String { "\((value * 100).rounded() / 100)" }

let rounds = CommandLine.arguments.count > 1 ? Int(CommandLine.arguments[1]) ?? 31 : 31
let only = CommandLine.arguments.count > 2 ? CommandLine.arguments[2] : nil
print("request          bytes  pico ns (median)   ours ns (median)  ours/pico fastest, median   checksum")
for (name, bytes) in [
    ("small", SampleRequests.small), ("path", SampleRequests.path), ("browser", SampleRequests.browser), ("large", SampleRequests.large),
] where only == nil || only == name {
    // About 5 ms per turn.
    let repeats = max(200, 20_000_000 / (200 + 2 * bytes.count * 2))
    var times: (pico: [Double], ours: [Double]) = ([], [])
    var checksum = 0
    // The buffer lives for the closure.
    unsafe bytes.withUnsafeBufferPointer { buffer in
        let start = buffer.baseAddress!
        precondition(unsafe ours(start, buffer.count, rounds: 1) == pico(start, buffer.count, rounds: 1), "BUG: the parsers disagree")
        for _ in 0..<rounds {
            let before = nanoseconds()
            unsafe checksum &+= pico(start, buffer.count, rounds: repeats)
            let between = nanoseconds()
            unsafe checksum &+= ours(start, buffer.count, rounds: repeats)
            let after = nanoseconds()
            times.pico.append(Double(between - before) / Double(repeats))
            times.ours.append(Double(after - between) / Double(repeats))
        }
    }
    times.pico.sort()
    times.ours.sort()
    let middle = rounds / 2
    print(
        "\(name)\(pad("\(bytes.count)", 22 - name.count))\(pad(tenths(times.pico[0]), 9)) \(pad("(\(tenths(times.pico[middle])))", 9))"
            + "\(pad(tenths(times.ours[0]), 10)) \(pad("(\(tenths(times.ours[middle])))", 9))"
            + "\(pad(hundredths(times.ours[0] / times.pico[0]), 12)) \(pad(hundredths(times.ours[middle] / times.pico[middle]), 10))\(pad("\(checksum)", 22))")
}
