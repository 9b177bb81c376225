// Header and claims of tokens that are signed well: times, names, types, and each reason to refuse.

import Testing
@testable import UringJWT

@Suite struct ClaimTests {
    private let signer = Signer(secret: Keys.secret, .hs256)

    private func verify(_ payload: String, at time: Int64 = now, _ change: (inout JWTRules) -> Void = { _ in }) throws -> Outcome {
        var rules = JWTRules(audience: .ignored)
        rules.requiredClaims = []
        change(&rules)
        return try TestVerifier(try signer.keys(), rules).verify(signer.token(payload), at: time)
    }

    private func verify(header: String, _ change: (inout JWTRules) -> Void = { _ in }) throws -> Outcome {
        var rules = JWTRules(audience: .ignored)
        change(&rules)
        return try TestVerifier(try signer.keys(), rules).verify(signer.token(header: header, payload: #"{"exp":1800000600}"#))
    }

    // MARK: reasons

    /// A token and rules for each reason; a reason that nothing leads to fails here.
    @Test(arguments: JWTRefusal.allCases)
    func everyReasonIsReached(reason: JWTRefusal) throws {
        let outcome: Outcome
        switch reason {
        case .tooLarge: outcome = try verify("{}") { $0.tokenBytesMax = 20 }
        case .malformed: outcome = try verify("[]")
        case .unsupportedCritical: outcome = try verify(header: #"{"alg":"HS256","crit":["b64"],"b64":false}"#)
        case .wrongType: outcome = try verify("{}") { $0.type = "at+jwt" }
        case .algorithmNotAllowed: outcome = try verify(header: #"{"alg":"RS256"}"#)
        case .unknownKey:
            let verifier = try TestVerifier(try signer.keys(identifier: "a"))
            outcome = verifier.verify(signer.token("{}", kid: "b"))
        case .badSignature: outcome = try TestVerifier(try signer.keys()).verify(Signer(secret: Keys.secret.reversed(), .hs256).token("{}"))
        case .missingClaim: outcome = try verify("{}") { $0.requiredClaims = ["exp"] }
        case .expired: outcome = try verify(#"{"exp":1}"#)
        case .notYetValid: outcome = try verify(#"{"nbf":1900000000}"#)
        case .tooOld: outcome = try verify(#"{"iat":1700000000}"#) { $0.ageSecondsMax = 3600 }
        case .wrongIssuer: outcome = try verify(#"{"iss":"b"}"#) { $0.issuers = ["a"] }
        case .wrongAudience: outcome = try verify(#"{"aud":"b"}"#) { $0.audience = .oneOf(["a"]) }
        case .insufficientScope: outcome = try verify(#"{"scope":"a"}"#) { $0.scopes = ["b"] }
        }
        #expect(outcome == .refused(reason))
    }

    /// RFC 6750 3: code, and description in the characters that it may have.
    @Test(arguments: JWTRefusal.allCases)
    func challenges(reason: JWTRefusal) {
        #expect(reason.challenge.description == "Bearer error=\"\(reason.errorCode)\", error_description=\"\(reason.reason)\"")
        #expect(reason.status == (reason.errorCode.description == "insufficient_scope" ? 403 : 401))
        #expect(reason.reason.description.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7f && $0 != 0x22 && $0 != 0x5c })
    }

    // MARK: times

    @Test(arguments: [
        (#"{"exp":1000}"#, 1059, true), (#"{"exp":1000}"#, 1060, false), (#"{"exp":1000.5}"#, 1060, true), (#"{"exp":1000.5}"#, 1061, false),
        (#"{"exp":1e3}"#, 1059, true), (#"{"exp":1e3}"#, 1060, false), (#"{"exp":0}"#, 59, true), (#"{"exp":0}"#, 60, false), (#"{"exp":-1}"#, 0, true),
        (#"{"exp":9223372036854775807}"#, Int64.max - 1, true), (#"{"exp":9223372036854775807}"#, 0, true),
        (#"{"nbf":1000}"#, 940, true), (#"{"nbf":1000}"#, 939, false), (#"{"nbf":1000.5}"#, 940, false), (#"{"nbf":1000.5}"#, 941, true),
        (#"{"nbf":9223372036854775807}"#, 1000, false), (#"{"nbf":-9223372036854775807}"#, 1000, true),
        (#"{"iat":1000}"#, 940, true), (#"{"iat":1000}"#, 939, false), (#"{"iat":1000}"#, 1 << 40, true),
    ] as [(String, Int64, Bool)])
    func timesAndSkew(payload: String, time: Int64, isValid: Bool) throws {
        #expect((try verify(payload, at: time) == .accepted) == isValid)
    }

    @Test(arguments: [(0, 999, true), (0, 1000, false), (10, 1009, true), (10, 1010, false), (-5, 999, true), (-5, 1000, false)] as [(Int64, Int64, Bool)])
    func skewIsARule(skew: Int64, time: Int64, isValid: Bool) throws {
        #expect((try verify(#"{"exp":1000}"#, at: time) { $0.clockSkewSeconds = skew } == .accepted) == isValid)
    }

    @Test func extremesDoNotOverflow() throws {
        for time in [Int64.min, -1, 0, Int64.max] {
            for date in ["9223372036854775807", "-9223372036854775807", "0"] {
                for name in ["exp", "nbf", "iat"] {
                    _ = try verify(#"{"\#(name)":\#(date),"iat_":0}"#, at: time) {
                        $0.clockSkewSeconds = .max
                        $0.ageSecondsMax = name == "iat" ? .max : nil
                    }
                }
            }
        }
    }

    @Test func age() throws {
        func verifyAge(_ payload: String, at time: Int64) throws -> Outcome { try verify(payload, at: time) { $0.ageSecondsMax = 100 } }
        #expect(try verifyAge(#"{"iat":1000}"#, at: 1160) == .accepted)
        #expect(try verifyAge(#"{"iat":1000}"#, at: 1161) == .refused(.tooOld))
        #expect(try verifyAge("{}", at: 1000) == .refused(.missingClaim))
    }

    // MARK: types

    @Test(arguments: [
        #"{"exp":"1800000600"}"#, #"{"exp":null}"#, #"{"exp":[1800000600]}"#, #"{"exp":true}"#, #"{"exp":1e19}"#, #"{"exp":9223372036854775808}"#, #"{"nbf":"0"}"#, #"{"nbf":{}}"#,
        #"{"iat":"0"}"#, #"{"iat":1e400}"#, #"{"iss":1}"#, #"{"iss":["a"]}"#, #"{"sub":1}"#, #"{"sub":null}"#, #"{"aud":1}"#, #"{"aud":[1]}"#, #"{"aud":["a",null]}"#, #"{"aud":{}}"#,
        #"{"aud":null}"#,
        // What is no object, or no strict JSON.
        "[]", "1", "null", "\"a\"", "", " ", "{", #"{"a":1,}"#, #"{"a":1,"a":1}"#, #"{"exp":1800000600,"exp":1900000000}"#, #"{"exp":1800000600,"\u0065xp":1900000000}"#,
        #"{"sub":"a","x":{"y":1,"y":2}}"#, "{}{}", #"{"a":01}"#, "\u{feff}{}", #"{"a":"\ud800"}"#,
    ])
    func malformedClaims(payload: String) throws {
        #expect(try verify(payload) == .refused(.malformed))
    }

    @Test func deepClaims() throws {
        func nested(_ depth: Int) -> String { String(repeating: #"{"a":"#, count: depth) + "1" + String(repeating: "}", count: depth) }
        #expect(try verify(nested(JSONScanner.depthMax)) == .accepted)
        #expect(try verify(nested(JSONScanner.depthMax + 1)) == .refused(.malformed))
        #expect(try verify(String(repeating: "[", count: 5000)) == .refused(.malformed))
    }

    @Test func bytesThatAreNoUTF8() throws {
        let input = base64URL(#"{"alg":"HS256"}"#) + "." + base64URL(Array(#"{"a":""#.utf8) + [0xff] + Array(#""}"#.utf8))
        let token = input + "." + base64URL(signer.sign(Array(input.utf8)))
        #expect(try TestVerifier(try signer.keys()).verify(token) == .refused(.malformed))
    }

    // MARK: names

    @Test(arguments: [
        (#"{"iss":"a"}"#, Outcome.accepted), (#"{"iss":"b"}"#, .accepted), (#"{"iss":"\u0061"}"#, .accepted), (#"{"iss":"A"}"#, .refused(.wrongIssuer)),
        (#"{"iss":"a/"}"#, .refused(.wrongIssuer)), (#"{"iss":""}"#, .refused(.wrongIssuer)), ("{}", .refused(.missingClaim)),
    ])
    func issuers(payload: String, expected: Outcome) throws {
        #expect(try verify(payload) { $0.issuers = ["a", "b"] } == expected)
    }

    @Test(arguments: [
        (#"{"aud":"a"}"#, Outcome.accepted), (#"{"aud":["x","b"]}"#, .accepted), (#"{"aud":["x"]}"#, .refused(.wrongAudience)), (#"{"aud":[]}"#, .refused(.wrongAudience)),
        (#"{"aud":"ab"}"#, .refused(.wrongAudience)), (#"{"aud":"A"}"#, .refused(.wrongAudience)), ("{}", .refused(.missingClaim)),
    ])
    func audiences(payload: String, expected: Outcome) throws {
        #expect(try verify(payload) { $0.audience = .oneOf(["a", "b"]) } == expected)
    }

    @Test(arguments: [
        (#"{"scope":"read write"}"#, Outcome.accepted), (#"{"scp":["write","read"]}"#, .accepted), (#"{"scp":"read write"}"#, .accepted),
        (#"{"scope":"read"}"#, .refused(.insufficientScope)), (#"{"scope":"readwrite"}"#, .refused(.insufficientScope)), ("{}", .refused(.insufficientScope)),
        (#"{"scope":7}"#, .refused(.insufficientScope)),
        // `scope` is the standard's: with both, it counts, in whichever order.
        (#"{"scp":["read","write"],"scope":"read"}"#, .refused(.insufficientScope)), (#"{"scope":"read","scp":["read","write"]}"#, .refused(.insufficientScope)),
    ])
    func scopes(payload: String, expected: Outcome) throws {
        #expect(try verify(payload) { $0.scopes = ["read", "write"] } == expected)
    }

    @Test(arguments: [(#"{"jti":"a"}"#, Outcome.accepted), (#"{"jti":null}"#, .refused(.missingClaim)), (#"{"x":{"jti":1}}"#, .refused(.missingClaim)), ("{}", .refused(.missingClaim))])
    func requiredClaims(payload: String, expected: Outcome) throws {
        #expect(try verify(payload) { $0.requiredClaims = ["jti"] } == expected)
    }

    @Test func expiryIsRequiredUnlessTheRulesSayOtherwise() throws {
        let verifier = try TestVerifier(try signer.keys())
        #expect(verifier.verify(signer.token(#"{"sub":"a"}"#)) == .refused(.missingClaim))
    }

    // MARK: header

    @Test(arguments: [
        "{}", #"{"alg":256}"#, #"{"alg":null}"#, #"{"alg":["HS256"]}"#, #"{"alg":"HS256","alg":"HS256"}"#, #"{"alg":"HS256","\u0061lg":"none"}"#, #"["alg","HS256"]"#,
        #"{"alg":"HS256",}"#, #"{"alg":"HS256"} x"#, #""HS256""#, #"{"alg":"HS256","crit":[]}"#, #"{"alg":"HS256","crit":"exp"}"#, #"{"alg":"HS256","crit":null}"#,
        #"{"alg":"HS256","typ":1}"#, #"{"alg":"HS256","kid":null}"#, #"{"typ":"JWT"}"#, "",
    ])
    func malformedHeaders(header: String) throws {
        #expect(try verify(header: header) == .refused(.malformed))
    }

    @Test func headersWithManyOrDeepValues() throws {
        func header(_ count: Int) -> String { #"{"alg":"HS256","x":[\#([String](repeating: "1", count: count).joined(separator: ","))]}"# }
        #expect(try verify(header: header(JWTMemory.headerValuesMax - 3)) == .accepted)
        #expect(try verify(header: header(JWTMemory.headerValuesMax - 2)) == .refused(.malformed))
        #expect(try verify(header: #"{"alg":"HS256","x":"# + String(repeating: "[", count: 1000)) == .refused(.malformed))
    }

    @Test(arguments: [#"["exp"]"#, #"["b64"]"#, #"["x","y"]"#, #"[1]"#, #"["alg"]"#])
    func criticalIsNotSupported(names: String) throws {
        #expect(try verify(header: #"{"alg":"HS256","crit":\#(names)}"#) == .refused(.unsupportedCritical))
    }

    @Test(arguments: [
        (#""at+jwt""#, Outcome.accepted), (#""AT+JWT""#, .accepted), (#""application/at+jwt""#, .accepted), (#""Application/At+Jwt""#, .accepted),
        (#""JWT""#, .refused(.wrongType)), (#""at+jwt ""#, .refused(.wrongType)), (#""application/""#, .refused(.wrongType)), (#""x/at+jwt""#, .refused(.wrongType)),
        (#""""#, .refused(.wrongType)),
    ])
    func types(type: String, expected: Outcome) throws {
        for rule in ["at+jwt", "AT+jwt", "application/at+jwt"] {
            #expect(try verify(header: #"{"alg":"HS256","typ":\#(type)}"#) { $0.type = rule } == expected)
        }
        #expect(try verify(header: #"{"alg":"HS256","typ":\#(type)}"#) == .accepted)
        #expect(try verify(header: #"{"alg":"HS256"}"#) { $0.type = "at+jwt" } == .refused(.wrongType))
    }

    // MARK: form

    @Test(arguments: ["", ".", "..", "...", "a", "a.b", "a.b.c.d", "a.b.c.d.e", ".b.c", "a..c", "eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1NiJ9.", "eyJhbGciOiJIUzI1NiJ9..", "Bearer a.b.c"])
    func notThreeParts(token: String) throws {
        #expect(try TestVerifier(try signer.keys()).verify(token) == .refused(.malformed))
    }

    @Test func bearerCredentials() {
        func find(_ value: String) -> BearerCredentials {
            let bytes = Array(value.utf8)
            return unsafe bytes.withUnsafeBufferPointer { unsafe BearerCredentials.find($0) }
        }
        #expect(find("Bearer abc") == .token(7..<10))
        #expect(find("bearer   abc") == .token(9..<12))
        #expect(find("BEARER a.b-c_d~e+f/g==") == .token(7..<22))
        for value in ["", "Basic abc", "Beare", "Bearerabc", "Bearer\tabc"] { #expect(find(value) == .absent) }
        for value in ["Bearer", "Bearer ", "Bearer a b", "Bearer a\u{7f}", "Bearer é"] { #expect(find(value) == .malformed) }
    }
}
