// Verification of bearer tokens (RFC 6750) in front of handlers. The loops' threads.

internal import UringHTTP
internal import UringJWT
public import UringServer

extension Middleware {
    /// Lets requests with a good token through (`Authorization: Bearer …`, RFC 6750 section 2.1) and answers others with 401, or 403 when a scope is missing: with
    /// `WWW-Authenticate` and problem details (RFC 9457) that say which check failed, and nothing of what was expected. Nothing of a token is decoded but its header before
    /// its signature is found good.
    ///
    /// Handlers read the claims as `response.claims`.
    ///
    ///     router.use(try .jwt(try .jwks(document), options))
    ///
    /// Verifying allocates nothing beyond what OpenSSL does: nothing with HS256.
    /// - Throws: when no key can be used with the algorithms that the options allow, or the realm cannot stand in a field.
    public static func jwt(_ keys: JWTKeys, _ options: JWTOptions) throws(JWTConfigurationError) -> Middleware {
        let gate = try TokenGate(keys, options)
        return Middleware { request, response, next in
            try gate.check(request, &response)
            try next(request, &response)
        }
    }
}

/// A verifier and its memory, of one loop.
@safe
private final class LoopVerifier {
    private let verifier: UnsafeMutablePointer<JWTVerifier>
    private let memory: UnsafeMutableRawPointer
    private let room: JWTMemory

    /// nil: the keys do not serve, which was found out when the middleware was made.
    init?(_ keys: JWTKeySet, _ rules: JWTRules) {
        guard let made = try? JWTVerifier(keys: keys, rules: rules) else { return nil }
        let bytes = made.memoryBytes
        unsafe verifier = .allocate(capacity: 1)
        unsafe verifier.initialize(to: made)
        unsafe memory = .allocate(byteCount: bytes, alignment: 16)
        unsafe room = JWTMemory(base: memory, capacity: bytes)
    }

    deinit {
        unsafe verifier.deinitialize(count: 1)
        unsafe verifier.deallocate()
        unsafe memory.deallocate()
    }

    func verify(_ token: UnsafeBufferPointer<UInt8>, _ nowSeconds: Int64) -> JWTVerdict {
        guard let base = token.baseAddress else { return .refused(.malformed) }
        return unsafe verifier.pointee.verify(base, count: token.count, nowSeconds: nowSeconds, memory: room)
    }
}

/// An optional in a box: `LoopLocal` keeps objects.
private final class LoopVerifierBox {
    let verifier: LoopVerifier?
    init(_ verifier: LoopVerifier?) { self.verifier = verifier }
}

/// What a client is told: the challenge and one sentence.
private struct TokenRefused: ResponseError {
    let status: HTTPStatus
    let message: String
    let challenge: String
    var headers: [(name: String, value: String)] { [("www-authenticate", challenge)] }
}

private final class TokenGate: Sendable {
    private let verifiers: LoopLocal<LoopVerifierBox>
    private let isOptional: Bool
    /// `Bearer realm="…"` and a comma, or `Bearer`.
    private let scheme: String
    private let hasRealm: Bool

    init(_ keys: JWTKeys, _ options: JWTOptions) throws(JWTConfigurationError) {
        let (set, rules) = (keys.set, options.rules)
        do throws(JWTKeyError) { _ = try JWTVerifier(keys: set, rules: rules) } catch { throw JWTConfigurationError(error.description) }
        verifiers = LoopLocal { LoopVerifierBox(LoopVerifier(set, rules)) }
        isOptional = options.isOptional
        scheme = try Self.challenge(options.realm)
        hasRealm = options.realm != nil
    }

    private static func challenge(_ realm: String?) throws(JWTConfigurationError) -> String {
        guard let realm else { return "Bearer" }
        guard realm.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f && $0 != 0x22 && $0 != 0x5c }) else {
            throw JWTConfigurationError("the realm \"\(realm)\" has a quote, backslash or control character: leave them out")
        }
        return "Bearer realm=\"\(realm)\""
    }

    func check(_ request: borrowing Request, _ response: inout Response) throws {
        guard let field = request.headers["authorization"] else {
            if isOptional { return }
            throw missing(&response)
        }
        // A second line would let this check and another one read different tokens.
        guard request.fieldLines("authorization") == 1 else { throw refused(.malformed, &response) }
        let now = response.unixSeconds
        // SAFETY: the field's bytes are readable during this call; the verifier keeps none of them.
        let verdict = unsafe field.span.withUnsafeBufferPointer { value -> JWTVerdict? in
            switch unsafe BearerCredentials.find(value) {
            case .absent: return nil
            case .malformed: return .refused(.malformed)
            case .token(let range):
                let token = unsafe UnsafeBufferPointer(rebasing: value[range])
                return verifiers.with(response) { unsafe $0.verifier?.verify(token, now) } ?? .refused(.unknownKey)
            }
        }
        switch verdict {
        case nil:
            if !isOptional { throw missing(&response) }
        case .refused(let refusal): throw refused(refusal, &response)
        case .accepted(let claims):
            // The loop's memory is for the next token; the claims go with the response.
            response[TokenKey.claims] = unsafe claims.copy(to: response.valueMemory(claims.copyBytes))
        }
    }

    /// RFC 6750 section 3.1: without a token there is no error to name.
    private func missing(_ response: inout Response) -> TokenRefused {
        response.tellErrorsAsProblems()
        return TokenRefused(status: .unauthorized, message: "a token is needed", challenge: scheme)
    }

    private func refused(_ refusal: JWTRefusal, _ response: inout Response) -> TokenRefused {
        response.tellErrorsAsProblems()
        let detail = "error=\"\(refusal.errorCode)\", error_description=\"\(refusal.reason)\""
        return TokenRefused(status: HTTPStatus(refusal.status), message: "\(refusal.reason)", challenge: scheme + (hasRealm ? ", " : " ") + detail)
    }
}
