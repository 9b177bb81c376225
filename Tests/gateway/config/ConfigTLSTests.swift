// `tls` and `http2`: what good values become, and every message in full.

import Testing

@testable import UringGateway

/// A listener whose `tls` has the given flow text; the text starts in line 1, column 46.
private func withTLS(_ tls: String) -> String {
    "listen: [{ address: '127.0.0.1:8443',   tls: \(tls) }]\nroutes: []\n"
}

private let pair = "certificates: [{ cert: s.pem, key: s.key }]"

private func settings(_ tls: String) throws -> TLSSettings {
    try #require(try good(withTLS(tls)).listeners[0].tls)
}

@Suite struct ConfigTLSTests {
    @Test func aShortTLSGetsTheTablesDefaults() throws {
        let configuration = try good(withTLS("{ \(pair) }"))
        let tls = try #require(configuration.listeners[0].tls)
        #expect(tls == TLSSettings(.files([CertificateFiles(certificate: "s.pem", key: "s.key")])))
        #expect(tls.alpn == ["h2", "http/1.1"])
        #expect(tls.clientAuthentication == .none)
        #expect(tls.tickets == .generated)
        #expect(tls.ticketRotateNs == 12 * 3_600_000_000_000)
        #expect(tls.cacheEntries == 20_000 && tls.cacheLifetimeNs == 3_600_000_000_000)
        #expect(tls.versionMin == .tls12)
        #expect(tls.handshakeTimeoutNs == 10_000_000_000 && tls.handshakesMax == 4096)
        #expect(configuration.listeners[0].http2 == .on)
        #expect(configuration.http2.streams == 128)
        #expect(configuration.http2.streamWindowBytes == 65_536 && configuration.http2.connectionWindowBytes == 262_144)
        #expect(configuration.http2.pingAfterNs == 60_000_000_000 && configuration.http2.pingTimeoutNs == 20_000_000_000)
    }

    @Test func everyKeyReachesItsOwnField() throws {
        let result = ConfigLoader.load(
            bytes: Array(
                """
                listen:
                  - address: 127.0.0.1:8443
                    tls:
                      certificates:
                        - { cert: a.pem, key: a.key, ocsp: a.der }
                        - { cert: /b.pem, key: /b.key }
                      alpn: [http/1.1, h2]
                      client-auth: { mode: required, ca: ca.pem }
                      session-tickets: { keys: [n.key, o.key], rotate: 2h }
                      session-cache: { entries: 7, lifetime: 3m }
                      min-version: 1.3
                      handshake-timeout: 5s
                      handshakes: 9
                http2: { streams: 100, stream-window: 16KiB, connection-window: 1MiB, ping-after: 0, ping-timeout: 5s }
                routes: []
                """.utf8), file: "test.yaml", directory: "/etc/u/", .test)
        #expect(result.render() == "")
        let configuration = try #require(result.configuration)
        let tls = try #require(configuration.listeners[0].tls)
        #expect(
            tls.certificates
                == .files([
                    CertificateFiles(certificate: "/etc/u/a.pem", key: "/etc/u/a.key", ocsp: "/etc/u/a.der"),
                    CertificateFiles(certificate: "/b.pem", key: "/b.key"),
                ]))
        #expect(tls.alpn == ["http/1.1", "h2"])
        #expect(tls.clientAuthentication == .required(authorities: "/etc/u/ca.pem"))
        #expect(tls.tickets == .keys(["/etc/u/n.key", "/etc/u/o.key"]))
        #expect(tls.ticketRotateNs == 7_200_000_000_000)
        #expect(tls.cacheEntries == 7 && tls.cacheLifetimeNs == 180_000_000_000)
        #expect(tls.versionMin == .tls13)
        #expect(tls.handshakeTimeoutNs == 5_000_000_000 && tls.handshakesMax == 9)
        #expect(configuration.http2.streams == 100)
        #expect(configuration.http2.streamWindowBytes == 16_384 && configuration.http2.connectionWindowBytes == 1_048_576)
        #expect(configuration.http2.pingAfterNs == 0 && configuration.http2.pingTimeoutNs == 5_000_000_000)
    }

    @Test func ticketsAreOnOffOrAMapping() throws {
        #expect(try settings("{ \(pair), session-tickets: off }").tickets == .off)
        #expect(try settings("{ \(pair), session-tickets: on }").tickets == .generated)
        #expect(try settings("{ \(pair), session-tickets: { mode: off } }").tickets == .off)
        #expect(try settings("{ \(pair), session-tickets: { rotate: 1h } }").tickets == .generated)
        #expect(try settings("{ \(pair), session-tickets: { secret: f } }").tickets == .secret("f"))
        #expect(try settings("{ \(pair), session-cache: { entries: 0 } }").cacheEntries == 0)
        #expect(try settings("{ \(pair), client-auth: { mode: optional, ca: c } }").clientAuthentication == .optional(authorities: "c"))
    }

    @Test func http2OffTakesItOutOfALPN() throws {
        let configuration = try good("listen: [{ address: 127.0.0.1:1, http2: false, tls: { \(pair) } }, { address: 127.0.0.1:2, http2: false }]\nroutes: []")
        #expect(configuration.listeners.map(\.http2) == [.off, .off])
        #expect(configuration.listeners[0].tls?.alpn == ["http/1.1"])
        expectMessages(
            "listen: [{ address: 127.0.0.1:1, http2: false, tls: { \(pair), alpn: [h2] } }]\nroutes: []",
            ["1:106: alpn: h2 is offered, but `http2: false` switches HTTP/2 off for this listener; remove one of them"])
    }

    @Test func http2Only() throws {
        let configuration = try good("listen: [{ address: 127.0.0.1:1, http2: only, tls: { \(pair) } }, { address: 127.0.0.1:2, http2: only }, { address: 127.0.0.1:3, http2: true }]\nroutes: []")
        #expect(configuration.listeners.map(\.http2) == [.only, .only, .on])
        #expect(configuration.listeners[0].tls?.alpn == ["h2"])
        #expect(try good("listen: [{ address: 127.0.0.1:1, http2: only, tls: { \(pair), alpn: [h2] } }]\nroutes: []").listeners[0].tls?.alpn == ["h2"])
        expectMessages(
            "listen: [{ address: 127.0.0.1:1, http2: only, tls: { \(pair), alpn: [h2, http/1.1] } }]\nroutes: []",
            ["1:105: alpn: `http2: only` offers h2 and nothing else; remove one of them"])
        for (given, meant) in [("on", "true"), ("off", "false"), ("onyl", "only"), ("ture", "true")] {
            expectMessages(
                "listen: [{ address: 127.0.0.1:1, http2: \(given) }]\nroutes: []",
                ["1:41: listen[0].http2: found `\(given)`, accepted: true, false or only; did you mean `\(meant)`?"])
        }
        expectMessages(
            "listen: [{ address: 127.0.0.1:1, http2: 2 }]\nroutes: []", ["1:41: listen[0].http2: found `2`, accepted: true, false or only"])
    }

    @Test func certificateMessages() {
        expectMessages(
            withTLS("{}"), ["1:46: the key `certificates` is missing in `listen[0].tls`; for example `certificates: [{ cert: server.pem, key: server.key }]`"])
        expectMessages(
            withTLS("{ certificates: [] }"), ["1:62: listen[0].tls.certificates: found an empty list, accepted: 1 to 1000 entries"])
        expectMessages(
            withTLS("{ certificates: [{ cert: a }] }"),
            ["1:63: the key `key` is missing in `listen[0].tls.certificates[0]`; for example `key: server.key`"])
        expectMessages(
            withTLS("{ certificate: [{ cert: a, key: b }] }"),
            [
                "1:48: unknown key `certificate` in `listen[0].tls`, did you mean `certificates`? accepted: certificates, alpn, client-auth, session-tickets, session-cache, min-version, handshake-timeout, handshakes"
            ])
        expectMessages(
            withTLS("{ certificates: [{ crt: a, key: '' }] }"),
            [
                "1:65: unknown key `crt` in `listen[0].tls.certificates[0]`, did you mean `cert`? accepted: cert, key, ocsp",
                "1:78: listen[0].tls.certificates[0].key: found empty text (no path), accepted: a path",
            ])
    }

    @Test func valueMessages() {
        expectMessages(
            withTLS("{ \(pair), alpn: [h3] }"), ["1:100: listen[0].tls.alpn[0]: found `h3`, accepted: h2 or http/1.1; did you mean `h2`?"])
        expectMessages(withTLS("{ \(pair), alpn: [h2, h2] }"), ["1:104: listen[0].tls.alpn: `h2` appears twice"])
        expectMessages(withTLS("{ \(pair), alpn: [] }"), ["1:99: listen[0].tls.alpn: found an empty list, accepted: 1 to 2 entries"])
        expectMessages(
            withTLS("{ \(pair), min-version: 1.1 }"), ["1:106: listen[0].tls.min-version: found `1.1`, accepted: 1.2 or 1.3; did you mean `1.2`?"])
        expectMessages(
            withTLS("{ \(pair), session-tickets: yes }"),
            ["1:110: listen[0].tls.session-tickets: found `yes`, accepted: on, off, or a mapping with the keys mode, keys, secret, rotate"])
        expectMessages(
            withTLS("{ \(pair), session-tickets: { keys: [a], secret: b } }"),
            ["1:123: `secret` stands beside `keys` in `listen[0].tls.session-tickets`; only one of them is possible"])
        expectMessages(
            withTLS("{ \(pair), session-tickets: { rotate: 8d } }"),
            ["1:120: listen[0].tls.session-tickets.rotate: found `8d`, accepted: a duration such as 500ms, 10s, 2m or 1h30m, from 1m to 7d"])
        expectMessages(
            withTLS("{ \(pair), handshake-timeout: 0, handshakes: 0 }"),
            [
                "1:112: listen[0].tls.handshake-timeout: found `0`, accepted: a duration such as 500ms, 10s, 2m or 1h30m, from 100ms to 10m",
                "1:127: listen[0].tls.handshakes: found `0`, accepted: a number from 1 to 1000000",
            ])
        expectMessages(
            withTLS("{ \(pair), session-tickets: { mode: off, keys: [a] } }"),
            ["1:123: warning: session-tickets: `keys` has no effect: `mode` is off"])
    }

    @Test func clientAuthMessages() {
        expectMessages(
            withTLS("{ \(pair), client-auth: { mode: required } }"),
            ["1:114: client-auth: `mode: required` needs `ca`, the authorities that client certificates must lead to; for example `ca: clients.pem`"])
        expectMessages(withTLS("{ \(pair), client-auth: { ca: c } }"), ["1:108: warning: client-auth: `ca` has no effect: `mode` is none"])
        expectMessages(
            withTLS("{ \(pair), client-auth: { mode: require, ca: c } }"),
            ["1:114: listen[0].tls.client-auth.mode: found `require`, accepted: none, optional or required; did you mean `required`?",
             "1:123: warning: client-auth: `ca` has no effect: `mode` is none"])
    }

    @Test func http2Messages() {
        expectMessages(
            withBase("http2: { streams: 0, stream-window: 8KiB }"),
            [
                "1:19: http2.streams: found `0`, accepted: a number from 1 to 10000",
                "1:37: http2.stream-window: found `8KiB`, accepted: a size such as 4096, 32KiB, 10MiB or 1MB, from 16KiB to 16MiB",
            ])
        expectMessages(
            withBase("http2: { stream-window: 1MiB }"),
            ["1:25: warning: http2: stream-window (1MiB) is larger than connection-window (256KiB), which bounds it"])
    }

    /// The file checks are asked once for each listener, and their answers stand at the paths, warnings among them.
    @Test func problemsOfFilesStandAtTheirPaths() {
        var options = ConfigLoadOptions.test
        options.checks.tlsProblems = { settings in
            guard case .files(let files) = settings.certificates else { return [] }
            #expect(files.map(\.certificate) == ["a.pem", "b.pem"])
            return [
                TLSFileProblem(role: .key(1), message: "b.key: bad key"), TLSFileProblem(role: .certificate(0), message: "old", isWarning: true),
                TLSFileProblem(role: .ticketKey(1), message: "short"), TLSFileProblem(role: .authorities, message: "none"),
            ]
        }
        let text = """
            listen:
              - address: 127.0.0.1:8443
                tls:
                  certificates:
                    - { cert: a.pem, key: a.key }
                    - { cert: b.pem, key: b.key }
                  client-auth: { mode: optional, ca: ca.pem }
                  session-tickets: { keys: [x, y] }
            routes: []
            """
        let result = ConfigLoader.load(bytes: Array(text.utf8), file: "t", directory: "", options)
        #expect(
            result.render() == """
                t:5:19: warning: tls.certificates.cert: old
                t:6:31: tls.certificates.key: b.key: bad key
                t:7:42: tls.client-auth.ca: none
                t:8:36: tls.session-tickets.keys[1]: short

                """)
        #expect(result.configuration == nil)
    }
}
