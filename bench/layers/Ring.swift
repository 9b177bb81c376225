// The ring: what the kernel takes for operations that do nothing, alone and in batches; buffers given back; messages between loops.

import CUring
import Glibc
import UringRing
import UringServer

func ringBenchmarks() -> [Benchmark] {
    guard let kernel = try? UringKernel.make() else { return [] }
    let buffers = place(try! BufferRing.make(kernel: kernel, count: 64, bytesEach: 4096))
    return [1, 16, 64, 256].map { nop(kernel, batch: $0) } + [
        Benchmark(name: "ring.buffer-recycle", size: 4096, multiple: 16) { count in
            var sum: UInt64 = 0
            for index in 0..<count {
                let id = UInt16(index & 63)
                sum &+= UInt64(UInt(bitPattern: buffers.pointee.take(id)) & 4095) &+ 1
                buffers.pointee.recycle(id)
                if index & 15 == 15 { buffers.pointee.publish() }
            }
            return sum
        }
    ] + mailbox()
}

/// Submission, one system call, completions taken.
private func nop(_ kernel: UringKernel, batch: Int) -> Benchmark {
    Benchmark(name: "ring.nop-\(batch)", multiple: batch, isAlone: false) { count in
        var sum: UInt64 = 0
        for _ in 0..<count / batch {
            for index in 0..<batch {
                let entry = ur_get_sqe(kernel.ring)!
                ur_prep_nop(entry)
                ur_sqe_tag(entry, UInt64(index + 1), 0)
            }
            _ = kernel.enter(waitFor: UInt32(batch), timeoutNs: -1)
            sum &+= take(kernel, batch) { $0 }
        }
        return sum
    }
}

private func take(_ kernel: UringKernel, _ expected: Int, _ each: (UInt64) -> UInt64) -> UInt64 {
    var (sum, left) = (UInt64(0), expected)
    while true {
        let ready = ur_cq_ready(kernel.ring)
        for index in 0..<ready { sum &+= each(ur_cq_at(kernel.ring, index)!.pointee.user_data) }
        ur_cq_advance(kernel.ring, ready)
        left -= Int(ready)
        if left <= 0 { return sum }
        _ = kernel.enter(waitFor: 1, timeoutNs: -1)
    }
}

/// A message from a thread without a loop to a loop's ring, and its receipt there. Both ends are this thread's: before Linux 6.10 the sender would wait for ever.
private func mailbox() -> [Benchmark] {
    var name = utsname()
    uname(&name)
    let release = withUnsafeBytes(of: name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }.split(separator: ".").prefix(2).compactMap { Int($0) }
    guard release.count == 2, (release[0], release[1]) >= (6, 10), let target = try? UringKernel.make(), let mailbox = try? LoopMailbox(.uring) else { return [] }
    return [
        Benchmark(name: "mailbox.post+take", isAlone: false) { count in
            var sum: UInt64 = 0
            for _ in 0..<count {
                precondition(mailbox.post(.jobs, to: target.messageTarget), "BUG: the ring is there")
                sum &+= take(target, 1) {
                    LoopMessage.discard($0)
                    return 1
                }
            }
            return sum
        }
    ]
}
