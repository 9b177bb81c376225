// The cipher suites of TLS 1.3 whose records this layer makes itself, and the derivation of keys from their secrets (RFC 8446 7.1, 7.3).
// Values and pure functions over OpenSSL's HMAC; any thread.

internal import CUringTLS
internal import Glibc

/// RFC 8446 B.4. The CCM suites are not among them: their records stay OpenSSL's.
enum RecordSuite: UInt16 {
    case aes128GCM = 0x1301
    case aes256GCM = 0x1302
    case chacha20Poly1305 = 0x1303

    /// Of the cipher, in bytes.
    var keyBytes: Int { self == .aes128GCM ? 16 : 32 }
    /// Of the hash, and so of every secret, in bytes.
    var secretBytes: Int { self == .aes256GCM ? 48 : 32 }

    static var secretBytesMax: Int { 48 }
    static var keyBytesMax: Int { 32 }
    static var nonceBytes: Int { 12 }

    private var digest: OpaquePointer? { unsafe self == .aes256GCM ? EVP_sha384() : EVP_sha256() }

    /// HKDF-Expand-Label(secret, label, "", count) of RFC 8446 7.1, for at most as many bytes as the hash has: one block of HKDF (RFC 5869 2.3).
    /// - Parameters:
    ///   - secret: `secretBytes` of the caller's, during the call. May be `out`.
    ///   - out: room for `count` bytes.
    /// - Returns: false when OpenSSL has no memory.
    func expand(_ secret: UnsafePointer<UInt8>, _ label: StaticString, to out: UnsafeMutablePointer<UInt8>, count: Int) -> Bool {
        precondition(count <= secretBytes && label.utf8CodeUnitCount <= Self.labelBytesMax, "BUG: more than a block of HKDF")
        return unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.infoBytesMax + Self.secretBytesMax) { scratch in
            // Temporary memory of this call, wiped before it goes: it held key material.
            guard let info = scratch.baseAddress else { return false }
            let block = unsafe info + Self.infoBytesMax
            let prefix: StaticString = "tls13 "
            let name = prefix.utf8CodeUnitCount + label.utf8CodeUnitCount
            unsafe info[0] = 0
            unsafe info[1] = UInt8(count)
            unsafe info[2] = UInt8(name)
            unsafe memcpy(info + 3, prefix.utf8Start, prefix.utf8CodeUnitCount)
            unsafe memcpy(info + 3 + prefix.utf8CodeUnitCount, label.utf8Start, label.utf8CodeUnitCount)
            // No context; then the counter of HKDF's first block.
            unsafe info[3 + name] = 0
            unsafe info[4 + name] = 1
            var made: UInt32 = 0
            let done = unsafe HMAC(digest, secret, CInt(secretBytes), info, name + 5, block, &made) != nil
            if done { unsafe memcpy(out, block, count) }
            unsafe OPENSSL_cleanse(block, Self.secretBytesMax)
            return done
        }
    }

    private static var labelBytesMax: Int { 16 }
    private static var infoBytesMax: Int { 32 }
}
