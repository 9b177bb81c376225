// Our HTTP/2 client and our server's engine, talking to each other in memory: what an exchange costs each of them, and what it allocates. No socket, no
// TLS, no loop. Run it with ./run.
//
// A round is a batch of exchanges: the client writes all requests, the server reads them and answers all, the client reads the answers. The clock is read
// between these, so both sides have a figure of their own. The figures are the fastest and the median round.

import CAllocationCount
import Glibc
import UringHTTP
import UringHTTP2

func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC_RAW, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Nanoseconds of one batch: client, server.
func batch(_ world: World) -> (UInt64, UInt64) {
    let start = nanoseconds()
    world.sendRequests()
    let sent = nanoseconds()
    world.serve()
    let served = nanoseconds()
    world.readResponses()
    return (nanoseconds() - served + sent - start, served - sent)
}

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

let arguments = CommandLine.arguments.dropFirst()
let counts = arguments.contains("--count")
let rounds = arguments.compactMap { Int($0) }.first ?? 15
var failed = false
for workload in [
    Workload(name: "GET, JSON, 1 at a time", streams: 1, isRPC: false), Workload(name: "GET, JSON, 100 at a time", streams: 100, isRPC: false),
    Workload(name: "RPC with trailers, 1 at a time", streams: 1, isRPC: true), Workload(name: "RPC with trailers, 100 at a time", streams: 100, isRPC: true),
] {
    let world = World(workload)
    // Settings both ways, tables at their size.
    for _ in 0..<300 { _ = batch(world) }
    let batches = 20_000 / workload.streams
    var client: [Double] = []
    var server: [Double] = []
    client.reserveCapacity(rounds)
    server.reserveCapacity(rounds)
    let before = world.finished
    let first = ac_read()
    for _ in 0..<rounds {
        var (ofClient, ofServer): (UInt64, UInt64) = (0, 0)
        for _ in 0..<batches {
            let (one, other) = batch(world)
            ofClient += one
            ofServer += other
        }
        client.append(Double(ofClient) / Double(batches * workload.streams))
        server.append(Double(ofServer) / Double(batches * workload.streams))
    }
    let last = ac_read()
    let exchanges = world.finished - before
    precondition(exchanges == rounds * batches * workload.streams, "exchanges are lost")
    let allocations = last.allocations - first.allocations
    let references = last.retains - first.retains + last.releases - first.releases
    if allocations > 0 || references > 0 { failed = true }
    func show(_ values: [Double]) -> String { "\(Int(values.min()!.rounded())) (\(Int(median(values).rounded())))" }
    if counts {
        print("\(workload.name): \(exchanges) exchanges, \(allocations) allocations, \(references) reference counts")
    } else {
        print("\(workload.name): client \(show(client)) ns, server \(show(server)) ns, \(allocations) allocations, \(references) reference counts, checksum \(world.received)")
    }
}
exit(counts && failed ? 1 : 0)
