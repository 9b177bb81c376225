// What can be wrong with TLSOptions before a file is read, and how their sources are. The thread that starts or reloads.

internal import UringTLS

extension TLSOptions {
    /// What ALPN offers: as said, or as the listener's HTTP versions ask for.
    func alpn(_ http2: HTTP2Mode) -> [ApplicationProtocol] {
        alpn
            ?? {
                switch http2 {
                case .off: [.http11]
                case .on: [.http2, .http11]
                case .only: [.http2]
                }
            }()
    }

    /// Settings that contradict each other or are out of their range.
    func check(_ http2: HTTP2Mode) throws(TLSLoadError) {
        func fail(_ setting: String, _ reason: String, _ remedy: String) -> TLSLoadError { TLSLoadError(file: setting, reason: reason, remedy: remedy) }
        if certificates.isEmpty { throw fail("certificates", "there is none", "give one, for development `.selfSigned()`") }
        for certificate in certificates {
            if case .selfSigned(let names) = certificate.origin, names.isEmpty {
                throw fail("certificates", "a self-signed one for no name", "give DNS names or IP addresses")
            }
        }
        if let alpn {
            if http2 == .off, alpn.contains(.http2) { throw fail("alpn", "offers h2, but `http2` is `.off`", "remove one of them") }
            if http2 == .only, alpn != [.http2] { throw fail("alpn", "`http2` is `.only`, which offers h2 and nothing else", "remove one of them") }
            if Set(alpn).count < alpn.count { throw fail("alpn", "offers a protocol twice", "give each once") }
        }
        if minVersion > maxVersion { throw fail("minVersion", "is newer than `maxVersion`", "exchange them") }
        if case .keys(let keys) = sessionTickets.keys, keys.isEmpty { throw fail("sessionTickets.keys", "there is none", "give one, or `.generated`") }
        if !(Duration.milliseconds(100)...Duration.seconds(600)).contains(handshakeTimeout) {
            throw fail("handshakeTimeout", "is \(handshakeTimeout)", "give 100 ms to 10 minutes")
        }
        if !(1...1_000_000).contains(handshakes) { throw fail("handshakes", "is \(handshakes)", "give 1 to 1,000,000") }
        if !(Duration.seconds(60)...Duration.seconds(7 * 86400)).contains(sessionTickets.rotate) {
            throw fail("sessionTickets.rotate", "is \(sessionTickets.rotate)", "give 1 minute to 7 days")
        }
        if !(0...10_000_000).contains(sessionCache.entries) { throw fail("sessionCache.entries", "is \(sessionCache.entries)", "give 0 to 10,000,000") }
        if !(Duration.seconds(60)...Duration.seconds(86400)).contains(sessionCache.lifetime) {
            throw fail("sessionCache.lifetime", "is \(sessionCache.lifetime)", "give 1 minute to 1 day")
        }
    }
}

extension TLSOptions.Source {
    /// What messages call it.
    func name(_ label: String) -> String {
        switch self {
        case .file(let path): path
        case .bytes: "\(label) in memory"
        }
    }

    func read(_ label: String) throws(TLSLoadError) -> SecretBytes {
        var warnings: [TLSLoadWarning] = []
        return try read(label, isSecret: false, &warnings)
    }

    func read(_ label: String, isSecret: Bool, _ warnings: inout [TLSLoadWarning]) throws(TLSLoadError) -> SecretBytes {
        switch self {
        case .file(let path): return try SecretFile.read(path, isSecret: isSecret, warnings: &warnings)
        case .bytes(let bytes):
            guard !bytes.isEmpty else { throw TLSLoadError(file: name(label), reason: "there are no bytes", remedy: "give what a file would have") }
            // Copied during the call.
            return unsafe bytes.withUnsafeBytes { unsafe SecretBytes(copying: $0) }
        }
    }
}
