// One direction of a connection's records in TLS 1.3: its secret, the cipher keyed with it, the number of the next record (RFC 8446 5.2, 5.3).
// Loop's thread. The cipher is libcrypto's.

internal import CUringTLS
internal import Glibc

/// Sizes of records, in bytes (RFC 8446 5.1, 5.2).
enum RecordFormat {
    static var headerBytes: Int { 5 }
    static var tagBytes: Int { 16 }
    /// What a record adds to its plaintext: header, tag, and the content type.
    static var overhead: Int { 22 }
    static var plainBytesMax: Int { 16384 }
    /// The most that a header may say.
    static var ciphertextBytesMax: Int { plainBytesMax + 256 }
}

@unsafe struct RecordDirection {
    /// The traffic secret, from which the next one comes; `secretBytesMax` bytes, owned. Outside this struct, which may be copied while it is handed over.
    private(set) var secret: UnsafeMutablePointer<UInt8>?
    /// EVP_CIPHER_CTX, owned; nil until `begin`.
    private var cipher: OpaquePointer?
    /// In memory's order.
    private var nonce: (UInt32, UInt32, UInt32) = (0, 0, 0)
    /// Of the next record, since the secret was taken up.
    private(set) var sequence: UInt64 = 0
    private var encrypts = false
    /// A secret has been taken.
    var hasSecret: Bool { unsafe secret != nil }

    init() {}

    // MARK: keys

    /// Takes over a secret: `count` bytes at `bytes`, which stay the caller's.
    mutating func take(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
        guard count <= RecordSuite.secretBytesMax else { return }
        let own = unsafe secret ?? .allocate(capacity: RecordSuite.secretBytesMax)
        // In bounds by the comparison.
        unsafe memcpy(own, bytes, count)
        unsafe secret = unsafe own
        unsafe sequence = 0
    }

    /// OpenSSL has made or read a record under this secret.
    mutating func countRecord() { if unsafe hasSecret { unsafe sequence &+= 1 } }

    /// Makes the cipher. False when OpenSSL has no memory.
    /// - Parameter algorithm: what was fetched for `suite`; it outlives this.
    mutating func begin(_ suite: RecordSuite, _ algorithm: OpaquePointer?, encrypts: Bool) -> Bool {
        unsafe self.encrypts = encrypts
        unsafe cipher = EVP_CIPHER_CTX_new()
        guard unsafe cipher != nil, unsafe EVP_CipherInit_ex(cipher, algorithm, nil, nil, nil, encrypts ? 1 : 0) == 1 else { return false }
        return unsafe setKey(suite)
    }

    /// Goes over to the next secret (RFC 8446 7.2): the one before cannot be had back from it.
    mutating func update(_ suite: RecordSuite) -> Bool {
        guard let secret = unsafe secret else { return false }
        unsafe sequence = 0
        return unsafe suite.expand(secret, "traffic upd", to: secret, count: suite.secretBytes) && setKey(suite)
    }

    private mutating func setKey(_ suite: RecordSuite) -> Bool {
        // SAFETY: the secret is this struct's; key and nonce are temporary memory of this call, and OpenSSL copies them.
        unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: RecordSuite.keyBytesMax + RecordSuite.nonceBytes) { scratch in
            guard let key = scratch.baseAddress, let secret = unsafe secret else { return false }
            let iv = unsafe key + RecordSuite.keyBytesMax
            let made = unsafe suite.expand(secret, "key", to: key, count: suite.keyBytes) && suite.expand(secret, "iv", to: iv, count: RecordSuite.nonceBytes)
            let isSet = unsafe made && EVP_CipherInit_ex(cipher, nil, nil, key, nil, -1) == 1
            unsafe memcpy(&nonce, iv, RecordSuite.nonceBytes)
            unsafe OPENSSL_cleanse(key, RecordSuite.keyBytesMax + RecordSuite.nonceBytes)
            return isSet
        }
    }

    /// Frees the cipher and wipes the secret.
    mutating func destroy() {
        unsafe EVP_CIPHER_CTX_free(cipher)
        unsafe cipher = nil
        if let own = unsafe secret {
            unsafe OPENSSL_cleanse(own, RecordSuite.secretBytesMax)
            unsafe own.deallocate()
        }
        unsafe secret = nil
        unsafe nonce = (0, 0, 0)
    }

    // MARK: records

    /// The record's number goes into the nonce (RFC 8446 5.3), its header is what is authenticated beside the text (5.2).
    @inline(__always)
    private func start(_ header: UnsafePointer<UInt8>) -> Bool {
        var own = unsafe nonce
        own.1 ^= unsafe UInt32(truncatingIfNeeded: sequence >> 32).bigEndian
        own.2 ^= unsafe UInt32(truncatingIfNeeded: sequence).bigEndian
        var count: CInt = 0
        // The nonce is read during the call.
        return unsafe withUnsafeBytes(of: own) { bytes in
            unsafe EVP_CipherInit_ex(cipher, nil, nil, nil, bytes.baseAddress!.assumingMemoryBound(to: UInt8.self), -1) == 1
        } && EVP_CipherUpdate(cipher, nil, &count, header, CInt(RecordFormat.headerBytes)) == 1
    }

    /// Makes one record of at most 16384 bytes.
    /// - Parameter out: room for `count + overhead` bytes, which do not overlap `bytes`.
    /// - Returns: false when OpenSSL fails.
    @inline(__always)
    mutating func seal(_ type: UInt8, _ bytes: UnsafePointer<UInt8>, _ count: Int, to out: UnsafeMutablePointer<UInt8>) -> Bool {
        let length = count &+ 1 &+ RecordFormat.tagBytes
        unsafe out[0] = 23
        unsafe out[1] = 3
        unsafe out[2] = 3
        unsafe out[3] = UInt8(truncatingIfNeeded: length >> 8)
        unsafe out[4] = UInt8(truncatingIfNeeded: length)
        var made: CInt = 0
        var inner = type
        let text = unsafe out + RecordFormat.headerBytes
        let done =
            unsafe start(out) && (count == 0 || EVP_CipherUpdate(cipher, text, &made, bytes, CInt(count)) == 1)
            && EVP_CipherUpdate(cipher, text + count, &made, &inner, 1) == 1 && EVP_CipherFinal_ex(cipher, text + count + 1, &made) == 1
            && EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, CInt(RecordFormat.tagBytes), text + count + 1) == 1
        unsafe sequence &+= 1
        return done
    }

    /// Opens one record: all of its inner plaintext but the last byte goes to `out`, the last, usually the content type, is the result.
    /// - Parameters:
    ///   - header: the record, header and ciphertext: `headerBytes + inner + tagBytes` bytes.
    ///   - inner: at least 1.
    ///   - out: room for `inner - 1` bytes; the record's own text, or memory that does not overlap it. Undefined when the tag is wrong.
    /// - Returns: nil when the tag is wrong.
    @inline(__always)
    mutating func open(_ header: UnsafePointer<UInt8>, _ inner: Int, to out: UnsafeMutablePointer<UInt8>) -> UInt8? {
        let text = unsafe header + RecordFormat.headerBytes
        var made: CInt = 0
        var last: UInt8 = 0
        var none: UInt8 = 0
        // OpenSSL copies the tag, and does not write it.
        let tag = unsafe UnsafeMutablePointer(mutating: text + inner)
        let done =
            unsafe start(header) && EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, CInt(RecordFormat.tagBytes), tag) == 1
            && (inner == 1 || EVP_CipherUpdate(cipher, out, &made, text, CInt(inner &- 1)) == 1)
            && EVP_CipherUpdate(cipher, &last, &made, text + (inner &- 1), 1) == 1 && EVP_CipherFinal_ex(cipher, &none, &made) == 1
        unsafe sequence &+= 1
        return done ? last : nil
    }
}
