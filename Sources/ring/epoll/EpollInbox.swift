// EpollInbox: what other threads hand to a loop on epoll: messages, and the results of its workers. Any thread adds; the loop's takes.

internal import CUring
internal import Glibc
internal import UringBase

package final class EpollInbox: Sendable {
    enum Item {
        /// IORING_OP_MSG_RING: a completion for the loop.
        case message(data: UInt64, value: Int32)
        /// A worker has done with an operation.
        case finished(operation: Int32, result: Int32)
    }

    /// Who is listening, by the number of the event descriptor: what a ring's descriptor is to MSG_RING.
    private static let all = Locked<[Int32: EpollInbox]>([:])

    /// Registered in the loop's epoll, edge-triggered: never read, each signal is an edge.
    let descriptor: Int32
    private let items = Locked<[Item]>([])

    init() throws(SystemError) {
        descriptor = ur_eventfd()
        guard descriptor >= 0 else { throw SystemError("eventfd", code: -descriptor, remedy: UringKernel.remedy(for: -descriptor)) }
        Self.all.withLock { $0[descriptor] = self }
    }

    /// The loop ends: its descriptor's number may be somebody else's from now on. Whoever posts must have been told before (`LoopPort.close`).
    func close() {
        Self.all.withLock { $0[descriptor] = nil }
        SystemKernel.closeNow(descriptor)
    }

    /// What comes before the loop has taken what is there needs no signal of its own.
    func add(_ item: Item) {
        let wasEmpty = items.withLock { items in
            items.append(item)
            return items.count == 1
        }
        if wasEmpty { ur_eventfd_signal(descriptor) }
    }

    func take() -> [Item] {
        items.withLock { items in
            defer { items = [] }
            return items
        }
    }

    /// Posts a completion to the loop whose message target this is. Any thread.
    /// - Returns: 0, or -EBADFD when there is no such loop, as IORING_OP_MSG_RING answers for what is no ring.
    package static func post(to target: Int32, data: UInt64, value: Int32) -> Int32 {
        guard let inbox = all.withLock({ $0[target] }) else { return -EBADFD }
        inbox.add(.message(data: data, value: value))
        return 0
    }
}
