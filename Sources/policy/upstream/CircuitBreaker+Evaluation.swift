// CircuitBreaker+Evaluation: what the figures of all loops say, once per tick, by the loop that comes first.

internal import Synchronization

extension CircuitBreaker {
    /// Trips the breaker when its figures ask for it. `record` calls it; a timer may too, so that a period ends without a response.
    package func evaluate(now: UInt64) -> BreakerEvent? {
        guard now >= nextTick.load(ordering: .relaxed) else { return nil }
        guard evaluationClaim.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged else { return nil }
        defer { evaluationClaim.store(false, ordering: .releasing) }
        // Again, under the claim: another loop may have been here since.
        guard now >= nextTick.load(ordering: .relaxed) else { return nil }
        // The claim is held until the end of this function.
        let event = unsafe judge(&window, now)
        unsafe nextTick.store(window.nextTick(after: now), ordering: .relaxed)
        return event
    }

    private func judge(_ window: inout BreakerWindow, _ now: UInt64) -> BreakerEvent? {
        let present = current
        let totals = totals()
        guard present.state == .closed, window.generation == present.generation else {
            // Open, half-open, or closed since: the figures begin anew.
            window.reset(totals, now: now, generation: present.generation)
            unsafe slowPeriods = 0
            return nil
        }
        let recent = window.slide(totals, now: now)
        if let period = window.endPeriod(totals, now: now), let cause = judgePeriod(period.totals, followsDirectly: period.followsDirectly) {
            return open(present, cause, now)
        }
        return judgeRate(recent).flatMap { open(present, $0, now) }
    }

    private func judgeRate(_ recent: BreakerTotals) -> BreakerCause? {
        guard settings.errorPermille > 0, recent.requests > 0, recent.requests >= settings.minimumRequests else { return nil }
        guard recent.failures &* 1000 > recent.requests &* UInt64(settings.errorPermille) else { return nil }
        return .errorRate(failures: recent.failures, requests: recent.requests)
    }

    /// The p95 of n values lies above a bound exactly when more than 5 % of them do: two counts say what a histogram would say less exactly.
    private func judgePeriod(_ period: BreakerTotals, followsDirectly: Bool) -> BreakerCause? {
        guard settings.latencyNs > 0 else { return nil }
        let isSlow = followsDirectly && period.requests > 0 && period.requests >= settings.minimumRequests && period.slow &* 1000 > period.requests &* UInt64(1000 - settings.latencyPermille)
        // Called under the claim.
        unsafe slowPeriods = isSlow ? slowPeriods &+ 1 : 0
        guard unsafe slowPeriods >= settings.latencyPeriods else { return nil }
        return unsafe .latency(slow: period.slow, requests: period.requests, periods: slowPeriods)
    }
}
