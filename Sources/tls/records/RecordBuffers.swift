// Memory for records that arrive in pieces, or are longer than what the reader has room for. A list of a context's, so that a body in many
// records does no malloc; an idle connection holds none. Loop's thread.

internal import Glibc

@unsafe struct RecordBuffers {
    /// A whole record with its header.
    static var bytes: Int { RecordFormat.headerBytes + RecordFormat.ciphertextBytesMax }
    /// More than that many, 0.5 MiB, are not kept.
    static var keptMax: Int { 32 }

    /// The first of those that nobody uses; each begins with the address of the next.
    private var free: UnsafeMutableRawPointer?
    private(set) var kept = 0

    init() {}

    /// `bytes` bytes; nil when malloc refuses.
    mutating func take() -> UnsafeMutablePointer<UInt8>? {
        guard let first = unsafe free else { return unsafe malloc(Self.bytes)?.bindMemory(to: UInt8.self, capacity: Self.bytes) }
        // Ours: written by `give`.
        unsafe free = first.load(as: UnsafeMutableRawPointer?.self)
        unsafe kept &-= 1
        return unsafe first.bindMemory(to: UInt8.self, capacity: Self.bytes)
    }

    /// Takes back what `take` gave; the caller does not touch it again.
    mutating func give(_ buffer: UnsafeMutablePointer<UInt8>) {
        let memory = UnsafeMutableRawPointer(buffer)
        guard unsafe kept < Self.keptMax else { return unsafe Glibc.free(memory) }
        unsafe memory.storeBytes(of: free, as: UnsafeMutableRawPointer?.self)
        unsafe free = memory
        unsafe kept &+= 1
    }

    mutating func destroy() {
        while let first = unsafe free {
            unsafe free = first.load(as: UnsafeMutableRawPointer?.self)
            unsafe Glibc.free(first)
        }
    }
}
