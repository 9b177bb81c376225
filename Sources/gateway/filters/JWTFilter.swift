// JWTFilter: lets requests with a good token through (RFC 6750, RFC 7519). Made at start and on reloads; each loop verifies with a verifier and memory of its own, without allocation. The loops' threads.

internal import UringHTTP
internal import UringJWT
internal import UringPolicy
internal import UringServer

@safe
final class JWTFilter: Sendable {
    private let verifiers: LoopLocal<LoopVerifier>
    /// Nil: the keys are there from the start, and stay.
    private let source: KeySource?
    /// Paths of claims that must have certain values, and the values of all, those of claim i from `valueEnds[i]` to `valueEnds[i + 1]`.
    private let claims: FixedList
    private let values: FixedList
    private let valueEnds: FixedOffsets
    private let forwardClaims: FixedList
    private let forwardHeaders: FixedList
    /// Fields that clients do not send upstream, in lower case.
    let removed: [String]

    /// - Parameter source: of keys from a URL.
    /// - Throws: for keys that cannot be read or do not fit the algorithms.
    init(_ configuration: JWTConfiguration, route: String, _ source: KeySource? = nil, _ log: LogReporter? = nil) throws {
        self.source = source
        let rules = Self.rules(configuration)
        if source != nil {
            verifiers = LoopLocal { LoopVerifier(rules, route, log) }
        } else {
            let keys = try Self.keys(configuration.keys, route)
            do throws(JWTKeyError) { _ = try JWTVerifier(keys: keys, rules: rules) } catch { throw GatewayError("jwt of the route \(route): \(error.description)") }
            verifiers = LoopLocal {
                let verifier = LoopVerifier(rules, route, log)
                verifier.take(keys)
                return verifier
            }
        }
        claims = FixedList(configuration.claims.map(\.name))
        values = FixedList(configuration.claims.flatMap(\.values))
        valueEnds = FixedOffsets(configuration.claims.map(\.values.count))
        forwardClaims = FixedList(configuration.forward.map(\.claim))
        forwardHeaders = FixedList(configuration.forward.map(\.header))
        removed = configuration.forward.map { $0.header.lowercased() } + (configuration.forwardsToken ? [] : ["authorization"])
    }

    private static func keys(_ keys: JWTConfiguration.Keys, _ route: String) throws -> JWTKeySet {
        let label = "jwt of the route \(route)"
        switch keys {
        case .url: preconditionFailure("BUG: keys of a URL have a source")
        case .secret(let secret):
            return try naming(label) { () throws(JWTKeyError) in
                var set = JWTKeySet()
                // SAFETY: the secret's bytes live through the call.
                try set.add(unsafe secret.bytes.withUnsafeBufferPointer { bytes throws(JWTKeyError) in try unsafe JWTKey.secret(bytes) })
                return set
            }
        case .file(let path):
            switch ConfigFileChecks.read(path, "the keys") {
            case .failure(let problem): throw GatewayError("\(label): \(path): \(problem.reason)")
            case .success(let document):
                return try naming(label) { () throws(JWTKeyError) in
                    var warnings: [JWTKeyWarning] = []
                    // SAFETY: as above. A file of the operator's may hold secrets: whoever can read it could change the configuration as well.
                    return try unsafe document.withUnsafeBufferPointer { bytes throws(JWTKeyError) in
                        try unsafe JWTKeySet.jwks(bytes, acceptsSecrets: true, source: path, warnings: &warnings)
                    }
                }
            }
        }
    }

    private static func naming<Result>(_ label: String, _ body: () throws(JWTKeyError) -> Result) throws -> Result {
        do throws(JWTKeyError) { return try body() } catch { throw GatewayError("\(label): \(error.description)") }
    }

    private static func rules(_ configuration: JWTConfiguration) -> JWTRules {
        var rules = JWTRules(audience: configuration.audiences.isEmpty ? .ignored : .oneOf(configuration.audiences))
        rules.issuers = configuration.issuers
        if !configuration.algorithms.isEmpty { rules.algorithms = JWTAlgorithms(configuration.algorithms.compactMap { JWTAlgorithm(named: $0) }) }
        rules.clockSkewSeconds = Int64(clamping: configuration.clockSkewNs / 1_000_000_000)
        return rules
    }

    // MARK: judging

    /// On a loop's thread. Leaves the claims in `pass`.
    func admits(_ request: borrowing Request, _ response: inout Response, _ pass: inout FilterPass) -> Bool {
        guard let field = request.headers["authorization"] else { return refuse(&response, .unauthorized, "a token is needed", BearerCredentials.challenge) }
        // A second line would let this check and the upstream read different tokens.
        guard request.fieldLines("authorization") == 1 else { return refuse(&response, .malformed) }
        let now = response.unixSeconds
        // SAFETY: the field's bytes are readable during this call; the verifier keeps none of them.
        let verdict = unsafe field.span.withUnsafeBufferPointer { value -> Finding in
            switch unsafe BearerCredentials.find(value) {
            case .absent: return .absent
            case .malformed: return .judged(.refused(.malformed))
            case .token(let range):
                let token = unsafe UnsafeBufferPointer(rebasing: value[range])
                return verifiers.with(response) { verifier in
                    if let source { verifier.follow(source) }
                    return unsafe verifier.verify(token, now)
                }
            }
        }
        switch verdict {
        case .unjudged: return refuseUnjudged(&response)
        // RFC 6750 section 3.1: without a token there is no error to name.
        case .absent: return refuse(&response, .unauthorized, "a token is needed", BearerCredentials.challenge)
        case .judged(.refused(let refusal)):
            // Keys are published before they sign: what is missed now is there for the next token, and this one is refused.
            if refusal == .unknownKey { source?.miss() }
            return refuse(&response, refusal)
        case .judged(.accepted(let found)):
            guard hasClaims(found) else { return refuse(&response, .insufficientScope) }
            pass.claims = found
            return true
        }
    }

    private func hasClaims(_ found: JWTClaims) -> Bool {
        for index in 0..<claims.count {
            // SAFETY: names and values are this object's; the claims lie in the loop's memory during this call.
            guard let claim = unsafe found.claim(at: claims.buffer(index)) else { return false }
            var isRight = false
            for place in valueEnds[index]..<valueEnds[index + 1] where unsafe Self.fits(claim, values.buffer(place)) { isRight = true }
            guard isRight else { return false }
        }
        return true
    }

    private static func fits(_ claim: UringJWT.JSONValue, _ value: UnsafeBufferPointer<UInt8>) -> Bool {
        switch claim.kind {
        case .string: unsafe claim.isString(value) || claim.hasWord(value)
        case .array: unsafe claim.namesString(value)
        // As it is written in the token.
        case .number: unsafe ByteView(Span(_unsafeElements: claim.bytes)) == ByteView(Span(_unsafeElements: value))
        case .yes: unsafe ByteView(Span(_unsafeElements: value)) == "true"
        case .no: unsafe ByteView(Span(_unsafeElements: value)) == "false"
        case .null, .object: false
        }
    }

    /// What a request's Authorization comes to.
    fileprivate enum Finding {
        case absent
        /// There are no keys, or none that fit.
        case unjudged
        case judged(JWTVerdict)
    }

    private func refuseUnjudged(_ response: inout Response) -> Bool {
        source?.countUnavailable()
        response.problem(.serviceUnavailable, "the keys that tokens are verified with are not there")
        response.headers.add("retry-after", "1")
        return false
    }

    private func refuse(_ response: inout Response, _ refusal: JWTRefusal) -> Bool {
        refuse(&response, HTTPStatus(refusal.status), refusal.reason, refusal.challenge)
    }

    private func refuse(_ response: inout Response, _ status: HTTPStatus, _ reason: StaticString, _ challenge: StaticString) -> Bool {
        response.problem(status, reason)
        // SAFETY: a literal lives as long as the program.
        response.headers.add("www-authenticate", ByteView(unsafe Span(_unsafeStart: challenge.utf8Start, count: challenge.utf8CodeUnitCount)))
        return false
    }

    // MARK: forwarding

    /// Adds the claims' fields to the request for the upstream: strings, numbers and booleans. A value that cannot stand in a field is left out, and so is what is not there.
    func forward(_ pass: FilterPass, to forwarded: ProxyRequest) {
        guard let found = pass.claims else { return }
        for index in 0..<forwardClaims.count {
            // SAFETY: as in `hasClaims`.
            guard let claim = unsafe found.claim(at: forwardClaims.buffer(index)) else { continue }
            let name = unsafe Span(_unsafeElements: forwardHeaders.buffer(index))
            switch claim.kind {
            case .string, .number: forwarded.addField(name, unsafe Span(_unsafeElements: claim.bytes))
            case .yes: Self.add(name, "true", forwarded)
            case .no: Self.add(name, "false", forwarded)
            case .null, .array, .object: break
            }
        }
    }

    private static func add(_ name: Span<UInt8>, _ value: StaticString, _ forwarded: ProxyRequest) {
        // SAFETY: a literal lives as long as the program.
        forwarded.addField(name, unsafe Span(_unsafeStart: value.utf8Start, count: value.utf8CodeUnitCount))
    }
}

/// A verifier and its memory, of one loop.
@safe
private final class LoopVerifier {
    // Owned: made in `take`, freed there and in deinit.
    private var verifier: UnsafeMutablePointer<JWTVerifier>?
    private var memory: UnsafeMutableRawPointer?
    private var room: JWTMemory?
    private let rules: JWTRules
    private let route: String
    private let log: LogReporter?
    /// Of the source's keys that it is made of; 0: none.
    private var generation: UInt64 = 0

    init(_ rules: JWTRules, _ route: String, _ log: LogReporter?) { (self.rules, self.route, self.log) = (rules, route, log) }

    deinit { drop() }

    private func drop() {
        unsafe verifier?.deinitialize(count: 1)
        unsafe verifier?.deallocate()
        unsafe memory?.deallocate()
        unsafe (verifier, memory, room) = (nil, nil, nil)
    }

    /// Goes over to the source's keys when they are others. Claims of the last token are gone then.
    @inline(__always) func follow(_ source: KeySource) {
        let current = source.generation
        if current != generation { update(source, current) }
    }

    @inline(never)
    private func update(_ source: KeySource, _ current: UInt64) {
        // First, so that keys which come meanwhile are seen by the next request.
        generation = current
        take(source.keys)
    }

    /// - Parameter keys: nil: nothing can be verified.
    func take(_ keys: JWTKeySet?) {
        drop()
        guard let keys else { return }
        do throws(JWTKeyError) {
            let made = try JWTVerifier(keys: keys, rules: rules)
            let bytes = made.memoryBytes
            let place = UnsafeMutablePointer<JWTVerifier>.allocate(capacity: 1)
            unsafe place.initialize(to: made)
            unsafe verifier = place
            let block = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 16)
            unsafe memory = block
            unsafe room = JWTMemory(base: block, capacity: bytes)
        } catch {
            // Keys of a file served when the filter was made; those of a URL may be for other algorithms than the configuration's.
            log?.note("jwt of the route \(route): \(error.description)")
        }
    }

    func verify(_ token: UnsafeBufferPointer<UInt8>, _ nowSeconds: Int64) -> JWTFilter.Finding {
        // SAFETY: the verifier is this object's; the token is readable during the call.
        guard let verifier = unsafe verifier, let room else { return .unjudged }
        guard let base = token.baseAddress else { return .judged(.refused(.malformed)) }
        return .judged(unsafe verifier.pointee.verify(base, count: token.count, nowSeconds: nowSeconds, memory: room))
    }
}

/// Running sums of counts, from 0.
@safe
struct FixedOffsets: ~Copyable, @unchecked Sendable {
    private let count: Int
    // Written in init only, freed in deinit.
    private let ends: UnsafeMutablePointer<Int>

    init(_ counts: [Int]) {
        count = counts.count + 1
        unsafe ends = .allocate(capacity: count)
        unsafe ends.initialize(to: 0)
        for (index, part) in counts.enumerated() { unsafe (ends + index + 1).initialize(to: ends[index] + part) }
    }

    deinit { unsafe ends.deallocate() }

    subscript(index: Int) -> Int {
        precondition(index >= 0 && index < count, "BUG: no such offset")
        return unsafe ends[index]
    }
}
