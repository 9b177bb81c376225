// Handshakes and records, this layer against plain OpenSSL, interleaved; medians of the rounds. See `run`.

internal import CUringTLS
internal import Glibc

setvbuf(stdout, nil, _IOLBF, 0)
let rounds = CommandLine.arguments.count > 1 ? Int(CommandLine.arguments[1]) ?? 9 : 9
let now = Int64(time(nil))

/// What an application without this layer would set: the same algorithms, OpenSSL's own tickets and cache.
func plainContext(_ certificate: TLSCertificate, releases: Bool) -> OpaquePointer {
    let context = SSL_CTX_new(TLS_server_method())!
    SSL_CTX_set_cipher_list(context, TLSConfiguration.defaultCipherList)
    SSL_CTX_set_ciphersuites(context, TLSConfiguration.defaultCipherSuites)
    _ = urtls_ctx_set_groups(context, "X25519:P-256:P-384")
    SSL_CTX_set_options(context, urtls_op_server_preference)
    if releases { _ = urtls_ctx_set_mode(context, Int(SSL_MODE_RELEASE_BUFFERS)) }
    SSL_CTX_set_session_id_context(context, "bench", 5)
    SSL_CTX_use_certificate(context, OpenSSLObjects.certificate(certificate.chain[0]))
    SSL_CTX_use_PrivateKey(context, OpenSSLObjects.privateKey(certificate.key))
    return context
}

/// An RSA-2048 certificate, signed by itself.
func rsaCertificate() throws -> TLSCertificate {
    let key = urtls_generate_rsa(2048)!
    let certificate = X509_new()!
    X509_set_version(certificate, 2)
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0)
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400)
    X509_set_pubkey(certificate, key)
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8, "localhost", -1, -1, 0)
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate))
    X509_sign(certificate, key, EVP_sha256())
    var bytes: UnsafeMutablePointer<UInt8>?
    let count = Int(i2d_X509(certificate, &bytes))
    return TLSCertificate(
        chain: [Array(UnsafeBufferPointer(start: bytes, count: count))], key: TLSCertificate.serialise(key)!, keyKind: .rsa, names: ["localhost"],
        fingerprint: "", notBefore: now, notAfter: now + 86400)
}

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

func line(_ what: String, ours: [Double], plain: [Double], unit: String) {
    let a = median(ours)
    let b = median(plain)
    func text(_ value: Double) -> String { String(Double(Int(value * 1000)) / 1000) }
    print("\(what)\t\(text(a))\t\(text(b))\t\(text((a / b - 1) * 100)) %\t\(unit)")
}

func handshakes(_ what: String, _ certificate: TLSCertificate, _ version: CInt, resumed: Bool, tickets: Bool = true, count: Int) throws {
    var configuration = TLSConfiguration(certificates: [certificate])
    configuration.applicationProtocols = []
    let ours = try TLSContext(configuration, nowSeconds: now)
    let plain = plainContext(certificate, releases: true)
    let client = clientContext(version, tickets: tickets)
    let makers: [() -> any Peer] = [{ Ours(ours) }, { Plain(plain) }]
    var spent: [[Double]] = [[], []]
    for _ in 0..<rounds {
        for (index, make) in makers.enumerated() {
            var session: OpaquePointer?
            if resumed {
                let first = connect(make, client, session: nil)
                session = SSL_get1_session(first.client.ssl)
                first.peer.end()
            }
            var sum: UInt64 = 0
            for _ in 0..<count {
                let (ns, peer, client) = connect(make, client, session: session)
                if resumed != (SSL_session_reused(client.ssl) == 1) { fatalError("\(what): resumption") }
                let start = nanoseconds()
                peer.end()
                sum += ns + nanoseconds() - start
            }
            SSL_SESSION_free(session)
            spent[index].append(Double(sum) / Double(count) / 1000)
        }
    }
    line(what, ours: spent[0], plain: spent[1], unit: "us per handshake, server's part")
}

func records(_ size: Int, _ version: CInt, releases: Bool, count: Int) throws {
    let certificate = try TLSCertificate.selfSigned(names: ["localhost"], nowSeconds: now)
    var configuration = TLSConfiguration(certificates: [certificate])
    configuration.releasesIdleBuffers = releases
    let ours = try TLSContext(configuration, nowSeconds: now)
    let plain = plainContext(certificate, releases: releases)
    let context = clientContext(version, tickets: true)
    let makers: [() -> any Peer] = [{ Ours(ours) }, { Plain(plain) }]
    let connections = makers.map { connect($0, context, session: nil) }
    let text = [UInt8](repeating: 0x61, count: size)
    let buffer = UnsafeMutablePointer<UInt8>.allocate(capacity: 65536)
    var reads: [[Double]] = [[], []]
    var writes: [[Double]] = [[], []]
    for _ in 0..<rounds {
        for (index, connection) in connections.enumerated() {
            var sealed: [[UInt8]] = []
            for _ in 0..<count {
                SSL_write(connection.client.ssl, text, CInt(size))
                sealed.append(connection.client.take())
            }
            var sum = 0
            var start = nanoseconds()
            for record in sealed { sum += record.withUnsafeBufferPointer { connection.peer.read($0.baseAddress!, $0.count, into: buffer, capacity: 65536) } }
            reads[index].append(Double(nanoseconds() - start) / Double(count))
            if sum != size * count { fatalError("read \(sum)") }
            start = nanoseconds()
            for _ in 0..<count { sum += connection.peer.write(text, size) }
            writes[index].append(Double(nanoseconds() - start) / Double(count))
        }
    }
    for connection in connections { connection.peer.end() }
    buffer.deallocate()
    let name = "\(version == TLS1_3_VERSION ? "1.3" : "1.2") \(size) B\(releases ? ", buffers released" : ", buffers kept")"
    line("read  " + name, ours: reads[0], plain: reads[1], unit: "ns per record")
    line("write " + name, ours: writes[0], plain: writes[1], unit: "ns per record")
}

print("\(String(cString: OpenSSL_version(OPENSSL_VERSION)!)), \(rounds) rounds\nwhat\tours\tplain\tdifference\tunit")
let ecdsa = try TLSCertificate.selfSigned(names: ["localhost"], nowSeconds: now)
try handshakes("full 1.3 P-256", ecdsa, TLS1_3_VERSION, resumed: false, count: 150)
try handshakes("full 1.3 RSA-2048", try rsaCertificate(), TLS1_3_VERSION, resumed: false, count: 60)
try handshakes("full 1.2 P-256", ecdsa, TLS1_2_VERSION, resumed: false, count: 150)
try handshakes("psk 1.3", ecdsa, TLS1_3_VERSION, resumed: true, count: 200)
try handshakes("ticket 1.2", ecdsa, TLS1_2_VERSION, resumed: true, count: 300)
try handshakes("session id 1.2", ecdsa, TLS1_2_VERSION, resumed: true, tickets: false, count: 300)
for releases in [true, false] {
    for size in [1024, 16384] { try records(size, TLS1_3_VERSION, releases: releases, count: 2000) }
}
try records(1024, TLS1_2_VERSION, releases: true, count: 2000)
