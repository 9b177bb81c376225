// Files of `tls`: what is wrong with them is told at their places in the file, without a byte of theirs.

import Glibc
import TestSupport
import Testing
import UringServer

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
        directory.write("old.pem", ExpiredIdentity.certificate)
        directory.write("old.key", ExpiredIdentity.key)
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

@Suite struct TLSSettingsTests {
    private let address = ListenAddress.ipv4([127, 0, 0, 1], port: 443)

    /// Every setting of a listener goes to the server library; the files are read there.
    @Test func settingsReachTheLibrary() throws {
        var settings = TLSSettings(.files([CertificateFiles(certificate: "/a.pem", key: "/a.key", ocsp: "/a.ocsp")]))
        settings.alpn = ["http/1.1"]
        settings.versionMin = .tls13
        settings.clientAuthentication = .required(authorities: "/ca.pem")
        settings.tickets = .keys(["/t.key"])
        settings.ticketRotateNs = 60_000_000_000
        settings.cacheEntries = 7
        settings.cacheLifetimeNs = 61_000_000_000
        settings.handshakeTimeoutNs = 3_000_000_000
        settings.handshakesMax = 9
        let options = settings.options
        #expect(options.certificates.count == 1 && options.alpn == [.http11] && options.minVersion == .tls13)
        guard case .required(.file("/ca.pem")) = options.clientAuth, case .keys(let keys) = options.sessionTickets.keys, case .file("/t.key") = keys[0] else {
            Issue.record("client authentication or tickets are lost")
            return
        }
        #expect(options.sessionTickets.rotate == .seconds(60))
        #expect(options.sessionCache.entries == 7 && options.sessionCache.lifetime == .seconds(61))
        #expect(options.handshakeTimeout == .seconds(3) && options.handshakes == 9)
        settings.tickets = .secret("/s")
        guard case .secret(.file("/s")) = settings.options.sessionTickets.keys else { throw GatewayError("the secret is lost") }
        settings.tickets = .off
        guard case .off = settings.options.sessionTickets.keys else { throw GatewayError("tickets are on") }
    }

    /// What the table's defaults mean is what the library's mean.
    @Test func defaultsAreTheLibrarys() {
        let (ours, theirs) = (TLSSettings(.selfSigned).options, TLSOptions.selfSigned())
        #expect(ours.alpn == [.http2, .http11] && ours.minVersion == theirs.minVersion)
        #expect(ours.handshakeTimeout == theirs.handshakeTimeout && ours.handshakes == theirs.handshakes)
        #expect(ours.sessionTickets.rotate == theirs.sessionTickets.rotate)
        #expect(ours.sessionCache.entries == theirs.sessionCache.entries && ours.sessionCache.lifetime == theirs.sessionCache.lifetime)
    }

    @Test func listenersReachTheLibrary() throws {
        for (text, mode) in [(HTTP2Versions.off, HTTP2Mode.off), (.on, .on), (.only, .only)] {
            var listener = ListenerConfiguration(address: address)
            listener.http2 = text
            listener.backlog = 7
            #expect(try listener.listener().http2 == mode && listener.listener().backlog == 7)
            #expect(try listener.listener().address == "127.0.0.1:443" && listener.listener().unixMode == nil)
        }
        #expect(try ListenerConfiguration(address: .unix(path: "/x")).listener().unixMode == 0o660)
    }

    @Test func argumentsOfTheQuickCommands() throws {
        let directory = TLSDirectory()
        let certificate = directory.write("a.pem", TLSFixtures.certificate)
        let key = directory.write("a.key", TLSFixtures.key)
        let old = directory.write("old.pem", ExpiredIdentity.certificate)
        let oldKey = directory.write("old.key", ExpiredIdentity.key)
        let plain = try QuickTransport(tls: nil, sessionTickets: nil, http2: .off)
        #expect(plain.tls == nil && plain.http2 == .off)
        let files = try QuickTransport(tls: "\(certificate),\(key)", sessionTickets: false, http2: .off)
        #expect(files.tls?.certificates == .files([CertificateFiles(certificate: certificate, key: key)]))
        #expect(files.tls?.tickets == .off && files.tls?.alpn == ["http/1.1"])
        let only = try QuickTransport(tls: "self-signed", sessionTickets: nil, http2: .only)
        #expect(only.http2 == .only && only.tls?.alpn == ["h2"])
        #expect(try QuickTransport(tls: "self-signed", sessionTickets: true, http2: .on).tls == TLSSettings(.selfSigned))
        #expect(try QuickTransport(tls: "\(old),\(oldKey)", sessionTickets: nil, http2: .on).warnings.count == 1)
        for text in ["", ",", "a", "a,", "a,b,c", "\(certificate),\(oldKey)", "/does/not/exist,/either", "selfsigned"] {
            #expect(throws: GatewayError.self) { try QuickTransport(tls: text, sessionTickets: nil, http2: .on) }
        }
        #expect(throws: GatewayError.self) { try QuickTransport(tls: nil, sessionTickets: true, http2: .on) }
        let configuration = try QuickConfiguration.respond(
            status: 200, headers: [], body: nil, json: nil, listen: [address], loops: .auto, transport: files)
        #expect(configuration.listeners[0].tls == files.tls && configuration.listeners[0].http2 == .off)
    }
}
