// From the settings of a listener to what its loops get: files are read here, at start and on each reload, on the thread that does so.
// Lives as long as the gateway, because some things must outlive a reload: clients come back with tickets and session ids of before.

internal import Glibc
internal import Synchronization
package import UringTLS

package final class TLSMaterials: Sendable {
    private struct Kept {
        /// Of listeners whose ticket keys are this process's own.
        var secrets: [ListenAddress: SecretBytes] = [:]
        var caches: [ListenAddress: Cache] = [:]
        /// One for all listeners, so that there is one fingerprint to compare.
        var selfSigned: TLSCertificate?
    }

    private struct Cache {
        let entries: Int
        let lifetimeSeconds: Int64
        let cache: TLSSessionCache
    }

    private let kept = Mutex(Kept())

    /// As TLSSessionCache counts: a TLS 1.2 session, its certificate left out, with bookkeeping.
    private static let bytesPerSession = 420

    package init() {}

    /// SHA-256 of the self-signed certificate, if there is one.
    package var selfSignedFingerprint: String? { kept.withLock { $0.selfSigned?.fingerprint } }

    /// Loads everything, and makes a trial context of it, so that what OpenSSL refuses is known before any loop goes over.
    /// - Throws: `GatewayError`, a sentence with the remedy.
    package func configuration(_ settings: TLSSettings, for address: ListenAddress) throws -> TLSConfiguration {
        do throws(TLSLoadError) {
            let now = Self.nowSeconds()
            var configuration = TLSConfiguration(
                certificates: try certificates(settings, now), sessionTickets: try tickets(settings, for: address))
            configuration.applicationProtocols = settings.alpn
            configuration.clientAuthentication = try Self.clientAuthentication(settings)
            configuration.minimumVersion = settings.versionMin == .tls13 ? .tls13 : .tls12
            configuration.sessionCache = cache(settings, for: address)
            _ = try TLSContext(configuration, nowSeconds: now)
            return configuration
        } catch {
            throw GatewayError("TLS of \(address): \(error)")
        }
    }

    private func certificates(_ settings: TLSSettings, _ now: Int64) throws(TLSLoadError) -> [TLSCertificate] {
        // `uringd check` and every load of a file print the warnings, with their places.
        var warnings: [TLSLoadWarning] = []
        switch settings.certificates {
        case .selfSigned: return [try selfSigned(now)]
        case .files(let files):
            var loaded: [TLSCertificate] = []
            for file in files {
                loaded.append(
                    try TLSCertificate.load(
                        certificate: file.certificate, key: file.key, ocsp: file.ocsp, nowSeconds: now, warnings: &warnings))
            }
            return loaded
        }
    }

    private func selfSigned(_ now: Int64) throws(TLSLoadError) -> TLSCertificate {
        if let made = kept.withLock({ $0.selfSigned }) { return made }
        let made = try TLSCertificate.selfSigned(names: ["localhost", "127.0.0.1", "::1"], nowSeconds: now)
        kept.withLock { $0.selfSigned = made }
        return made
    }

    private func tickets(_ settings: TLSSettings, for address: ListenAddress) throws(TLSLoadError) -> SessionTickets {
        var warnings: [TLSLoadWarning] = []
        let rotate = Self.seconds(settings.ticketRotateNs)
        switch settings.tickets {
        case .off: return .off
        case .secret(let file): return try SessionTickets.load(secret: file, rotateSeconds: rotate, warnings: &warnings)
        case .keys(let files): return try SessionTickets.load(keys: files, lifetimeSeconds: rotate, warnings: &warnings)
        case .generated:
            if let secret = kept.withLock({ $0.secrets[address] }) { return .derived(secret: secret, rotateSeconds: rotate) }
            guard let secret = SecretBytes(randomCount: 32) else {
                throw TLSLoadError(file: "session tickets", reason: "the system's random generator gives nothing", remedy: "look at /dev/urandom")
            }
            kept.withLock { $0.secrets[address] = secret }
            return .derived(secret: secret, rotateSeconds: rotate)
        }
    }

    /// The cache of before, unless its settings have changed. Sessions of clients that were checked by other rules are not
    /// resumed: their context is another (TLSContext).
    private func cache(_ settings: TLSSettings, for address: ListenAddress) -> TLSSessionCache? {
        guard settings.cacheEntries > 0 else { return nil }
        let lifetime = Self.seconds(settings.cacheLifetimeNs)
        return kept.withLock { kept in
            if let old = kept.caches[address], old.entries == settings.cacheEntries, old.lifetimeSeconds == lifetime { return old.cache }
            let made = TLSSessionCache(bytesMax: settings.cacheEntries * Self.bytesPerSession, lifetimeSeconds: lifetime)
            kept.caches[address] = Cache(entries: settings.cacheEntries, lifetimeSeconds: lifetime, cache: made)
            return made
        }
    }

    private static func clientAuthentication(_ settings: TLSSettings) throws(TLSLoadError) -> TLSConfiguration.ClientAuthentication {
        switch settings.clientAuthentication {
        case .none: .none
        case .optional(let file): .optional(authorities: try TLSAuthorities.load(file))
        case .required(let file): .required(authorities: try TLSAuthorities.load(file))
        }
    }

    private static func seconds(_ nanoseconds: UInt64) -> Int64 { Int64(clamping: nanoseconds / 1_000_000_000) }

    static func nowSeconds() -> Int64 {
        var time = timespec()
        // Written during the call only.
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec)
    }
}
