// LoopMailbox: how threads that own no loop reach one. A plain ring of its own posts messages with IORING_OP_MSG_RING; a lock orders its
// users. Loops on epoll have inboxes (EpollInbox). Never on the request path.

internal import CUring
internal import Glibc
internal import UringBase
internal import UringRing

/// Posts messages to loops from any thread.
@safe
final class LoopMailbox: Sendable {
    // The ring's memory is touched under the lock only; it is freed in deinit, when nobody can hold the lock.
    @unsafe private struct Ring: @unchecked Sendable {
        let pointer: UnsafeMutablePointer<ur_ring>
    }
    /// nil: the loops are on epoll.
    private let ring: Locked<Ring?>

    init(_ backend: ServerOptions.Backend) throws(SystemError) {
        guard backend != .epoll else {
            unsafe ring = unsafe Locked(nil)
            return
        }
        let pointer = UnsafeMutablePointer<ur_ring>.allocate(capacity: 1)
        unsafe pointer.initialize(to: ur_ring())
        let code = unsafe ur_setup(8, 16, 0, pointer)
        guard code == 0 else {
            unsafe pointer.deallocate()
            throw SystemError("io_uring_setup for the control ring", code: -code, remedy: UringKernel.remedy(for: -code))
        }
        unsafe ring = unsafe Locked(Ring(pointer: pointer))
    }

    deinit {
        unsafe ring.withLock {
            guard let ring = unsafe $0 else { return }
            unsafe io_uring_queue_exit(ring.pointer)
            unsafe ring.pointer.deallocate()
        }
    }

    /// Delivers `content` to the loop whose ring is `target`. False when that loop is gone.
    @discardableResult
    func post(_ content: LoopMessage.Content, to target: Int32) -> Bool {
        let message = LoopMessage(content)
        let userData = message.userData
        let code = unsafe ring.withLock { ring -> Int32 in
            guard let ring = unsafe ring else { return EpollInbox.post(to: target, data: userData, value: 0) }
            guard let sqe = unsafe ur_get_sqe(ring.pointer) else { return -EBUSY }
            unsafe ur_prep_msg_ring(sqe, target, 0, userData)
            unsafe ur_sqe_tag(sqe, 0, 0)
            while unsafe ur_cq_ready(ring.pointer) == 0 {
                let code = unsafe ur_enter(ring.pointer, 1, -1)
                if code < 0, code != -EINTR { return code }
            }
            let result = unsafe ur_cq_at(ring.pointer, 0)!.pointee.res
            unsafe ur_cq_advance(ring.pointer, 1)
            return result
        }
        if code < 0 { LoopMessage.discard(userData) }
        return code >= 0
    }
}
