// FilterChain: the filters of one route, compiled in the order in which they act (RouteFilterKind). Made at start and on each reload; immutable, shared by all loops, kept alive by `Routes`.
// A request that passes costs no allocation, and no reference but that of a step on the response.

internal import UringHTTP
internal import UringServer

@safe
final class FilterChain: Sendable {
    /// Safe: retained by the chain until its deinit.
    @safe enum Step {
        case surge(Unmanaged<SurgeFilter>)
        case cors(Unmanaged<CORSFilter>)
        case rateLimit(Unmanaged<RateLimitFilter>)
        case clientCertificate(Unmanaged<ClientCertificateFilter>)
        case basic(Unmanaged<BasicFilter>)
        case apiKeys(Unmanaged<APIKeyFilter>)
        case jwt(Unmanaged<JWTFilter>)
        case authRequest(Unmanaged<AuthRequestFilter>)
        case breaker(Unmanaged<BreakerFilter>)
        case headers(Unmanaged<HeaderFilter>)
        case timing(Unmanaged<TimingFilter>)
        case compression(Unmanaged<CompressionFilter>)

        /// Whether its decision may have to be waited for (`FilterVerdict.waits`, `FilterChain.wait`).
        var mayWait: Bool {
            switch self {
            case .basic, .authRequest: true
            // SAFETY: as below.
            case .rateLimit(let filter): unsafe filter._withUnsafeGuaranteedRef { $0.waits }
            case .surge, .cors, .clientCertificate, .apiKeys, .jwt, .breaker, .headers, .compression, .timing: false
            }
        }
    }

    // Written in init only, freed in deinit.
    nonisolated(unsafe) private let steps: UnsafeMutableBufferPointer<Step>

    /// Fields that clients do not send upstream, since filters do, in lower case.
    let removed: [[UInt8]]
    /// Nil: none waits for the outcome.
    let breaker: BreakerFilter?
    private let refusals: RefusalCounters?
    /// Preflights for the route's methods are the route's.
    let answersPreflights: Bool
    /// Whether a request of the route may have to wait for a filter.
    let mayWait: Bool

    /// Takes over the steps' references.
    init(_ made: [Step], removed: [String], breaker: BreakerFilter?, refusals: RefusalCounters? = nil) {
        self.refusals = refusals
        self.removed = removed.map { Array($0.utf8) }
        self.breaker = breaker
        mayWait = made.contains(where: \.mayWait)
        answersPreflights = made.contains { if case .cors = $0 { true } else { false } }
        unsafe steps = .allocate(capacity: made.count)
        _ = unsafe steps.initialize(from: made)
    }

    deinit {
        for index in unsafe steps.indices { unsafe Self.release(steps[index]) }
        unsafe steps.deallocate()
    }

    static func release(_ step: Step) {
        switch step {
        case .surge(let filter): unsafe filter.release()
        case .cors(let filter): unsafe filter.release()
        case .rateLimit(let filter): unsafe filter.release()
        case .clientCertificate(let filter): unsafe filter.release()
        case .basic(let filter): unsafe filter.release()
        case .apiKeys(let filter): unsafe filter.release()
        case .jwt(let filter): unsafe filter.release()
        case .authRequest(let filter): unsafe filter.release()
        case .breaker(let filter): unsafe filter.release()
        case .headers(let filter): unsafe filter.release()
        case .timing(let filter): unsafe filter.release()
        case .compression(let filter): unsafe filter.release()
        }
    }

    /// Lets a request pass, or answers it. On a loop's thread, before the route's own answer.
    /// - Parameter first: where to go on.
    func judge(_ request: borrowing Request, _ response: inout Response, _ pass: inout FilterPass, from first: Int = 0) -> FilterVerdict {
        for index in unsafe first..<steps.count {
            // SAFETY: the chain retains what its steps point to.
            let verdict = unsafe judge(steps[index], request, &response, &pass)
            switch verdict {
            case .pass: break
            case .waits: return .waits(index)
            case .answered, .fallback:
                unsafe note(steps[index], response)
                return verdict
            }
        }
        return .pass
    }

    /// A step has not let a request pass. What answers a preflight is no refusal.
    private func note(_ step: Step, _ response: borrowing Response) {
        guard let refusals, response.status.code >= 400 || step.kind == .breaker else { return }
        refusals.count(step.kind, status: response.status.code, loop: response.loopIndex)
    }

    /// The same of one that had to wait, when its answer is there.
    func noteWaited(at index: Int, _ response: borrowing Response) { unsafe note(steps[index], response) }

    /// Waits for the decision of the filter that said so. In an async handler, on the loop. What the filter finds out it keeps in values of the response, or finds again in `recall`.
    /// - Parameter pass: what the filters before it found out; good until the first suspension.
    /// - Returns: false when it has written the response.
    /// - Throws: what the client is to be told.
    func wait(at index: Int, _ request: borrowing Request, _ response: inout Response, _ pass: FilterPass) async throws -> Bool {
        // SAFETY: as above; the application that holds this chain is held for as long as an async handler of it runs.
        switch unsafe steps[index] {
        case .basic(let filter):
            let waiting = unsafe filter.takeUnretainedValue()
            try await waiting.verify(request, &response)
            return true
        case .authRequest(let filter):
            let waiting = unsafe filter.takeUnretainedValue()
            return try await waiting.ask(request, &response)
        case .rateLimit(let filter):
            let waiting = unsafe filter.takeUnretainedValue()
            return await waiting.decide(request, &response, pass)
        case .surge, .cors, .clientCertificate, .apiKeys, .jwt, .breaker, .headers, .compression, .timing: preconditionFailure("BUG: a filter that does not wait")
        }
    }

    /// What filters before `end` found out about a request that they let pass, once more: it does not outlive a wait.
    /// - Returns: false when it is answered: a token has expired meanwhile.
    func recall(_ request: borrowing Request, _ response: inout Response, _ pass: inout FilterPass, upTo end: Int) -> Bool {
        for index in 0..<end {
            let holds: Bool
            // SAFETY: as above.
            switch unsafe steps[index] {
            case .clientCertificate(let filter): holds = unsafe filter._withUnsafeGuaranteedRef { $0.recall(request, &pass) }
            case .apiKeys(let filter): holds = unsafe filter._withUnsafeGuaranteedRef { $0.admits(request, &response, &pass) }
            case .jwt(let filter): holds = unsafe filter._withUnsafeGuaranteedRef { $0.admits(request, &response, &pass) }
            case .surge, .cors, .rateLimit, .basic, .authRequest, .breaker, .headers, .compression, .timing: holds = true
            }
            guard holds else {
                unsafe note(steps[index], response)
                return false
            }
        }
        return true
    }

    private func judge(_ step: Step, _ request: borrowing Request, _ response: inout Response, _ pass: inout FilterPass) -> FilterVerdict {
        let goesOn: Bool
        // SAFETY: as above.
        switch step {
        case .surge(let filter): goesOn = unsafe filter._withUnsafeGuaranteedRef { $0.admits(request, &response, pass) }
        case .cors(let filter): goesOn = unsafe filter._withUnsafeGuaranteedRef { $0.admits(request, &response) }
        case .rateLimit(let filter): return unsafe filter._withUnsafeGuaranteedRef { $0.judge(request, &response, pass) }
        case .clientCertificate(let filter): goesOn = unsafe filter._withUnsafeGuaranteedRef { $0.admits(request, &response, &pass) }
        case .apiKeys(let filter): goesOn = unsafe filter._withUnsafeGuaranteedRef { $0.admits(request, &response, &pass) }
        case .jwt(let filter): goesOn = unsafe filter._withUnsafeGuaranteedRef { $0.admits(request, &response, &pass) }
        case .basic(let filter): return unsafe filter._withUnsafeGuaranteedRef { $0.judge(request, &response) }
        case .authRequest(let filter): return unsafe filter._withUnsafeGuaranteedRef { $0.judge(request, &response) }
        case .breaker(let filter): return unsafe filter._withUnsafeGuaranteedRef { $0.judge(&response, &pass) }
        case .headers(let filter):
            unsafe filter._withUnsafeGuaranteedRef { $0.register(&response) }
            goesOn = true
        case .timing(let filter):
            unsafe filter._withUnsafeGuaranteedRef { $0.register(&response) }
            goesOn = true
        case .compression(let filter):
            unsafe filter._withUnsafeGuaranteedRef { $0.register(request, &response) }
            goesOn = true
        }
        return goesOn ? .pass : .answered
    }

    // MARK: what goes upstream

    /// Whether a client's field is left out. `_` and `-` are one: servers that make variables of fields (RFC 3875) cannot tell them apart.
    func drops(_ name: ByteView) -> Bool {
        for index in removed.indices where Self.isSame(name, removed[index]) { return true }
        return false
    }

    private static func isSame(_ name: ByteView, _ other: [UInt8]) -> Bool {
        guard name.count == other.count else { return false }
        for index in 0..<name.count where folded(name[index]) != folded(other[index]) { return false }
        return true
    }

    private static func folded(_ byte: UInt8) -> UInt8 { byte == 0x5f ? 0x2d : byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte }

    /// Adds what the filters found out about the client.
    func forward(_ request: borrowing Request, _ response: borrowing Response, _ pass: FilterPass, to forwarded: ProxyRequest) {
        for index in unsafe steps.indices {
            // SAFETY: as above.
            switch unsafe steps[index] {
            case .jwt(let filter): unsafe filter._withUnsafeGuaranteedRef { $0.forward(pass, to: forwarded) }
            case .apiKeys(let filter): unsafe filter._withUnsafeGuaranteedRef { $0.forward(pass, to: forwarded) }
            case .basic(let filter): unsafe filter._withUnsafeGuaranteedRef { $0.forward(request, to: forwarded) }
            case .authRequest(let filter): unsafe filter._withUnsafeGuaranteedRef { $0.forward(response, to: forwarded) }
            case .clientCertificate(let filter): unsafe filter._withUnsafeGuaranteedRef { $0.forward(request, pass, to: forwarded) }
            case .surge, .cors, .rateLimit, .breaker, .headers, .compression, .timing: break
            }
        }
    }
}

extension FilterChain.Step {
    /// For counting: both kinds of rate limits are one.
    var kind: RouteFilterKind {
        switch self {
        case .surge: .surge
        case .cors: .cors
        case .rateLimit: .rateLimitByAddress
        case .basic: .basic
        case .apiKeys: .apiKeys
        case .jwt: .jwt
        case .breaker: .breaker
        case .clientCertificate: .clientCertificate
        case .authRequest: .authRequest
        case .compression: .compression
        case .headers, .timing: .headers
        }
    }
}
