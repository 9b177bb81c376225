// ColdPath: a file that a handler wants and that the kernel's caches do not hold. The loop's thread.

internal import CUring
internal import Glibc
package import UringRing

/// Arguments of an openat2 on the ring: they stay in place until its completion.
@safe
final class ColdPath {
    let directory: Int32
    let path: UnsafeMutablePointer<CChar>
    let how: UnsafeMutablePointer<open_how>

    init(directory: Int32, path: UnsafePointer<CChar>, resolve: UInt64) {
        self.directory = directory
        unsafe self.path = unsafe strdup(path)
        unsafe how = .allocate(capacity: 1)
        unsafe how.initialize(to: open_how(flags: Kernel.openFlags, mode: 0, resolve: resolve))
    }

    deinit {
        unsafe free(path)
        unsafe how.deallocate()
    }
}

/// What became of opening a file for a response.
package enum FileOpenResult {
    case opened(OpenedFile)
    /// A positive errno: ENOENT, EACCES, ELOOP, EXDEV (out of the root)…
    case failed(Int32)
    /// The handler returns at once, having written nothing; it is called again when the file can be opened without waiting.
    case pending
}

/// An open file and what fstat(2) says of it; closed when the last reference goes.
package struct OpenedFile {
    let file: OpenFile
    package let status: FileStatus
}

extension Response {
    /// How often a request is set aside for a cold file before opening simply waits: caches under pressure could evict what was warmed.
    private static var coldRetriesMax: UInt8 { 4 }

    /// Opens a file beneath a directory without ever leaving it, and without waiting for a disk.
    package func openFile(directory: Int32, path: UnsafePointer<CChar>, followsSymlinks: Bool = true) -> FileOpenResult {
        let resolve = followsSymlinks ? Kernel.openResolve : Kernel.openResolveWithoutSymlinks
        // Of a handler that has outlived its loop: nobody would send the file.
        guard let loop = unsafe context.pointee.liveLoop else { return .failed(ECANCELED) }
        return unsafe loop._withUnsafeGuaranteedRef { loop in
            let patient = unsafe context.pointee.opensPatiently || context.pointee.connection.pointee.coldRetries >= Self.coldRetriesMax
            let fd = unsafe loop.kernel.openFile(directory: directory, path: path, cachedOnly: !patient, resolve: resolve)
            if fd == -EAGAIN {
                unsafe state.pointee.coldPath = unsafe ColdPath(directory: directory, path: path, resolve: resolve)
                unsafe state.pointee.needsColdFile = true
                return .pending
            }
            guard fd >= 0 else { return .failed(-fd) }
            switch loop.kernel.fileStatus(fd) {
            case .success(let status):
                let kernel = loop.kernel
                return .opened(OpenedFile(file: OpenFile(fd: fd, close: { kernel.close($0) }), status: status))
            case .failure(let error):
                loop.kernel.close(fd)
                return .failed(error.code)
            }
        }
    }

    /// Makes parts of an open file the content, in this order.
    package func send(_ file: OpenedFile, pieces: [FilePiece]) {
        unsafe state.pointee.content = .file(FileContent(file: file.file, pieces: pieces))
        unsafe state.pointee.hasSpecialContent = true
    }
}
