// BreakerFilter: answers in place of an upstream that fails. The breaker behind it (SharedBreaker) is one for all routes of its group and all loops, and outlives reloads. The loops' threads.

internal import Glibc
internal import UringHTTP
internal import UringPolicy
internal import UringServer

/// The breaker of a group.
final class SharedBreaker: Sendable {
    let group: String
    let policy: BreakerConfiguration.Policy
    let loops: Int
    let breaker: CircuitBreaker
    private let log: LogReporter?

    init(_ configuration: BreakerConfiguration, loops: Int, log: LogReporter?) {
        (group, policy, self.loops, self.log) = (configuration.group, configuration.policy, loops, log)
        breaker = CircuitBreaker(BreakerSettings(configuration.policy), loops: loops, now: Self.now())
    }

    /// The clock of the loops, which none has read yet.
    private static func now() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    func admit(now: UInt64) -> BreakerAdmission {
        let (admission, event) = breaker.admit(now: now)
        if let event { tell(event, now) }
        return admission
    }

    func record(_ admission: BreakerAdmission, isFailure: Bool, latencyNs: UInt64, loop: Int, now: UInt64) {
        if let event = breaker.record(admission, isFailure: isFailure, latencyNs: latencyNs, loop: loop, now: now) { tell(event, now) }
    }

    @inline(never)
    private func tell(_ event: BreakerEvent, _ now: UInt64) {
        log?.note(Self.text(event, group, policy, now), .breaker)
        if case .opened = event, !policy.isDryRun { log?.flight.dump(.breaker) }
    }

    static func text(_ event: BreakerEvent, _ group: String, _ policy: BreakerConfiguration.Policy, _ now: UInt64) -> String {
        let dry = policy.isDryRun ? " (dry run: requests go on)" : ""
        switch event {
        case .opened(let cause, let until, let openings):
            let time = until > now ? (until - now) / 1_000_000 : 0
            let times = openings > 1 ? ", opening \(openings) in a row" : ""
            return "the breaker \(group) opened for \(time) ms\(times): \(Self.text(cause))\(dry)"
        case .halfOpened: return "the breaker \(group) tries requests again\(dry)"
        case .closed(let successes): return "the breaker \(group) closed: \(successes) requests were good\(dry)"
        }
    }

    private static func text(_ cause: BreakerCause) -> String {
        switch cause {
        case .errorRate(let failures, let requests): "\(failures) of \(requests) requests of the window failed"
        case .latency(let slow, let requests, let periods): "\(slow) of \(requests) requests were too slow, for \(periods) periods"
        case .consecutiveFailures(let count): "\(count) requests in a row failed"
        case .trial(let successes): "a trial failed, behind \(successes) good ones"
        }
    }
}

@safe
final class BreakerFilter: Sendable {
    private let shared: SharedBreaker
    /// Nil: the answer of another route.
    private let answer: PreparedResponse?
    private let fallback: Int
    private let tellsWhen: Bool

    /// - Parameter routes: names of all routes, in order.
    init(_ configuration: BreakerConfiguration, _ shared: SharedBreaker, routes: [String]) throws {
        self.shared = shared
        switch configuration.answer {
        case .respond(let respond):
            answer = try PreparedResponse(
                status: HTTPStatus(UInt16(clamping: respond.status)), headers: respond.headers.map { ($0.name, $0.value) }, body: respond.body)
            fallback = 0
            tellsWhen = respond.status >= 400 && !respond.headers.contains { $0.name.lowercased() == "retry-after" }
        case .route(let name):
            guard let index = routes.firstIndex(of: name) else { throw GatewayError("the breaker \(configuration.group) falls back to the route \(name), which does not exist") }
            (answer, fallback, tellsWhen) = (nil, index, false)
        }
    }

    /// On a loop's thread. Leaves in `pass` what the outcome is reported with.
    func judge(_ response: inout Response, _ pass: inout FilterPass) -> FilterVerdict {
        let now = response.monotonicNanoseconds
        let admission = shared.admit(now: now)
        if admission.isAllowed {
            pass.admission = admission
            return .pass
        }
        guard let answer else { return .fallback(fallback) }
        response.send(answer)
        if tellsWhen {
            let wait = shared.breaker.retryAfter(now: now)
            // As short as to need no memory of its own.
            if wait > 0 { response.headers["retry-after"] = "\((wait + 999_999_999) / 1_000_000_000)" }
        }
        return .answered
    }

    /// The outcome of a request that was let through.
    func record(_ admission: BreakerAdmission, status: HTTPStatus, latencyNs: UInt64, loop: Int, now: UInt64) {
        shared.record(admission, isFailure: status.isServerError, latencyNs: latencyNs, loop: loop, now: now)
    }

    /// There was none: its client left.
    func abandon(_ admission: BreakerAdmission) { shared.breaker.abandon(admission) }
}

extension BreakerSettings {
    init(_ policy: BreakerConfiguration.Policy) {
        self.init()
        // Hundredths of a percent are tenths of a permille; less than one is still on.
        errorPermille = policy.errorRate.map { max(1, min(1000, $0.hundredths / 10)) } ?? 0
        windowNs = policy.windowNs
        latencyNs = policy.latencyP95Ns ?? 0
        latencyPeriods = UInt32(clamping: policy.periods)
        periodNs = policy.periodNs
        consecutiveFailures = UInt32(clamping: policy.consecutiveFailures)
        minimumRequests = UInt64(clamping: policy.minimumRequests)
        openNs = policy.openNs
        trials = min(UInt32(clamping: policy.halfOpenRequests), Self.trialsMax)
        successes = trials
        isDryRun = policy.isDryRun
    }
}
