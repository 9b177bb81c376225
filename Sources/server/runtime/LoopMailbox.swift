// LoopMailbox: how threads that own no loop reach one. A plain ring of its own posts messages with IORING_OP_MSG_RING; a lock orders its
// users. Never on the request path.

internal import CUring
internal import Glibc
internal import Synchronization
internal import UringRing

/// Posts messages to loops from any thread.
final class LoopMailbox: Sendable {
    // The ring's memory is touched under the lock only; it is freed in deinit, when nobody can hold the lock.
    private struct Ring: @unchecked Sendable {
        let pointer: UnsafeMutablePointer<ur_ring>
    }
    private let ring: Mutex<Ring>

    init() throws(SystemError) {
        let pointer = UnsafeMutablePointer<ur_ring>.allocate(capacity: 1)
        pointer.initialize(to: ur_ring())
        let code = ur_setup(8, 16, 0, pointer)
        guard code == 0 else {
            pointer.deallocate()
            throw SystemError("io_uring_setup for the control ring", code: -code, remedy: UringKernel.remedy(for: -code))
        }
        ring = Mutex(Ring(pointer: pointer))
    }

    deinit {
        ring.withLock {
            io_uring_queue_exit($0.pointer)
            $0.pointer.deallocate()
        }
    }

    /// Delivers `content` to the loop whose ring is `target`. False when that loop is gone.
    @discardableResult
    func post(_ content: LoopMessage.Content, to target: Int32) -> Bool {
        let message = LoopMessage(content)
        let userData = message.userData
        let code = ring.withLock { ring -> Int32 in
            guard let sqe = ur_get_sqe(ring.pointer) else { return -EBUSY }
            ur_prep_msg_ring(sqe, target, 0, userData)
            ur_sqe_tag(sqe, 0, 0)
            while ur_cq_ready(ring.pointer) == 0 {
                let code = ur_enter(ring.pointer, 1, -1)
                if code < 0, code != -EINTR { return code }
            }
            let result = ur_cq_at(ring.pointer, 0)!.pointee.res
            ur_cq_advance(ring.pointer, 1)
            return result
        }
        if code < 0 { LoopMessage.discard(userData) }
        return code >= 0
    }
}
