// What OpenSSL's callbacks see of a context: plain memory at a fixed address, because they cannot capture. Owned by TLSContext,
// used on its loop's thread.

internal import CUringTLS
internal import Glibc

@unsafe struct TLSContextState {
    var counters = TLSCounters()
    var nowSeconds: Int64 = 0
    var sessionCount = 0
    let tick: (@convention(c) () -> UInt64)?
    var ticketKeys = unsafe TicketKeys()
    /// One for each set of certificates; the first is the one that sessions begin with.
    private(set) var contexts: [OpaquePointer] = unsafe []
    private(set) var names: NameTable
    /// OCSP responses by the address of the certificate in use.
    private(set) var staples: [OpaquePointer: [UInt8]] = unsafe [:]
    /// ALPN, each protocol behind its length.
    private(set) var protocols: UnsafeMutablePointer<UInt8>
    let protocolsCount: Int
    let requiresApplicationProtocol: Bool
    let usesTickets: Bool
    /// Fetched once: looking an algorithm up by name takes longer than sealing a ticket with it.
    let aes128: OpaquePointer?
    let aes256: OpaquePointer?
    /// AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305: for records made here.
    let recordCiphers: (OpaquePointer?, OpaquePointer?, OpaquePointer?)
    let makesRecords: Bool
    let recordsPerKey: UInt64
    var recordBuffers = unsafe RecordBuffers()
    /// Kept alive by the TLSContext.
    let cache: Unmanaged<TLSSessionCache>?

    init(_ configuration: TLSConfiguration, tick: (@convention(c) () -> UInt64)?) {
        unsafe self.tick = tick
        let wire = configuration.applicationProtocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        unsafe protocols = .allocate(capacity: max(wire.count, 1))
        for (index, byte) in wire.enumerated() { unsafe protocols[index] = byte }
        unsafe protocolsCount = wire.count
        unsafe requiresApplicationProtocol = configuration.requiresApplicationProtocol
        if case .off = configuration.sessionTickets { unsafe usesTickets = false } else { unsafe usesTickets = true }
        unsafe aes128 = EVP_CIPHER_fetch(nil, "AES-128-CBC", nil)
        unsafe aes256 = EVP_CIPHER_fetch(nil, "AES-256-CBC", nil)
        unsafe recordCiphers = (
            EVP_CIPHER_fetch(nil, "AES-128-GCM", nil), EVP_CIPHER_fetch(nil, "AES-256-GCM", nil), EVP_CIPHER_fetch(nil, "ChaCha20-Poly1305", nil)
        )
        unsafe makesRecords = configuration.makesRecords
        unsafe recordsPerKey = configuration.recordsPerKey
        unsafe cache = configuration.sessionCache.map { unsafe Unmanaged.passUnretained($0) }
        unsafe names = NameTable(CertificatePlan(configuration.certificates).setOfName)
    }

    /// Makes the SSL_CTX of every set.
    mutating func build(_ configuration: TLSConfiguration, state: UnsafeMutablePointer<TLSContextState>) throws(TLSLoadError) {
        let builder = unsafe OpenSSLContextBuilder(configuration: configuration, state: state)
        for set in CertificatePlan(configuration.certificates).sets {
            let context = try unsafe builder.make()
            unsafe contexts.append(context)
            for index in set {
                let certificate = configuration.certificates[index]
                let installed = try unsafe OpenSSLContextBuilder.install(certificate, in: context)
                if let response = certificate.ocspResponse { unsafe staples[installed] = response }
            }
        }
    }

    mutating func destroy() {
        for unsafe context in unsafe contexts { unsafe SSL_CTX_free(context) }
        unsafe names.destroy()
        unsafe ticketKeys.destroy()
        unsafe protocols.deallocate()
        unsafe EVP_CIPHER_free(aes128)
        unsafe EVP_CIPHER_free(aes256)
        unsafe EVP_CIPHER_free(recordCiphers.0)
        unsafe EVP_CIPHER_free(recordCiphers.1)
        unsafe EVP_CIPHER_free(recordCiphers.2)
        unsafe recordBuffers.destroy()
    }
}
