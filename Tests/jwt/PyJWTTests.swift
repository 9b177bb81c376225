// Tokens, PEM files, certificates and key sets made by another implementation (PyJWT on the `cryptography` package). Skipped by name where they are
// not installed: `pip install pyjwt cryptography`.

import Foundation
import Testing
@testable import UringJWT

/// One line of oracle.py: what a verifier gets and what it should say.
private struct Case: Decodable, Sendable, CustomTestStringConvertible {
    let name: String
    let kind: String
    let key: String
    let token: String
    let expected: String

    var testDescription: String { name }
}

private enum Oracle {
    static let cases: [Case] = {
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("oracle.py")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", script.path]
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return [] }
        let text = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { return [] }
        return text.split(separator: UInt8(ascii: "\n")).compactMap { try? JSONDecoder().decode(Case.self, from: Data($0)) }
    }()
}

@Suite(.enabled(if: !Oracle.cases.isEmpty, "python3 with PyJWT and cryptography is not here"))
struct PyJWTTests {
    @Test func hasManyCases() {
        #expect(Oracle.cases.count >= 60)
        #expect(Set(Oracle.cases.map(\.kind)) == ["secret", "pem", "jwks"])
    }

    @Test(arguments: Oracle.cases)
    private func agrees(test: Case) throws {
        let keys: JWTKeySet
        switch test.kind {
        case "secret":
            var set = JWTKeySet()
            try set.add(JWTKey.secret(Array(test.key.utf8)))
            keys = set
        case "pem": keys = try JWTKeySet.pem(test.key)
        default: keys = try JWTKeySet.jwks(test.key).0
        }
        var rules = JWTRules(audience: .oneOf(["orders"]))
        rules.issuers = ["https://issuer.example"]
        let verifier = try TestVerifier(keys, rules)
        for _ in 0..<2 {
            switch verifier.verify(test.token) {
            case .accepted: #expect(test.expected == "accepted")
            case .refused(let refusal): #expect(test.expected == "\(refusal)")
            }
        }
        if test.expected == "accepted" { #expect(verifier.claims?.subject?.text == "Ä \"quoted\" \u{1f600}\n") }
    }
}
