// Certificates of a running server: what is in use, and how others take their place. Any thread; loops are told by messages.

internal import Synchronization
internal import UringBase
internal import UringRing
internal import UringTLS

extension RunningServer {
    /// What works and should be known of the files in use, a sentence each: a certificate that has expired or is not valid yet, a key that the group may change.
    public var warnings: [String] { listeners.withLock { $0.flatMap(\.loaded.warnings) } }

    /// The certificates that a listener answers with, in the order of its `TLSOptions`; empty when it speaks in clear or does not exist.
    /// - Parameter address: as `addresses` tells it, or as `Listener.address` said it.
    public func certificates(of address: String) -> [ServerCertificate] {
        listeners.withLock { open in
            open.first { $0.isMeant(by: address) }?.loaded.transport.tls?.certificates.map { ServerCertificate($0) } ?? []
        }
    }

    /// Reads every file of every listener's TLS again: certificates, keys, authorities, OCSP responses, ticket keys. New connections get what is new, as soon as their
    /// loop has taken up the message; live ones keep what they began with, and their tickets and session ids stay good. For SIGHUP, a timer, a certificate
    /// agent's hook. Reads files: not for handlers.
    /// - Returns: `warnings` of what is in use now.
    /// - Throws: `ServerError` with file and remedy when one of them cannot be used; then nothing has changed on any listener.
    @discardableResult
    public func reloadTLS() throws -> [String] {
        try listeners.withLock { open in
            let loaded = try open.map { try materials.load($0.loaded.listener) }
            for index in open.indices { open[index].loaded = loaded[index] }
            tell(open.filter { $0.loaded.transport.tls != nil })
            return loaded.flatMap(\.warnings)
        }
    }

    /// Gives a listener other TLS, as `reloadTLS` does with the same; one that spoke in clear speaks TLS from now on.
    /// - Parameters:
    ///   - address: as `addresses` tells it, or as `Listener.address` said it.
    ///   - tls: what it speaks from now on.
    /// - Returns: the warnings about `tls`.
    /// - Throws: `ServerError` when nothing listens there, or something of `tls` cannot be used; then nothing has changed.
    @discardableResult
    public func replaceTLS(of address: String, with tls: TLSOptions) throws -> [String] {
        try listeners.withLock { open in
            guard let index = open.firstIndex(where: { $0.isMeant(by: address) }) else {
                throw ServerError("no listener \(address): there are \(open.map(\.address.description).joined(separator: ", "))")
            }
            var listener = open[index].loaded.listener
            listener.tls = tls
            open[index].loaded = try materials.load(listener)
            tell([open[index]])
            return open[index].loaded.warnings
        }
    }

    /// SHA-256 of the self-signed certificates in use, for the log.
    package var selfSignedFingerprints: [String] { materials.selfSignedFingerprints }

    private func tell(_ changed: [OpenListener]) {
        guard !changed.isEmpty else { return }
        for (loop, thread) in threads.enumerated() { thread.post(.transport(changed.transports(of: loop))) }
    }
}

extension OpenListener {
    fileprivate func isMeant(by address: String) -> Bool { self.address.description == address || loaded.listener.address == address }
}

extension [OpenListener] {
    /// What the sockets of a loop speak.
    func transports(of loop: Int) -> [Int32: ListenerTransport] {
        Dictionary(uniqueKeysWithValues: map { ($0.descriptors[loop], $0.loaded.transport) })
    }
}
