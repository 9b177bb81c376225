// PendingOperation: one submission entry on its way through a simulated kernel, from consumption to its last completion.

internal import CUring

/// The ring's operations by number (include/uapi/linux/io_uring.h), as far as the simulation knows them.
enum Opcode: UInt8 {
    case nop = 0
    case pollAdd = 6
    case sendMessage = 9
    case accept = 13
    case cancel = 14
    case close = 19
    case read = 22
    case send = 26
    case receive = 27
    case open = 28
    case shutdown = 34
    case messageRing = 40
}

/// Bits of entries and completions (same header). They are the kernel's ABI and never change.
enum Bits {
    // sqe.flags
    static let fixedFile: UInt8 = 1 << 0
    static let drain: UInt8 = 1 << 1
    static let link: UInt8 = 1 << 2
    static let hardLink: UInt8 = 1 << 3
    static let async: UInt8 = 1 << 4
    static let bufferSelect: UInt8 = 1 << 5
    static let skipSuccess: UInt8 = 1 << 6
    // sqe.ioprio
    static let acceptMultishot: UInt16 = 1 << 0
    static let pollFirst: UInt16 = 1 << 0
    static let receiveMultishot: UInt16 = 1 << 1
    // sqe.len of a poll
    static let pollMultishot: UInt32 = 1 << 0
    // sqe.cancel_flags
    static let cancelAll: UInt32 = 1 << 0
    static let cancelDescriptor: UInt32 = 1 << 1
    static let cancelAny: UInt32 = 1 << 2
    // cqe.flags
    static let buffer: UInt32 = 1 << 0
    static let more: UInt32 = 1 << 1
    static let socketNotEmpty: UInt32 = 1 << 2
    static let bufferShift: UInt32 = 16
}

/// An entry's fields, copied when it is consumed: the slot is the program's again at once.
struct Entry {
    let opcode: UInt8
    let flags: UInt8
    let priority: UInt16
    let descriptor: Int32
    let address: UInt64
    let offset: UInt64
    let length: UInt32
    /// msg_flags, accept_flags, cancel_flags, poll32_events: one union.
    let operationFlags: UInt32
    let userData: UInt64
    let bufferGroup: UInt16

    init(_ sqe: UnsafePointer<ur_sqe>) {
        opcode = unsafe sqe.pointee.opcode
        flags = unsafe sqe.pointee.flags
        priority = unsafe sqe.pointee.ioprio
        descriptor = unsafe sqe.pointee.fd
        address = unsafe ur_sqe_addr(sqe)
        offset = unsafe ur_sqe_off(sqe)
        length = unsafe sqe.pointee.len
        operationFlags = unsafe ur_sqe_msg_flags(sqe)
        userData = unsafe sqe.pointee.user_data
        bufferGroup = unsafe ur_sqe_buf_group(sqe)
    }
}

@safe
final class PendingOperation {
    enum State { case new, armed, queued, asynchronous, done }

    let entry: Entry
    let opcode: Opcode?
    unowned let kernel: SimulatedKernel
    var state = State.new
    /// The next of its chain (IOSQE_IO_LINK).
    var next: PendingOperation?
    var skipsCompletion: Bool
    /// It failed although its success was to be silent: the rest of its chain is cancelled silently (io_uring_enter(2), CQE_SKIP).
    var silencesChain = false
    var isCancelled = false
    /// Holds a reference on its file.
    var file: OpenFile?
    /// Events that wake it while armed.
    var waitEvents: UInt32 = 0
    /// Its place in the kernel's list of armed operations.
    var armedIndex = -1
    /// A multishot that has waited at least once, or a poll-first that has had its poll.
    var hasWaited = false
    /// Bytes that a send has got rid of so far.
    var done = 0
    /// What a send is to send: addresses of the program, copied from the entry or its msghdr at submission as Linux does.
    var parts: [UnsafeRawBufferPointer] = unsafe []
    /// The bytes at submission, kept while the send waits: the program must not change them before the completion.
    var snapshot: [UInt8] = []
    /// The path of an open, copied at submission.
    var path = ""
    var openFlags: UInt64 = 0

    init(_ entry: Entry, _ kernel: SimulatedKernel) {
        self.entry = entry
        self.kernel = kernel
        opcode = Opcode(rawValue: entry.opcode)
        skipsCompletion = entry.flags & Bits.skipSuccess != 0
    }

    var isMultishot: Bool {
        switch opcode {
        case .accept: entry.priority & Bits.acceptMultishot != 0
        case .receive: entry.priority & Bits.receiveMultishot != 0
        case .pollAdd: entry.length & Bits.pollMultishot != 0
        default: false
        }
    }
}
