// Look-ups in tables of routes of several sizes, interleaved; the best and the median of the rounds. Each look-up is of another route, in an order that no cache foresees. See `run`.

import CAllocationCount
import Glibc
import Routing

setvbuf(stdout, nil, _IOLBF, 0)
let isSmoke = CommandLine.arguments.contains("--smoke")
let rounds = CommandLine.arguments.dropFirst().compactMap { Int($0) }.first ?? (isSmoke ? 1 : 25)
let lookups = isSmoke ? 20_000 : 400_000
let sizes = [10, 100, 1000, 10_000]

func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

struct Random {
    var state: UInt64
    mutating func below(_ bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % bound
    }
}

/// What the routes have in common: for one of them its host, its pattern and a path that it takes.
struct Shape {
    let name: String
    let host: (Int) -> String
    let pattern: (Int) -> String
    let path: (Int) -> String
}

let shapes = [
    Shape(name: "exact", host: { _ in "api.example.com" }, pattern: { "/v1/service\($0)/orders" }, path: { "/v1/service\($0)/orders" }),
    Shape(name: "pattern", host: { _ in "api.example.com" }, pattern: { "/v1/service\($0)/{id}/items/*" }, path: { "/v1/service\($0)/8f14e45f/items/17" }),
    Shape(name: "host", host: { "tenant\($0).example.com" }, pattern: { _ in "/*" }, path: { "/v1/service\($0)/orders" }),
]

/// A table, and requests for its routes.
final class Bench {
    let table: RouteTable
    let count: Int
    /// Host and path, of the requests that are made, in their order.
    var asked: [(host: [UInt8], path: [UInt8], route: Int)] = []
    var times: [Double] = []
    var allocations: UInt64 = 0

    init(_ shape: Shape, _ count: Int) {
        self.count = count
        table = RouteTable((0..<count).map { index in
            RouteMatchRule(hosts: [try! HostPattern.parse(shape.host(index)).get()], paths: [try! PathPattern.parse(shape.pattern(index)).get()], methods: MethodSet(["GET", "POST"]))
        })
        var random = Random(state: 42)
        // As many requests for each size, so that their own bytes cost the same.
        asked = (0..<4096).map { _ in
            let route = random.below(count)
            return (Array(shape.host(route).utf8), Array(shape.path(route).utf8), route)
        }
    }

    func round(measured: Bool) {
        let method = Array("POST".utf8)
        var wrong = 0
        let before = (nanoseconds(), ac_read())
        for index in 0..<lookups {
            let one = asked[index & 4095]
            guard case .route(one.route) = table.match(method: method.span, host: one.host.span, path: one.path.span) else {
                wrong += 1
                continue
            }
        }
        let after = (nanoseconds(), ac_read())
        precondition(wrong == 0, "\(wrong) look-ups of \(count) routes found another")
        guard measured else { return }
        times.append(Double(after.0 - before.0) / Double(lookups))
        allocations = max(allocations, after.1.allocations &- before.1.allocations)
    }
}

func text(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    let digits = "\(tenths / 10).\(tenths % 10)"
    return String(repeating: " ", count: max(0, 8 - digits.count)) + digits
}

print("ns per look-up, best and median of \(rounds) rounds of \(lookups), each of another route")
print("shape      routes     best   median  mallocs")
var failed = false
for shape in shapes {
    let benches = sizes.map { Bench(shape, $0) }
    for bench in benches { bench.round(measured: false) }
    for _ in 0..<rounds { for bench in benches { bench.round(measured: true) } }
    var medians: [Double] = []
    for bench in benches {
        let sorted = bench.times.sorted()
        medians.append(sorted[sorted.count / 2])
        let name = shape.name + String(repeating: " ", count: 9 - shape.name.count)
        let count = String(repeating: " ", count: 8 - "\(bench.count)".count) + "\(bench.count)"
        print("\(name)\(count) \(text(sorted[0])) \(text(sorted[sorted.count / 2])) \(text(Double(bench.allocations)))")
        if bench.allocations > 0 { failed = true }
    }
    print("\(shape.name): 10,000 routes cost \(text(medians[3] - medians[0])) ns more than 10")
}
// Times are for reading; an allocation is a defect.
exit(failed ? 1 : 0)
