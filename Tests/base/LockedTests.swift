// Locked: turns are exclusive, and nobody waits who does not want to.

import Testing
import UringBase

@Suite struct LockedTests {
    private final class Shared: Sendable {
        let count = Locked(0)
    }

    @Test func turnsAreExclusive() async {
        let shared = Shared()
        await withTaskGroup { group in
            for _ in 0..<4 {
                group.addTask {
                    for _ in 0..<10_000 { shared.count.withLock { $0 += 1 } }
                }
            }
        }
        #expect(shared.count.withLock { $0 } == 40_000)
    }

    @Test func aHeldLockIsNotWaitedFor() {
        let shared = Shared()
        let isRefused = shared.count.withLock { value in
            value = 7
            return shared.count.withLockIfAvailable { $0 } == nil
        }
        #expect(isRefused)
        #expect(shared.count.withLockIfAvailable { $0 } == 7)
    }

    @Test func errorsLeaveTheLock() {
        struct Refused: Error {}
        let shared = Shared()
        #expect(throws: Refused.self) {
            try shared.count.withLock { value in
                value = 3
                throw Refused()
            }
        }
        #expect(shared.count.withLock { $0 } == 3)
    }
}
