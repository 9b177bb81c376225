// The memory of a loop: arena, chunks, timers, histograms.

import UringBase

func memoryBenchmarks() -> [Benchmark] {
    // The pool outlives the arena: neither is ever freed.
    let pool = place(ChunkPool(chunksMax: 1024))
    let arena = place(Arena(pool: pool)!)
    let chunks = place(ChunkPool(chunksMax: 1024))
    let histogram = place(Histogram())
    let flight = FlightRing(events: 32_768)
    var random = FixedRandom(1)
    let values = (0..<1024).map { _ in random.next() % 2_000_000 }
    return [
        Benchmark(name: "flight.write", size: 32) { count in
            for number in 0..<UInt64(count) { flight.write(number, number &+ 1, number &+ 2, number &+ 3) }
            return flight.written
        },
        Benchmark(name: "arena.allocate", size: 48, multiple: 128) { count in
            var sum: UInt64 = 0
            for _ in 0..<count / 128 {
                for _ in 0..<128 { sum &+= UInt64(UInt(bitPattern: arena.pointee.allocate(48)!) & 15) &+ 1 }
                arena.pointee.reset()
            }
            return sum
        },
        Benchmark(name: "arena.allocate+reset", size: 48) { count in
            var sum: UInt64 = 0
            for _ in 0..<count {
                sum &+= UInt64(UInt(bitPattern: arena.pointee.allocate(48)!) & 15) &+ 1
                arena.pointee.reset()
            }
            return sum
        },
        Benchmark(name: "malloc+free", size: 48) { count in
            var sum: UInt64 = 0
            for _ in 0..<count {
                let memory = UnsafeMutableRawPointer.allocate(byteCount: 48, alignment: 16)
                memory.storeBytes(of: 1, as: UInt64.self)
                sum &+= memory.load(as: UInt64.self)
                memory.deallocate()
            }
            return sum
        },
        Benchmark(name: "chunk.take+give", size: ChunkPool.chunkBytes) { count in
            var sum: UInt64 = 0
            for _ in 0..<count {
                let chunk = chunks.pointee.take()!
                sum &+= UInt64(UInt(bitPattern: chunk) & 63) &+ 1
                chunks.pointee.give(chunk)
            }
            return sum
        },
        Benchmark(name: "histogram.record") { count in
            for index in 0..<count { histogram.pointee.record(values[index & 1023]) }
            return histogram.pointee.percentile(permille: 500)
        },
    ] + timerBenchmarks()
}

private func timerBenchmarks() -> [Benchmark] {
    // As on a loop with 10,000 connections, each of which has its deadline; 64 more work.
    let (held, working) = (10_000, 64)
    let wheel = place(TimerWheel(now: 1, capacity: held + working))
    var random = FixedRandom(2)
    for index in 0..<held { wheel.pointee.arm(UInt32(index), deadline: 60_000_000_000 + random.next() % 60_000_000_000) }
    let deadlines = (0..<1024).map { _ in 5_000_000_000 + random.next() % 70_000_000_000 }
    let firing = place(TimerWheel(now: 1, capacity: 256))
    let clock = place(UInt64(1))
    return [
        Benchmark(name: "timer.arm+cancel") { count in
            for index in 0..<count {
                let timer = UInt32(held + index & 63)
                wheel.pointee.arm(timer, deadline: deadlines[index & 1023])
                wheel.pointee.cancel(timer)
            }
            return UInt64(wheel.pointee.count)
        },
        // What a keep-alive connection does: its deadline moves while it is armed.
        Benchmark(name: "timer.rearm") { count in
            for index in 0..<count { wheel.pointee.arm(UInt32(index % held), deadline: 60_000_000_000 + deadlines[index & 1023]) }
            return UInt64(wheel.pointee.count)
        },
        // 256 timers within half a minute: all fire.
        Benchmark(name: "timer.fire", multiple: 256) { count in
            var sum: UInt64 = 0
            for _ in 0..<count / 256 {
                let now = clock.pointee
                for index in 0..<256 { firing.pointee.arm(UInt32(index), deadline: now + 100_000_000 * UInt64(1 + index)) }
                clock.pointee = now + 30_000_000_000
                firing.pointee.expire(to: clock.pointee)
                while let index = firing.pointee.popExpired() { sum &+= UInt64(index) }
            }
            return sum
        },
    ]
}
