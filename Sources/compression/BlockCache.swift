// BlockCache: the blocks that an encoder gave back, for the next one, which asks for the same sizes. Owned by a BrotliStream.

#if canImport(Glibc)
internal import Glibc
#endif

/// Large blocks from malloc are mapped and unmapped by the kernel each time, and their pages are faulted in anew: kept, they cost a search among a few.
@unsafe
struct BlockCache {
    /// In front of each block. 16 bytes, so that blocks keep malloc's alignment.
    private struct Header {
        var bytes: Int
        var reserved = 0
    }
    private static let headerBytes = 16
    /// An encoder asks for up to 23 blocks of different sizes in its life.
    private static let keptMax = 64
    /// What is kept at most: 8 MiB. Levels that need more are slow enough not to mind.
    private static let keptBytesMax = 8 << 20

    private var kept: [64 of UnsafeMutableRawPointer?] = unsafe .init(repeating: nil)
    private var count = 0
    private var keptBytes = 0

    /// nil when there is no memory.
    mutating func take(_ bytes: Int) -> UnsafeMutableRawPointer? {
        for index in unsafe 0..<count {
            let block = unsafe kept[index]!
            let held = unsafe block.load(as: Header.self).bytes
            // A block more than twice as large is left for whom it fits.
            guard held >= bytes, held / 2 <= bytes else { continue }
            unsafe count &-= 1
            unsafe kept[index] = unsafe kept[count]
            unsafe keptBytes &-= held
            return unsafe block + Self.headerBytes
        }
        let (total, overflow) = unsafe bytes.addingReportingOverflow(Self.headerBytes)
        guard !overflow, let block = unsafe malloc(total) else { return nil }
        unsafe block.storeBytes(of: Header(bytes: bytes), as: Header.self)
        return unsafe block + Self.headerBytes
    }

    mutating func give(_ memory: UnsafeMutableRawPointer?) {
        guard let memory = unsafe memory else { return }
        let block = unsafe memory - Self.headerBytes
        let bytes = unsafe block.load(as: Header.self).bytes
        guard unsafe count < Self.keptMax, unsafe bytes <= Self.keptBytesMax &- keptBytes else { return unsafe free(block) }
        unsafe kept[count] = unsafe block
        unsafe count &+= 1
        unsafe keptBytes &+= bytes
    }

    mutating func destroy() {
        for index in unsafe 0..<count { unsafe free(kept[index]) }
        unsafe count = 0
    }
}
