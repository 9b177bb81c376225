// Listeners with TLS as a program makes them: by the public API alone, against openssl and curl. What may go wrong with files is told before anything listens.

import Glibc
import TestSupport
import Testing
import UringBase
import UringServer

/// A server whose listeners a test chooses; stops with its object.
private final class Listening {
    let running: RunningServer

    init(_ listeners: [Listener]) throws {
        var options = ServerOptions()
        options.loops = .count(1)
        options.stallThreshold = .zero
        running = try Server(listeners: listeners, options: options) { request, response in
            response.write("hello \(request.protocolVersion) \(request.isSecure) \(request.connectionID)")
            guard let tls = request.tls else { return }
            response.write(" [\(String(tls.serverName))] [\(String(tls.clientSubject))]")
        }.start()
    }

    convenience init(_ listener: Listener) throws { try self.init([listener]) }

    deinit { running.stop(within: .seconds(20)) }

    var address: String { running.addresses[0] }
    var port: String { String(address.split(separator: ":").last ?? "") }
    func url(_ host: String = "127.0.0.1", _ scheme: String = "https") -> String { "\(scheme)://\(host):\(port)/" }
}

@Suite(.timeLimit(.minutes(3))) struct TLSListenerTests {
    private let identities: Identities

    init() throws {
        identities = try Identities()
        try identities.make("a", for: "a.example")
    }

    private var files: TLSOptions { .files(cert: identities("a.pem"), key: identities("a.key")) }

    /// What `start` throws.
    private func problem(_ tls: TLSOptions, http2: HTTP2Mode = .on) -> String? {
        do {
            _ = try Listening(Listener("127.0.0.1:0", tls: tls, http2: http2))
            return nil
        } catch let error as ServerError { return error.description } catch { return "no ServerError: \(error)" }
    }

    private func trusted(_ server: Listening, _ name: String, _ options: String = "") throws -> String {
        try curl("--cacert \(identities("\(name).pem")) --resolve \(name).example:\(server.port):127.0.0.1 \(options) \(server.url("\(name).example"))")
    }

    // MARK: certificates

    @Test func fromFiles() throws {
        let server = try Listening(Listener("127.0.0.1:0", tls: files))
        #expect(try trusted(server, "a").hasPrefix("hello HTTP/2.0 true "))
        #expect(try trusted(server, "a", "--http1.1").hasPrefix("hello HTTP/1.1 true "))
        #expect(server.running.summary[0].hasPrefix("listening on https://127.0.0.1:"))
        #expect(server.running.warnings == [])
        let certificate = try #require(server.running.certificates(of: "127.0.0.1:0").first)
        #expect(certificate == server.running.certificates(of: server.address).first)
        #expect(certificate.names == ["a.example"] && certificate.notAfter - certificate.notBefore == 30 * 86400)
        #expect(try certificate.fingerprint == identities.fingerprint("a"))
        #expect(server.running.certificates(of: "elsewhere") == [])
    }

    @Test func fromMemory() throws {
        let server = try Listening(Listener("127.0.0.1:0", tls: .pem(cert: identities.read("a.pem"), key: identities.read("a.key"))))
        #expect(try trusted(server, "a").hasPrefix("hello HTTP/2.0 true "))
        // A certificate that lies on a disk, with a key that does not.
        let mixed = try TLSOptions(certificates: [.init(cert: .file(identities("a.pem")), key: .bytes(identities.read("a.key")))])
        #expect(try trusted(Listening(Listener("127.0.0.1:0", tls: mixed)), "a").hasPrefix("hello"))
    }

    @Test func selfSigned() throws {
        let server = try Listening([Listener("127.0.0.1:0", tls: .selfSigned()), Listener("127.0.0.1:0", tls: .selfSigned())])
        #expect(try curl("--insecure \(server.url())").hasPrefix("hello"))
        #expect(try curl(server.url()).contains("self-signed certificate") || curl(server.url()).contains("SSL certificate problem"))
        let prints = server.running.addresses.map { server.running.certificates(of: $0).map(\.fingerprint) }
        #expect(prints[0] == prints[1] && prints[0].count == 1)
    }

    @Test func byServerName() throws {
        try identities.make("b", for: "b.example")
        let certificates = ["a", "b"].map { TLSOptions.Certificate.files(cert: identities("\($0).pem"), key: identities("\($0).key")) }
        let server = try Listening(Listener("127.0.0.1:0", tls: TLSOptions(certificates: certificates)))
        for name in ["a", "b"] { #expect(try trusted(server, name).contains("[\(name).example]")) }
        #expect(try secureClient(server.address, "-servername c.example").contains("subject=CN = a.example"))
        // A client that wants another name than the certificate's judges by itself.
        let stranger = try curl("--cacert \(identities("a.pem")) --resolve c.example:\(server.port):127.0.0.1 \(server.url("c.example"))")
        #expect(stranger.contains("no alternative certificate subject name matches") || stranger.contains("SSL"), "\(stranger)")
    }

    @Test func ecdsaAndRSASideBySide() throws {
        try identities.make("r", for: "a.example", rsa: true)
        let certificates = ["a", "r"].map { TLSOptions.Certificate.files(cert: identities("\($0).pem"), key: identities("\($0).key")) }
        let server = try Listening(Listener("127.0.0.1:0", tls: TLSOptions(certificates: certificates)))
        #expect(try secureClient(server.address, "-servername a.example").contains("Peer signature type: ECDSA"))
        #expect(try secureClient(server.address, "-servername a.example -sigalgs RSA-PSS+SHA256").contains("Peer signature type: RSA-PSS"))
    }

    // MARK: what cannot be used

    @Test func problemsNameFileAndRemedy() throws {
        try identities.make("b", for: "b.example")
        let (cert, key, absent) = (identities("a.pem"), identities("a.key"), identities("absent.pem"))
        let problems = [
            (problem(.files(cert: absent, key: key)), "TLS of 127.0.0.1:0: \(absent): No such file or directory: check the path"),
            (problem(.files(cert: cert, key: absent)), "\(absent): No such file or directory: check the path"),
            (problem(.files(cert: cert, key: identities("b.key"))), "b.key: the key does not belong to the certificate in \(cert): give the key"),
            (problem(.files(cert: key, key: key)), "a.key: contains PRIVATE KEY and no CERTIFICATE: give the file that begins with -----BEGIN CERTIFICATE-----"),
            (problem(.files(cert: cert, key: cert)), "a.pem: contains CERTIFICATE and no PRIVATE KEY"),
            (problem(.files(cert: cert, key: key, ocsp: cert)), "a.pem: not an OCSP response in DER: write it with"),
            (problem(.pem(cert: try identities.read("a.pem"), key: try identities.read("b.key"))), "certificates[0].key in memory: the key does not belong"),
            (problem(.pem(cert: Array("hello".utf8), key: [1])), "certificates[0].cert in memory: is not PEM"),
            (problem(.pem(cert: [], key: [])), "certificates[0].cert in memory: there are no bytes"),
            (problem(TLSOptions(certificates: [])), "TLS of 127.0.0.1:0: certificates: there is none"),
        ]
        for (found, expected) in problems { #expect(found?.contains(expected) == true, "\(found ?? "nothing") for \(expected)") }
        unsafe chmod(key, 0o644)
        #expect(problem(files)?.contains("every user may read or change this key (mode 0644): chmod 600 \(key)") == true)
    }

    @Test func settingsOutOfRange() throws {
        func refused(_ expected: String, http2: HTTP2Mode = .on, _ change: (inout TLSOptions) -> Void) {
            var tls = files
            change(&tls)
            let found = problem(tls, http2: http2)
            #expect(found?.contains(expected) == true, "\(found ?? "nothing") for \(expected)")
        }
        refused("minVersion: is newer") { ($0.minVersion, $0.maxVersion) = (.tls13, .tls12) }
        refused("alpn: offers h2, but `http2` is `.off`", http2: .off) { $0.alpn = [.http2, .http11] }
        refused("alpn: `http2` is `.only`", http2: .only) { $0.alpn = [.http2, .http11] }
        refused("alpn: offers a protocol twice") { $0.alpn = [.http2, .http2] }
        refused("handshakeTimeout: is") { $0.handshakeTimeout = .zero }
        refused("handshakes: is 0") { $0.handshakes = 0 }
        refused("sessionTickets.rotate: is") { $0.sessionTickets.rotate = .seconds(1) }
        refused("sessionTickets.keys: there is none") { $0.sessionTickets.keys = .keys([]) }
        refused("sessionTickets.keys[0] in memory: has 3 bytes") { $0.sessionTickets.keys = .keys([.bytes([1, 2, 3])]) }
        refused("sessionTickets.secret in memory: has 3 bytes, 32 are needed") { $0.sessionTickets.keys = .secret(.bytes([1, 2, 3])) }
        refused("sessionCache.entries: is -1") { $0.sessionCache.entries = -1 }
        refused("sessionCache.lifetime: is") { $0.sessionCache.lifetime = .zero }
        refused("a self-signed one for no name") { $0.certificates.append(.selfSigned([])) }
        refused("clientAuth.ca in memory: is not PEM") { $0.clientAuth = .required(ca: .bytes([1])) }
    }

    /// A server that cannot serve everything takes no client away from one that can.
    @Test func nothingListensWhenACertificateIsMissing() throws {
        let path = TestServer.temporaryPath()
        #expect(throws: ServerError.self) { try Listening([Listener("unix:\(path)"), Listener("127.0.0.1:0", tls: .files(cert: "/absent", key: "/absent"))]) }
        let isThere = unsafe access(path, F_OK) == 0
        #expect(!isThere)
    }

    @Test func anExpiredCertificateIsAWarning() throws {
        let tls = TLSOptions.pem(cert: Array(ExpiredIdentity.certificate.utf8), key: Array(ExpiredIdentity.key.utf8))
        let server = try Listening(Listener("127.0.0.1:0", tls: tls))
        #expect(server.running.warnings == ["certificates[0].cert in memory: the certificate has expired: renew it: clients refuse it"])
        #expect(try curl("--insecure \(server.url())").hasPrefix("hello"))
        #expect(try curl(server.url()).contains("SSL certificate problem"))
    }

    // MARK: clients and versions

    @Test func clientCertificates() throws {
        try identities.make("client", for: "client.example")
        try identities.make("stranger", for: "stranger.example")
        let ca = TLSOptions.Source.file(identities("client.pem"))
        let servers = try [TLSOptions.ClientAuth.required(ca: ca), .optional(ca: ca), .none].map { clientAuth in
            var tls = files
            tls.clientAuth = clientAuth
            return try Listening(Listener("127.0.0.1:0", tls: tls))
        }
        func ask(_ server: Listening, _ name: String?) throws -> String {
            try trusted(server, "a", name.map { "--cert \(identities("\($0).pem")) --key \(identities("\($0).key"))" } ?? "")
        }
        // Known, unknown, none: for each mode.
        for (server, answers) in zip(servers, [[true, false, false], [true, false, true], [true, true, true]]) {
            for (name, answer) in zip(["client", "stranger", nil], answers) { #expect(try ask(server, name).hasPrefix("hello") == answer, "\(name ?? "none")") }
        }
        #expect(try ask(servers[0], "client").hasSuffix("[CN=client.example]"))
        #expect(try ask(servers[2], "client").hasSuffix("[]"))
    }

    @Test func versions() throws {
        var old = files
        old.maxVersion = .tls12
        var new = files
        new.minVersion = .tls13
        for (tls, answers) in [(files, [true, true]), (old, [true, false]), (new, [false, true])] {
            let server = try Listening(Listener("127.0.0.1:0", tls: tls))
            for (option, answer) in zip(["-tls1_2", "-tls1_3"], answers) { #expect(try secureClient(server.address, option).contains("hello") == answer) }
        }
    }

    /// Tickets: derived ones are taken by another server with the same secret, generated ones are not; off gives none.
    @Test func resumption() throws {
        func server(_ keys: TLSOptions.SessionTickets.Keys) throws -> Listening {
            var tls = files
            tls.sessionTickets = .init(keys)
            tls.sessionCache.entries = 0
            return try Listening(Listener("127.0.0.1:0", tls: tls))
        }
        let secret = [UInt8](repeating: 7, count: 32)
        let file = [UInt8](repeating: 9, count: 80)
        for (name, keys, resumes) in [
            ("secret", TLSOptions.SessionTickets.Keys.secret(.bytes(secret)), true), ("keys", .keys([.bytes(file)]), true), ("generated", .generated, false),
        ] {
            let first = try server(keys)
            let second = try server(keys)
            #expect(try secureClient(first.address, "-tls1_2 -sess_out \(identities("session"))").contains("\nNew, "))
            for (at, expected) in [(first, true), (second, resumes)] {
                #expect(try secureClient(at.address, "-tls1_2 -sess_in \(identities("session"))").contains("\nReused, ") == expected, "\(name)")
            }
        }
        #expect(try !shell("openssl s_client -connect \(server(.off).address) -tls1_2 </dev/null 2>/dev/null").contains("TLS session ticket:"))
    }

    // MARK: reload

    /// A connection goes on with the certificate it began with; new ones get the new one, and old tickets stay good.
    @Test func reloadWhileAConnectionLives() throws {
        try identities.make("b", for: "a.example")
        let server = try Listening(Listener("127.0.0.1:0", tls: files))
        #expect(try secureClient(server.address, "-tls1_2 -sess_out \(identities("session"))").contains("\nNew, "))
        let go = identities("go")
        let input = #"(printf 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'; while [ ! -e \#(go) ]; do sleep 0.02; done; printf 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')"#
        let live = try ServerProcess(
            ["-c", "\(input) | timeout 60 openssl s_client -connect \(server.address) -ign_eof 2>&1"], listeners: 0, binary: "/bin/sh")
        try live.wait(forOutput: "hello HTTP/1.1")
        _ = try shell("cp \(identities("b.pem")) \(identities("a.pem")); cp \(identities("b.key")) \(identities("a.key"))")
        #expect(try server.running.reloadTLS() == [])
        let expected = try identities.fingerprint("b")
        #expect(server.running.certificates(of: server.address).map(\.fingerprint) == [expected])
        #expect(try eventually { try trusted(server, "b", "--resolve a.example:\(server.port):127.0.0.1 \(server.url("a.example"))").contains("hello") })
        try identities.write("go", "")
        try live.waitForExit()
        let answers = live.output.split(separator: "hello HTTP/1.1 true ").dropFirst().map { $0.prefix { $0 != " " } }
        #expect(answers.count == 2 && answers[0] == answers[1], "\(live.output)")
        #expect(try secureClient(server.address, "-tls1_2 -sess_in \(identities("session"))").contains("\nReused, "))
        // What cannot be used changes nothing.
        try identities.write("a.key", "")
        #expect(throws: ServerError.self) { try server.running.reloadTLS() }
        #expect(server.running.certificates(of: server.address).map(\.fingerprint) == [expected])
        #expect(try secureClient(server.address, "-tls1_2").contains("hello"))
    }

    @Test func otherTLSForAListener() throws {
        try identities.make("b", for: "b.example")
        let server = try Listening([Listener("127.0.0.1:0"), Listener("127.0.0.1:0", tls: files)])
        let second = server.running.addresses[1]
        #expect(try server.running.replaceTLS(of: second, with: .files(cert: identities("b.pem"), key: identities("b.key"))) == [])
        #expect(try eventually { try secureClient(second, "").contains("subject=CN = b.example") })
        // A listener in clear goes over.
        #expect(try curl(server.url("127.0.0.1", "http")).hasPrefix("hello HTTP/1.1 false"))
        try server.running.replaceTLS(of: server.address, with: files)
        #expect(try eventually { try trusted(server, "a").hasPrefix("hello HTTP/2.0 true") })
        do {
            try server.running.replaceTLS(of: "127.0.0.1:1", with: files)
            Issue.record("a listener that is none")
        } catch { #expect("\(error)".hasPrefix("no listener 127.0.0.1:1: there are 127.0.0.1:")) }
        #expect(throws: ServerError.self) { try server.running.replaceTLS(of: second, with: .files(cert: "/absent", key: "/absent")) }
        #expect(try secureClient(second, "").contains("subject=CN = b.example"))
    }

    /// Not advised, for it reads files on the loop, but no dead end: an administration's handler may ask for it.
    @Test func reloadFromAHandler() throws {
        let holder = Locked<RunningServer?>(nil)
        var options = ServerOptions()
        options.loops = .count(2)
        let running = try Server(listeners: [Listener("127.0.0.1:0", tls: files)], options: options) { request, response in
            let running = holder.withLock { $0 }
            _ = try running?.reloadTLS()
            response.write("reloaded \(running?.certificates(of: "127.0.0.1:0").count ?? 0)")
        }.start()
        holder.withLock { $0 = running }
        for _ in 0..<3 { #expect(try secureClient(running.addresses[0], "").contains("reloaded 1")) }
        holder.withLock { $0 = nil }
        running.stop(within: .seconds(20))
    }

    // MARK: versions of HTTP

    @Test func http2InClear() throws {
        let modes: [HTTP2Mode] = [.off, .on, .only]
        let servers = try modes.map { try Listening(Listener("127.0.0.1:0", http2: $0)) }
        for (server, (old, new)) in zip(servers, [(true, false), (true, true), (false, true)]) {
            #expect(try curl("--http1.1 \(server.url("127.0.0.1", "http"))").hasPrefix("hello HTTP/1.1 false") == old)
            #expect(try curl("--http2-prior-knowledge \(server.url("127.0.0.1", "http"))").hasPrefix("hello HTTP/2.0 false") == new)
        }
    }

    @Test func http2OverTLS() throws {
        let modes: [HTTP2Mode] = [.off, .on, .only]
        let servers = try modes.map { try Listening(Listener("127.0.0.1:0", tls: files, http2: $0)) }
        let answers = [["alert", "http/1.1", "HTTP/1.1"], ["h2", "http/1.1", "HTTP/1.1"], ["h2", "alert", "alert"]]
        for (server, answers) in zip(servers, answers) {
            for (options, answer) in zip(["-alpn h2", "-alpn http/1.1", ""], answers) {
                let output = try secureClient(server.address, options)
                switch answer {
                case "alert": #expect(output.contains("alert no application protocol") && !output.contains("hello"), "\(options)")
                case "HTTP/1.1": #expect(output.contains("No ALPN negotiated") && output.contains("hello HTTP/1.1"), "\(options)")
                default: #expect(output.contains("ALPN protocol: \(answer)\n"), "\(options)")
                }
            }
        }
        #expect(try trusted(servers[0], "a").hasPrefix("hello HTTP/1.1"))
        #expect(try trusted(servers[2], "a").hasPrefix("hello HTTP/2.0"))
    }

    /// The alternatives of a listener that have nothing to do with TLS.
    @Test func everythingElse() throws {
        let path = TestServer.temporaryPath()
        var unix = Listener("unix:\(path)")
        unix.unixMode = 0o600
        var six: Listener = "[::]:0"
        six.isIPv6Only = true
        six.backlog = 7
        let server = try Listening([six, unix])
        var facts = stat()
        let found = unsafe stat(path, &facts)
        #expect(found == 0 && facts.st_mode & 0o777 == 0o600)
        #expect(try curl("http://[::1]:\(server.port)/").hasPrefix("hello"))
        #expect(try !curl("http://127.0.0.1:\(server.port)/").hasPrefix("hello"))
        #expect(try curl("--unix-socket \(path) http://a/").hasPrefix("hello"))
    }
}
