// Certificates and keys from files: what is refused, in which words, and what is only warned of.

import CUringTLS
import Foundation
import Testing
import UringTLS

/// A directory that goes with the test.
private final class Directory {
    let path: String

    init() {
        path = NSTemporaryDirectory() + "tls-" + UUID().uuidString
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ name: String, _ bytes: [UInt8], mode: Int = 0o600) -> String {
        let file = path + "/" + name
        _ = FileManager.default.createFile(atPath: file, contents: Data(bytes), attributes: [.posixPermissions: mode])
        return file
    }

    func write(_ name: String, _ text: String, mode: Int = 0o600) -> String { write(name, Array(text.utf8), mode: mode) }
}

@Suite struct LoadingTests {
    private let directory = Directory()
    private let identity = TestIdentity("a", names: ["A.example", "*.b.example"])

    private func problem(cert: String, key: String, ocsp: String? = nil) -> TLSLoadError? {
        var warnings: [TLSLoadWarning] = []
        do throws(TLSLoadError) {
            _ = try TLSCertificate.load(certificate: cert, key: key, ocsp: ocsp, nowSeconds: now, warnings: &warnings)
            return nil
        } catch { return error }
    }

    @Test func loads() throws {
        let cert = directory.write("c.pem", identity.certificatePEM, mode: 0o644)
        let both = directory.write("both.pem", identity.keyPEM + identity.certificatePEM)
        for (cert, key) in [(cert, both), (both, both)] {
            var warnings: [TLSLoadWarning] = []
            let loaded = try TLSCertificate.load(certificate: cert, key: key, nowSeconds: now, warnings: &warnings)
            #expect(loaded.names == ["a.example", "*.b.example"] && loaded.keyKind == .ecdsa && warnings.isEmpty)
        }
    }

    @Test func refusalsSayWhatAndHow() throws {
        let cert = directory.write("c.pem", identity.certificatePEM)
        let key = directory.write("k.pem", identity.keyPEM)
        let other = directory.write("other.pem", TestIdentity("b").keyPEM)
        let empty = directory.write("empty.pem", "")
        let text = directory.write("text.pem", "hello\n")
        let der = directory.write("c.der", try identity.loaded().chain[0])
        let open = directory.write("open.pem", identity.keyPEM, mode: 0o604)
        let broken = directory.write("broken.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        let brokenCert = directory.write("brokenc.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        let absent = directory.path + "/absent.pem"
        let locked = directory.path + "/locked.pem"
        run("openssl", ["pkey", "-in", key, "-aes256", "-passout", "pass:x", "-out", locked])
        let cases: [(String, String, String, String)] = [
            (absent, key, absent, "No such file or directory"), (cert, absent, absent, "No such file or directory"), (directory.path, key, directory.path, "is not a regular file"),
            (empty, key, empty, "the file is empty"), (cert, empty, empty, "the file is empty"), (text, key, text, "is not PEM"), (der, key, der, "is DER, not PEM"),
            (key, key, key, "contains PRIVATE KEY and no CERTIFICATE"), (cert, cert, cert, "contains CERTIFICATE and no PRIVATE KEY"),
            (cert, other, other, "the key does not belong to the certificate in \(cert)"), (cert, locked, locked, "the key is protected by a password"),
            (cert, open, open, "every user may read or change this key (mode 0604)"), (cert, broken, broken, "the private key does not parse"),
            (brokenCert, key, brokenCert, "certificate 1 does not parse"),
        ]
        for (cert, key, file, reason) in cases {
            let error = problem(cert: cert, key: key)
            #expect(error?.file == file && error?.reason == reason, "\(String(describing: error)), expected \(reason)")
            #expect(error?.remedy.isEmpty == false)
        }
        #expect(problem(cert: cert, key: key, ocsp: text)?.reason == "not an OCSP response in DER")
    }

    @Test func warnings() throws {
        func warnings(_ identity: TestIdentity, mode: Int = 0o600) throws -> [String] {
            let file = directory.write(UUID().uuidString, identity.certificatePEM + identity.keyPEM, mode: mode)
            var warnings: [TLSLoadWarning] = []
            _ = try TLSCertificate.load(certificate: file, key: file, nowSeconds: now, warnings: &warnings)
            return warnings.map(\.reason)
        }
        #expect(try warnings(identity, mode: 0o640) == [])
        #expect(try warnings(identity, mode: 0o660) == ["the group may change this key (mode 0660)"])
        #expect(try warnings(TestIdentity("old", days: -10 ... -1)) == ["the certificate has expired"])
        #expect(try warnings(TestIdentity("new", days: 1...10)) == ["the certificate is not valid yet"])
    }

    @Test func ticketFiles() throws {
        var warnings: [TLSLoadWarning] = []
        let good = directory.write("t80", .sample(80))
        _ = try SessionTickets.load(keys: [good], warnings: &warnings)
        _ = try SessionTickets.load(secret: good, warnings: &warnings)
        let short = directory.write("t31", .sample(31))
        #expect(throws: TLSLoadError(file: short, reason: "has 31 bytes", remedy: "make it with `openssl rand -out \(short) 80`")) {
            try SessionTickets.load(keys: [short], warnings: &warnings)
        }
        #expect(throws: TLSLoadError.self) { try SessionTickets.load(secret: short, warnings: &warnings) }
        let open = directory.write("open", .sample(80), mode: 0o644)
        #expect(throws: TLSLoadError.self) { try SessionTickets.load(secret: open, warnings: &warnings) }
    }

    @Test func badSettingsAreNamed() throws {
        #expect(throws: TLSLoadError.self) { try TLSContext.make { $0.cipherList = "NO-SUCH" } }
        #expect(throws: TLSLoadError.self) { try TLSContext.make { $0.cipherSuites = "NO_SUCH" } }
        #expect(throws: TLSLoadError.self) { try TLSContext.make { $0.groups = "NO-SUCH" } }
    }

    @Test func selfSignedIsWhatOpenSSLSees() throws {
        let made = try TLSConfiguration.selfSigned(nowSeconds: now).certificates[0]
        let file = directory.write("self.der", made.chain[0])
        let text = run("openssl", ["x509", "-inform", "DER", "-in", file, "-noout", "-fingerprint", "-sha256", "-ext", "subjectAltName"])
        #expect(text.contains("ingerprint=" + made.fingerprint + "\n"), "\(text)")
        #expect(text.contains("DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1"))
        #expect(made.fingerprint.count == 95)
    }

    @discardableResult private func run(_ program: String, _ arguments: [String]) -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [program] + arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        do { try process.run() } catch { return "" }
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self)
    }
}
