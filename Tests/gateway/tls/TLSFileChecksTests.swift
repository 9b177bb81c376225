// Files of `tls`: what is wrong with them is told at their places in the file, without a byte of theirs.

import Glibc
import Testing
import UringTLS

@testable import UringGateway

@Suite struct TLSFileChecksTests {
    /// The messages of a configuration in the directory, without the directory's path.
    private func messages(_ directory: TLSDirectory, _ tls: String) -> [String] {
        let text = """
            listen:
              - address: 127.0.0.1:8443
                tls:
                  \(tls.split(separator: "\n").joined(separator: "\n      "))
            routes: []
            """
        let result = ConfigLoader.load(bytes: Array(text.utf8), file: "t", directory: directory.path + "/")
        return result.render().split(separator: "\n").map { String($0.dropFirst(2)).replacing(directory.path + "/", with: "") }
    }

    private func directory() -> TLSDirectory {
        let directory = TLSDirectory()
        directory.write("a.pem", TLSFixtures.certificate)
        directory.write("a.key", TLSFixtures.key)
        directory.write("old.pem", TLSFixtures.expiredCertificate)
        directory.write("old.key", TLSFixtures.expiredKey)
        return directory
    }

    @Test func goodFilesGiveNoMessage() {
        let directory = directory()
        directory.write("t.key", [UInt8](repeating: 7, count: 80))
        directory.write("fleet", [UInt8](repeating: 7, count: 32))
        #expect(messages(directory, "certificates: [{ cert: a.pem, key: a.key }]\nsession-tickets: { keys: [t.key] }") == [])
        #expect(
            messages(directory, "certificates: [{ cert: a.pem, key: a.key }]\nclient-auth: { mode: optional, ca: a.pem }\nsession-tickets: { secret: fleet }")
                == [])
    }

    @Test func everyProblemAtOnce() {
        let directory = directory()
        directory.write("short", [1, 2, 3])
        let found = messages(
            directory,
            """
            certificates:
              - { cert: none.pem, key: none.key }
              - { cert: a.pem, key: old.key }
              - { cert: a.key, key: a.pem }
            client-auth: { mode: required, ca: short }
            session-tickets: { keys: [missing, short] }
            """)
        let places = found.map { $0.split(separator: " ")[0...1].joined(separator: " ") }
        #expect(
            places == [
                "5:19: tls.certificates.cert:", "5:34: tls.certificates.key:", "6:31: tls.certificates.key:", "7:19: tls.certificates.cert:",
                "8:42: tls.client-auth.ca:", "9:33: tls.session-tickets.keys[0]:", "9:42: tls.session-tickets.keys[1]:",
            ])
        #expect(found.first?.contains("none.pem: No such file or directory: check the path") == true)
        #expect(found.contains { $0.contains("the key does not belong to the certificate in a.pem") })
        #expect(found.last?.contains("short: has 3 bytes") == true)
        // Nothing of a key's content.
        let secret = TLSFixtures.key.split(separator: "\n")[1].prefix(20)
        #expect(!found.contains { $0.contains(secret) })
    }

    @Test func anExpiredCertificateIsAWarning() {
        let found = messages(directory(), "certificates: [{ cert: old.pem, key: old.key }]")
        #expect(found == ["4:30: warning: tls.certificates.cert: old.pem: the certificate has expired: renew it: clients refuse it"])
    }

    @Test func aKeyThatEverybodyReads() {
        let directory = directory()
        directory.write("open.key", TLSFixtures.key, mode: 0o644)
        let found = messages(directory, "certificates: [{ cert: a.pem, key: open.key }]")
        #expect(found == ["4:42: tls.certificates.key: open.key: every user may read or change this key (mode 0644): chmod 600 open.key"])
    }

    @Test func aMissingStapleAndSecret() {
        let found = messages(directory(), "certificates: [{ cert: a.pem, key: a.key, ocsp: a.pem }]\nsession-tickets: { secret: gone }")
        #expect(found.count == 2)
        #expect(found[0].hasPrefix("4:55: tls.certificates.ocsp: a.pem: ") || found[0].hasPrefix("4:30: tls.certificates.cert: a.pem: "))
        #expect(found[1].hasPrefix("5:34: tls.session-tickets.secret: gone: No such file or directory"))
    }
}

@Suite struct TLSMaterialsTests {
    private let address = ListenAddress.ipv4([127, 0, 0, 1], port: 443)

    private func settings(_ directory: TLSDirectory) -> TLSSettings {
        let certificate = directory.write("a.pem", TLSFixtures.certificate)
        return TLSSettings(.files([CertificateFiles(certificate: certificate, key: directory.write("a.key", TLSFixtures.key))]))
    }

    @Test func settingsReachTheConfiguration() throws {
        let directory = TLSDirectory()
        var settings = settings(directory)
        settings.alpn = ["http/1.1"]
        settings.versionMin = .tls13
        settings.clientAuthentication = .required(authorities: directory.path + "/a.pem")
        settings.tickets = .off
        settings.cacheEntries = 0
        let made = try TLSMaterials().configuration(settings, for: address)
        #expect(made.certificates.map(\.names) == [["localhost"]])
        #expect(made.applicationProtocols == ["http/1.1"])
        #expect(made.minimumVersion == .tls13)
        #expect(made.sessionCache == nil)
        guard case .required(let authorities) = made.clientAuthentication, case .off = made.sessionTickets else {
            Issue.record("client authentication or tickets are lost")
            return
        }
        #expect(authorities.certificates.count == 1)
    }

    /// Clients come back with tickets and session ids of before.
    @Test func aReloadKeepsSecretAndCacheOfItsListener() throws {
        let directory = TLSDirectory()
        let materials = TLSMaterials()
        var settings = settings(directory)
        func secret(_ configuration: TLSConfiguration) -> [UInt8]? {
            guard case .derived(let secret, _) = configuration.sessionTickets else { return nil }
            // Copied within the call.
            return unsafe secret.withBytes { unsafe Array($0) }
        }
        let first = try materials.configuration(settings, for: address)
        settings.ticketRotateNs = 60_000_000_000
        let second = try materials.configuration(settings, for: address)
        let other = try materials.configuration(settings, for: .ipv4([127, 0, 0, 1], port: 444))
        #expect(secret(first) != nil && secret(first) == secret(second))
        #expect(secret(first) != secret(other))
        #expect(second.sessionTickets.lifetimeSeconds == 60)
        #expect(first.sessionCache === second.sessionCache && first.sessionCache !== other.sessionCache)
        settings.cacheLifetimeNs = 60_000_000_000
        let third = try materials.configuration(settings, for: address)
        #expect(third.sessionCache !== first.sessionCache && third.sessionCache?.lifetimeSeconds == 60)
    }

    @Test func filesAreReadEachTime() throws {
        let directory = TLSDirectory()
        let settings = settings(directory)
        let materials = TLSMaterials()
        let first = try materials.configuration(settings, for: address).certificates[0].fingerprint
        directory.write("a.pem", TLSFixtures.expiredCertificate)
        // Half a renewal: the key is still the old one.
        #expect(throws: GatewayError.self) { try materials.configuration(settings, for: address) }
        directory.write("a.key", TLSFixtures.expiredKey)
        #expect(try materials.configuration(settings, for: address).certificates[0].fingerprint != first)
    }

    @Test func oneSelfSignedCertificateForAll() throws {
        let materials = TLSMaterials()
        #expect(materials.selfSignedFingerprint == nil)
        let first = try materials.configuration(TLSSettings(.selfSigned), for: address)
        let second = try materials.configuration(TLSSettings(.selfSigned), for: .unix(path: "/x"))
        #expect(first.certificates[0].fingerprint == second.certificates[0].fingerprint)
        #expect(materials.selfSignedFingerprint == first.certificates[0].fingerprint)
        #expect(first.certificates[0].fingerprint.utf8.count == 32 * 3 - 1)
    }

    @Test func argumentsOfTheQuickCommands() throws {
        let directory = TLSDirectory()
        let certificate = directory.write("a.pem", TLSFixtures.certificate)
        let key = directory.write("a.key", TLSFixtures.key)
        let old = directory.write("old.pem", TLSFixtures.expiredCertificate)
        let oldKey = directory.write("old.key", TLSFixtures.expiredKey)
        let plain = try QuickTransport(tls: nil, sessionTickets: nil, http2: false)
        #expect(plain.tls == nil && !plain.speaksHTTP2)
        let files = try QuickTransport(tls: "\(certificate),\(key)", sessionTickets: false, http2: false)
        #expect(files.tls?.certificates == .files([CertificateFiles(certificate: certificate, key: key)]))
        #expect(files.tls?.tickets == .off && files.tls?.alpn == ["http/1.1"])
        #expect(try QuickTransport(tls: "self-signed", sessionTickets: true, http2: true).tls == TLSSettings(.selfSigned))
        #expect(try QuickTransport(tls: "\(old),\(oldKey)", sessionTickets: nil, http2: true).warnings.count == 1)
        for text in ["", ",", "a", "a,", "a,b,c", "\(certificate),\(oldKey)", "/does/not/exist,/either", "selfsigned"] {
            #expect(throws: GatewayError.self) { try QuickTransport(tls: text, sessionTickets: nil, http2: true) }
        }
        #expect(throws: GatewayError.self) { try QuickTransport(tls: nil, sessionTickets: true, http2: true) }
        let configuration = try QuickConfiguration.respond(
            status: 200, headers: [], body: nil, json: nil, listen: [address], loops: .auto, transport: files)
        #expect(configuration.listeners[0].tls == files.tls && !configuration.listeners[0].speaksHTTP2)
    }
}
