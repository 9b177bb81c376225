// Wiping of memory that held secrets, at load time.

internal import CUringJWT

enum SecretMemory {
    static func wipe(_ bytes: UnsafeMutableBufferPointer<UInt8>) {
        // The owner's memory, which is about to be freed.
        unsafe OPENSSL_cleanse(bytes.baseAddress, bytes.count)
    }

    static func wipe(_ bytes: inout [UInt8]) {
        unsafe bytes.withUnsafeMutableBufferPointer { unsafe wipe($0) }
    }

    /// The array's bytes for the time of a call that may throw an error of its own type.
    static func withBytes<Result, Failure: Error>(
        _ bytes: [UInt8], _ body: (UnsafeBufferPointer<UInt8>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        // The span keeps the array alive for the call.
        try unsafe bytes.span.withUnsafeBufferPointer(body)
    }
}
