// PhaseMeter: where a loop's time goes, by layer. One turn of many is looked at closely: at each boundary the time since the last goes to the layer that ends there. Written
// by the loop alone; others read a copy in its snapshot.
//
// The other turns pay one test at each boundary. A turn that is looked at pays two readings of the thread's CPU clock around `enter`, and one of the tick counter at each
// boundary (docs/ARCHITECTURE.md, "Where a request's time goes", has what that comes to).

internal import UringBase
internal import UringRing

/// A layer of the server's work, in the order in which a request passes them.
public enum LoopPhase: UInt8, CaseIterable, Sendable {
    /// The kernel's work within `io_uring_enter`: receiving, sending, accepting. CPU time, without the wait.
    case kernel
    /// From a completion to its connection: the loop's own bookkeeping, timers and messages too.
    case dispatch
    /// TLS handshakes.
    case handshake
    /// TLS records of requests.
    case decrypt
    /// Request heads and bodies, HTTP/2 frames and HPACK too.
    case parse
    /// Routing, filters, middleware and the handler. Async handlers too, while they run.
    case handler
    /// Heads and bodies of responses.
    case serialise
    /// TLS records of responses.
    case encrypt
    /// Sends that are got ready for the kernel.
    case send
}

/// What a loop's sampled turns took, layer by layer. Counts are since its start.
public struct LoopPhases: Sendable {
    /// Of so many turns one is looked at.
    package static var period: UInt32 { unsafe PhaseMeter.period }

    /// Turns that were looked at.
    public let turns: UInt64
    /// Requests whose handlers returned in them.
    public let requests: UInt64
    /// Nanoseconds of all sampled turns, by layer, in the order of `LoopPhase.allCases`.
    public let nanoseconds: [UInt64]
    /// Nanoseconds from the moment that the kernel handed a turn's completions over until a sampled request was parsed: its wait for the requests before it, at least.
    public let queue: LoopDistribution
    /// Nanoseconds that the handlers of sampled requests took.
    public let handler: LoopDistribution
    /// Nanoseconds that a sampled request may have lain in its socket before the loop took it, at most: the time since the loop last looked. 0 where the loop was waiting for it.
    public let ready: LoopDistribution
    /// Nanoseconds from the end of a sampled request's handler until the kernel had what the loop wrote in that turn: serialising, TLS, the requests behind it, the call that sends.
    public let send: LoopDistribution
}

@unsafe
struct PhaseMeter: ~Copyable {
    /// A turn in this many is looked at. A prime, so that it keeps no step with what comes in rounds.
    static var period: UInt32 { 61 }

    /// The turn under way is looked at.
    private(set) var isSampling = false
    private var countdown: UInt32 = 1
    /// Ticks at the last boundary, and when the completions of the turn were handed over.
    private var last: UInt64 = 0
    private var began: UInt64 = 0
    private var turns: UInt64 = 0
    private var requests: UInt64 = 0
    /// Ticks; the kernel's are nanoseconds.
    private var totals = InlineArray<9, UInt64>(repeating: 0)
    /// `totals` and `requests` as they were when the turn under way, or the last, began.
    private var totalsBefore = InlineArray<9, UInt64>(repeating: 0)
    private var requestsBefore: UInt64 = 0
    private var queue = Histogram()
    private var handler = Histogram()
    private var ready = Histogram()
    private var send = Histogram()
    /// For how long the turn's requests may have been ready, ns.
    private var readyNs: UInt64 = 0
    /// The loop was asleep when the turn's completions came.
    private var slept = false
    /// When the handlers of the turn's first requests ended, ticks.
    private var handledAt = InlineArray<64, UInt64>(repeating: 0)
    private var handledCount = 0

    /// For measurements without it: the next turn that is looked at is four thousand million turns away.
    mutating func switchOff() { unsafe countdown = 0 }

    /// The turn that comes is looked at: then so is the wait before it.
    var isNext: Bool { unsafe countdown == 1 }

    /// Longer than a call of `enter` that does not sleep is off the processor.
    private static var sleepNs: UInt64 { 10_000 }

    /// The wait before a turn that is looked at is over.
    /// - Parameters:
    ///   - mayWait: the loop had nothing to do.
    ///   - offNs: time in the kernel that was not CPU time.
    mutating func waited(mayWait: Bool, offNs: UInt64) { unsafe slept = mayWait && offNs > Self.sleepNs }

    /// The kernel has handed over what a turn works on.
    /// - Parameter sinceNs: how long ago it last did.
    @inline(__always)
    mutating func turnBegins(_ ticks: @autoclosure () -> UInt64, sinceNs: @autoclosure () -> UInt64 = 0) {
        unsafe countdown &-= 1
        guard unsafe countdown == 0 else { return }
        unsafe countdown = unsafe Self.period
        unsafe isSampling = true
        unsafe last = ticks()
        unsafe began = unsafe last
        unsafe turns &+= 1
        unsafe readyNs = unsafe slept ? 0 : sinceNs()
        unsafe handledCount = 0
        unsafe (totalsBefore, requestsBefore) = unsafe (totals, requests)
    }

    /// All work of a turn is done, and so is the kernel's, which took `kernelNs` of the thread's CPU time.
    // Inlined: a closure that is passed on would be a reference to count.
    @inline(__always)
    mutating func turnEnds(kernelNs: UInt64, _ ticks: UInt64, _ nanoseconds: (UInt64) -> UInt64) {
        unsafe isSampling = false
        for index in unsafe 0..<handledCount { unsafe send.record(nanoseconds(ticks &- handledAt[index])) }
        unsafe totals[Int(LoopPhase.kernel.rawValue)] &+= kernelNs
    }

    /// The time since the last boundary was `phase`'s.
    mutating func mark(_ phase: LoopPhase, _ ticks: UInt64) {
        unsafe totals[Int(phase.rawValue)] &+= ticks &- last
        unsafe last = ticks
    }

    /// A head is parsed.
    @inline(__always)
    mutating func parsed(_ ticks: UInt64, _ nanoseconds: (UInt64) -> UInt64) {
        unsafe mark(.parse, ticks)
        unsafe queue.record(nanoseconds(ticks &- began))
        unsafe ready.record(readyNs)
    }

    /// A handler's call has returned.
    @inline(__always)
    mutating func handled(_ ticks: UInt64, _ nanoseconds: (UInt64) -> UInt64) {
        unsafe requests &+= 1
        unsafe handler.record(nanoseconds(ticks &- last))
        unsafe mark(.handler, ticks)
        guard unsafe handledCount < handledAt.count else { return }
        unsafe handledAt[handledCount] = ticks
        unsafe handledCount &+= 1
    }

    /// Nanoseconds by layer of the turn that has just ended, and its requests.
    // Inlined: a closure that is passed on would be a reference to count.
    @inline(__always)
    borrowing func lastTurn(_ nanoseconds: (UInt64) -> UInt64) -> (layers: InlineArray<9, UInt64>, requests: UInt64) {
        var layers = InlineArray<9, UInt64>(repeating: 0)
        for layer in 0..<9 {
            let spent = unsafe totals[layer] &- totalsBefore[layer]
            layers[layer] = layer == Int(LoopPhase.kernel.rawValue) ? spent : nanoseconds(spent)
        }
        return unsafe (layers, requests &- requestsBefore)
    }

    borrowing func snapshot(_ nanoseconds: (UInt64) -> UInt64) -> LoopPhases {
        let spent = LoopPhase.allCases.map { phase in
            let total = unsafe totals[Int(phase.rawValue)]
            return phase == .kernel ? total : nanoseconds(total)
        }
        return unsafe LoopPhases(turns: turns, requests: requests, nanoseconds: spent, queue: LoopDistribution(queue), handler: LoopDistribution(handler), ready: LoopDistribution(ready), send: LoopDistribution(send))
    }
}

extension Loop {
    /// A boundary: what was done since the last belongs to `phase`.
    @inline(__always)
    func mark(_ phase: LoopPhase) {
        if unsafe meter.pointee.phases.isSampling { unsafe meter.pointee.phases.mark(phase, kernel.ticks()) }
    }
}
