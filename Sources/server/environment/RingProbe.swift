// Asks the kernel what io_uring offers here, by trial. Owns each trial ring and buffer for the length of one call.
// Called by `uringd doctor` and when a server cannot start; any thread; needs no loop and disturbs none.

internal import CUring
internal import Glibc
internal import UringRing

/// One ability of io_uring that the server uses, in the order in which Linux gained them.
package enum RingFeature: String, CaseIterable, Hashable, Sendable {
    case poll = "POLL_ADD"
    case sendMessage = "SENDMSG"
    case accept = "ACCEPT"
    case cancel = "ASYNC_CANCEL"
    case close = "CLOSE"
    case send = "SEND"
    case receive = "RECV"
    case read = "READ"
    case openFile = "OPENAT2"
    case waitTimeout = "EXT_ARG"
    case skipSuccess = "CQE_SKIP"
    case messageRing = "MSG_RING"
    case bufferRings = "buffer rings"
    case cooperativeTaskrun = "COOP_TASKRUN"
    case singleIssuer = "SINGLE_ISSUER"
    case multishotReceive = "multishot receive"
    case deferredTaskrun = "DEFER_TASKRUN"
    case noSubmissionArray = "NO_SQARRAY"
    case incrementalBuffers = "incremental buffers"

    /// Without these the server does not use io_uring.
    package var isRequired: Bool { since <= KernelVersion.floor && self != .cooperativeTaskrun }

    /// The release of mainline Linux that brought it (io_uring_enter(2), io_uring_setup(2), io_uring_register(2)).
    package var since: KernelVersion {
        switch self {
        case .poll: KernelVersion(5, 1)
        case .sendMessage: KernelVersion(5, 3)
        case .accept, .cancel: KernelVersion(5, 5)
        case .close, .send, .receive, .read, .openFile: KernelVersion(5, 6)
        case .waitTimeout: KernelVersion(5, 11)
        case .skipSuccess: KernelVersion(5, 17)
        case .messageRing: KernelVersion(5, 18)
        case .bufferRings, .cooperativeTaskrun: KernelVersion(5, 19)
        case .singleIssuer, .multishotReceive: KernelVersion(6, 0)
        case .deferredTaskrun: KernelVersion(6, 1)
        case .noSubmissionArray: KernelVersion(6, 6)
        case .incrementalBuffers: KernelVersion(6, 12)
        }
    }

    /// The operation's number in the kernel's interface, for features that are one operation.
    fileprivate var opcode: Int? {
        let code: io_uring_op? =
            switch self {
            case .poll: IORING_OP_POLL_ADD
            case .sendMessage: IORING_OP_SENDMSG
            case .accept: IORING_OP_ACCEPT
            case .cancel: IORING_OP_ASYNC_CANCEL
            case .close: IORING_OP_CLOSE
            case .send: IORING_OP_SEND
            case .receive: IORING_OP_RECV
            case .read: IORING_OP_READ
            case .openFile: IORING_OP_OPENAT2
            case .messageRing: IORING_OP_MSG_RING
            case .waitTimeout, .skipSuccess, .bufferRings, .cooperativeTaskrun, .singleIssuer, .multishotReceive, .deferredTaskrun, .noSubmissionArray,
                .incrementalBuffers:
                nil
            }
        return code.map { Int($0.rawValue) }
    }

    /// The flags of io_uring_setup(2) whose acceptance shows the feature. Multishot receive has no flag of its own and came in the
    /// same release as SINGLE_ISSUER.
    fileprivate var setupFlags: UInt32? {
        switch self {
        case .cooperativeTaskrun: Flags.cooperativeTaskrun
        case .singleIssuer, .multishotReceive: Flags.singleIssuer
        case .deferredTaskrun: Flags.singleIssuer | Flags.deferredTaskrun
        case .noSubmissionArray: Flags.noSubmissionArray
        default: nil
        }
    }
}

/// What io_uring answered.
package enum RingProbe: Hashable, Sendable {
    case available(Set<RingFeature>)
    /// io_uring_setup(2) failed with this errno.
    case refused(errno: Int32)

    /// Tries on this machine. Each trial makes and closes a ring of two entries.
    package static func live() -> RingProbe {
        do {
            let ring = try TrialRing(flags: 0)
            return .available(Set(RingFeature.allCases.filter { isPresent($0, ring: ring) }))
        } catch {
            return .refused(errno: error.code)
        }
    }

    private static func isPresent(_ feature: RingFeature, ring: borrowing TrialRing) -> Bool {
        if let opcode = feature.opcode { return ring.supports(opcode: opcode) }
        if let flags = feature.setupFlags { return (try? TrialRing(flags: flags)) != nil }
        return switch feature {
        case .waitTimeout: ring.features & Flags.featureExtendedArgument != 0
        case .skipSuccess: ring.features & Flags.featureSkipSuccess != 0
        case .bufferRings: ring.acceptsBufferRing(flags: 0)
        case .incrementalBuffers: ring.acceptsBufferRing(flags: Flags.incrementalBuffers)
        default: preconditionFailure("BUG: nothing tries \(feature)")
        }
    }
}

/// Numbers of the kernel's interface that liburing 2.3 lacks or that C macros hide from Swift (include/uapi/linux/io_uring.h).
private enum Flags {
    static let cooperativeTaskrun: UInt32 = 1 << 8
    static let singleIssuer: UInt32 = 1 << 12
    static let deferredTaskrun: UInt32 = 1 << 13
    static let noSubmissionArray: UInt32 = 1 << 16
    static let featureExtendedArgument: UInt32 = 1 << 8
    static let featureSkipSuccess: UInt32 = 1 << 11
    static let incrementalBuffers: UInt16 = 2
}

/// A ring that only answers questions: set up, never mapped, never submitted to.
private struct TrialRing: ~Copyable {
    private let descriptor: Int32
    let features: UInt32

    init(flags: UInt32) throws(SystemError) {
        var parameters = io_uring_params()
        parameters.flags = flags
        // The kernel reads and writes the parameters during the call only. liburing answers a negative errno.
        let result = unsafe io_uring_setup(2, &parameters)
        guard result >= 0 else { throw SystemError("io_uring_setup", code: -result) }
        descriptor = result
        features = parameters.features
    }

    /// IORING_REGISTER_PROBE: a header of 16 bytes, whose first byte is the last operation, then 8 bytes per operation, whose
    /// third and fourth are flags.
    func supports(opcode: Int) -> Bool {
        let operations = 256
        var probe = [UInt8](repeating: 0, count: 16 + 8 * operations)
        // The kernel fills the array during the call only.
        let result = unsafe probe.withUnsafeMutableBytes {
            unsafe io_uring_register(UInt32(descriptor), UInt32(IORING_REGISTER_PROBE), $0.baseAddress, UInt32(operations))
        }
        guard result >= 0 else { return false }
        // IO_URING_OP_SUPPORTED is bit 0 of the 16-bit flags; either byte order is covered.
        let at = 16 + 8 * opcode + 2
        return opcode <= Int(probe[0]) && (probe[at] | probe[at + 1]) & 1 != 0
    }

    /// IORING_REGISTER_PBUF_RING with one entry; unregistered again at once.
    func acceptsBufferRing(flags: UInt16) -> Bool {
        let page = sysconf(Int32(_SC_PAGESIZE))
        // Freed below, after the kernel let go of it: unregistering is synchronous.
        let memory = UnsafeMutableRawPointer.allocate(byteCount: page, alignment: page)
        defer { unsafe memory.deallocate() }
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: page)
        // struct io_uring_buf_reg { u64 address; u32 entries; u16 group; u16 flags; u64 reserved[3]; }: written by offset because
        // liburing renamed the field `flags` between versions.
        let registration = UnsafeMutableRawPointer.allocate(byteCount: 40, alignment: 8)
        defer { unsafe registration.deallocate() }
        unsafe registration.initializeMemory(as: UInt8.self, repeating: 0, count: 40)
        unsafe registration.storeBytes(of: UInt64(UInt(bitPattern: memory)), toByteOffset: 0, as: UInt64.self)
        unsafe registration.storeBytes(of: 1, toByteOffset: 8, as: UInt32.self)
        unsafe registration.storeBytes(of: flags, toByteOffset: 14, as: UInt16.self)
        let accepted = unsafe io_uring_register(UInt32(descriptor), UInt32(IORING_REGISTER_PBUF_RING), registration, 1) >= 0
        if accepted {
            unsafe registration.initializeMemory(as: UInt8.self, repeating: 0, count: 40)
            _ = unsafe io_uring_register(UInt32(descriptor), UInt32(IORING_UNREGISTER_PBUF_RING), registration, 1)
        }
        return accepted
    }

    deinit {
        close(descriptor)
    }
}
