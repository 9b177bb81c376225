// FaultPlan: what may go wrong in a simulation, and how often. Everything is something Linux is documented or was seen to do.

/// Probabilities from 0 (never, the default) to 1 (always), drawn from the simulation's seed each time the occasion arises.
package struct FaultPlan: Sendable {
    // MARK: the ring
    /// enter answers -EINTR, -EAGAIN or -EBUSY and consumes nothing.
    package var enterFails = 0.0
    /// enter consumes only some of the queued entries and does not wait (io_uring_enter(2): fewer than asked).
    package var partialSubmission = 0.0
    /// The completions of one enter come in another order; those of one descriptor keep theirs.
    package var reorderCompletions = 0.0
    /// A completion comes late, by up to `delayNsMax`.
    package var delayCompletion = 0.0
    package var delayNsMax = 200_000

    // MARK: sockets
    /// A send takes a part of the bytes although more would fit, MSG_WAITALL or not (liburing #1359).
    package var shortSend = 0.0
    /// A send with MSG_DONTWAIT answers -EAGAIN although there is room.
    package var sendAgain = 0.0
    /// A receive takes a part of what is there.
    package var shortReceive = 0.0
    /// A receive answers -ENOBUFS although a buffer is there.
    package var noBuffers = 0.0
    /// A multishot receive ends with its data: no F_MORE.
    package var endMultishotReceive = 0.0
    /// A multishot accept ends with its connection: no F_MORE.
    package var endMultishotAccept = 0.0
    /// An accept fails with -EMFILE, -ENFILE, -ENOBUFS or -ENOMEM; the connection waits in the backlog.
    package var acceptFails = 0.0
    /// An accept fails with -ECONNABORTED, and that connection is gone.
    package var acceptAborted = 0.0
    /// The network resets a connection, drawn each time its client sends or reads.
    package var reset = 0.0
    /// A poll completes although the descriptor is not ready.
    package var spuriousPoll = 0.0

    // MARK: files
    /// A path is not in the dentry cache: openFile(cachedOnly:) answers -EAGAIN, the ring's open takes a while.
    package var openNotCached = 0.0
    /// The pages are not in the cache: readCached answers -EAGAIN, the ring's read takes a while.
    package var readNotCached = 0.0
    /// readCached and the ring's read take a part.
    package var shortRead = 0.0
    /// sendfile takes a part.
    package var shortSendFile = 0.0

    // MARK: time
    /// The monotonic clock advances further than asked by up to `timeJumpNsMax`: the thread was not scheduled.
    package var timeJump = 0.0
    package var timeJumpNsMax = 20_000_000
    /// The calendar clock is set forward or back by up to a day; the monotonic clock is not.
    package var clockStep = 0.0

    package init() {}

    package static let none = FaultPlan()

    /// Each kind of fault that harms nobody's response, by name, at a rate at which it happens all the time.
    package static let each: [(name: String, plan: FaultPlan)] = [
        one("enterFails", \.enterFails), one("partialSubmission", \.partialSubmission), one("reorderCompletions", \.reorderCompletions),
        one("delayCompletion", \.delayCompletion), one("shortSend", \.shortSend), one("sendAgain", \.sendAgain), one("shortReceive", \.shortReceive),
        one("noBuffers", \.noBuffers), one("endMultishotReceive", \.endMultishotReceive), one("endMultishotAccept", \.endMultishotAccept),
        one("acceptFails", \.acceptFails, 0.1), one("spuriousPoll", \.spuriousPoll), one("openNotCached", \.openNotCached),
        one("readNotCached", \.readNotCached), one("shortRead", \.shortRead), one("shortSendFile", \.shortSendFile),
        one("timeJump", \.timeJump, 0.005), one("clockStep", \.clockStep, 0.01),
    ]

    private static func one(_ name: String, _ rate: WritableKeyPath<FaultPlan, Double>, _ value: Double = 0.3) -> (name: String, plan: FaultPlan) {
        var plan = FaultPlan()
        plan[keyPath: rate] = value
        return (name, plan)
    }

    /// Everything at once, at rates that leave most operations whole, so that long exchanges still finish. What breaks connections
    /// (`reset`, `acceptAborted`) is off: a test that expects whole responses sets it apart.
    package static var chaos: FaultPlan {
        var plan = FaultPlan()
        plan.enterFails = 0.02
        plan.partialSubmission = 0.02
        plan.reorderCompletions = 0.3
        plan.delayCompletion = 0.05
        plan.shortSend = 0.05
        plan.sendAgain = 0.05
        plan.shortReceive = 0.05
        plan.noBuffers = 0.02
        plan.endMultishotReceive = 0.03
        plan.endMultishotAccept = 0.05
        plan.acceptFails = 0.03
        plan.spuriousPoll = 0.02
        plan.openNotCached = 0.2
        plan.readNotCached = 0.1
        plan.shortRead = 0.05
        plan.shortSendFile = 0.1
        plan.timeJump = 0.001
        plan.clockStep = 0.0005
        return plan
    }
}
