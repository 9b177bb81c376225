// Memory for keys: outside Swift's arrays, which copy and leave copies behind, and wiped when the last owner lets go. Made when a
// configuration is loaded; afterwards only read, by whichever thread makes a context of it.

internal import CUringTLS
internal import Glibc

/// Bytes that are wiped before their memory is freed, and never printed.
@safe package final class SecretBytes: Sendable, CustomStringConvertible {
    // Owned by this object: written in init only, freed in deinit.
    private nonisolated(unsafe) let base: UnsafeMutablePointer<UInt8>
    package let count: Int

    /// Copies `bytes`; whoever owns them wipes them.
    package init(copying bytes: UnsafeRawBufferPointer) {
        count = bytes.count
        unsafe base = .allocate(capacity: max(count, 1))
        if let source = bytes.baseAddress { unsafe memcpy(base, source, count) }
    }

    /// `count` bytes of the system's random generator; nil when it has none to give.
    package init?(randomCount count: Int) {
        self.count = count
        unsafe base = .allocate(capacity: max(count, 1))
        guard unsafe RAND_priv_bytes(base, CInt(count)) == 1 else { return nil }
    }

    deinit {
        unsafe OPENSSL_cleanse(base, count)
        unsafe base.deallocate()
    }

    /// The bytes, for the duration of `body`.
    package func withBytes<Result, Failure: Error>(
        _ body: (UnsafeBufferPointer<UInt8>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        // self is kept alive by the caller's reference for the call.
        try unsafe body(UnsafeBufferPointer(start: base, count: count))
    }

    package var description: String { "(\(count) secret bytes)" }
}
