// Memory that ends, or begins, exactly at an inaccessible page: reading one byte beyond is a fault, not a silent success.

import Glibc

/// Owns accessible pages between two inaccessible ones and hands out copies placed at either edge.
@safe final class GuardedBytes {
    private let mapping: UnsafeMutableRawPointer
    private let pageBytes: Int
    private let usableBytes: Int

    /// Room for `capacity` bytes, rounded up to pages, with an inaccessible page on either side.
    init(capacity: Int) {
        pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))
        usableBytes = (max(capacity, 1) + pageBytes - 1) / pageBytes * pageBytes
        let total = usableBytes + 2 * pageBytes
        let mapped = unsafe mmap(nil, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else { fatalError("mmap: errno \(errno)") }
        unsafe mapping = mapped
        guard unsafe mprotect(mapped + pageBytes, usableBytes, PROT_READ | PROT_WRITE) == 0 else { fatalError("mprotect: errno \(errno)") }
    }

    deinit { unsafe munmap(mapping, usableBytes + 2 * pageBytes) }

    /// A copy of `bytes` whose last byte is the last accessible one. Valid until the next call or the end of `self`.
    func placedAtEnd(_ bytes: some Collection<UInt8>) -> UnsafeMutablePointer<UInt8> {
        precondition(bytes.count <= usableBytes)
        let start = unsafe (mapping + pageBytes + usableBytes - bytes.count).assumingMemoryBound(to: UInt8.self)
        var index = 0
        for byte in bytes {
            unsafe start[index] = byte
            index += 1
        }
        return unsafe start
    }

    /// A copy of `bytes` whose first byte is the first accessible one. Valid until the next call or the end of `self`.
    func placedAtStart(_ bytes: some Collection<UInt8>) -> UnsafeMutablePointer<UInt8> {
        precondition(bytes.count <= usableBytes)
        let start = unsafe (mapping + pageBytes).assumingMemoryBound(to: UInt8.self)
        var index = 0
        for byte in bytes {
            unsafe start[index] = byte
            index += 1
        }
        return unsafe start
    }
}
