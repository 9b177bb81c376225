// The rules as a verifier compares with them. Owned by the verifier; the loop's thread.

@safe struct CompiledRules: ~Copyable {
    let tokenBytesMax: Int
    private let clockSkewSeconds: Int64
    private let ageSecondsMax: Int64?
    private let issuers: ByteStrings
    private let audiences: ByteStrings
    private let ignoresAudience: Bool
    private let requiredClaims: ByteStrings
    private let scopes: ByteStrings
    /// In lower case, without `application/`; nothing when any type will do.
    private let type: ByteStrings

    /// Two centuries: what is beyond is a mistake, and sums with times stay far from overflow.
    private static let secondsMax: Int64 = 6_000_000_000

    init(_ rules: JWTRules) {
        tokenBytesMax = min(max(rules.tokenBytesMax, 1), JWTRules.tokenBytesLimit)
        clockSkewSeconds = min(max(rules.clockSkewSeconds, 0), Self.secondsMax)
        ageSecondsMax = rules.ageSecondsMax.map { min(max($0, 0), Self.secondsMax) }
        issuers = ByteStrings(rules.issuers)
        switch rules.audience {
        case .ignored:
            audiences = ByteStrings([String]())
            ignoresAudience = true
        case .oneOf(let names):
            audiences = ByteStrings(names)
            ignoresAudience = false
        }
        requiredClaims = ByteStrings(rules.requiredClaims)
        scopes = ByteStrings(rules.scopes)
        type = ByteStrings(rules.type.map { [Self.withoutPrefix(Array($0.utf8).map(Self.lower))] } ?? [])
    }

    private static let prefix = Array("application/".utf8)

    private static func withoutPrefix(_ type: [UInt8]) -> [UInt8] {
        type.starts(with: prefix) ? Array(type.dropFirst(prefix.count)) : type
    }

    private static func lower(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte }

    // MARK: header

    func refusal(ofType value: JSONValue?) -> JWTRefusal? {
        if let value, value.kind != .string { return .malformed }
        guard type.count > 0 else { return nil }
        guard let value else { return .wrongType }
        // The rule's text is this object's, the token's lies in the memory of the call.
        let wanted = unsafe type[0]
        let given = unsafe value.bytes
        let prefix: StaticString = "application/"
        let prefixBytes = prefix.utf8CodeUnitCount
        if unsafe equalsIgnoringCase(given, 0, wanted) { return nil }
        let hasPrefix = unsafe given.count > prefixBytes
            && equalsIgnoringCase(UnsafeBufferPointer(rebasing: given[..<prefixBytes]), 0, UnsafeBufferPointer(start: prefix.utf8Start, count: prefixBytes))
        return unsafe hasPrefix && equalsIgnoringCase(given, prefixBytes, wanted) ? nil : .wrongType
    }

    private func equalsIgnoringCase(_ given: UnsafeBufferPointer<UInt8>, _ start: Int, _ lower: UnsafeBufferPointer<UInt8>) -> Bool {
        // See refusal(ofType:).
        guard given.count - start == lower.count else { return false }
        for index in 0..<lower.count where unsafe Self.lower(given[start + index]) != lower[index] { return false }
        return true
    }

    // MARK: claims

    /// nil when the claims fulfil every rule. Types first: a claim that is not what it should be makes the whole token suspect.
    func refusal(of claims: JWTClaims, nowSeconds: Int64) -> JWTRefusal? {
        if hasWrongTypes(claims) { return .malformed }
        if let refusal = refusalByAbsence(claims) { return refusal }
        if let refusal = refusalByTime(claims, nowSeconds) { return refusal }
        if issuers.count > 0 {
            guard let issuer = claims.issuer else { return .missingClaim }
            if unsafe !anyOf(issuers, { unsafe issuer.isString($0) }) { return .wrongIssuer }
        }
        if !ignoresAudience {
            guard let audience = claims.audience else { return .missingClaim }
            if unsafe !anyOf(audiences, { unsafe audience.namesString($0) }) { return .wrongAudience }
        }
        return hasScopes(claims) ? nil : .insufficientScope
    }

    @inline(__always)
    private func anyOf(_ strings: borrowing ByteStrings, _ isIt: (UnsafeBufferPointer<UInt8>) -> Bool) -> Bool {
        for index in 0..<strings.count where unsafe isIt(strings[index]) { return true }
        return false
    }

    /// RFC 7519 4.1: strings, dates, and an audience that is a string or several.
    private func hasWrongTypes(_ claims: JWTClaims) -> Bool {
        if let issuer = claims.issuer, issuer.kind != .string { return true }
        if let subject = claims.subject, subject.kind != .string { return true }
        if let audience = claims.audience, audience.kind != .string, !isStrings(audience) { return true }
        if let date = claims.expires, date.dateSeconds == nil { return true }
        if let date = claims.notBefore, date.dateSeconds == nil { return true }
        if let date = claims.issuedAt, date.dateSeconds == nil { return true }
        return false
    }

    private func isStrings(_ value: JSONValue) -> Bool {
        guard value.kind == .array else { return false }
        var element = value.first
        while let string = element {
            if string.kind != .string { return false }
            element = string.next(in: value)
        }
        return true
    }

    private func refusalByAbsence(_ claims: JWTClaims) -> JWTRefusal? {
        if ageSecondsMax != nil && claims.issuedAt == nil { return .missingClaim }
        for index in 0..<requiredClaims.count {
            guard let claim = unsafe claims.all.member(requiredClaims[index]), claim.kind != .null else { return .missingClaim }
        }
        return nil
    }

    /// RFC 7519 4.1.4 to 4.1.6, with clocks that may differ by the skew. Dates may be anything within 64 bits: sums saturate.
    private func refusalByTime(_ claims: JWTClaims, _ now: Int64) -> JWTRefusal? {
        if let expires = claims.expires?.dateSeconds, now >= Self.sum(expires, clockSkewSeconds) { return .expired }
        if let notBefore = claims.notBefore?.dateSeconds, Self.sum(now, clockSkewSeconds) < notBefore { return .notYetValid }
        guard let issuedAt = claims.issuedAt?.dateSeconds else { return nil }
        if Self.sum(now, clockSkewSeconds) < issuedAt { return .notYetValid }
        if let ageSecondsMax, now > Self.sum(issuedAt, ageSecondsMax + clockSkewSeconds) { return .tooOld }
        return nil
    }

    /// `seconds` is not negative.
    private static func sum(_ time: Int64, _ seconds: Int64) -> Int64 {
        let (sum, overflow) = time.addingReportingOverflow(seconds)
        return overflow ? .max : sum
    }

    private func hasScopes(_ claims: JWTClaims) -> Bool {
        guard scopes.count > 0 else { return true }
        guard let scope = claims.scope else { return false }
        for index in 0..<scopes.count where unsafe !scope.hasWord(scopes[index]) { return false }
        return true
    }
}
