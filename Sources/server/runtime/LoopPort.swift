// LoopPort: where messages to a loop go in. Shared by the loop, its thread and everybody who posts; any thread.

internal import Glibc
internal import Synchronization
internal import UringBase
internal import UringRing

/// The way to one loop for as long as it runs.
package final class LoopPort: Sendable {
    /// The loop's ring; nil before it runs and when it has ended, and the descriptor may be somebody else's. The lock is held while a message
    /// is posted, so that every message that was accepted is taken up.
    private let target = Locked<Int32?>(nil)
    private let mailbox: LoopMailbox?
    /// What the loop's own thread posted: taken up at the end of the turn. A message through the ring to oneself would be waited for by
    /// whoever has to deliver it, on kernels before 6.10.
    private let local = Locked<[LoopMessage]>([])
    private let hasLocal = Atomic<Bool>(false)
    private let owner = Atomic<UInt>(0)

    /// - Parameter mailbox: nil where no thread sleeps in a kernel (simulation): what others post is found by whoever drives the loop.
    init(mailbox: LoopMailbox?) { self.mailbox = mailbox }

    /// On the loop's thread, before it runs.
    func open(target: Int32) {
        owner.store(UInt(pthread_self()), ordering: .releasing)
        self.target.withLock { $0 = target }
    }

    /// On the loop's thread, after its last turn. Never waits for the lock: on kernels before 6.10 the sender that holds it waits for this
    /// loop's ring to be entered.
    /// - Returns: false when a sender holds the lock: take messages up, then try again.
    func close() -> Bool {
        guard target.withLockIfAvailable({ $0 = nil }) != nil else { return false }
        // Another thread may have this one's identity some day.
        owner.store(0, ordering: .releasing)
        return true
    }

    /// False when the loop does not run: the message was dropped.
    @discardableResult
    func post(_ content: LoopMessage.Content) -> Bool {
        guard let mailbox, owner.load(ordering: .acquiring) != UInt(pthread_self()) else {
            local.withLock { $0.append(LoopMessage(content)) }
            hasLocal.store(true, ordering: .relaxed)
            return true
        }
        return target.withLock { target in
            guard let target else { return false }
            return mailbox.post(content, to: target)
        }
    }

    /// On the loop's thread: it must not sleep, there are messages of its own.
    var hasPending: Bool { hasLocal.load(ordering: .relaxed) }

    /// On the loop's thread: what it posted to itself.
    @inline(__always)
    func takeLocal() -> [LoopMessage]? {
        guard hasLocal.load(ordering: .relaxed) else { return nil }
        return takeLocalSlow()
    }

    @inline(never)
    private func takeLocalSlow() -> [LoopMessage] {
        hasLocal.store(false, ordering: .relaxed)
        return local.withLock { messages in
            defer { messages = [] }
            return messages
        }
    }
}
