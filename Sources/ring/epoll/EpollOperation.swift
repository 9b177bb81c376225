// EpollOperation: one submission entry that could not be carried out at once, and what became of an attempt to. Plain values of EpollKernel.

internal import CUring
internal import Glibc

/// The ring's operations by number (include/uapi/linux/io_uring.h), as far as loops use them.
enum EpollOpcode: UInt8 {
    case nop = 0
    case pollAdd = 6
    case sendMessage = 9
    case accept = 13
    case cancel = 14
    case connect = 16
    case close = 19
    case read = 22
    case write = 23
    case send = 26
    case receive = 27
    case open = 28
    case shutdown = 34
    case messageRing = 40
}

/// Bits of entries and completions (same header). They are the kernel's ABI and never change.
enum EpollBits {
    // sqe.flags
    static let fixedFile: UInt8 = 1 << 0
    static let drain: UInt8 = 1 << 1
    static let link: UInt8 = 1 << 2
    static let hardLink: UInt8 = 1 << 3
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
    static let bufferShift: UInt32 = 16
}

/// Events of epoll_ctl(2); those of poll(2) have the same numbers.
enum EpollEvents {
    static let input: UInt32 = 0x001
    static let urgent: UInt32 = 0x002
    static let output: UInt32 = 0x004
    static let error: UInt32 = 0x008
    static let hangUp: UInt32 = 0x010
    static let peerEnded: UInt32 = 0x2000
    static let edgeTriggered: UInt32 = 1 << 31

    // What epoll_ctl(2) does.
    static let add: Int32 = 1
    static let remove: Int32 = 2
    static let modify: Int32 = 3

    /// Told whether asked for or not.
    static let always = error | hangUp
    /// What a receive waits for. Urgent data among them: it cuts a read short.
    static let readable = input | urgent | peerEnded
    /// With one of these a read that brought less than there was room for need not have brought all: it is tried until nothing is left.
    static let unfinished = urgent | peerEnded | error | hangUp
    /// What a caller may poll for: the low half, without the flags of epoll_ctl(2).
    static let pollable: UInt32 = 0xFFFF
}

/// What an attempt came to.
struct EpollAttempt {
    enum Kind: UInt8 {
        case finished
        /// Until the descriptor has one of `events`.
        case wait
        /// It may wait for a disk: on a thread of its own.
        case work
        /// There is more, and others have their turn first.
        case yield
        /// Nothing tells when it will do: after a while.
        case retry
    }

    let kind: Kind
    /// The operation counts as failed although its result may be positive: its chain is broken, and it is told.
    var failed = false
    /// The descriptor has just said EAGAIN: its next event is news, and will come.
    var isExhausted = false
    var result: Int32 = 0
    var flags: UInt32 = 0
    var events: UInt32 = 0
    /// Bytes that a send or a write has got rid of so far.
    var done = 0

    static func finished(_ result: Int32, flags: UInt32 = 0) -> EpollAttempt {
        EpollAttempt(kind: .finished, failed: result < 0, result: result, flags: flags)
    }
    static func finished(_ result: Int32, failed: Bool) -> EpollAttempt { EpollAttempt(kind: .finished, failed: failed, result: result) }
    static func wait(_ events: UInt32, isExhausted: Bool, done: Int = 0) -> EpollAttempt {
        EpollAttempt(kind: .wait, isExhausted: isExhausted, events: events, done: done)
    }
    static func work(done: Int = 0) -> EpollAttempt { EpollAttempt(kind: .work, done: done) }
    static func yield(_ events: UInt32) -> EpollAttempt { EpollAttempt(kind: .yield, events: events) }
    static var retry: EpollAttempt { EpollAttempt(kind: .retry) }
}

/// An entry in the kernel's hands: its copy, for the slot in the queue is the program's again at once.
@unsafe
struct EpollOperation {
    enum State: UInt8 {
        case free
        /// Its turn in a chain has not come.
        case linked
        /// Waits for events of its descriptor, or for its time to try again.
        case armed
        /// In the hands of a worker thread.
        case working
        /// About to be told that it was cancelled.
        case cancelled
    }

    var entry = ur_sqe()
    var state = State.free
    /// It is in one of the lists of those that wait for a turn and not for an event.
    var awaitsTurn = false
    /// What it waits for; 0 until it has waited.
    var events: UInt32 = 0
    /// Its neighbours among the operations of its descriptor; `next` is that of a free slot too. -1: none.
    var next: Int32 = -1
    var previous: Int32 = -1
    /// The operation that comes behind it in its chain.
    var link: Int32 = -1
    /// The next in its bucket of user data.
    var bucketNext: Int32 = -1
    /// The descriptor that it is armed on: not the entry's when that number was closed meanwhile. -1: none.
    var descriptor: Int32 = -1
    var done = 0
    /// The vectors of a queued sendmsg, copied at submission as Linux does, and freed with the operation. The bytes stay the program's.
    var parts: UnsafeMutablePointer<iovec>?
    var partCount = 0
}

/// What is known of a descriptor by its number.
struct EpollDescriptor: BitwiseCopyable {
    /// The first of the operations that are armed on it; -1: none. While there is one, the number is known to be the file that was registered.
    var first: Int32 = -1
    /// Goes up with each registration, and comes back with each event: an event of a file that had this number before is dropped.
    var generation: UInt32 = 0
    /// The events that it is registered for; 0: not registered.
    var registered: UInt32 = 0
    /// TCP: a read that did not fill its buffer has taken all there was. Other sockets may stop at the end of a message.
    var isTCP = false
    /// Its number was closed under armed operations, and this is a duplicate that lives until the last of them has ended.
    var closesWhenIdle = false
}
