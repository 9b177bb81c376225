// KeySource: keys of tokens that are fetched from a URL (JWKS, RFC 7517) and kept fresh, off the request path: by a task of one loop, on its ring, for all loops and all routes that name the
// URL. Once per process, because a fleet of loops would ask the issuer as many times for the same bytes. Loops see that there are others by a number that goes up (JWTFilter). Outlives reloads.

internal import Synchronization
internal import UringBase
internal import UringHTTP
internal import UringJWT
internal import UringPolicy
internal import UringServer

/// Any thread.
final class KeySource: Sendable {
    struct Settings: Equatable, Sendable {
        let url: EndpointURL
        let schedule: RefreshSchedule.Settings
        /// For the whole answer.
        let timeoutNs: UInt64
    }

    /// What /metrics tells.
    struct Figures: Sendable {
        let url: String
        /// 0: there are none that may serve.
        let keys: Int
        /// Since the last good fetch; nil: there was none.
        let ageNs: UInt64?
        let fetches: UInt64
        let failures: UInt64
        let unavailable: UInt64
    }

    private struct State {
        var schedule: RefreshSchedule
        var random = PolicyRandom(seed: MonotonicClock.now)
        var keys: JWTKeySet?
        var document: [UInt8] = []
        var fetchedAt: UInt64?
        var fetches: UInt64 = 0
        var failures: UInt64 = 0
        var task: Task<Void, Never>?
        /// Waits for the time of the next fetch; cancelled to begin it at once.
        var sleeper: Task<Void, Never>?
        var isStopped = false
    }

    let settings: Settings
    private let log: LogReporter?
    private let state: Locked<State>
    private let generations = Atomic<UInt64>(0)
    private let refused = Atomic<UInt64>(0)
    /// Before that `miss` has nothing to do.
    private let askableAt = Atomic<UInt64>(0)

    /// - Parameter old: of the same URL with other times; its keys serve on.
    init(_ settings: Settings, from old: KeySource? = nil, log: LogReporter?) {
        (self.settings, self.log) = (settings, log)
        var made = State(schedule: RefreshSchedule(settings.schedule))
        if let old {
            old.state.withLock { known in
                made.schedule = RefreshSchedule(settings.schedule, from: known.schedule)
                (made.keys, made.document, made.fetchedAt, made.fetches, made.failures) = (known.keys, known.document, known.fetchedAt, known.fetches, known.failures)
            }
        }
        state = Locked(made)
        if let old { refused.store(old.refused.load(ordering: .relaxed), ordering: .relaxed) }
        // Loops begin at 0, and look once.
        generations.store(1, ordering: .relaxed)
    }

    // MARK: the loops' side

    /// Goes up when there are other keys, or none any more. From 1.
    var generation: UInt64 { generations.load(ordering: .acquiring) }

    /// Nil: there are none that may serve.
    var keys: JWTKeySet? { state.withLock { $0.keys } }

    /// A token names a key that is not known: the next fetch begins sooner, but not sooner than `refreshMinNs` behind the last. Whoever makes tokens up costs one comparison.
    func miss() {
        let now = MonotonicClock.now
        guard now >= askableAt.load(ordering: .relaxed) else { return }
        let sleeper = state.withLock { state -> Task<Void, Never>? in
            guard state.schedule.ask(now: now) else {
                askableAt.store(state.schedule.nextAt, ordering: .relaxed)
                return nil
            }
            askableAt.store(.max, ordering: .relaxed)
            return state.sleeper
        }
        sleeper?.cancel()
    }

    /// A request could not be judged for want of keys.
    func countUnavailable() { refused.add(1, ordering: .relaxed) }

    var figures: Figures {
        let (now, unavailable) = (MonotonicClock.now, refused.load(ordering: .relaxed))
        return state.withLock { state in
            Figures(
                url: settings.url.text, keys: state.keys?.keys.count ?? 0, ageNs: state.fetchedAt.map { now > $0 ? now - $0 : 0 }, fetches: state.fetches, failures: state.failures,
                unavailable: unavailable)
        }
    }

    // MARK: the task

    /// Begins to fetch, unless that is under way.
    func start(on loop: ServerLoop) {
        state.withLock { state in
            guard state.task == nil, !state.isStopped else { return }
            state.task = Task(executorPreference: loop.taskExecutor) { await self.run(loop) }
        }
    }

    /// Ends it, for good.
    func stop() {
        let (task, sleeper) = state.withLock { state in
            state.isStopped = true
            return (state.task, state.sleeper)
        }
        task?.cancel()
        sleeper?.cancel()
    }

    private func run(_ loop: ServerLoop) async {
        var options = HTTPClientOptions()
        let limit = Duration.nanoseconds(Int64(clamping: settings.timeoutNs))
        (options.connectTimeout, options.headTimeout, options.bodyTimeout) = (limit, limit, limit)
        (options.connectionsPerServerMax, options.pendingPerServerMax) = (1, 1)
        // The loop's time to the next is longer than servers keep connections.
        options.idleTimeout = .seconds(1)
        let client = HTTPClient(options: options)
        while !Task.isCancelled {
            guard await waitForTurn(loop) else { return }
            state.withLock { state in
                state.schedule.begin(now: MonotonicClock.now)
                state.fetches += 1
                askableAt.store(state.schedule.askableAt, ordering: .relaxed)
            }
            do {
                let (document, lifetimeNs) = try await fetch(client, within: limit, loop)
                try take(document, lifetimeNs)
            } catch {
                if Task.isCancelled { return }
                fail("\(error)")
            }
        }
    }

    /// False: nobody wants any more.
    private func waitForTurn(_ loop: ServerLoop) async -> Bool {
        while true {
            // The one who asks looks for the sleeper under the same lock.
            let sleeper = state.withLock { state -> Task<Void, Never>? in
                let now = MonotonicClock.now
                state.sleeper = nil
                guard !state.isStopped, state.schedule.nextAt > now else { return nil }
                let wait = Duration.nanoseconds(Int64(clamping: state.schedule.nextAt - now))
                state.sleeper = Task(executorPreference: loop.taskExecutor) {
                    do { try await loop.sleep(for: wait) } catch is CancellationError {} catch {
                        // The loop has no place for another timer now.
                        try? await Task.sleep(for: wait)
                    }
                }
                return state.sleeper
            }
            guard let sleeper else { return !Task.isCancelled }
            await sleeper.value
            // The loop is over: nothing waits on it any more.
            if Task.isCancelled || ServerLoop.current == nil { return false }
        }
    }

    private struct Late: Error, CustomStringConvertible {
        let limit: Duration
        var description: String { "no complete answer within \(limit)" }
    }

    private struct WrongStatus: Error, CustomStringConvertible {
        let code: UInt16
        var description: String { "status \(code)" }
    }

    /// The document, and how long the issuer says that it is good for.
    private func fetch(_ client: HTTPClient, within limit: Duration, _ loop: ServerLoop) async throws -> ([UInt8], UInt64?) {
        let url = settings.url.text
        return try await withThrowingTaskGroup(of: ([UInt8], UInt64?).self) { group in
            group.addTask {
                let answer = try await client.get(url, headers: [("accept", "application/jwk-set+json, application/json"), ("user-agent", "uringd")])
                // Redirections are not followed: the configuration says whom to believe.
                guard answer.status == .ok else { throw WrongStatus(code: answer.status.code) }
                let lifetime = answer.header("cache-control").flatMap(Self.lifetimeNs)
                return (try await answer.collect(upTo: JWTKeySet.documentBytesMax), lifetime)
            }
            group.addTask {
                try await loop.sleep(for: limit)
                throw Late(limit: limit)
            }
            defer { group.cancelAll() }
            guard let first = try await group.next() else { throw CancellationError() }
            return first
        }
    }

    /// `max-age` of Cache-Control (RFC 9111 section 5.2.2.1), 0 for `no-store` and `no-cache`; nil without.
    static func lifetimeNs(_ field: String) -> UInt64? {
        var found: UInt64?
        for part in field.split(separator: ",") {
            let words = part.lowercased().split(separator: "=", maxSplits: 1).map { $0.filter { !" \t\"".contains($0) } }
            switch words.first {
            case "no-store", "no-cache": return 0
            case "max-age":
                guard words.count == 2, !words[1].isEmpty, words[1].utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { continue }
                // What has more digits is longer than `refresh` can be.
                let (ns, overflow) = (UInt64(words[1]) ?? .max).multipliedReportingOverflow(by: 1_000_000_000)
                found = min(found ?? .max, overflow ? .max : ns)
            default: break
            }
        }
        return found
    }

    // MARK: what comes of it

    private func take(_ document: [UInt8], _ lifetimeNs: UInt64?) throws {
        let isNew = state.withLock { $0.keys == nil || $0.document != document }
        var (set, warnings): (JWTKeySet?, [JWTKeyWarning]) = (nil, [])
        if isNew {
            // SAFETY: the document lives through the call, which copies what it keeps.
            set = try unsafe document.withUnsafeBufferPointer { bytes throws(JWTKeyError) in
                try unsafe JWTKeySet.jwks(bytes, acceptsSecrets: false, source: settings.url.text, warnings: &warnings)
            }
        }
        let failures = state.withLock { state in
            let (now, failures) = (MonotonicClock.now, state.schedule.failures)
            state.schedule.succeeded(now: now, lifetimeNs: lifetimeNs, random: &state.random)
            state.fetchedAt = now
            if let set { (state.keys, state.document) = (set, document) }
            return failures
        }
        guard let set else {
            if failures > 0 { log?.log.notice("jwt.keys: \(settings.url.text) answers again, with the same keys") }
            return
        }
        generations.add(1, ordering: .releasing)
        log?.log.notice("jwt.keys: \(set.keys.count) \(set.keys.count == 1 ? "key" : "keys") from \(settings.url.text)\(failures > 0 ? ", which answers again" : "")")
        for warning in warnings { log?.log.warning("jwt.keys: \(warning)") }
    }

    private func fail(_ reason: String) {
        let (hadKeys, isEmpty, next) = state.withLock { state in
            let now = MonotonicClock.now
            let hadKeys = state.keys != nil
            state.failures += 1
            let isEmpty = state.schedule.failed(now: now)
            if isEmpty { (state.keys, state.document) = (nil, []) }
            return (hadKeys, isEmpty, (state.schedule.nextAt - min(now, state.schedule.nextAt)) / 1_000_000)
        }
        if hadKeys && isEmpty { generations.add(1, ordering: .releasing) }
        let state = isEmpty ? hadKeys ? "the old keys are too old and serve no more" : "there are none, and requests that need one get 503" : "the old keys serve on"
        log?.log.warning("jwt.keys: cannot fetch \(settings.url.text): \(reason); \(state); again in \(next) ms")
    }
}

extension KeySource.Settings {
    /// Nil: its keys do not come from a URL.
    init?(_ jwt: JWTConfiguration) {
        guard case .url(let url) = jwt.keys else { return nil }
        self.init(
            url: url, schedule: RefreshSchedule.Settings(refreshNs: jwt.refreshNs, refreshMinNs: jwt.refreshMinNs, staleNs: jwt.staleNs), timeoutNs: jwt.fetchTimeoutNs)
    }
}
