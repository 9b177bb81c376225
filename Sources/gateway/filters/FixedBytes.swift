// FixedBytes: bytes of the configuration that requests are compared with. Made at start and on reloads; read by all loops without a reference to count.

/// Owned bytes that never change.
@safe
struct FixedBytes: ~Copyable, @unchecked Sendable {
    // Written in init only, freed in deinit.
    private let memory: UnsafeMutableBufferPointer<UInt8>

    init(_ bytes: some Collection<UInt8>) {
        unsafe memory = .allocate(capacity: bytes.count)
        _ = unsafe memory.initialize(from: bytes)
    }

    init(_ text: String) { self.init(Array(text.utf8)) }

    deinit { unsafe memory.deallocate() }

    var count: Int { unsafe memory.count }

    /// SAFETY: readable as long as this value lives. No span: one that is bound to a property of an object does not outlive the access to it.
    @unsafe var buffer: UnsafeBufferPointer<UInt8> { unsafe UnsafeBufferPointer(memory) }
}
