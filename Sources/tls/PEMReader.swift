// PEM blocks by their kind. Stateless; called when a configuration is loaded.

internal import CUringTLS
internal import Glibc

enum PEMReader {
    /// Every certificate of a PEM file, as DER; at least one. Keys in the same file are passed over.
    static func certificates(_ pem: SecretBytes, file: String) throws(TLSLoadError) -> [[UInt8]] {
        try refuseEmpty(pem, file: file)
        var found: [[UInt8]] = []
        var other: String?
        // The BIO reads the secret's bytes, which outlive it; each block is OpenSSL's memory and freed in the loop.
        unsafe pem.withBytes { bytes in
            guard let bio = unsafe BIO_new_mem_buf(bytes.baseAddress, CInt(clamping: bytes.count)) else { return }
            defer { unsafe BIO_free(bio) }
            while let block = unsafe next(bio) {
                if block.kind == "CERTIFICATE" || block.kind == "X509 CERTIFICATE" { found.append(block.bytes) } else { other = block.kind }
            }
        }
        ERR_clear_error()
        guard !found.isEmpty else { throw missing("CERTIFICATE", other, pem, file: file) }
        for (index, der) in found.enumerated() {
            guard let certificate = unsafe OpenSSLObjects.certificate(der) else {
                ERR_clear_error()
                throw TLSLoadError(file: file, reason: "certificate \(index + 1) does not parse", remedy: "export it again as PEM")
            }
            unsafe X509_free(certificate)
        }
        return found
    }

    /// The first private key of a PEM file; owned by the caller, EVP_PKEY_free.
    static func privateKey(_ pem: SecretBytes, file: String) throws(TLSLoadError) -> OpaquePointer {
        try refuseEmpty(pem, file: file)
        // Set by the callback when OpenSSL asks for a password; alive during the call.
        var asked = false
        let key: OpaquePointer? = unsafe pem.withBytes { bytes in
            guard let bio = unsafe BIO_new_mem_buf(bytes.baseAddress, CInt(clamping: bytes.count)) else { return nil }
            defer { unsafe BIO_free(bio) }
            return unsafe withUnsafeMutablePointer(to: &asked) { asked in unsafe PEM_read_bio_PrivateKey(bio, nil, refusePassword, asked) }
        }
        ERR_clear_error()
        if let key = unsafe key { return unsafe key }
        if asked {
            throw TLSLoadError(
                file: file, reason: "the key is protected by a password", remedy: "decrypt it with `openssl pkey -in \(file) -out FILE`, mode 0600")
        }
        var kind: String?
        unsafe pem.withBytes { bytes in
            guard let bio = unsafe BIO_new_mem_buf(bytes.baseAddress, CInt(clamping: bytes.count)) else { return }
            defer { unsafe BIO_free(bio) }
            kind = unsafe next(bio)?.kind
        }
        ERR_clear_error()
        if let kind, kind.hasSuffix("PRIVATE KEY") {
            throw TLSLoadError(file: file, reason: "the private key does not parse", remedy: "export it again as PEM")
        }
        throw missing("PRIVATE KEY", kind, pem, file: file)
    }

    private static func next(_ bio: OpaquePointer) -> (kind: String, bytes: [UInt8])? {
        var name: UnsafeMutablePointer<CChar>?
        var header: UnsafeMutablePointer<CChar>?
        var data: UnsafeMutablePointer<UInt8>?
        var count = 0
        guard unsafe PEM_read_bio(bio, &name, &header, &data, &count) == 1, let kind = unsafe name, let bytes = unsafe data else { return nil }
        defer {
            unsafe urtls_openssl_free(kind)
            unsafe urtls_openssl_free(header)
            // It may be a key.
            unsafe urtls_clear_free(bytes, count)
        }
        let text = unsafe String(cString: kind)
        return unsafe (text, text.hasSuffix("CERTIFICATE") ? Array(UnsafeBufferPointer(start: bytes, count: count)) : [])
    }

    private static func refuseEmpty(_ pem: SecretBytes, file: String) throws(TLSLoadError) {
        if pem.count == 0 { throw TLSLoadError(file: file, reason: "the file is empty", remedy: "write the PEM text into it") }
    }

    private static func missing(_ wanted: String, _ found: String?, _ pem: SecretBytes, file: String) -> TLSLoadError {
        if let found {
            let remedy = "give the file that begins with -----BEGIN \(wanted)-----"
            return TLSLoadError(file: file, reason: "contains \(found) and no \(wanted)", remedy: remedy)
        }
        // DER begins with a sequence; the tools convert it.
        let isDER = unsafe pem.withBytes { bytes in unsafe bytes.first == 0x30 }
        if isDER {
            let remedy = "convert it with `openssl \(wanted == "CERTIFICATE" ? "x509" : "pkey") -inform DER -in FILE -out FILE.pem`"
            return TLSLoadError(file: file, reason: "is DER, not PEM", remedy: remedy)
        }
        return TLSLoadError(file: file, reason: "is not PEM", remedy: "it must have a line -----BEGIN \(wanted)-----")
    }
}

private func refusePassword(
    _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: CInt, _ isWriting: CInt, _ asked: UnsafeMutableRawPointer?
) -> CInt {
    // The flag of the call that OpenSSL is in.
    unsafe asked?.assumingMemoryBound(to: Bool.self).pointee = true
    return -1
}
