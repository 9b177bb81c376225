// JWTFilter: lets requests with a good token through (RFC 6750, RFC 7519). Made at start and on reloads; each loop verifies with a verifier and memory of its own, without allocation. The loops' threads.

internal import UringHTTP
internal import UringJWT
internal import UringPolicy
internal import UringServer

@safe
final class JWTFilter: Sendable {
    private let verifiers: LoopLocal<LoopVerifier>
    /// Paths of claims that must have certain values, and the values of all, those of claim i from `valueEnds[i]` to `valueEnds[i + 1]`.
    private let claims: FixedList
    private let values: FixedList
    private let valueEnds: FixedOffsets
    private let forwardClaims: FixedList
    private let forwardHeaders: FixedList
    /// Fields that clients do not send upstream, in lower case.
    let removed: [String]

    /// - Throws: for keys that cannot be read or do not fit the algorithms.
    init(_ configuration: JWTConfiguration, route: String) throws {
        let keys = try Self.keys(configuration.keys, route)
        let rules = Self.rules(configuration)
        do throws(JWTKeyError) { _ = try JWTVerifier(keys: keys, rules: rules) } catch { throw GatewayError("jwt of the route \(route): \(error.description)") }
        verifiers = LoopLocal { LoopVerifier(keys, rules) }
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
        case .url(let url): throw GatewayError("\(label): \(url.text): keys are not fetched from URLs by this version yet: save them to a file and name that")
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
        let verdict = unsafe field.span.withUnsafeBufferPointer { value -> JWTVerdict? in
            switch unsafe BearerCredentials.find(value) {
            case .absent: return nil
            case .malformed: return .refused(.malformed)
            case .token(let range):
                let token = unsafe UnsafeBufferPointer(rebasing: value[range])
                return verifiers.with(response) { unsafe $0.verify(token, now) }
            }
        }
        switch verdict {
        // RFC 6750 section 3.1: without a token there is no error to name.
        case nil: return refuse(&response, .unauthorized, "a token is needed", BearerCredentials.challenge)
        case .refused(let refusal): return refuse(&response, refusal)
        case .accepted(let found):
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
    // Owned: made in init, freed in deinit.
    private let verifier: UnsafeMutablePointer<JWTVerifier>?
    private let memory: UnsafeMutableRawPointer
    private let room: JWTMemory

    init(_ keys: JWTKeySet, _ rules: JWTRules) {
        guard let made = try? JWTVerifier(keys: keys, rules: rules) else {
            // The same keys and rules served when the filter was made; OpenSSL has no memory left.
            unsafe verifier = nil
            unsafe memory = .allocate(byteCount: 16, alignment: 16)
            unsafe room = JWTMemory(base: memory, capacity: 16)
            return
        }
        let bytes = made.memoryBytes
        let place = UnsafeMutablePointer<JWTVerifier>.allocate(capacity: 1)
        unsafe place.initialize(to: made)
        unsafe verifier = place
        unsafe memory = .allocate(byteCount: bytes, alignment: 16)
        unsafe room = JWTMemory(base: memory, capacity: bytes)
    }

    deinit {
        unsafe verifier?.deinitialize(count: 1)
        unsafe verifier?.deallocate()
        unsafe memory.deallocate()
    }

    func verify(_ token: UnsafeBufferPointer<UInt8>, _ nowSeconds: Int64) -> JWTVerdict {
        // SAFETY: the verifier is this object's; the token is readable during the call.
        guard let base = token.baseAddress, let verifier = unsafe verifier else { return .refused(.unknownKey) }
        return unsafe verifier.pointee.verify(base, count: token.count, nowSeconds: nowSeconds, memory: room)
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
