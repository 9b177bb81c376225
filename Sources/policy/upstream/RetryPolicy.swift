// RetryPolicy: whether a request that failed is sent again, and when. A value in the upstream's configuration; RetryState is one per request, RetryBudget one per loop. Sans-I/O.

/// What a request may be repeated for.
package struct RetryConditions: OptionSet, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// No connection: refused, unreachable, its timeout.
    package static var connectFailure: RetryConditions { RetryConditions(rawValue: 1) }
    /// The server says that it has not looked at the request: RST_STREAM with REFUSED_STREAM, a GOAWAY below the stream (RFC 9113 8.7).
    package static var refused: RetryConditions { RetryConditions(rawValue: 2) }
    /// Reset, closed early, or not HTTP.
    package static var reset: RetryConditions { RetryConditions(rawValue: 4) }
    /// No response in time.
    package static var timeout: RetryConditions { RetryConditions(rawValue: 8) }
}

/// Statuses from 400 to 599.
package struct StatusSet: Sendable, Equatable {
    private var words = (UInt64(0), UInt64(0), UInt64(0), UInt64(0))

    package init(_ statuses: [UInt16] = []) { for status in statuses { insert(status) } }

    /// Nothing happens for a status that is not an error.
    package mutating func insert(_ status: UInt16) {
        guard 400..<600 ~= status else { return }
        let bit = UInt64(1) << UInt64((status - 400) & 63)
        switch (status - 400) >> 6 {
        case 0: words.0 |= bit
        case 1: words.1 |= bit
        case 2: words.2 |= bit
        default: words.3 |= bit
        }
    }

    package func contains(_ status: UInt16) -> Bool {
        guard 400..<600 ~= status else { return false }
        let word = switch (status - 400) >> 6 {
        case 0: words.0
        case 1: words.1
        case 2: words.2
        default: words.3
        }
        return word >> UInt64((status - 400) & 63) & 1 != 0
    }

    package static func == (a: StatusSet, b: StatusSet) -> Bool { a.words == b.words }
}

/// Why an attempt is over.
package enum RetryCause: Sendable, Equatable, BitwiseCopyable {
    case connectFailure
    case refused
    case reset
    /// A kept connection ended without a byte of a response: the server had closed it before the request came (RFC 9112 9.3.1).
    case stale
    case timeout
    case status(UInt16)
}

/// How far an attempt came; it only ever rises. The first three are the client's terms (ClientProgress).
package enum AttemptProgress: UInt8, Sendable, Comparable {
    /// The kernel has taken no byte: the server cannot know of the request.
    case nothingSent
    /// Bytes may have reached the server, which may have acted on them.
    case sent
    /// A response began, of which the client has seen nothing.
    case responseBegan
    /// The client has bytes of the response: there is no way back.
    case forwarded

    package static func < (a: AttemptProgress, b: AttemptProgress) -> Bool { a.rawValue < b.rawValue }
}

package struct RetrySettings: Sendable, Equatable {
    /// More would be a loop, not a retry; the servers tried must fit into `TriedServers`.
    package static var attemptsMax: UInt8 { 8 }

    /// Further attempts after the first, 0 to `attemptsMax`.
    package var attempts: UInt8 = 1
    package var conditions: RetryConditions = [.connectFailure, .refused]
    package var statuses = StatusSet([502, 503])
    /// Also requests that are not idempotent, when bytes may have reached the server: for upstreams that know repeats by a key.
    package var repeatsUnsafe = false
    /// The n-th retry waits a random time below base · 2ⁿ⁻¹, ns; 0: no wait.
    package var backoffBaseNs: UInt64 = 25_000_000
    /// No wait is longer, ns.
    package var backoffMaxNs: UInt64 = 250_000_000
    /// The time an attempt needs at least, ns: none is begun with less before the deadline.
    package var attemptLeastNs: UInt64 = 1_000_000

    package init() {}
}

/// What a request has behind it.
package struct RetryState: Sendable, Equatable {
    /// Retries that were granted.
    package internal(set) var retries: UInt8 = 0
    /// The one repeat after a stale connection.
    package internal(set) var wasStale = false

    package init() {}
    package init(retries: Int, wasStale: Bool) { (self.retries, self.wasStale) = (UInt8(clamping: retries), wasStale) }
}

package enum RetryDecision: Sendable, Equatable {
    /// Send again at this time, ns; a stale connection's repeat goes on a new connection, to the same server if it likes.
    case retry(at: UInt64)
    case giveUp(Reason)

    package enum Reason: UInt8, Sendable, CaseIterable {
        /// Not among the conditions.
        case notCovered
        /// The server may have acted on it, and it is not idempotent (RFC 9110 9.2.2).
        case unsafe
        /// Its body cannot be produced again.
        case bodyConsumed
        /// The client has seen a part of the response.
        case forwarded
        case attemptsUsed
        case budgetUsed
        case deadline
    }
}

package struct RetryPolicy: Sendable {
    package let settings: RetrySettings

    package init(_ settings: RetrySettings) {
        precondition(settings.attempts <= RetrySettings.attemptsMax, "BUG: a request is repeated at most 8 times")
        self.settings = settings
    }

    /// What is known of the request when an attempt is over.
    package struct Attempt: Sendable {
        package var cause: RetryCause
        package var progress: AttemptProgress
        /// By its method (RFC 9110 9.2.2), or because it says so.
        package var isIdempotent: Bool
        /// No byte of the body was taken from its producer, or all are kept.
        package var canRepeatBody: Bool

        package init(cause: RetryCause, progress: AttemptProgress, isIdempotent: Bool, canRepeatBody: Bool) {
            self.cause = cause
            self.progress = progress
            self.isIdempotent = isIdempotent
            self.canRepeatBody = canRepeatBody
        }
    }

    /// Decides about another attempt, and takes it from the budget.
    ///
    /// The repeat after a stale connection is free, once per request: that the server had closed an idle connection is no failure of anything, and the load is not multiplied. A second one counts as `reset`.
    ///
    /// - Parameter deadline: the request's own, ns; `.max`: none.
    package func decide(
        _ attempt: Attempt, state: inout RetryState, budget: inout RetryBudget, now: UInt64, deadline: UInt64 = .max, random: inout PolicyRandom
    ) -> RetryDecision {
        if let reason = forbids(attempt) { return .giveUp(reason) }
        let isFree = attempt.cause == .stale && !state.wasStale
        guard isFree || covers(attempt.cause) else { return .giveUp(.notCovered) }
        guard isFree || state.retries < settings.attempts else { return .giveUp(.attemptsUsed) }
        let time = isFree ? now : now.saturatingSum(backoff(state.retries, &random))
        guard time.saturatingSum(settings.attemptLeastNs) <= deadline else { return .giveUp(.deadline) }
        if isFree {
            state.wasStale = true
            return .retry(at: time)
        }
        // Last, so that nothing is taken for what is not done.
        guard budget.takeRetry(now: now) else { return .giveUp(.budgetUsed) }
        state.retries &+= 1
        return .retry(at: time)
    }

    /// What no configuration allows, `repeatsUnsafe` apart.
    private func forbids(_ attempt: Attempt) -> RetryDecision.Reason? {
        if attempt.progress == .forwarded { return .forwarded }
        guard attempt.canRepeatBody else { return .bodyConsumed }
        // A server that says it refused a stream has not looked at it, whatever was sent (RFC 9113 8.7).
        let wasUnseen = attempt.progress == .nothingSent || attempt.cause == .refused
        return wasUnseen || attempt.isIdempotent || settings.repeatsUnsafe ? nil : .unsafe
    }

    private func covers(_ cause: RetryCause) -> Bool {
        switch cause {
        case .connectFailure: settings.conditions.contains(.connectFailure)
        case .refused: settings.conditions.contains(.refused)
        case .reset, .stale: settings.conditions.contains(.reset)
        case .timeout: settings.conditions.contains(.timeout)
        case .status(let status): settings.statuses.contains(status)
        }
    }

    /// Full jitter: from 0 to the bound, so that those who failed together do not come again together (Brooker, Exponential Backoff And Jitter, 2015).
    private func backoff(_ retries: UInt8, _ random: inout PolicyRandom) -> UInt64 {
        guard settings.backoffBaseNs > 0 else { return 0 }
        let bound = min(settings.backoffBaseNs.saturatingProduct(1 << UInt64(min(retries, 32))), settings.backoffMaxNs)
        return random.below(bound.saturatingSum(1))
    }
}
