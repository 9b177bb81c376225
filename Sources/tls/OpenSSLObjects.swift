// DER bytes as OpenSSL's objects, and facts about certificates. Stateless; any thread.

internal import CUringTLS
internal import Glibc

enum OpenSSLObjects {
    /// Owned by the caller: X509_free.
    static func certificate(_ der: [UInt8]) -> OpaquePointer? {
        // The cursor stays within the array, whose bytes are valid in the closure.
        unsafe der.withUnsafeBufferPointer { bytes in
            var cursor = bytes.baseAddress
            return unsafe d2i_X509(nil, &cursor, bytes.count)
        }
    }

    /// Owned by the caller: EVP_PKEY_free, which wipes it.
    static func privateKey(_ der: SecretBytes) -> OpaquePointer? {
        unsafe der.withBytes { bytes in
            var cursor = bytes.baseAddress
            return unsafe d2i_AutoPrivateKey(nil, &cursor, bytes.count)
        }
    }

    /// nil for kinds that TLS has no use for.
    static func kind(_ key: OpaquePointer) -> TLSCertificate.KeyKind? {
        // The caller's key.
        switch unsafe EVP_PKEY_get_base_id(key) {
        case EVP_PKEY_RSA, EVP_PKEY_RSA_PSS: .rsa
        case EVP_PKEY_EC: .ecdsa
        case EVP_PKEY_ED25519: .ed25519
        case EVP_PKEY_ED448: .ed448
        default: nil
        }
    }

    /// SHA-256 in hexadecimal, colons between the bytes.
    static func fingerprint(_ certificate: OpaquePointer) -> String {
        var digest: [UInt8] = Array(repeating: 0, count: 32)
        var count: UInt32 = 0
        // The caller's certificate; the digest has SHA-256's 32 bytes.
        guard unsafe X509_digest(certificate, EVP_sha256(), &digest, &count) == 1 else { return "" }
        let digits = Array("0123456789ABCDEF")
        return digest.map { String([digits[Int($0 >> 4)], digits[Int($0 & 15)]]) }.joined(separator: ":")
    }

    /// The DNS names of the subject alternative name, or the common name when there are none, in lower case.
    static func names(_ certificate: OpaquePointer) -> [String] {
        // The caller's certificate; what get_ext_d2i makes is ours and freed here.
        var found: [String] = []
        if let raw = unsafe X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) {
            let list = OpaquePointer(raw)
            defer { unsafe GENERAL_NAMES_free(list) }
            for index in unsafe 0..<max(urtls_names_count(list), 0) {
                if let text = unsafe urtls_name_dns(list, index), let name = unsafe string(text) { found.append(name) }
            }
        }
        if found.isEmpty, let subject = unsafe X509_get_subject_name(certificate) {
            let at = unsafe X509_NAME_get_index_by_NID(subject, NID_commonName, -1)
            if at >= 0, let data = unsafe X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), let name = unsafe string(data) {
                found.append(name)
            }
        }
        return found
    }

    /// nil for what is no name in DNS: longer, empty, or with a NUL in it.
    private static func string(_ text: UnsafePointer<ASN1_STRING>) -> String? {
        // Alive as long as the certificate or list that the caller holds.
        let count = Int(unsafe ASN1_STRING_length(text))
        guard count > 0, unsafe count <= NameTable.nameBytesMax, let bytes = unsafe ASN1_STRING_get0_data(text) else { return nil }
        let buffer = unsafe UnsafeBufferPointer(start: bytes, count: count)
        guard unsafe buffer.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { return nil }
        return unsafe String(decoding: buffer.map { $0 >= 0x41 && $0 <= 0x5a ? $0 | 0x20 : $0 }, as: UTF8.self)
    }

    /// Seconds since 1970; nil when the time does not parse.
    static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64? {
        var broken = unsafe tm()
        // The caller's certificate owns the time.
        guard let time = unsafe time, unsafe ASN1_TIME_to_tm(time, &broken) == 1 else { return nil }
        return Int64(unsafe timegm(&broken))
    }
}
