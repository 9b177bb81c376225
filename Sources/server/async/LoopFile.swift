// LoopFile and LoopSocket: files and connections of tasks, through the ring of their loop. Used from tasks of any loop; each call is carried out on the loop it belongs to.
//
// Pointers: each call makes the memory that the kernel works on and frees it when the completion has come, which it waits for even when it is cancelled.

internal import CUring
internal import Glibc
internal import UringRing

/// An open file, read and written through a loop's ring: a disk that has to be waited for holds nobody up.
public final class LoopFile: Sendable {
    private let executor: LoopExecutor
    private let descriptor: Int32
    private let path: String

    /// How a file is opened.
    public enum Mode: Sendable {
        /// For reading only; it must exist.
        case read
        /// Made when it does not exist, emptied when it does. Rights: those of the mask (umask(2)) for 0666.
        case write
        /// As `write`, and it must not exist.
        case create
        /// Made when it does not exist; what is written comes behind its end.
        case append

        var flags: Int32 {
            switch self {
            case .read: O_RDONLY
            case .write: O_WRONLY | O_CREAT | O_TRUNC
            case .create: O_WRONLY | O_CREAT | O_EXCL
            case .append: O_WRONLY | O_CREAT | O_APPEND
            }
        }
    }

    init(_ executor: LoopExecutor, _ descriptor: Int32, _ path: String) { (self.executor, self.descriptor, self.path) = (executor, descriptor, path) }

    /// Closed with its last reference.
    deinit { _ = Glibc.close(descriptor) }

    /// Its size now, in bytes.
    /// - Throws: `LoopError`.
    public var size: UInt64 {
        get throws {
            var status = stat()
            guard unsafe fstat(descriptor, &status) == 0 else { throw LoopError(code: errno, operation: "asking for the size of \(path)") }
            return UInt64(max(0, status.st_size))
        }
    }

    /// Reads up to `count` bytes; none at the end of the file.
    /// - Parameters:
    ///   - offset: where, from the file's beginning.
    ///   - count: 1…2³⁰.
    /// - Throws: `LoopError`.
    public nonisolated(nonsending) func read(at offset: UInt64, upTo count: Int) async throws -> [UInt8] {
        guard try executor.isHere() else { return try await withTaskExecutorPreference(executor) { @concurrent in try await self.read(at: offset, upTo: count) } }
        let count = max(1, min(count, 1 << 30))
        let memory = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 16)
        defer { unsafe memory.deallocate() }
        let result = try unsafe await executor.makeWaits().perform { unsafe ur_prep_read($0, descriptor, memory, UInt32(count), offset) }
        guard result >= 0 else { throw try LoopError(result, "reading \(path)") }
        return unsafe Array(UnsafeRawBufferPointer(start: memory, count: Int(result)))
    }

    /// Writes all bytes.
    /// - Parameters:
    ///   - bytes: all of them are written.
    ///   - offset: where; of no consequence to a file that was opened with `append`.
    /// - Throws: `LoopError`; some may have been written then.
    public func write(_ bytes: [UInt8], at offset: UInt64) async throws {
        guard try executor.isHere() else { return try await withTaskExecutorPreference(executor) { try await self.write(bytes, at: offset) } }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(1, bytes.count), alignment: 16)
        defer { unsafe memory.deallocate() }
        unsafe bytes.withUnsafeBytes { if $0.count > 0 { unsafe memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) } }
        var done = 0
        while done < bytes.count {
            let piece = min(bytes.count - done, 1 << 30)
            let result = try unsafe await executor.makeWaits().perform { unsafe ur_prep_write($0, descriptor, memory + done, UInt32(piece), offset &+ UInt64(done)) }
            guard result > 0 else { throw try LoopError(result == 0 ? -ENOSPC : result, "writing \(path)") }
            done += Int(result)
        }
    }
}

extension ServerLoop {
    /// Opens a file. A path that clients have a say in is no business of this call: it goes wherever the path does (`StaticFiles` does not).
    /// - Throws: `LoopError`.
    public func open(_ path: String, _ mode: LoopFile.Mode = .read) async throws -> LoopFile {
        guard try executor.isHere() else { return try await withTaskExecutorPreference(executor) { try await self.open(path, mode) } }
        guard !path.utf8.contains(0) else { throw LoopError(code: EINVAL, operation: "opening a path with a NUL byte") }
        let text = unsafe strdup(path)
        let how = UnsafeMutablePointer<open_how>.allocate(capacity: 1)
        defer {
            unsafe free(text)
            unsafe how.deallocate()
        }
        unsafe how.initialize(to: open_how())
        unsafe how.pointee.flags = UInt64(UInt32(bitPattern: mode.flags | O_CLOEXEC | O_NOCTTY))
        if mode.flags & O_CREAT != 0 { unsafe how.pointee.mode = 0o666 }
        let result = try unsafe await executor.makeWaits().perform { unsafe ur_prep_openat2($0, AT_FDCWD, text, how) }
        guard result >= 0 else { throw try LoopError(result, "opening \(path)") }
        return LoopFile(executor, result, path)
    }

    /// The whole of a file.
    /// - Parameters:
    ///   - path: as for `open`.
    ///   - max: a larger file throws a `LoopError` with EFBIG.
    public func readFile(_ path: String, upTo max: Int) async throws -> [UInt8] {
        let file = try await open(path)
        let size = try file.size
        var whole: [UInt8] = []
        // Files of /proc have no size, and any file may grow meanwhile: its end is where it ends.
        while true {
            let rest = size > UInt64(whole.count) ? size - UInt64(whole.count) : 0
            let piece = try await file.read(at: UInt64(whole.count), upTo: Int(clamping: Swift.min(rest + 1, UInt64(Swift.max(0, max - whole.count)) + 1, 1 << 20)))
            if piece.isEmpty { return whole }
            guard piece.count <= max - whole.count else { throw LoopError(code: EFBIG, operation: "reading \(path), which has more than \(max) bytes") }
            whole += piece
        }
    }
}
