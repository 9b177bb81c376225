// TestFaults: what goes wrong in the simulated world, and how often. Plain values; any thread.

internal import UringSimulation

/// Probabilities from 0 (never, the default) to 1 (each time) of things that networks and kernels do. What happens is drawn from the test server's seed: the same seed, the
/// same run.
public struct TestFaults: Sendable, Equatable {
    /// A send takes only a part of what it was given.
    public var shortSends = 0.0
    /// A receive brings only a part of what has arrived.
    public var shortReceives = 0.0
    /// A send finds no room although there is some.
    public var fullSockets = 0.0
    /// The network resets a connection, drawn each time its client sends or reads.
    public var resets = 0.0
    /// The kernel completes an operation late, by up to 0.2 ms.
    public var delays = 0.0
    /// Completions come in another order.
    public var reordering = 0.0
    /// No receive buffer is free.
    public var missingBuffers = 0.0
    /// An accept fails for want of descriptors or memory; the connection waits.
    public var failedAccepts = 0.0
    /// A file or a part of it is in no cache, and a disk is waited for.
    public var coldFiles = 0.0
    /// The monotonic clock jumps ahead by up to 20 ms: the thread was not scheduled.
    public var clockJumps = 0.0

    /// Nothing goes wrong.
    public init() {}

    /// Everything at once, at rates at which long exchanges still finish: whatever a handler does, clients must get whole responses. Without `resets`.
    public static var everything: TestFaults {
        var faults = TestFaults()
        (faults.shortSends, faults.shortReceives, faults.fullSockets) = (0.2, 0.2, 0.1)
        (faults.delays, faults.reordering, faults.missingBuffers) = (0.1, 0.3, 0.1)
        (faults.failedAccepts, faults.coldFiles, faults.clockJumps) = (0.1, 0.2, 0.001)
        return faults
    }

    var plan: FaultPlan {
        var plan = FaultPlan()
        (plan.shortSend, plan.shortSendFile, plan.sendAgain) = (shortSends, shortSends, fullSockets)
        (plan.shortReceive, plan.reset) = (shortReceives, resets)
        (plan.delayCompletion, plan.reorderCompletions) = (delays, reordering)
        (plan.noBuffers, plan.acceptFails) = (missingBuffers, failedAccepts)
        (plan.openNotCached, plan.readNotCached, plan.timeJump) = (coldFiles, coldFiles, clockJumps)
        return plan
    }
}
