// From the header to the key to the signature. The loop's thread; see JWTVerifier.

extension JWTVerifier {
    /// nil when the signature is good.
    mutating func authenticate(_ parts: TokenParts, _ memory: JWTMemory) -> JWTRefusal? {
        // Pointers into the caller's token during this call; the scratch is this verifier's.
        let signature = unsafe scratch + PreparedKey.scratchBytes
        let room = unsafe Base64URL.decodedBytes(parts.end - parts.signature)
        // An empty one is what `none` has; it must not be read as malformed, or nobody would learn what was tried.
        let isTooLong = room > Self.signatureBytesMax
        var signatureBytes = 0
        if !isTooLong {
            let (stop, count) = unsafe Base64URL.decode(parts.signature, end: parts.end, to: signature)
            guard unsafe stop == parts.end && count >= 0 else { return .malformed }
            signatureBytes = count
        }
        // Tokens of one issuer have the same header until its key changes.
        let known = unsafe knownHeaders.find(parts.header, parts.headerBytes)
        if known >= 0, !isTooLong, unsafe verifies(known, parts, signature, signatureBytes) { return nil }
        var candidates = Candidates(except: isTooLong ? -1 : known)
        if let refusal = unsafe readHeader(parts, memory, &candidates) { return refusal }
        // No key's signature is as long.
        if isTooLong { return .badSignature }
        for place in 0..<candidates.count {
            let index = candidates.places[place]
            if unsafe verifies(index, parts, signature, signatureBytes) {
                unsafe knownHeaders.keep(parts.header, parts.headerBytes, key: index)
                return nil
            }
        }
        return .badSignature
    }

    private func verifies(_ index: Int, _ parts: TokenParts, _ signature: UnsafePointer<UInt8>, _ signatureBytes: Int) -> Bool {
        // The index is one of the prepared keys'.
        unsafe prepared[index].verifies(parts.header, parts.inputBytes, signature: signature, signatureBytes, scratch: scratch)
    }

    /// Prepared keys that may have signed the token.
    private struct Candidates {
        /// One that has been tried already; -1: none.
        let except: Int
        var places = InlineArray<8, Int>(repeating: 0)
        var count = 0
        /// With the one that was tried before.
        private var found = 0

        init(except: Int) { self.except = except }

        mutating func add(_ index: Int) {
            guard found < JWTVerifier.candidatesMax else { return }
            found += 1
            if index == except { return }
            places[count] = index
            count += 1
        }
    }

    private func readHeader(_ parts: TokenParts, _ memory: JWTMemory, _ candidates: inout Candidates) -> JWTRefusal? {
        // The header lies in the caller's memory until the claims replace it.
        guard let header = unsafe memory.read(parts.header, parts.headerEnd, valuesMax: JWTMemory.headerValuesMax)?.all else { return .malformed }
        guard let name = header.member("alg"), name.kind == .string else { return .malformed }
        if let critical = header.member("crit") {
            guard critical.kind == .array, critical.count > 0 else { return .malformed }
            return .unsupportedCritical
        }
        if let refusal = rules.refusal(ofType: header.member("typ")) { return refusal }
        // `jwk`, `jku`, `x5u` and `x5c` offer a key of the sender's choice: they are not looked at (RFC 8725 3.10).
        guard let algorithm = unsafe JWTAlgorithm(bytes: name.bytes), algorithms.contains(algorithm) else { return .algorithmNotAllowed }
        let identifier = header.member("kid")
        if let identifier, identifier.kind != .string { return .malformed }
        return select(algorithm, identifier, &candidates)
    }

    /// Keys for the algorithm that bear the identifier, or have none, or all when the token names none (RFC 7515 4.1.4: `kid` is a hint).
    private func select(_ algorithm: JWTAlgorithm, _ identifier: JSONValue?, _ candidates: inout Candidates) -> JWTRefusal? {
        var isIdentifierKnown = identifier == nil
        var isFound = false
        for index in 0..<preparedCount {
            let key = unsafe prepared[index]
            if let identifier, key.identifier >= 0 {
                guard unsafe identifier.isString(identifiers[key.identifier]) else { continue }
            }
            isIdentifierKnown = true
            guard key.algorithm == algorithm else { continue }
            isFound = true
            candidates.add(index)
        }
        if isFound { return nil }
        return isIdentifierKnown ? .algorithmNotAllowed : .unknownKey
    }
}
