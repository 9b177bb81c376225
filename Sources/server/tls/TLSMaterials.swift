// From TLSOptions to what loops get: files are read here, at start and on each reload, on the thread that does so. Lives as long as its server, because some
// things must outlive a reload: clients come back with tickets and session ids of before.

internal import Glibc
internal import UringBase
internal import UringTLS

final class TLSMaterials: Sendable {
    private struct Kept {
        /// Of listeners whose ticket keys are this process's own, by address.
        var secrets: [String: SecretBytes] = [:]
        var caches: [String: Cache] = [:]
        /// One for all listeners with the same names, so that there is one fingerprint to compare.
        var selfSigned: [[String]: TLSCertificate] = [:]
    }

    private struct Cache {
        let entries: Int
        let lifetimeSeconds: Int64
        let cache: TLSSessionCache
    }

    private let kept = Locked(Kept())

    /// As TLSSessionCache counts: a TLS 1.2 session, its certificate left out, with bookkeeping.
    private static let bytesPerSession = 420

    init() {}

    /// SHA-256 of the self-signed certificates that were made.
    var selfSignedFingerprints: [String] { kept.withLock { $0.selfSigned.values.map(\.fingerprint).sorted() } }

    /// Loads everything a listener needs, and makes a trial context of it, so that what OpenSSL refuses is known before any loop goes over.
    /// - Throws: `ServerError`, a sentence with file and remedy.
    func load(_ listener: Listener) throws(ServerError) -> LoadedListener {
        var loaded = LoadedListener(listener: listener)
        loaded.transport.http2 = listener.http2
        loaded.transport.preamble = listener.preamble
        guard let options = listener.tls else { return loaded }
        do throws(TLSLoadError) {
            try options.check(listener.http2)
            let now = Self.nowSeconds()
            var warnings: [TLSLoadWarning] = []
            var tls = TLSConfiguration(
                certificates: try certificates(options, now, &warnings), sessionTickets: try tickets(options, for: listener.address, &warnings))
            tls.applicationProtocols = options.alpn(listener.http2).map(\.rawValue)
            tls.requiresApplicationProtocol = listener.http2 == .only
            tls.clientAuthentication = try Self.clientAuthentication(options.clientAuth)
            tls.minimumVersion = options.minVersion == .tls13 ? .tls13 : .tls12
            tls.maximumVersion = options.maxVersion == .tls13 ? .tls13 : .tls12
            tls.sessionCache = cache(options.sessionCache, for: listener.address)
            _ = try TLSContext(tls, nowSeconds: now)
            loaded.transport.tls = tls
            loaded.warnings = warnings.map { "\($0)" }
        } catch {
            throw ServerError("TLS of \(listener.address): \(error)")
        }
        loaded.transport.handshakeTimeout = options.handshakeTimeout
        loaded.transport.handshakesMax = options.handshakes
        return loaded
    }

    // MARK: certificates

    private func certificates(
        _ options: TLSOptions, _ now: Int64, _ warnings: inout [TLSLoadWarning]
    ) throws(TLSLoadError) -> [TLSCertificate] {
        var loaded: [TLSCertificate] = []
        for (index, certificate) in options.certificates.enumerated() {
            let label = "certificates[\(index)]"
            switch certificate.origin {
            case .selfSigned(let names): loaded.append(try selfSigned(names, now))
            case .given(let cert, let key, let ocsp):
                let chain = try cert.read("\(label).cert")
                let secret = try key.read("\(label).key", isSecret: true, &warnings)
                var made = try TLSCertificate.load(
                    chain: chain, from: cert.name("\(label).cert"), key: secret, from: key.name("\(label).key"), nowSeconds: now, warnings: &warnings)
                if let ocsp { made.ocspResponse = try TLSCertificate.staple(ocsp.read("\(label).ocsp"), from: ocsp.name("\(label).ocsp")) }
                loaded.append(made)
            }
        }
        return loaded
    }

    private func selfSigned(_ names: [String], _ now: Int64) throws(TLSLoadError) -> TLSCertificate {
        if let made = kept.withLock({ $0.selfSigned[names] }) { return made }
        let made = try TLSCertificate.selfSigned(names: names, nowSeconds: now)
        kept.withLock { $0.selfSigned[names] = made }
        return made
    }

    private static func clientAuthentication(_ clientAuth: TLSOptions.ClientAuth) throws(TLSLoadError) -> TLSConfiguration.ClientAuthentication {
        func authorities(_ source: TLSOptions.Source) throws(TLSLoadError) -> TLSAuthorities {
            try TLSAuthorities.load(source.read("clientAuth.ca"), from: source.name("clientAuth.ca"))
        }
        return switch clientAuth {
        case .none: .none
        case .optional(let ca): .optional(authorities: try authorities(ca))
        case .required(let ca): .required(authorities: try authorities(ca))
        }
    }

    // MARK: resumption

    private func tickets(
        _ options: TLSOptions, for address: String, _ warnings: inout [TLSLoadWarning]
    ) throws(TLSLoadError) -> SessionTickets {
        let rotate = Self.seconds(options.sessionTickets.rotate)
        switch options.sessionTickets.keys {
        case .off: return .off
        case .secret(let source):
            let secret = try source.read("sessionTickets.secret", isSecret: true, &warnings)
            return try .derived(secret, from: source.name("sessionTickets.secret"), rotateSeconds: rotate)
        case .keys(let sources):
            var keys: [(bytes: SecretBytes, from: String)] = []
            for (index, source) in sources.enumerated() {
                let label = "sessionTickets.keys[\(index)]"
                keys.append((try source.read(label, isSecret: true, &warnings), source.name(label)))
            }
            return try .keys(keys, lifetimeSeconds: rotate)
        case .generated:
            if let secret = kept.withLock({ $0.secrets[address] }) { return .derived(secret: secret, rotateSeconds: rotate) }
            guard let secret = SecretBytes(randomCount: 32) else {
                throw TLSLoadError(file: "session tickets", reason: "the system's random generator gives nothing", remedy: "look at /dev/urandom")
            }
            kept.withLock { $0.secrets[address] = secret }
            return .derived(secret: secret, rotateSeconds: rotate)
        }
    }

    /// The cache of before, unless its settings have changed. Sessions of clients that were checked by other rules are not resumed: their context is
    /// another (TLSContext).
    private func cache(_ options: TLSOptions.SessionCache, for address: String) -> TLSSessionCache? {
        guard options.entries > 0 else { return nil }
        let lifetime = Self.seconds(options.lifetime)
        return kept.withLock { kept in
            if let old = kept.caches[address], old.entries == options.entries, old.lifetimeSeconds == lifetime { return old.cache }
            let made = TLSSessionCache(bytesMax: options.entries * Self.bytesPerSession, lifetimeSeconds: lifetime)
            kept.caches[address] = Cache(entries: options.entries, lifetimeSeconds: lifetime, cache: made)
            return made
        }
    }

    private static func seconds(_ duration: Duration) -> Int64 { duration.components.seconds }

    private static func nowSeconds() -> Int64 {
        var time = timespec()
        // Written during the call only.
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec)
    }
}
