// Keys from secrets, PEM and JWKS: what is taken, what is passed over, and what the operator is told.

import Testing
@testable import UringJWT

@Suite struct KeyTests {
    /// Public keys of the RFCs.
    private static let p256 = #""kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#
    private static let ed25519 = #""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#

    private func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return ""
        } catch {
            return "\(error)"
        }
    }

    // MARK: secrets

    @Test func aSecretServesWhatItIsLongEnoughFor() throws {
        func algorithms(_ count: Int) throws -> JWTAlgorithms { try JWTKey.secret([UInt8](repeating: 1, count: count)).algorithms }
        #expect(throws: JWTKeyError.self) { try algorithms(0) }
        #expect(throws: JWTKeyError.self) { try algorithms(31) }
        #expect(try algorithms(32) == JWTAlgorithms(.hs256))
        #expect(try algorithms(48) == [JWTAlgorithms(.hs256), JWTAlgorithms(.hs384)])
        #expect(try algorithms(64) == .hmac)
        #expect(try algorithms(1000) == .hmac)
        #expect(throws: JWTKeyError.self) { try JWTKey.secret([UInt8](repeating: 1, count: 32), algorithms: JWTAlgorithms(.hs512)) }
        #expect(throws: JWTKeyError.self) { try JWTKey.secret([UInt8](repeating: 1, count: 64), algorithms: JWTAlgorithms(.rs256)) }
    }

    /// Around the block that HMAC pads to, beyond which the key is hashed (RFC 2104).
    @Test(arguments: [32, 63, 64, 65, 127, 128, 129, 500])
    func secretsOfEveryLength(count: Int) throws {
        let secret = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        for algorithm in try JWTKey.secret(secret).algorithms.members {
            let signer = Signer(secret: secret, algorithm)
            #expect(try TestVerifier(try signer.keys()).verify(signer.token(#"{"exp":1800000600}"#)) == .accepted)
        }
    }

    /// Texts around the block of the digest.
    @Test func textsOfEveryLength() throws {
        for algorithm in JWTAlgorithms.hmac.members {
            let signer = Signer(secret: Keys.secret, algorithm)
            let verifier = try TestVerifier(try signer.keys())
            for count in 0..<300 {
                let payload = #"{"exp":1800000600,"p":"\#(String(repeating: "p", count: count))"}"#
                #expect(verifier.verify(signer.token(payload)) == .accepted)
            }
        }
    }

    // MARK: PEM

    @Test func severalKeysOfOneFile() throws {
        let set = try JWTKeySet.pem("a comment\n" + Keys.rsa.pem + "\n" + Keys.p256.pem)
        #expect(set.keys.map(\.kind) == [.rsa, .p256])
        #expect(set.algorithms == JWTAlgorithms.rsa.union(JWTAlgorithms(.es256)))
    }

    @Test func whatIsNoPublicKey() {
        #expect(message { _ = try JWTKeySet.pem("") }.contains("holds no public key"))
        #expect(message { _ = try JWTKeySet.pem("hello") }.contains("holds no public key"))
        #expect(message { _ = try JWTKeySet.pem(armoured("PRIVATE KEY", [1, 2, 3])) }.contains("holds a private key"))
        #expect(message { _ = try JWTKeySet.pem(armoured("EC PRIVATE KEY", [1, 2, 3])) }.contains("openssl pkey"))
        #expect(message { _ = try JWTKeySet.pem(armoured("PUBLIC KEY", [1, 2, 3])) }.contains("does not parse"))
        #expect(message { _ = try JWTKeySet.pem(armoured("CERTIFICATE", [0x30, 0])) }.contains("does not parse"))
        #expect(message { _ = try JWTKeySet.pem(armoured("PUBLIC KEY", Keys.p256.der + [0])) }.contains("does not parse"))
    }

    @Test func keysThatAreTooShortOrForSomethingElse() {
        #expect(message { _ = try Signer(.rs256, bits: 1024).keys() }.contains("1024 bits"))
        #expect(message { _ = try Keys.rsa.keys(algorithms: JWTAlgorithms(.es256)) }.contains("it can be used with RS256"))
        #expect(message { _ = try Keys.rsa.keys(identifier: String(repeating: "k", count: 257)) }.contains("257 bytes"))
    }

    // MARK: JWKS

    private func jwks(_ keys: String..., acceptsSecrets: Bool = true) throws -> (JWTKeySet, [JWTKeyWarning]) {
        try JWTKeySet.jwks(#"{"keys":[\#(keys.joined(separator: ","))]}"#, acceptsSecrets: acceptsSecrets)
    }

    /// What a JWK says is what the PEM says.
    @Test(arguments: Vector.all)
    func keysOfTheRFCs(vector: Vector) throws {
        let (set, warnings) = try jwks(vector.key)
        #expect(set.keys.count == 1 && warnings.isEmpty)
        let own = try #require(JWTAlgorithm(named: vector.algorithm))
        #expect(set.algorithms.contains(own))
    }

    /// RFC 7517: unknown kinds, other uses, other operations and algorithms are passed over.
    @Test func passesOver() throws {
        let (set, warnings) = try jwks(
            "{\(Self.p256)}", #"{"kty":"XYZ"}"#, #"{\#(Self.p256),"use":"enc"}"#, #"{\#(Self.p256),"key_ops":["sign"]}"#, #"{\#(Self.p256),"alg":"ECDH-ES"}"#,
            #"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#, #"{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            #"{\#(Self.ed25519),"use":"sig","key_ops":["verify"],"alg":"EdDSA","kid":"ed"}"#)
        #expect(set.keys.map(\.kind) == [.p256, .ed25519])
        #expect(set.keys[1].identifier == Array("ed".utf8))
        #expect(warnings.isEmpty)
    }

    @Test(arguments: [
        "7", "{}", #"{"kty":7}"#, #"{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}"#, #"{"kty":"EC","crv":"P-256"}"#, #"{"kty":"RSA","n":"AQAB"}"#,
        #"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#, #"{"kty":"RSA","n":"AQAB=","e":"AQAB"}"#, #"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#, #"{"kty":"oct","k":"AAAA"}"#,
        #"{"kty":"oct"}"#, #"{"kty":"oct","k":7}"#,
        // Not on the curve.
        #"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a8"}"#,
        #"{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
    ])
    func warnsAboutWhatMayBeAnError(key: String) throws {
        let (set, warnings) = try jwks(key, "{\(Self.ed25519)}")
        #expect(set.keys.map(\.kind) == [.ed25519])
        #expect(warnings.count == 1 && warnings.allSatisfy { $0.source == "test.json: key 1" })
        #expect(throws: JWTKeyError.self) { try jwks(key) }
    }

    @Test(arguments: ["", "{}", "[]", #"{"keys":{}}"#, #"{"keys":[]}"#, #"{"keys":[],"keys":[]}"#, "{", #"{"keys":7}"#])
    func whatIsNoKeySet(document: String) {
        #expect(throws: JWTKeyError.self) { try JWTKeySet.jwks(document) }
    }

    @Test func secretsAreForFilesOnly() throws {
        let secret = #"{"kty":"oct","k":"\#(base64URL(Keys.secret))"}"#
        #expect(try jwks(secret).0.algorithms == .hmac)
        let (set, warnings) = try jwks(secret, "{\(Self.p256)}", acceptsSecrets: false)
        #expect(set.keys.map(\.kind) == [.p256])
        #expect(warnings.first?.reason.contains("secret") == true)
    }

    @Test func aPrivateKeyIsMentioned() throws {
        let (set, warnings) = try jwks(#"{\#(Self.ed25519),"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}"#)
        #expect(set.keys.count == 1)
        #expect(warnings.first?.reason.contains("private key") == true)
    }

    @Test func theNumberOfKeysIsBounded() throws {
        let key = "{\(Self.ed25519)}"
        func set(_ count: Int) throws -> Int { try JWTKeySet.jwks(#"{"keys":[\#([String](repeating: key, count: count).joined(separator: ","))]}"#).0.keys.count }
        #expect(try set(JWTKeySet.keysMax) == JWTKeySet.keysMax)
        #expect(throws: JWTKeyError.self) { try set(JWTKeySet.keysMax + 1) }
    }

    @Test func theDocumentIsBounded() {
        let space = String(repeating: " ", count: JWTKeySet.documentBytesMax)
        #expect(throws: JWTKeyError.self) { try JWTKeySet.jwks(#"{"keys":[{\#(Self.ed25519)}]}"# + space) }
    }

    /// Cut off anywhere, a document is refused or has fewer keys; nothing traps.
    @Test func everyTruncationOfADocument() {
        let document = #"{"keys":[{\#(Self.p256),"kid":"a"},{\#(Self.ed25519)}]}"#
        for count in 0..<document.utf8.count { #expect(throws: JWTKeyError.self) { try JWTKeySet.jwks(String(document.prefix(count))) } }
    }

    /// New keys, new verifier; the old one goes on with the old keys until it is dropped.
    @Test func rotation() throws {
        let (old, new) = (Keys.p256, Keys.all[12])
        let first = try TestVerifier(try old.keys(identifier: "1"))
        var both = try old.keys(identifier: "1")
        try both.add(new.keys(identifier: "2"))
        let second = try TestVerifier(both)
        let third = try TestVerifier(try new.keys(identifier: "2"))
        let (oldToken, newToken) = (old.token(#"{"exp":1800000600}"#, kid: "1"), new.token(#"{"exp":1800000600}"#, kid: "2"))
        #expect(first.verify(oldToken) == .accepted && first.verify(newToken) == .refused(.algorithmNotAllowed))
        #expect(second.verify(oldToken) == .accepted && second.verify(newToken) == .accepted)
        #expect(third.verify(newToken) == .accepted && third.verify(oldToken) == .refused(.algorithmNotAllowed))
    }
}
