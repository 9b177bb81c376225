// An OpenSSL client over memory BIOs, and the pair of it and a session of ours: what the tests drive.

import CUringTLS
import Glibc
import Testing
import UringTLS

/// What a test asks of the client.
struct ClientOptions {
    var minimumVersion = TLS1_2_VERSION
    var maximumVersion = TLS1_3_VERSION
    var serverName: String?
    var applicationProtocols: [String] = []
    var cipherList: String?
    /// Of TLS 1.3.
    var cipherSuites: String?
    var signatureAlgorithms: String?
    var certificate: TestIdentity?
    var asksForStatus = false
    /// A session to resume, from `TestClient.sessions`.
    var session: TestSession?
    var options: UInt64 = 0
    var securityLevel: CInt?
}

/// A session of a client, owned: it outlives the client that it came from.
@safe final class TestSession {
    let raw: OpaquePointer

    /// Takes over a reference.
    init(_ raw: OpaquePointer) { unsafe self.raw = raw }

    deinit { unsafe SSL_SESSION_free(raw) }

    var ticket: [UInt8] {
        var bytes: UnsafePointer<UInt8>?
        var count = 0
        unsafe SSL_SESSION_get0_ticket(raw, &bytes, &count)
        return unsafe Array(UnsafeBufferPointer(start: bytes, count: count))
    }
}

/// Owns an SSL and collects the sessions that the server hands out.
@safe final class TestClient {
    let ssl: OpaquePointer
    private let context: OpaquePointer
    private let incoming: OpaquePointer
    private let outgoing: OpaquePointer
    /// In the order in which they came.
    fileprivate(set) var sessions: [TestSession] = []

    init(_ options: ClientOptions = ClientOptions()) {
        unsafe context = SSL_CTX_new(TLS_client_method())
        if let level = options.securityLevel { unsafe SSL_CTX_set_security_level(context, level) }
        _ = unsafe urtls_ctx_set_min_version(context, options.minimumVersion)
        _ = unsafe urtls_ctx_set_max_version(context, options.maximumVersion)
        _ = unsafe SSL_CTX_set_options(context, options.options)
        _ = unsafe urtls_ctx_set_session_cache_mode(context, Int(SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL))
        unsafe SSL_CTX_sess_set_new_cb(context) { ssl, session in
            // The client outlives its SSL.
            let client = unsafe Unmanaged<TestClient>.fromOpaque(SSL_get_ex_data(ssl, 0)).takeUnretainedValue()
            if let session = unsafe session { unsafe client.sessions.append(TestSession(session)) }
            return 1
        }
        if let list = options.cipherList { #expect(unsafe SSL_CTX_set_cipher_list(context, list) == 1) }
        if let list = options.cipherSuites { #expect(unsafe SSL_CTX_set_ciphersuites(context, list) == 1) }
        if let list = options.signatureAlgorithms { #expect(unsafe urtls_ctx_set_sigalgs(context, list) == 1) }
        if let identity = options.certificate {
            #expect(unsafe SSL_CTX_use_certificate(context, identity.certificate) == 1)
            #expect(unsafe SSL_CTX_use_PrivateKey(context, identity.key) == 1)
        }
        unsafe ssl = SSL_new(context)
        unsafe incoming = BIO_new(BIO_s_mem())
        unsafe outgoing = BIO_new(BIO_s_mem())
        unsafe SSL_set_bio(ssl, incoming, outgoing)
        unsafe SSL_set_connect_state(ssl)
        unsafe SSL_set_ex_data(ssl, 0, Unmanaged.passUnretained(self).toOpaque())
        if let name = options.serverName { _ = unsafe urtls_set_host_name(ssl, name) }
        if options.asksForStatus { _ = unsafe urtls_set_status_type(ssl, TLSEXT_STATUSTYPE_ocsp) }
        let wire = options.applicationProtocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        if !wire.isEmpty { _ = unsafe SSL_set_alpn_protos(ssl, wire, UInt32(wire.count)) }
        // A copy: OpenSSL marks the session that it offered as used up when the server answers with a new ticket.
        if let copy = unsafe options.session.flatMap({ unsafe SSL_SESSION_dup($0.raw) }) {
            #expect(unsafe SSL_set_session(ssl, copy) == 1)
            unsafe SSL_SESSION_free(copy)
        }
    }

    deinit {
        // Otherwise OpenSSL takes the session for broken and will not resume it.
        unsafe SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
        unsafe SSL_free(ssl)
        unsafe SSL_CTX_free(context)
    }

    enum Step: Equatable { case more, done, failed(CInt) }

    func handshake() -> Step {
        ERR_clear_error()
        let result = unsafe SSL_do_handshake(ssl)
        if result == 1 { return .done }
        return unsafe SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ ? .more : .failed(takeReason())
    }

    /// What can be read now, and how it ended: nil while it goes on, 0 for close_notify, otherwise OpenSSL's reason.
    func read() -> (bytes: [UInt8], end: CInt?) {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 20000)
        while true {
            ERR_clear_error()
            let count = unsafe SSL_read(ssl, &buffer, CInt(buffer.count))
            if count > 0 {
                all += buffer[..<Int(count)]
                continue
            }
            switch unsafe SSL_get_error(ssl, count) {
            case SSL_ERROR_WANT_READ: return (all, nil)
            case SSL_ERROR_ZERO_RETURN: return (all, 0)
            default: return (all, takeReason())
            }
        }
    }

    func write(_ bytes: [UInt8]) {
        ERR_clear_error()
        var written = 0
        #expect(unsafe SSL_write_ex(ssl, bytes, bytes.count, &written) == 1)
    }

    func takeOutgoing() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: unsafe urtls_bio_pending(outgoing))
        if !bytes.isEmpty { _ = unsafe BIO_read(outgoing, &bytes, CInt(bytes.count)) }
        return bytes
    }

    func giveIncoming(_ bytes: some Collection<UInt8>) {
        let copy = Array(bytes)
        if !copy.isEmpty { _ = unsafe BIO_write(incoming, copy, CInt(copy.count)) }
    }

    /// The session as it stands. A TLS 1.2 client that resumed and got a new ticket has it here only: OpenSSL calls nobody for it.
    var currentSession: TestSession? { unsafe SSL_get1_session(ssl).map { unsafe TestSession($0) } }

    var peerCertificateFingerprint: String? {
        guard let certificate = unsafe SSL_get0_peer_certificate(ssl) else { return nil }
        var digest = [UInt8](repeating: 0, count: 32)
        var count: UInt32 = 0
        unsafe X509_digest(certificate, EVP_sha256(), &digest, &count)
        return digest.map { byte in
            let text = String(byte, radix: 16, uppercase: true)
            return text.count == 1 ? "0" + text : text
        }.joined(separator: ":")
    }

    var applicationProtocol: String {
        var bytes: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        unsafe SSL_get0_alpn_selected(ssl, &bytes, &count)
        return unsafe String(decoding: UnsafeBufferPointer(start: bytes, count: Int(count)), as: UTF8.self)
    }

    private func takeReason() -> CInt {
        let reason = urtls_error_reason(ERR_peek_error())
        ERR_clear_error()
        return reason
    }
}

/// A client and a session of ours, with every byte in between in the test's hands.
@safe final class Pair {
    let client: TestClient
    let session: TLSSession
    /// Keeps the context that the session belongs to.
    private let context: TLSContext
    /// Bytes per piece that each side is given at a time.
    var piece: Int
    /// Room of the output in the caller's memory; what does not fit spills.
    var outputCapacity = 1 << 16
    private(set) var failure: TLSFailure?
    private(set) var clientFailure: CInt?
    /// Everything the server has sent.
    private(set) var sent: [UInt8] = []

    init(_ context: TLSContext, _ options: ClientOptions = ClientOptions(), piece: Int = .max) {
        self.context = context
        client = TestClient(options)
        guard let session = unsafe context.makeSession() else { fatalError("no session") }
        unsafe self.session = session
        self.piece = piece
    }

    /// Another connection to the same server.
    convenience init(_ other: Pair, _ options: ClientOptions) throws { self.init(other.context, options) }

    deinit { unsafe session.destroy() }

    /// Runs a call of the session with a sink and answers the call's result and the bytes it wrote.
    func withOutput<Result>(_ body: (inout TLSOutput) -> Result) -> (Result, [UInt8]) {
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(outputCapacity, 1))
        defer { unsafe memory.deallocate() }
        var output = unsafe TLSOutput(base: memory, capacity: outputCapacity)
        let result = unsafe body(&output)
        var bytes = unsafe Array(UnsafeBufferPointer(start: memory, count: output.count))
        if let spill = unsafe output.takeSpill() {
            unsafe bytes += UnsafeBufferPointer(start: spill.base, count: spill.count)
            unsafe free(spill.base)
        }
        sent += bytes
        return (result, bytes)
    }

    /// True when both sides are established.
    @discardableResult func handshake() -> Bool {
        var server = TLSHandshakeStep.more
        var step = client.handshake()
        for _ in 0..<20 {
            for part in pieces(client.takeOutgoing()) where server == .more {
                server = handshakeStep(part)
                if case .failed(let failure) = server { self.failure = failure }
            }
            if case .failed(let reason) = step { clientFailure = reason }
            if step == .more { step = client.handshake() }
            if case .failed(let reason) = step { clientFailure = reason }
            if server == .done && step == .done { return true }
            if failure != nil {
                _ = client.handshake()
                return false
            }
        }
        return false
    }

    /// Feeds one piece, hands what comes of it to the client.
    func handshakeStep(_ bytes: [UInt8]) -> TLSHandshakeStep {
        unsafe bytes.withUnsafeBufferPointer { buffer in
            unsafe session.feed(buffer.baseAddress, buffer.count)
            let (step, written) = unsafe withOutput { output in unsafe session.handshake(&output) }
            for part in pieces(written) {
                client.giveIncoming(part)
                if piece != .max { _ = client.handshake() }
            }
            unsafe session.feed(nil, 0)
            return step
        }
    }

    /// Feeds ciphertext in pieces and reads all plaintext. `end` is the step that was not bytes, `more` if all went well.
    func read(_ bytes: [UInt8], capacity: Int = 20000) -> (bytes: [UInt8], end: TLSReadStep) {
        var plain: [UInt8] = []
        var end = TLSReadStep.more
        var buffer = [UInt8](repeating: 0, count: capacity)
        for part in pieces(bytes) {
            unsafe part.withUnsafeBufferPointer { window in
                unsafe session.feed(window.baseAddress, window.count)
                while true {
                    let (step, written) = unsafe withOutput { output in
                        unsafe buffer.withUnsafeMutableBufferPointer { unsafe session.read(into: $0.baseAddress!, capacity: capacity, &output) }
                    }
                    client.giveIncoming(written)
                    guard case .bytes(let count) = step else {
                        end = step
                        break
                    }
                    plain += buffer[..<count]
                }
                unsafe session.feed(nil, 0)
            }
        }
        return (plain, end)
    }

    /// Encrypts for the client, and hands it over in pieces. Answers the ciphertext.
    @discardableResult func write(_ bytes: [UInt8]) -> [UInt8] {
        let (step, written) = unsafe withOutput { output in unsafe bytes.withUnsafeBufferPointer { unsafe session.write($0.baseAddress!, $0.count, &output) } }
        #expect(step == .written(bytes.count))
        client.giveIncoming(written)
        return written
    }

    func pieces(_ bytes: [UInt8]) -> [[UInt8]] {
        guard piece < bytes.count else { return bytes.isEmpty ? [] : [bytes] }
        return stride(from: 0, to: bytes.count, by: piece).map { Array(bytes[$0..<min($0 + piece, bytes.count)]) }
    }

    var applicationProtocol: String { unsafe String(decoding: session.applicationProtocol, as: UTF8.self) }
}

extension Array where Element == UInt8 {
    /// A piece of `count` bytes that is the same in every run.
    static func sample(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
        var state = seed | 1
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 33)
        }
    }
}
