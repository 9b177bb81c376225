// layers-bench: what each layer costs, in nanoseconds, allocations and reference counts per operation. bench/layers/run starts it, prints the table and judges.
//
//   layers-bench [--rounds N] [--batch-ms N] [NAME…]     a line of JSON for each benchmark, all or those named
//   layers-bench --list                                  their names
//   layers-bench --instructions [NAME…]                  each once, for callgrind
//
// All are measured in turn, round after round, so that what disturbs the machine meets all of them; the figure is the median.

import CAllocationCount
import CLayersCallgrind
import Glibc

setvbuf(stdout, nil, _IOLBF, 0)
// Before OpenSSL allocates anything: what it takes is counted apart.
guard ac_separate_openssl() else { fatalError("OpenSSL has allocated already") }

var rounds = 15
var batchNs = 3e6
var names: Set<String> = []
var isList = false
var isInstrumented = false
var arguments = CommandLine.arguments.dropFirst()
while let argument = arguments.popFirst() {
    switch argument {
    case "--rounds": rounds = max(1, arguments.popFirst().flatMap { Int($0) } ?? 15)
    case "--batch-ms": batchNs = (arguments.popFirst().flatMap { Double($0) } ?? 3) * 1e6
    case "--list": isList = true
    case "--instructions": isInstrumented = true
    default: names.insert(argument)
    }
}
let groups: [() -> [Benchmark]] = [
    memoryBenchmarks, ringBenchmarks, http1Benchmarks, routingBenchmarks, jsonBenchmarks, http2Benchmarks, tlsBenchmarks, jwtBenchmarks, policyBenchmarks, serverBenchmarks,
]
// Set up first; nothing of it is measured.
let all = groups.flatMap { $0() }
let unknown = names.subtracting(all.map(\.name))
guard unknown.isEmpty else { fatalError("no benchmark is called \(unknown.sorted().joined(separator: ", "))") }
let chosen = all.filter { names.isEmpty || names.contains($0.name) }.map(Measurement.init)
if isList {
    for measurement in chosen { print(measurement.benchmark.name) }
    exit(0)
}
if isInstrumented {
    guard cg_is_running() else { fatalError("not under callgrind, or built without valgrind/callgrind.h") }
    for measurement in chosen where measurement.benchmark.isAlone { measurement.instructions() }
    exit(0)
}
_ = nsPerTick
for measurement in chosen { measurement.prepare(batchNs: batchNs) }
for round in 0..<rounds {
    for index in chosen.indices { chosen[(index + round) % chosen.count].round() }
}
for measurement in chosen { measurement.count() }
for measurement in chosen { print(measurement.json) }
