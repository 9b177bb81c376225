// What a program outside the package can say of listeners and TLS: compiled as such a program, with `import UringServer` alone.

import TestSupport
import Testing

@Suite struct PublicListenerTests {
    @Test func everySymbolIsReachable() throws {
        let program = """
            import UringServer

            var tls = TLSOptions(certificates: [
                .files(cert: "a.pem", key: "a.key"), .files(cert: "a.pem", key: "a.key", ocsp: "a.ocsp"), .pem(cert: [], key: [], ocsp: []), .selfSigned(["a"]),
                TLSOptions.Certificate(cert: .file("a.pem"), key: .bytes([]), ocsp: .file("a.ocsp")),
            ])
            tls.certificates.append(.selfSigned(TLSOptions.Certificate.localNames))
            tls.alpn = [.http2, .http11]
            for mode: TLSOptions.ClientAuth in [.none, .optional(ca: .file("ca.pem")), .required(ca: .bytes([]))] { tls.clientAuth = mode }
            for keys: TLSOptions.SessionTickets.Keys in [.off, .generated, .secret(.file("s")), .keys([.bytes([])])] { tls.sessionTickets = .init(keys) }
            tls.sessionTickets.rotate = .seconds(3600)
            tls.sessionCache = .init()
            (tls.sessionCache.entries, tls.sessionCache.lifetime) = (10, .seconds(60))
            (tls.minVersion, tls.maxVersion) = (.tls12, .tls13)
            (tls.handshakeTimeout, tls.handshakes) = (.seconds(1), 10)
            _ = [TLSOptions.files(cert: "a", key: "b"), .pem(cert: [], key: []), .selfSigned()]
            var listener = Listener("127.0.0.1:0", tls: tls, http2: .only)
            (listener.address, listener.backlog, listener.isIPv6Only, listener.unixMode) = ("[::]:0", 7, true, 0o660)
            for mode: HTTP2Mode in [.off, .on, .only] { listener.http2 = mode }
            var server = Server(listeners: ["127.0.0.1:80", listener]) { request, response in }
            server = Server(listeners: [listener], options: ServerOptions(), application: Application { request, response in })
            server.listeners[0].tls = nil
            do {
                let running = try server.start()
                let warnings: [String] = try running.reloadTLS() + running.replaceTLS(of: "127.0.0.1:0", with: tls) + running.warnings
                let certificates: [ServerCertificate] = running.certificates(of: "127.0.0.1:0")
                for one in certificates { print(one.names, one.fingerprint, one.notBefore, one.notAfter, warnings) }
                running.stop(within: .zero)
            } catch let error as ServerError { print(error.description) }
            """
        #expect(try Compiler().compile(program) == nil)
    }

    /// What holds keys and OpenSSL's rules stays inside.
    @Test(arguments: ["TLSConfiguration", "TLSCertificate", "SecretBytes", "ListenerTransport", "TLSMaterials"])
    func nothingElseIs(_ name: String) throws {
        let verdict = try #require(try Compiler().compile("import UringServer\nlet it: \(name)? = nil\n"), "\(name) is public")
        #expect(verdict.contains("cannot find type '\(name)' in scope") || verdict.contains("is inaccessible"), "\(verdict)")
    }
}
