// Names to addresses, for connections that a loop opens: the system's resolver (getaddrinfo: hosts file, DNS, whatever nsswitch.conf says) on
// threads of its own, because it blocks for as long as it likes. One for the process; any loop asks, on its own thread, and is answered
// there. Addresses and unix paths are no questions (`NameResolver.literal`).
//
//   resolve ─ answer is fresh ─────────────────────────────▶ now
//           ├ answer is stale, and that may be used ───────▶ now, and asked again behind
//           ├ the same question is being asked ─▶ waits for that answer ┐
//           └ nothing known ─▶ queue ─▶ thread ─▶ getaddrinfo ──────────┴─▶ posted to the asking loop

internal import CUringBase
internal import Glibc
internal import UringBase
package import UringRing

/// Why a name has no address.
package enum ResolutionFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// No name in DNS: empty, longer than 253 bytes, or with other characters than letters, digits, "-", "." and "_".
    case invalidName
    /// The name does not exist, or has no address. It may exist later, but asking again at once is in vain.
    case notFound
    /// The resolver did not answer; another attempt may succeed.
    case temporary
    /// The resolver failed for good: its configuration, memory. The code is getaddrinfo's.
    case failed(code: Int32)
    /// More questions wait than `questionsMax`.
    case overloaded
    case shutDown

    package var description: String {
        switch self {
        case .invalidName: "not a host name"
        case .notFound: "no such host, or it has no address"
        case .temporary: "the resolver does not answer"
        // Static texts.
        case .failed(let code): unsafe "the resolver failed: \(String(cString: gai_strerror(code)))"
        case .overloaded: "too many names are being looked up"
        case .shutDown: "the resolver has been shut down"
        }
    }
}

/// Limits and times of a resolver. Times are nanoseconds.
package struct NameResolverOptions: Sendable {
    /// How long an answer is used. getaddrinfo does not tell the records' own time. Default 30 s.
    package var timeToLiveNs: UInt64 = 30_000_000_000
    /// How long a failure is repeated without asking: a name that does not exist is asked for again by every request. Default 1 s.
    package var negativeTimeToLiveNs: UInt64 = 1_000_000_000
    /// How long beyond its time an answer is used while a new one is fetched, or when none can be had; 0: never. Default 10 min: addresses
    /// seldom change, and a resolver that is down need not take the gateway with it.
    package var staleNs: UInt64 = 600_000_000_000
    /// Threads at the same time; 0: asks on the caller's thread (simulations, whose source answers from memory). Default 4.
    package var threadsMax = 4
    /// Names that wait for a thread. Default 1024: each is some hundred bytes.
    package var questionsMax = 1024
    /// Names whose answers are kept. Default 4096.
    package var namesMax = 4096

    package init() {}
}

/// A question that was not answered at once.
package final class ResolutionRequest: Sendable {
    package typealias Body = @Sendable (Result<[SocketAddress], ResolutionFailure>) -> Void
    /// Runs the block where the asker is; false when it is not there any more.
    package typealias Post = @Sendable (@escaping @Sendable () -> Void) -> Bool

    private let body: Locked<Body?>
    let post: Post
    let port: UInt16
    /// Wants the answer that has come, and no older one in its place.
    let wantsLatest: Bool

    init(port: UInt16, wantsLatest: Bool = false, post: @escaping Post, body: @escaping Body) {
        self.port = port
        self.wantsLatest = wantsLatest
        self.post = post
        self.body = Locked(body)
    }

    /// Nobody wants the answer any more. Called on the asking loop's thread, the body never runs afterwards.
    package func cancel() { body.withLock { $0 = nil } }

    func answer(_ result: Result<[SocketAddress], ResolutionFailure>) {
        _ = post { [self] in
            let body = self.body.withLock { body in
                defer { body = nil }
                return body
            }
            body?(result)
        }
    }
}

/// The process's resolver. All its methods may be called on any thread.
package final class NameResolver: Sendable {
    /// All addresses of a name, IPv6 and IPv4 in the order in which to try them (RFC 6724), without ports. May block.
    package typealias Source = @Sendable (String) -> Result<[SocketAddress], ResolutionFailure>

    /// What `resolve` has to say at once.
    package enum Outcome: Sendable {
        case now(Result<[SocketAddress], ResolutionFailure>)
        /// The body will be called, unless the request is cancelled.
        case later(ResolutionRequest)
    }

    private struct Entry {
        var answer: Result<[SocketAddress], ResolutionFailure>?
        var freshUntil: UInt64 = 0
        var usableUntil: UInt64 = 0
        /// It is in the queue, or a thread is asking.
        var isAsked = false
        var waiting: [ResolutionRequest] = []

        var isSuccess: Bool { if case .success = answer { true } else { false } }
    }

    private struct State {
        var entries: [String: Entry] = [:]
        var queue: [String] = []
        var queueHead = 0
        var threads = 0
        var isShutDown = false
    }

    /// The one of the process, for everything that loops connect to.
    package static let shared = NameResolver()

    private let options: NameResolverOptions
    private let source: Source
    private let clock: @Sendable () -> UInt64
    private let state = Locked(State())

    /// - Parameters:
    ///   - source: tests and simulations bring their own.
    ///   - clock: monotonic nanoseconds.
    package init(
        _ options: NameResolverOptions = NameResolverOptions(), source: @escaping Source = NameResolver.system,
        clock: @escaping @Sendable () -> UInt64 = NameResolver.monotonicNs
    ) {
        self.options = options
        self.source = source
        self.clock = clock
    }

    /// The addresses of `host`, which is no address itself. Called on the loop's thread.
    ///
    /// - Parameters:
    ///   - port: of the addresses that are answered.
    ///   - loop: the asking loop's: the body runs on its thread, in a later turn.
    package func resolve(_ host: String, port: UInt16, for loop: LoopPort, _ body: @escaping ResolutionRequest.Body) -> Outcome {
        resolve(host, port: port, post: { block in loop.post(.run(block)) }, body)
    }

    /// Asks anew, whatever is kept, and answers what has come of it, not an older answer in its place; that one is kept for others. Suspends the task for as long as the system's
    /// resolver takes.
    package func ask(_ host: String) async -> Result<[SocketAddress], ResolutionFailure> {
        // SAFETY: the body runs once; here when there is an answer at once, else on the thread that has it.
        unsafe await withUnsafeContinuation { (continuation: UnsafeContinuation<Result<[SocketAddress], ResolutionFailure>, Never>) in
            let answer: ResolutionRequest.Body = { unsafe continuation.resume(returning: $0) }
            let post: ResolutionRequest.Post = { block in
                block()
                return true
            }
            if case .now(let result) = resolve(host, port: 0, asksAnew: true, post: post, answer) { answer(result) }
        }
    }

    package func resolve(
        _ host: String, port: UInt16, asksAnew: Bool = false, post: @escaping ResolutionRequest.Post, _ body: @escaping ResolutionRequest.Body
    ) -> Outcome {
        guard let name = Self.normalised(host) else { return .now(.failure(.invalidName)) }
        let now = clock()
        let (outcome, startsThread) = state.withLock { state -> (Outcome?, Bool) in
            if state.isShutDown { return (.now(.failure(.shutDown)), false) }
            if !asksAnew, let answer = state.entries[name]?.answer, let entry = state.entries[name] {
                if now < entry.freshUntil { return (.now(Self.with(port, answer)), false) }
                if now < entry.usableUntil {
                    // A refresh that finds no room is tried again by the next asker.
                    let starts = options.threadsMax > 0 && !entry.isAsked && enqueue(name, &state) ? takesThread(&state) : false
                    if options.threadsMax > 0 { return (.now(Self.with(port, answer)), starts) }
                }
            }
            guard options.threadsMax > 0 else { return (nil, false) }
            let isAsked = state.entries[name]?.isAsked ?? false
            guard isAsked || enqueue(name, &state) else { return (.now(.failure(.overloaded)), false) }
            let request = ResolutionRequest(port: port, wantsLatest: asksAnew, post: post, body: body)
            state.entries[name, default: Entry()].waiting.append(request)
            return (.later(request), isAsked ? false : takesThread(&state))
        }
        if startsThread { startThread() }
        if let outcome { return outcome }
        let answer = source(name)
        _ = settle(name, answer)
        if asksAnew { return .now(Self.with(port, answer)) }
        return .now(state.withLock { Self.with(port, $0.entries[name]?.answer ?? .failure(.temporary)) })
    }

    /// Answers everybody who waits with `shutDown`, and takes no more questions. Does not wait for threads that are in the system's resolver:
    /// they end when it lets them, and find nobody.
    package func shutDown() {
        let waiting = state.withLock { state -> [ResolutionRequest] in
            state.isShutDown = true
            state.queue = []
            state.queueHead = 0
            defer { state.entries = [:] }
            return state.entries.values.flatMap(\.waiting)
        }
        for request in waiting { request.answer(.failure(.shutDown)) }
    }

    /// Forgets all answers, as after a change of the network.
    package func forget() {
        state.withLock { state in
            for (name, entry) in state.entries {
                if entry.isAsked { state.entries[name]?.answer = nil } else { state.entries[name] = nil }
            }
        }
    }

    /// Names kept, questions that wait for a thread, threads: for figures.
    package var usage: (names: Int, questions: Int, threads: Int) {
        state.withLock { ($0.entries.count, $0.queue.count - $0.queueHead, $0.threads) }
    }
}

// MARK: Asking

extension NameResolver {
    /// False when there is no room.
    private func enqueue(_ name: String, _ state: inout State) -> Bool {
        guard state.queue.count - state.queueHead < options.questionsMax else { return false }
        makeRoom(for: name, &state)
        state.entries[name, default: Entry()].isAsked = true
        state.queue.append(name)
        return true
    }

    /// Drops answers that are over, and if that is not enough the one that is over first.
    private func makeRoom(for name: String, _ state: inout State) {
        guard state.entries[name] == nil, state.entries.count >= options.namesMax else { return }
        let now = clock()
        state.entries = state.entries.filter { $0.value.isAsked || $0.value.usableUntil > now }
        guard state.entries.count >= options.namesMax else { return }
        let oldest = state.entries.filter { !$0.value.isAsked }.min { $0.value.usableUntil < $1.value.usableUntil }
        if let oldest { state.entries[oldest.key] = nil }
    }

    private func takesThread(_ state: inout State) -> Bool {
        guard state.threads < options.threadsMax else { return false }
        state.threads += 1
        return true
    }

    /// Starts a thread that asks until the queue is empty. Starting one costs little beside a question, so none waits for work.
    private func startThread() {
        var thread = pthread_t()
        let code = unsafe pthread_create(
            &thread, nil,
            { argument in
                unsafe ur_name_thread("resolver")
                unsafe Unmanaged<NameResolver>.fromOpaque(argument!).takeRetainedValue().work()
                return nil
            }, unsafe Unmanaged.passRetained(self).toOpaque())
        if code == 0 {
            pthread_detach(thread)
            return
        }
        // No thread to be had: take the reference back, and if no other is at work tell those who wait.
        unsafe Unmanaged.passUnretained(self).release()
        let orphans = state.withLock { state -> [String] in
            state.threads -= 1
            guard state.threads == 0 else { return [] }
            defer { (state.queue, state.queueHead) = ([], 0) }
            return Array(state.queue[state.queueHead...])
        }
        for name in orphans { _ = settle(name, .failure(.temporary)) }
    }

    /// On a thread of the resolver.
    private func work() {
        while let name = nextQuestion() { _ = settle(name, source(name)) }
    }

    private func nextQuestion() -> String? {
        state.withLock { state in
            guard state.queueHead < state.queue.count else {
                (state.queue, state.queueHead) = ([], 0)
                state.threads -= 1
                return nil
            }
            defer {
                state.queueHead += 1
                // The used-up front goes when it is the larger half.
                if state.queueHead > 64, state.queueHead * 2 > state.queue.count {
                    state.queue.removeFirst(state.queueHead)
                    state.queueHead = 0
                }
            }
            return state.queue[state.queueHead]
        }
    }

    /// Keeps an answer and hands it to those who wait.
    private func settle(_ name: String, _ answer: Result<[SocketAddress], ResolutionFailure>) -> Bool {
        let now = clock()
        let (waiting, told) = state.withLock { state -> ([ResolutionRequest], Result<[SocketAddress], ResolutionFailure>) in
            // Shut down or forgotten meanwhile.
            if state.isShutDown { return ([], answer) }
            if options.threadsMax == 0 { makeRoom(for: name, &state) }
            var entry = state.entries[name] ?? Entry()
            let waiting = entry.waiting
            entry.waiting = []
            entry.isAsked = false
            switch answer {
            case .success:
                entry.answer = answer
                entry.freshUntil = Self.sum(now, options.timeToLiveNs)
                entry.usableUntil = Self.sum(entry.freshUntil, options.staleNs)
            case .failure(let failure):
                entry.freshUntil = Self.sum(now, options.negativeTimeToLiveNs)
                // An old answer is better than none while the resolver is down; that a name is gone is an answer.
                let keepsOld = failure != .notFound && now < entry.usableUntil && entry.isSuccess
                if !keepsOld {
                    entry.answer = answer
                    entry.usableUntil = entry.freshUntil
                }
            }
            state.entries[name] = entry
            return (waiting, entry.answer ?? answer)
        }
        for request in waiting { request.answer(Self.with(request.port, request.wantsLatest ? answer : told)) }
        return !waiting.isEmpty
    }

    private static func sum(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let (sum, overflow) = a.addingReportingOverflow(b)
        return overflow ? .max : sum
    }

    private static func with(_ port: UInt16, _ answer: Result<[SocketAddress], ResolutionFailure>) -> Result<[SocketAddress], ResolutionFailure> {
        answer.map { $0.map { $0.with(port: port) } }
    }
}
