// CircuitBreaker: stops asking what fails. One object per route group and configuration, shared by all loops: `admit` before a request, `record` after its response, by the loop that has it. No locks
// and no timer: whoever comes first after a tick evaluates. Its decisions by figures are in CircuitBreaker+Evaluation.
//
//               error rate, slow periods, failures in a row                       Every other edge is impossible: each change is one compare-exchange of the
//      closed ────────────────────────────────────────────────▶ open             word, made from the state that it leaves.
//        ▲                                                      │  ▲
//        │ so many successes                    time is over,   │  │ a trial fails
//        └──────────────────────── halfOpen ◀── a request comes ┘  │
//                                     └────────────────────────────┘

internal import Synchronization

/// A breaker for all loops.
///
/// Exactness. State, trials and failures in a row are one for all loops, at once: a loop that has not yet seen the word of another may let requests of the same instant through, no more. Rate and latency are summed over the loops
/// once per tick (a 60th of the window, 100 ms at least, or the period's end), so that the breaker trips up to a tick late, and with figures that lack what other cores have in their store buffers. A response
/// costs the loop two or three plain additions in a line of its own, and two loads of lines that are written on changes only; in a row of failures each costs a relaxed addition too.
@safe
package final class CircuitBreaker: Sendable {
    /// The counts of one loop, which alone writes them: a load and a store, no atomic addition.
    struct Line: ~Copyable {
        let requests = Atomic<UInt64>(0)
        let failures = Atomic<UInt64>(0)
        let slow = Atomic<UInt64>(0)
        private let padding: (UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0)

        init() {}
    }

    package let settings: BreakerSettings
    private let loops: Int
    // Allocated in `init`, freed in `deinit`; loops hold a reference for as long as they use it.
    nonisolated(unsafe) private let lines: UnsafeMutablePointer<Line>

    let word: Atomic<UInt64>
    let failuresInRow = Atomic<UInt32>(0)
    /// Openings since it was closed for the last time.
    let openings = Atomic<UInt32>(0)
    let nextTick = Atomic<UInt64>(0)
    /// Who has it may touch `window` and `slowPeriods`. Who does not get it goes on: somebody is at it.
    let evaluationClaim = Atomic<Bool>(false)
    // Touched between acquiring and releasing `evaluationClaim` only.
    nonisolated(unsafe) var window: BreakerWindow
    nonisolated(unsafe) var slowPeriods: UInt32 = 0

    /// - Parameter loops: how many loops use it; they say which one they are.
    package init(_ settings: BreakerSettings, loops: Int, now: UInt64) {
        settings.check()
        precondition(loops > 0, "BUG: a breaker is used by a loop at least")
        self.settings = settings
        self.loops = loops
        word = Atomic(BreakerWord(.closed, generation: 0).bits)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: loops * MemoryLayout<Line>.stride, alignment: 64)
        unsafe lines = memory.bindMemory(to: Line.self, capacity: loops)
        for loop in 0..<loops { unsafe (lines + loop).initialize(to: Line()) }
        var window = BreakerWindow(windowNs: settings.windowNs, periodNs: settings.periodNs)
        window.reset(BreakerTotals(), now: now, generation: 0)
        nextTick.store(window.nextTick(after: now), ordering: .relaxed)
        unsafe self.window = window
    }

    deinit {
        unsafe lines.deinitialize(count: loops)
        unsafe UnsafeMutableRawPointer(lines).deallocate()
    }

    package var state: BreakerState { current.state }

    var current: BreakerWord { BreakerWord(bits: word.load(ordering: .acquiring)) }

    // MARK: Before a request

    /// Whether a request may go on.
    ///
    /// - Returns: and what changed by it: an opening that is over becomes half-open with the next request.
    package func admit(now: UInt64) -> (admission: BreakerAdmission, event: BreakerEvent?) {
        let seen = current
        if seen.state == .closed { return (BreakerAdmission(kind: .pass, generation: seen.generation), nil) }
        return admitOpened(seen, now)
    }

    private func admitOpened(_ seen: BreakerWord, _ now: UInt64) -> (BreakerAdmission, BreakerEvent?) {
        let present = BreakerWord.units(now)
        var old = seen
        while true {
            let new: BreakerWord
            switch old.state {
            case .closed: return (BreakerAdmission(kind: .pass, generation: old.generation), nil)
            case .open:
                guard present >= old.units else { return (refusal(old), nil) }
                new = old.next(.halfOpen, units: present, trials: 1)
            case .halfOpen:
                // Trials that were never reported do not keep it half-open for ever.
                let trials = present > old.units &+ BreakerWord.units(settings.openNs) &+ 1 ? 0 : old.trials
                guard trials < settings.trials else { return (refusal(old), nil) }
                new = old.with(trials: trials &+ 1, successes: old.successes, units: present)
            }
            if let now = exchange(old, new) {
                old = now
                continue
            }
            return (BreakerAdmission(kind: .trial, generation: new.generation), old.state == .open ? .halfOpened : nil)
        }
    }

    private func refusal(_ word: BreakerWord) -> BreakerAdmission { BreakerAdmission(kind: settings.isDryRun ? .shadow : .refuse, generation: word.generation) }

    /// When the refused may come again, ns from `now`, for Retry-After; 0 when nothing is known.
    package func retryAfter(now: UInt64) -> UInt64 {
        let word = current
        guard word.state == .open else { return 0 }
        let end = word.units << BreakerWord.unitShift
        return end > now ? end - now : 0
    }

    /// nil when it was done; otherwise the word that was there.
    func exchange(_ old: BreakerWord, _ new: BreakerWord) -> BreakerWord? {
        let (done, now) = word.compareExchange(expected: old.bits, desired: new.bits, ordering: .acquiringAndReleasing)
        return done ? nil : BreakerWord(bits: now)
    }

    // MARK: After a response

    /// Takes a response into account.
    ///
    /// - Parameters:
    ///   - loop: which one calls, below `loops`.
    ///   - isFailure: a 5xx or none at all, as the route group sees it.
    ///   - latencyNs: from the request to the head of the response, ns.
    package func record(_ admission: BreakerAdmission, isFailure: Bool, latencyNs: UInt64, loop: Int, now: UInt64) -> BreakerEvent? {
        switch admission.kind {
        case .pass:
            // First: what is counted now belongs to the time after the tick.
            let event = evaluate(now: now)
            let present = current
            // Of a request before the last change: it says nothing about the time since.
            guard present.state == .closed, present.generation == admission.generation else { return event }
            count(isFailure, settings.latencyNs > 0 && latencyNs > settings.latencyNs, loop)
            return event ?? countInRow(isFailure, present, now)
        case .trial: return isFailure ? trialFailed(admission, now) : trialSucceeded(admission, now)
        case .shadow, .refuse: return nil
        }
    }

    /// The request was given up without a result (its client left): a trial's place is free again.
    package func abandon(_ admission: BreakerAdmission) {
        guard admission.kind == .trial else { return }
        var old = current
        while old.state == .halfOpen, old.generation == admission.generation, old.trials > 0 {
            guard let now = exchange(old, old.with(trials: old.trials &- 1, successes: old.successes, units: old.units)) else { return }
            old = now
        }
    }

    private func count(_ isFailure: Bool, _ isSlow: Bool, _ loop: Int) {
        precondition(UInt(bitPattern: loop) < UInt(bitPattern: loops), "BUG: no such loop")
        // Lives as long as this object.
        unsafe Self.raise(lines[loop].requests)
        if isFailure { unsafe Self.raise(lines[loop].failures) }
        if isSlow { unsafe Self.raise(lines[loop].slow) }
    }

    private static func raise(_ counter: borrowing Atomic<UInt64>) { counter.store(counter.load(ordering: .relaxed) &+ 1, ordering: .releasing) }

    /// Over all loops. The difference of two sums is not negative: each counter only rises.
    func totals() -> BreakerTotals {
        var totals = BreakerTotals()
        for loop in 0..<loops {
            // Failures before requests, which the loop raises first: never more failures than requests.
            unsafe totals.slow &+= lines[loop].slow.load(ordering: .acquiring)
            unsafe totals.failures &+= lines[loop].failures.load(ordering: .acquiring)
            unsafe totals.requests &+= lines[loop].requests.load(ordering: .acquiring)
        }
        return totals
    }

    private func countInRow(_ isFailure: Bool, _ present: BreakerWord, _ now: UInt64) -> BreakerEvent? {
        guard settings.consecutiveFailures > 0 else { return nil }
        guard isFailure else {
            if failuresInRow.load(ordering: .relaxed) != 0 { failuresInRow.store(0, ordering: .relaxed) }
            return nil
        }
        let row = failuresInRow.wrappingAdd(1, ordering: .relaxed).newValue
        return row >= settings.consecutiveFailures ? open(present, .consecutiveFailures(row), now) : nil
    }

    private func trialFailed(_ admission: BreakerAdmission, _ now: UInt64) -> BreakerEvent? {
        var old = current
        while old.state == .halfOpen, old.generation == admission.generation {
            if let event = open(old, .trial(successes: old.successes), now) { return event }
            old = current
        }
        return nil
    }

    private func trialSucceeded(_ admission: BreakerAdmission, _ now: UInt64) -> BreakerEvent? {
        var old = current
        while old.state == .halfOpen, old.generation == admission.generation {
            let successes = old.successes &+ 1
            let isEnough = successes >= settings.successes
            let trials = old.trials > 0 ? old.trials &- 1 : 0
            let new = isEnough ? old.next(.closed) : old.with(trials: trials, successes: successes, units: old.units)
            if isEnough { failuresInRow.store(0, ordering: .relaxed) }
            if let now = exchange(old, new) {
                old = now
                continue
            }
            guard isEnough else { return nil }
            openings.store(0, ordering: .relaxed)
            // The window begins with the next response, not with the next tick.
            nextTick.store(0, ordering: .releasing)
            return .closed(successes: successes)
        }
        return nil
    }

    /// Opens it from the state `old`; nil when somebody was quicker.
    func open(_ old: BreakerWord, _ cause: BreakerCause, _ now: UInt64) -> BreakerEvent? {
        let before = openings.load(ordering: .relaxed)
        // Rounded up.
        let end = BreakerWord.units(now.saturatingSum(openTime(before)).saturatingSum(1 << BreakerWord.unitShift - 1))
        guard exchange(old, old.next(.open, units: end)) == nil else { return nil }
        openings.store(before &+ 1, ordering: .relaxed)
        failuresInRow.store(0, ordering: .relaxed)
        return .opened(cause, until: end << BreakerWord.unitShift, openings: before &+ 1)
    }

    /// How long it stays open after so many openings in a row.
    private func openTime(_ openings: UInt32) -> UInt64 {
        let longest = max(settings.openMaxNs, settings.openNs)
        var time = settings.openNs
        // At 101 % the longest time is reached after some hundred steps; growth is cut where nobody waits for it.
        for _ in 0..<min(openings, 64) where time < longest { time = time.saturatingSum((time / 100).saturatingProduct(UInt64(settings.openGrowthPercent - 100))) }
        return min(time, longest)
    }
}
