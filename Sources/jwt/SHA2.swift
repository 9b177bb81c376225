// SHA-2 and HMAC over it, by OpenSSL's plain functions on states of our own. Called by the verifier on its loop's thread; a state of a key
// is written once, when the key is made.
//
// The plain functions are deprecated in favour of EVP. They are used because they keep their state where the caller says: no malloc, no
// lookup, and a key's two states (RFC 2104: hashed inner and outer pad) are copied by value. docs/ARCHITECTURE.md has the figures.

internal import CUringJWT

enum SHA2: UInt8, Sendable {
    case sha256, sha384, sha512

    static let bytesMax = 64
    static let blockBytesMax = 128

    var bytes: Int {
        switch self {
        case .sha256: 32
        case .sha384: 48
        case .sha512: 64
        }
    }

    /// The block that HMAC pads a key to.
    var blockBytes: Int { self == .sha256 ? 64 : 128 }

    /// A static object of OpenSSL.
    var method: OpaquePointer? {
        switch self {
        case .sha256: unsafe EVP_sha256()
        case .sha384: unsafe EVP_sha384()
        case .sha512: unsafe EVP_sha512()
        }
    }

    /// Writes the digest of `text[..<count]` to `out`, which has room for `bytesMax`.
    func digest(_ text: UnsafePointer<UInt8>, count: Int, to out: UnsafeMutablePointer<UInt8>) {
        // The caller's memory during this call; these functions cannot fail on memory of their own.
        switch self {
        case .sha256:
            var state = SHA256_CTX()
            unsafe SHA256_Init(&state)
            unsafe SHA256_Update(&state, text, count)
            unsafe SHA256_Final(out, &state)
        case .sha384, .sha512:
            var state = SHA512_CTX()
            _ = unsafe self == .sha384 ? SHA384_Init(&state) : SHA512_Init(&state)
            unsafe SHA512_Update(&state, text, count)
            unsafe SHA512_Final(out, &state)
        }
    }
}

/// A secret for one digest, as the two states that HMAC begins with. Shared by all verifiers, which only read it; wiped at the end.
@safe final class HMACKey: @unchecked Sendable {
    @unsafe private struct States {
        var inner256 = SHA256_CTX()
        var outer256 = SHA256_CTX()
        var inner512 = SHA512_CTX()
        var outer512 = SHA512_CTX()
    }

    let digest: SHA2
    // Owned: written in init only, wiped and freed in deinit.
    private let states: UnsafeMutablePointer<States>

    init(secret: UnsafeBufferPointer<UInt8>, digest: SHA2) {
        self.digest = digest
        unsafe states = .allocate(capacity: 1)
        unsafe states.initialize(to: States())
        // A key longer than a block is replaced by its digest (RFC 2104 section 2). All of it lies in one block of memory, wiped below.
        let pads = UnsafeMutablePointer<UInt8>.allocate(capacity: 2 * SHA2.blockBytesMax)
        defer {
            unsafe OPENSSL_cleanse(pads, 2 * SHA2.blockBytesMax)
            unsafe pads.deallocate()
        }
        unsafe pads.initialize(repeating: 0, count: 2 * SHA2.blockBytesMax)
        if let base = secret.baseAddress {
            if secret.count > digest.blockBytes {
                unsafe digest.digest(base, count: secret.count, to: pads)
            } else {
                unsafe pads.update(from: base, count: secret.count)
            }
        }
        let outer = unsafe pads + SHA2.blockBytesMax
        for index in 0..<digest.blockBytes {
            unsafe outer[index] = pads[index] ^ 0x5c
            unsafe pads[index] ^= 0x36
        }
        unsafe absorb(inner: pads, outer: outer)
    }

    private func absorb(inner: UnsafePointer<UInt8>, outer: UnsafePointer<UInt8>) {
        // The pads of init, and this object's states.
        let count = digest.blockBytes
        switch digest {
        case .sha256:
            unsafe SHA256_Init(&states.pointee.inner256)
            unsafe SHA256_Update(&states.pointee.inner256, inner, count)
            unsafe SHA256_Init(&states.pointee.outer256)
            unsafe SHA256_Update(&states.pointee.outer256, outer, count)
        case .sha384, .sha512:
            _ = unsafe digest == .sha384 ? SHA384_Init(&states.pointee.inner512) : SHA512_Init(&states.pointee.inner512)
            unsafe SHA512_Update(&states.pointee.inner512, inner, count)
            _ = unsafe digest == .sha384 ? SHA384_Init(&states.pointee.outer512) : SHA512_Init(&states.pointee.outer512)
            unsafe SHA512_Update(&states.pointee.outer512, outer, count)
        }
    }

    deinit {
        unsafe OPENSSL_cleanse(states, MemoryLayout<States>.size)
        unsafe states.deallocate()
    }

    /// Writes the code of `text[..<count]` to `out`, which has room for `SHA2.bytesMax`.
    func authenticate(_ text: UnsafePointer<UInt8>, count: Int, to out: UnsafeMutablePointer<UInt8>) {
        // The caller's memory during this call. What is left of the copies on the stack is no more secret than the states in memory.
        switch digest {
        case .sha256:
            var state = unsafe states.pointee.inner256
            unsafe SHA256_Update(&state, text, count)
            unsafe SHA256_Final(out, &state)
            state = unsafe states.pointee.outer256
            unsafe SHA256_Update(&state, out, digest.bytes)
            unsafe SHA256_Final(out, &state)
        case .sha384, .sha512:
            var state = unsafe states.pointee.inner512
            unsafe SHA512_Update(&state, text, count)
            unsafe SHA512_Final(out, &state)
            state = unsafe states.pointee.outer512
            unsafe SHA512_Update(&state, out, digest.bytes)
            unsafe SHA512_Final(out, &state)
        }
    }
}

/// SHA-256 of bytes, as 64 hexadecimal digits: for names that may be seen, of what may not. Any thread.
package func sha256Hex(_ bytes: Span<UInt8>) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: SHA2.bytesMax)
    // Both live through the call. An empty span may have no address: then nothing is read, from wherever.
    unsafe bytes.withUnsafeBufferPointer { text in
        unsafe digest.withUnsafeMutableBufferPointer { out in
            guard let to = out.baseAddress else { return }
            unsafe SHA2.sha256.digest(text.baseAddress ?? UnsafePointer(to), count: text.count, to: to)
        }
    }
    return digest[..<32].flatMap { [hexDigit($0 >> 4), hexDigit($0 & 15)] }
}

private func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }
