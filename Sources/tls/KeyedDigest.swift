// KeyedDigest: fingerprints of secrets under a key that is made at random and never leaves this object. Immutable; any thread.
//
// For tables of credentials that were found right: what they hold says nothing without the key (RFC 2104), unlike a plain digest, which tells a guessed password from a wrong one.

internal import CUringTLS

/// HMAC-SHA256 under a key of its own.
package final class KeyedDigest: Sendable {
    /// A fingerprint. Whoever can make the right one knows what it was made of: comparing them needs no constant time.
    package struct Code: Hashable, Sendable {
        package var words: [4 of UInt64]

        package init() { words = [0, 0, 0, 0] }

        package static func == (left: Code, right: Code) -> Bool {
            var difference: UInt64 = 0
            for index in 0..<4 { difference |= left.words[index] ^ right.words[index] }
            return difference == 0
        }

        package func hash(into hasher: inout Hasher) { hasher.combine(words[0]) }
    }

    /// As long as the digest (RFC 2104 section 3).
    private static let keyBytes = 32
    private let key: SecretBytes

    /// nil when the system has no random bytes to give.
    package init?() {
        guard let key = SecretBytes(randomCount: Self.keyBytes) else { return nil }
        self.key = key
    }

    /// nil when OpenSSL has no memory.
    package func code(_ bytes: UnsafeBufferPointer<UInt8>) -> Code? {
        var code = Code()
        var count: UInt32 = 0
        // SAFETY: the caller's bytes, the key's and the code's, during this call; a digest of 32 bytes fits the four words.
        let made = unsafe key.withBytes { key in
            unsafe withUnsafeMutableBytes(of: &code.words) { out in
                unsafe HMAC(EVP_sha256(), key.baseAddress, CInt(key.count), bytes.baseAddress, bytes.count, out.baseAddress, &count) != nil
            }
        }
        return made && count == 32 ? code : nil
    }
}
