// Verification of JSON Web Tokens (RFC 7519, RFC 7515, RFC 8725): bytes and the time in, a verdict out. No I/O, no clock, and on the request path
// no allocation of ours. One for each loop and set of rules, made when a configuration or a key set changes; used on the loop's thread alone.
//
// token ─length→ header ─crit, typ, alg→ key by kid and alg ─signature good→ claims ─types, presence, times, names→ accepted
//
// Nothing of the payload is decoded before its signature has been found good: who cannot sign cannot make us parse.

internal import CUringJWT

@safe package struct JWTVerifier: ~Copyable {
    /// Keys that are tried for a token that does not say which one signed it: what a stranger can make us compute.
    package static let candidatesMax = 8

    // Owned: written in init only, freed in deinit.
    let prepared: UnsafeMutablePointer<PreparedKey>
    let preparedCount: Int
    /// Signature behind digest and DER.
    let scratch: UnsafeMutablePointer<UInt8>
    /// A signature of RSA with 8192 bits.
    static let signatureBytesMax = JWTKey.rsaBitsMax / 8

    /// Keeps the secrets that prepared keys point to.
    private let keys: JWTKeySet
    let identifiers: ByteStrings
    /// What both rules and keys allow.
    let algorithms: JWTAlgorithms
    let rules: CompiledRules
    var knownHeaders = KnownHeaders()

    /// - Parameter source: what the keys came from, for messages.
    package init(keys: JWTKeySet, rules: JWTRules, source: String = "the keys") throws(JWTKeyError) {
        var made: [PreparedKey] = []
        var identifiers: [[UInt8]] = []
        var allowed: JWTAlgorithms = []
        for key in keys.keys {
            if let identifier = key.identifier { identifiers.append(identifier) }
            for algorithm in key.algorithms.intersection(rules.algorithms).members {
                guard let ready = PreparedKey(key, algorithm, identifier: key.identifier == nil ? -1 : identifiers.count - 1) else { continue }
                made.append(ready)
                allowed.insert(JWTAlgorithms(algorithm))
            }
        }
        guard !made.isEmpty else {
            throw JWTKeyError(
                source, "no key can be used with \(rules.algorithms.members.map(\.name.description).joined(separator: ", "))",
                "allow the keys' own algorithms: \(keys.algorithms.members.map(\.name.description).joined(separator: ", "))")
        }
        self.keys = keys
        self.identifiers = ByteStrings(identifiers)
        self.rules = CompiledRules(rules)
        algorithms = allowed
        preparedCount = made.count
        unsafe prepared = .allocate(capacity: made.count)
        for (index, ready) in made.enumerated() { unsafe (prepared + index).initialize(to: ready) }
        unsafe scratch = .allocate(capacity: PreparedKey.scratchBytes + JWTVerifier.signatureBytesMax)
        unsafe scratch.initialize(repeating: 0, count: PreparedKey.scratchBytes + JWTVerifier.signatureBytesMax)
    }

    deinit {
        for index in 0..<preparedCount { unsafe prepared[index].free() }
        unsafe prepared.deallocate()
        unsafe scratch.deallocate()
    }

    /// What `verify` needs for the longest token that it reads.
    package var memoryBytes: Int { JWTMemory.bytes(forTokenBytes: rules.tokenBytesMax) }

    /// Judges a token.
    ///
    /// - Parameters:
    ///   - token: as it stands behind `Bearer `; read during this call only.
    ///   - nowSeconds: seconds since 1970.
    ///   - memory: at least `JWTMemory.bytes(forTokenBytes: count)`, or `memoryBytes`. The claims of an accepted token lie there.
    package mutating func verify(_ token: UnsafePointer<UInt8>, count: Int, nowSeconds: Int64, memory: JWTMemory) -> JWTVerdict {
        guard count <= rules.tokenBytesMax else { return .refused(.tooLarge) }
        precondition(memory.capacity >= JWTMemory.bytes(forTokenBytes: count), "BUG: the memory is too small for the token")
        // The caller's token, and pointers into it.
        guard let parts = unsafe TokenParts(token, count) else { return .refused(.malformed) }
        if let refusal = unsafe authenticate(parts, memory) { return .refused(refusal) }
        guard var claims = unsafe memory.read(parts.payload, parts.payloadEnd, valuesMax: JWTMemory.valuesMax) else { return .refused(.malformed) }
        claims.findRegistered()
        if let refusal = rules.refusal(of: claims, nowSeconds: nowSeconds) { return .refused(refusal) }
        return .accepted(claims)
    }
}

/// The three parts of a token in its compact form (RFC 7515 7.1).
@unsafe struct TokenParts {
    let header: UnsafePointer<UInt8>
    let headerEnd: UnsafePointer<UInt8>
    let payload: UnsafePointer<UInt8>
    let payloadEnd: UnsafePointer<UInt8>
    let signature: UnsafePointer<UInt8>
    let end: UnsafePointer<UInt8>

    /// nil unless there are exactly two dots and something before each.
    init?(_ token: UnsafePointer<UInt8>, _ count: Int) {
        // The caller's token, valid for the call that this is made in.
        guard count > 0 else { return nil }
        let dot = UInt8(ascii: ".")
        unsafe header = token
        unsafe end = token + count
        unsafe headerEnd = ByteSearch.first(dot, token, end)
        guard unsafe headerEnd > header && headerEnd < end else { return nil }
        unsafe payload = headerEnd + 1
        unsafe payloadEnd = ByteSearch.first(dot, payload, end)
        guard unsafe payloadEnd > payload && payloadEnd < end else { return nil }
        unsafe signature = payloadEnd + 1
        guard unsafe ByteSearch.first(dot, signature, end) == end else { return nil }
    }

    /// What is signed: header, dot, payload.
    var inputBytes: Int { unsafe payloadEnd - header }
    var headerBytes: Int { unsafe headerEnd - header }
}
