// UringKernel: the seam on io_uring, over liburing's ring layout. Created, used and destroyed on its loop's pinned thread.

package import CUring
internal import Glibc

package final class UringKernel: SystemKernel {
    /// Sized by named consumers: each of up to 256 completions of one reap may queue a send, a receive and a close; more than that
    /// is submitted in between. The completion ring is eight times as large, so that multishots do not overflow it (io_uring.md).
    package static let submissionEntries: UInt32 = 1024
    package static let completionEntries: UInt32 = 8192

    /// Sets up the best ring that the running kernel allows.
    /// - Throws: `SystemError` naming what forbids io_uring and how to allow it, or the feature that is missing.
    package static func make() throws(SystemError) -> UringKernel {
        let ring = UnsafeMutablePointer<ur_ring>.allocate(capacity: 1)
        unsafe ring.initialize(to: ur_ring())
        var features = KernelFeatures()
        let base = UInt32(IORING_SETUP_CLAMP) | UInt32(IORING_SETUP_SUBMIT_ALL)
        let deferred = base | UInt32(IORING_SETUP_SINGLE_ISSUER) | UInt32(IORING_SETUP_DEFER_TASKRUN)
        // Best first; an older kernel answers -EINVAL to a flag that it does not know.
        let attempts: [(UInt32, Bool, Bool)] = [
            (deferred | UInt32(1 << 16), true, true),
            (deferred, true, false),
            (base | UInt32(IORING_SETUP_COOP_TASKRUN), false, false),
        ]
        var code: Int32 = -EINVAL
        for (flags, deferTaskrun, noArray) in attempts {
            code = unsafe ur_setup(submissionEntries, completionEntries, flags, ring)
            if code == 0 {
                (features.deferTaskrun, features.noSubmissionArray) = (deferTaskrun, noArray)
                break
            }
            if code != -EINVAL { break }
        }
        guard code == 0 else {
            unsafe ring.deallocate()
            throw SystemError("io_uring_setup", code: -code, remedy: remedy(for: -code))
        }
        var operations: (UInt64, UInt64) = (0, 0)
        unsafe withUnsafeMutableBytes(of: &operations) { _ = unsafe ur_probe(ring, $0.baseAddress!.assumingMemoryBound(to: UInt64.self)) }
        let has = { (op: io_uring_op) in operations.0 & (1 << UInt64(op.rawValue)) != 0 }
        features.messages = has(IORING_OP_MSG_RING)
        // Multishot receive has no probe bit; it came with SEND_ZC in Linux 6.0.
        features.multishotReceive = has(IORING_OP_SEND_ZC)
        features.bufferRings = true
        return unsafe UringKernel(ring: ring, features: features)
    }

    /// Whether a loop can stand on io_uring here: a ring with its buffers that carries one operation out. A profile may allow one of the three calls
    /// and not the others.
    /// - Throws: `SystemError` naming what forbids io_uring and how to allow it, or the feature that is missing.
    package static func trial() throws(SystemError) {
        let kernel = try make()
        guard kernel.features.messages else { throw SystemError("looking for IORING_OP_MSG_RING", code: EINVAL, remedy: remedy(for: EINVAL)) }
        let buffers = UnsafeMutablePointer<BufferRing>.allocate(capacity: 1)
        do throws(SystemError) { unsafe buffers.initialize(to: try BufferRing.make(kernel: kernel, count: 1, bytesEach: 4096)) } catch {
            unsafe buffers.deallocate()
            throw error
        }
        // The kernel frees them, behind its ring.
        unsafe kernel.retire(buffers)
        if let entry = unsafe ur_get_sqe(kernel.ring) { unsafe ur_prep_nop(entry) }
        var code = -EINTR
        while code == -EINTR { code = kernel.enter(waitFor: 1, timeoutNs: 1_000_000_000) }
        if code < 0 { throw SystemError("io_uring_enter", code: -code, remedy: remedy(for: -code)) }
    }

    /// Why io_uring is refused, in a sentence an operator can act on.
    package static func remedy(for code: Int32) -> String {
        switch code {
        case ENOSYS:
            return "this kernel has no io_uring or a seccomp profile hides it (Docker's default does): run on Linux 5.19 or newer, "
                + "or allow io_uring_setup, io_uring_enter and io_uring_register in the profile; `uringd doctor` tells which"
        case EPERM:
            return "io_uring is forbidden by sysctl kernel.io_uring_disabled or by a seccomp profile: set it to 0, or allow "
                + "io_uring_setup, io_uring_enter and io_uring_register; `uringd doctor` tells which"
        case ENOMEM: return "the locked-memory limit is too low for the rings: raise LimitMEMLOCK (ulimit -l) to 64 MiB"
        case EMFILE, ENFILE: return "no descriptor is left: raise LimitNOFILE (ulimit -n)"
        case EINVAL: return "this kernel is older than Linux 5.19, the oldest supported"
        default: return ""
        }
    }

    deinit {
        unsafe io_uring_queue_exit(ring)
        releaseRetired()
        unsafe ring.deallocate()
    }

    package override func enter(waitFor minimum: UInt32, timeoutNs: Int64) -> Int32 { unsafe ur_enter(ring, minimum, timeoutNs) }

    // MARK: set-up

    package override func registerBufferRing(_ memory: UnsafeMutablePointer<ur_buf_ring>, entries: UInt32, group: Int32) -> Int32 {
        unsafe ur_register_buf_ring(ring, memory, entries, group)
    }

    package override var messageTarget: Int32 { unsafe ring.pointee.ring_fd }
}
