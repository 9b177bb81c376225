// Verification: every algorithm, every reason to refuse, and what an attacker tries.

import Testing
@testable import UringJWT

private let payload = #"{"iss":"https://issuer.example","sub":"alice","aud":["orders","billing"],"exp":1800000600,"nbf":1799999000,"iat":1799999000,"scope":"read write"}"#

@Suite struct VerifierTests {
    private func rules(_ change: (inout JWTRules) -> Void = { _ in }) -> JWTRules {
        var rules = JWTRules(audience: .ignored)
        change(&rules)
        return rules
    }

    private func verifier(_ signer: Signer, kid: String? = nil, _ change: (inout JWTRules) -> Void = { _ in }) throws -> TestVerifier {
        try TestVerifier(try signer.keys(identifier: kid), rules(change))
    }

    private var hs: Signer { Signer(secret: Keys.secret, .hs256) }

    // MARK: algorithms

    @Test(arguments: Keys.all)
    func acceptsItsOwn(signer: Signer) throws {
        let verifier = try verifier(signer)
        // The second time by the known header.
        for _ in 0..<3 { #expect(verifier.verify(signer.token(payload)) == .accepted) }
        #expect(verifier.claims?.subject?.text == "alice")
        #expect(verifier.claims?.scope?.text == "read write")
        #expect(verifier.claims?.audience?.count == 2)
        #expect(verifier.claims?.issuedAt?.dateSeconds == 1_799_999_000)
    }

    @Test(arguments: Keys.all)
    func refusesEveryOther(signer: Signer) throws {
        let verifier = try verifier(signer)
        for other in Keys.all where other !== signer {
            let outcome = verifier.verify(other.token(payload))
            // The two curves of EdDSA share its name; one RSA key serves six algorithms here.
            let isSameKey = JWTAlgorithms.rsa.contains(signer.algorithm) && JWTAlgorithms.rsa.contains(other.algorithm)
            let expected: Outcome = isSameKey ? .accepted : other.algorithm == signer.algorithm ? .refused(.badSignature) : .refused(.algorithmNotAllowed)
            #expect(outcome == expected, "\(other.algorithm) by a key for \(signer.algorithm)")
        }
    }

    @Test(arguments: Keys.all)
    func everyTruncationIsRefused(signer: Signer) throws {
        let verifier = try verifier(signer)
        let token = Array(signer.token(payload).utf8)
        for count in 0..<token.count { #expect(verifier.verify(Array(token[..<count])) != .accepted) }
        #expect(verifier.verify(token) == .accepted)
        for count in 0..<token.count { #expect(verifier.verify(Array(token[..<count])) != .accepted) }
        for extra in [UInt8(ascii: "A"), UInt8(ascii: "."), UInt8(ascii: "="), UInt8(ascii: " "), 0, 0xff] {
            #expect(verifier.verify(token + [extra]) != .accepted)
            #expect(verifier.verify([extra] + token) != .accepted)
        }
    }

    @Test(arguments: Keys.all)
    func everyChangedBitIsRefused(signer: Signer) throws {
        let verifier = try verifier(signer)
        let token = Array(signer.token(payload).utf8)
        #expect(verifier.verify(token) == .accepted)
        for index in token.indices {
            for bit in [0, 1, 2, 3, 4, 5, 6, 7] where (index + bit) % 3 == 0 {
                var changed = token
                changed[index] ^= 1 << UInt8(bit)
                #expect(verifier.verify(changed) != .accepted, "byte \(index), bit \(bit)")
            }
        }
    }

    /// RFC 7518 3.4: r and s have their full length, whatever their leading zeros. ECDSA draws numbers: one signature in 128 has such a zero.
    @Test func signaturesWithLeadingZeros() throws {
        let verifier = try verifier(Keys.p256)
        let input = base64URL(#"{"alg":"ES256"}"#) + "." + base64URL(#"{"exp":1800000600}"#)
        var (r, s) = (0, 0)
        while r < 2 || s < 2 {
            let signature = Keys.p256.sign(Array(input.utf8))
            guard signature[0] == 0 || signature[32] == 0 else { continue }
            if signature[0] == 0 { r += 1 }
            if signature[32] == 0 { s += 1 }
            #expect(verifier.verify(input + "." + base64URL(signature)) == .accepted)
        }
    }

    /// Zero for r or s, and the order of the group or more (CVE-2022-21449).
    @Test(arguments: [Keys.all[9], Keys.all[10], Keys.all[11]])
    func degenerateSignatures(signer: Signer) throws {
        let verifier = try verifier(signer)
        let input = signer.token(payload).split(separator: ".").prefix(2).joined(separator: ".")
        let half = signer.sign([]).count / 2
        let zero = [UInt8](repeating: 0, count: half)
        let ones = [UInt8](repeating: 0xff, count: half)
        let one: [UInt8] = [UInt8](repeating: 0, count: half - 1) + [1]
        let pairs: [([UInt8], [UInt8])] = [(zero, zero), (zero, one), (one, zero), (ones, ones), (ones, one), (one, ones), (one, one)]
        for (r, s) in pairs {
            #expect(verifier.verify(input + "." + base64URL(r + s)) == .refused(.badSignature))
        }
    }

    /// In DER, as other protocols have it, and with a byte less or more.
    @Test func signaturesOfAnotherForm() throws {
        let verifier = try verifier(Keys.p256)
        let token = Keys.p256.token(payload)
        let parts = token.split(separator: ".").map(String.init)
        let raw = Keys.p256.sign(Array((parts[0] + "." + parts[1]).utf8))
        for signature in [raw + [0], raw.dropLast(), [0] + raw, [0x30, 0x44, 0x02, 0x20] + raw.prefix(32) + [0x02, 0x20] + raw.suffix(32), []] {
            #expect(verifier.verify(parts[0] + "." + parts[1] + "." + base64URL(Array(signature))) == .refused(.badSignature))
        }
    }

    // MARK: confusion of algorithms (RFC 8725 2.1, 3.1)

    /// The public key, in every form in which it is published, as the secret of HMAC.
    @Test(arguments: [Keys.rsa, Keys.p256, Keys.all[12]])
    func publicKeyAsSecret(signer: Signer) throws {
        let verifier = try verifier(signer)
        let trimmed = String(signer.pem.dropLast())
        for secret in [signer.der, Array(signer.pem.utf8), Array(trimmed.utf8)] {
            for algorithm in JWTAlgorithms.hmac.members {
                #expect(verifier.verify(Signer(secret: secret, algorithm).token(payload)) == .refused(.algorithmNotAllowed))
            }
        }
    }

    /// Also where the set has secrets and public keys: each is for its own algorithms, whatever `kid` says.
    @Test func publicKeyAsSecretInAMixedSet() throws {
        var keys = try Keys.rsa.keys(identifier: "rsa")
        try keys.add(JWTKey.secret(Keys.secret, identifier: "hmac"))
        let verifier = try TestVerifier(keys, rules())
        for secret in [Keys.rsa.der, Array(Keys.rsa.pem.utf8)] {
            #expect(verifier.verify(Signer(secret: secret, .hs256).token(payload, kid: "rsa")) == .refused(.algorithmNotAllowed))
            #expect(verifier.verify(Signer(secret: secret, .hs256).token(payload, kid: "hmac")) == .refused(.badSignature))
            #expect(verifier.verify(Signer(secret: secret, .hs256).token(payload)) == .refused(.badSignature))
        }
        #expect(verifier.verify(Keys.rsa.token(payload, kid: "hmac")) == .refused(.algorithmNotAllowed))
        #expect(verifier.verify(Keys.rsa.token(payload, kid: "rsa")) == .accepted)
        #expect(verifier.verify(hs.token(payload, kid: "hmac")) == .accepted)
    }

    @Test(arguments: [
        "none", "None", "NONE", "nOnE", "nonE", "", " none", "none ", "HS256 ", "hs256", "Hs256", "HS1", "HS2560", "RS255", "ES256K", "EDDSA", "eddsa", "EdDSB", "HS\u{131}56",
        "PS999", "XS256", "HT256",
    ])
    func otherAlgorithms(name: String) throws {
        let header = #"{"alg":"\#(name)"}"#
        for signer in [hs, Keys.rsa, Keys.p256] {
            let verifier = try verifier(signer)
            // With a signature, and without one as `none` has it.
            #expect(verifier.verify(signer.token(header: header, payload: payload)) == .refused(.algorithmNotAllowed))
            #expect(verifier.verify(base64URL(header) + "." + base64URL(payload) + ".") == .refused(.algorithmNotAllowed))
            #expect(verifier.verify(base64URL(header) + "." + base64URL(payload)) == .refused(.malformed))
        }
    }

    /// A signature that is taken off, under an algorithm that is allowed.
    @Test(arguments: Keys.all)
    func emptySignature(signer: Signer) throws {
        let token = signer.token(payload)
        let input = token.split(separator: ".").prefix(2).joined(separator: ".")
        #expect(try verifier(signer).verify(input + ".") == .refused(.badSignature))
    }

    @Test func theKeysAlgorithmBinds() throws {
        let keys = try Keys.rsa.keys(algorithms: [JWTAlgorithms(.rs256), JWTAlgorithms(.rs512)])
        let verifier = try TestVerifier(keys, rules())
        #expect(verifier.verify(Keys.rsa.token(payload)) == .accepted)
        #expect(verifier.verify(Signer(Keys.rsa, .rs512).token(payload)) == .accepted)
        for other in [JWTAlgorithm.rs384, .ps256, .ps384, .ps512] {
            #expect(verifier.verify(Signer(Keys.rsa, other).token(payload)) == .refused(.algorithmNotAllowed))
        }
    }

    /// A key that the token brings along is not looked at (RFC 8725 3.10).
    @Test func embeddedKeys() throws {
        let verifier = try verifier(Keys.rsa)
        let stranger = Keys.otherRSA
        for member in [
            #""jwk":{"kty":"oct","k":"AAAA"}"#, #""jku":"https://evil.example/jwks.json""#, #""x5u":"https://evil.example/c.pem""#, #""x5c":["MIIB"]"#,
        ] {
            #expect(verifier.verify(stranger.token(header: #"{"alg":"RS256",\#(member)}"#, payload: payload)) == .refused(.badSignature))
            #expect(verifier.verify(Keys.rsa.token(header: #"{"alg":"RS256",\#(member)}"#, payload: payload)) == .accepted)
        }
    }

    // MARK: keys

    @Test func identifiersSelect() throws {
        var keys = try Keys.rsa.keys(identifier: "a")
        try keys.add(Keys.otherRSA.keys(identifier: "b"))
        let verifier = try TestVerifier(keys, rules())
        #expect(verifier.verify(Keys.rsa.token(payload, kid: "a")) == .accepted)
        #expect(verifier.verify(Keys.otherRSA.token(payload, kid: "b")) == .accepted)
        #expect(verifier.verify(Keys.rsa.token(payload, kid: "b")) == .refused(.badSignature))
        #expect(verifier.verify(Keys.rsa.token(payload, kid: "c")) == .refused(.unknownKey))
        #expect(verifier.verify(Keys.rsa.token(payload, kid: "")) == .refused(.unknownKey))
        #expect(verifier.verify(Keys.rsa.token(header: #"{"alg":"RS256","kid":7}"#, payload: payload)) == .refused(.malformed))
        #expect(verifier.verify(Keys.rsa.token(header: #"{"alg":"RS256","kid":"\u0061"}"#, payload: payload)) == .accepted)
        // Without one, each is tried; with the header known for one, the other is still found.
        for _ in 0..<3 {
            #expect(verifier.verify(Keys.rsa.token(payload)) == .accepted)
            #expect(verifier.verify(Keys.otherRSA.token(payload)) == .accepted)
        }
    }

    /// A key without a name in the configuration serves tokens that name theirs.
    @Test func keysWithoutIdentifier() throws {
        #expect(try verifier(hs).verify(hs.token(payload, kid: "anything")) == .accepted)
    }

    @Test func triesABoundedNumber() throws {
        var keys = JWTKeySet()
        for number in 0..<(JWTVerifier.candidatesMax + 1) { try keys.add(JWTKey.secret(Keys.secret.map { $0 &+ UInt8(number) })) }
        let verifier = try TestVerifier(keys, rules())
        func token(_ number: Int) -> String { Signer(secret: Keys.secret.map { $0 &+ UInt8(number) }, .hs256).token(payload) }
        for number in 0..<JWTVerifier.candidatesMax { #expect(verifier.verify(token(number)) == .accepted) }
        #expect(verifier.verify(token(JWTVerifier.candidatesMax)) == .refused(.badSignature))
    }

    @Test func noKeyForTheRulesIsAnError() throws {
        let keys = try Keys.rsa.keys()
        #expect(throws: JWTKeyError.self) { try TestVerifier(keys, rules { $0.algorithms = JWTAlgorithms(.es256) }) }
        #expect(throws: JWTKeyError.self) { try TestVerifier(JWTKeySet(), rules()) }
    }

    /// More headers than are remembered, in turn, and longer ones than are.
    @Test func manyHeaders() throws {
        let verifier = try verifier(hs)
        for round in 0..<3 {
            for number in 0..<9 {
                let header = #"{"alg":"HS256","x":"\#(String(repeating: "y", count: number * 60 + round))"}"#
                #expect(verifier.verify(hs.token(header: header, payload: payload)) == .accepted)
                #expect(verifier.verify(Signer(secret: Keys.secret.reversed(), .hs256).token(header: header, payload: payload)) == .refused(.badSignature))
            }
        }
    }

    // MARK: size

    @Test func lengthIsBounded() throws {
        let verifier = try verifier(hs)
        #expect(verifier.verify([UInt8](repeating: UInt8(ascii: "A"), count: 1 << 20)) == .refused(.tooLarge))
        #expect(verifier.verify([UInt8](repeating: UInt8(ascii: "."), count: 8192)) == .refused(.malformed))
        // As long as it may be, and a byte longer.
        for extra in 0...1 {
            var padding = 6000
            var token = ""
            while true {
                token = hs.token(#"{"exp":1800000600,"p":"\#(String(repeating: "p", count: padding))"}"#)
                if token.utf8.count >= 8192 + extra { break }
                padding += 1
            }
            let expected: Outcome = token.utf8.count > 8192 ? .refused(.tooLarge) : .accepted
            #expect(verifier.verify(token) == expected)
        }
    }

    @Test func aLimitOfOnesOwn() throws {
        let long = hs.token(#"{"exp":1800000600,"p":"\#(String(repeating: "p", count: 30_000))"}"#)
        #expect(try verifier(hs) { $0.tokenBytesMax = 65_536 }.verify(long) == .accepted)
        #expect(try verifier(hs) { $0.tokenBytesMax = 100 }.verify(hs.token(payload)) == .refused(.tooLarge))
        // Out of range is brought into it.
        #expect(try verifier(hs) { $0.tokenBytesMax = .max }.verify(String(repeating: "A", count: 65_537)) == .refused(.tooLarge))
        #expect(try verifier(hs) { $0.tokenBytesMax = -1 }.verify("..") == .refused(.tooLarge))
    }

    /// A signature of any length is neither read beyond its room nor taken.
    @Test(arguments: [1000, 1024, 1025, 4000, 7000])
    func longSignatures(bytes: Int) throws {
        let input = base64URL(#"{"alg":"HS256"}"#) + "." + base64URL(payload) + "."
        #expect(try verifier(hs).verify(input + base64URL([UInt8](repeating: 7, count: bytes))) != .accepted)
    }

    @Test func manyValues() throws {
        let verifier = try verifier(hs)
        func token(_ count: Int) -> String { hs.token(#"{"exp":1800000600,"groups":[\#([String](repeating: "1", count: count).joined(separator: ","))]}"#) }
        // The object, exp and the array are values too.
        #expect(verifier.verify(token(JWTMemory.valuesMax - 3)) == .accepted)
        #expect(verifier.claims?.claim("groups")?.count == JWTMemory.valuesMax - 3)
        #expect(verifier.verify(token(JWTMemory.valuesMax - 2)) == .refused(.malformed))
    }

    // MARK: claims that are kept

    @Test func copiesOutliveTheMemory() throws {
        let verifier = try verifier(hs)
        #expect(verifier.verify(hs.token(payload)) == .accepted)
        let claims = try #require(verifier.claims)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: claims.copyBytes, alignment: 16)
        defer { unsafe memory.deallocate() }
        let kept = unsafe claims.copy(to: memory)
        #expect(verifier.verify(hs.token(#"{"sub":"mallory","exp":1800000600}"#)) == .accepted)
        #expect(kept.subject?.text == "alice")
        #expect(kept.all.at("aud")?.first?.text == "orders")
        #expect(kept.scope?.text == "read write")
    }
}
