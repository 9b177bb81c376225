// SharedBytes: immutable bytes that responses send without copying, for as long as the kernel needs them. Any thread.

/// A fixed body, made once and sent many times: no copy per response however large it is.
///
/// The object is reference-counted; a response retains it from `write(_:)` until its last byte has left.
@safe
public final class SharedBytes: Sendable {
    // Immutable from the end of init to deinit, so that threads may share it.
    nonisolated(unsafe) private let storage: UnsafeMutableBufferPointer<UInt8>

    /// Copies `bytes` once.
    public init(_ bytes: some Collection<UInt8>) {
        // SAFETY: owned by this object until deinit; never written after this initialiser.
        unsafe storage = .allocate(capacity: max(1, bytes.count))
        _ = unsafe storage.initialize(from: bytes)
        count = bytes.count
    }

    /// Bytes, or the UTF-8 of a text, copied once.
    public convenience init(_ text: String) { self.init(Array(text.utf8)) }

    deinit { unsafe storage.deallocate() }

    /// Number of bytes.
    public let count: Int

    /// Valid while this object lives.
    var base: UnsafePointer<UInt8> { unsafe UnsafePointer(storage.baseAddress!) }
}
