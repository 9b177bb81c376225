// The RFCs' own tokens. Where the payload is no JSON object, a good signature shows in what comes after it: the claims are malformed.

import Testing
@testable import UringJWT

@Suite struct VectorTests {
    private func verifier(_ vector: Vector, _ algorithms: JWTAlgorithms = .all) throws -> TestVerifier {
        let (keys, _) = try JWTKeySet.jwks(#"{"keys":[\#(vector.key)]}"#)
        var rules = JWTRules(audience: .ignored)
        rules.algorithms = algorithms
        return try TestVerifier(keys, rules)
    }

    private func isGood(_ outcome: Outcome) -> Bool { outcome == .accepted || outcome == .refused(.malformed) }

    @Test(arguments: Vector.all)
    func signatureIsGood(vector: Vector) throws {
        // Within the time of those that have one.
        let outcome = try verifier(vector).verify(vector.token, at: 1_300_819_000)
        #expect(isGood(outcome))
        #expect((outcome == .accepted) == vector.description.hasPrefix("RFC 7515") && !vector.description.hasSuffix("A.4") || outcome == .refused(.malformed))
    }

    @Test(arguments: Vector.all)
    func isOfItsAlgorithmAlone(vector: Vector) throws {
        let own = try #require(JWTAlgorithm(named: vector.algorithm))
        #expect(isGood(try verifier(vector, JWTAlgorithms(own)).verify(vector.token, at: 1_300_819_000)))
        for other in JWTAlgorithm.allCases where other != own {
            guard let verifier = try? verifier(vector, JWTAlgorithms(other)) else { continue }
            #expect(verifier.verify(vector.token, at: 1_300_819_000) == .refused(.algorithmNotAllowed))
        }
    }

    @Test(arguments: Vector.all)
    func everyByteMatters(vector: Vector) throws {
        let verifier = try verifier(vector)
        let token = Array(vector.token.utf8)
        for index in token.indices {
            var changed = token
            // Another character of the alphabet, or one beside the dot.
            changed[index] = token[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            let outcome = verifier.verify(changed, at: 1_300_819_000)
            #expect(outcome != .accepted, "byte \(index)")
        }
        #expect(isGood(verifier.verify(token, at: 1_300_819_000)))
    }

    /// RFC 7515 A.1: claims as it describes them.
    @Test func claimsOfTheFirst() throws {
        let verifier = try verifier(Vector.all[0])
        #expect(verifier.verify(Vector.all[0].token, at: 1_300_819_379 + 60) == .accepted)
        #expect(verifier.claims?.issuer?.text == "joe")
        #expect(verifier.claims?.expires?.dateSeconds == 1_300_819_380)
        #expect(verifier.claims?.all.at("http://example.com/is_root")?.kind == .yes)
        #expect(verifier.verify(Vector.all[0].token, at: 1_300_819_380 + 60) == .refused(.expired))
    }

    /// RFC 7515 A.5: not secured.
    @Test func unsecuredIsRefused() throws {
        let token = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        for vector in Vector.all { #expect(try verifier(vector).verify(token, at: 1_300_819_000) == .refused(.algorithmNotAllowed)) }
    }
}
