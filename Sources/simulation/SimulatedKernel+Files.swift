// Opening and reading the simulated files, at once or through the ring.

internal import CUring
internal import Glibc
internal import UringRing

extension SimulatedKernel {
    /// How long a cold file takes, nanoseconds.
    private static let diskNs = 50_000...5_000_000

    func openNow(directory: Int32, path: String, flags: UInt64) -> Int32 {
        guard let base = simulation.descriptors[directory] as? NodeFile else {
            if simulation.opensRealFiles, simulation.descriptors[directory] == nil { return openReal(directory: directory, path: path, flags: flags) }
            simulation.violation("open '\(path)' beneath descriptor \(directory), which is not a directory")
            return -EBADF
        }
        guard base.node.isDirectory else { return -ENOTDIR }
        switch simulation.files.resolve(path, beneath: base.node, mustBeDirectory: flags & UInt64(O_DIRECTORY) != 0) {
        case .failure(let error): return -error.code
        case .success(let node):
            guard let fd = simulation.descriptors.add(NodeFile(simulation, node)) else { return -EMFILE }
            simulation.trace(.open, Int64(fd), Int64(node.inode))
            return fd
        }
    }

    /// A file beneath a directory of the real process, read whole: as true as the simulated ones, and as still.
    private func openReal(directory: Int32, path: String, flags: UInt64) -> Int32 {
        let real = unsafe ur_openat2(directory, path, flags, Kernel.openResolve)
        guard real >= 0 else { return real }
        defer { _ = Glibc.close(real) }
        var status = stat()
        guard unsafe fstat(real, &status) == 0 else { return -errno }
        let kind = status.st_mode & S_IFMT
        var bytes: [UInt8] = []
        if kind == S_IFREG {
            bytes = [UInt8](repeating: 0, count: max(0, Int(status.st_size)))
            var count = 0
            while count < bytes.count {
                // The array's memory, for this call.
                let got = unsafe bytes.withUnsafeMutableBytes { unsafe pread(real, $0.baseAddress! + count, $0.count - count, off_t(count)) }
                if got < 0 { return -errno }
                if got == 0 { break }
                count += got
            }
            bytes.removeLast(bytes.count - count)
        }
        let content: FileSystemNode.Content = kind == S_IFDIR ? .directory([:]) : kind == S_IFREG ? .file(bytes) : .special
        let node = FileSystemNode(name: path, inode: UInt64(status.st_ino), content: content)
        (node.modifiedSeconds, node.modifiedNanoseconds) = (Int64(status.st_mtim.tv_sec), UInt32(status.st_mtim.tv_nsec))
        return simulation.descriptors.add(NodeFile(simulation, node)) ?? -EMFILE
    }

    func open(_ operation: PendingOperation) {
        let isCold = operation.state == .new && !operation.hasWaited && simulation.fault(\.openNotCached)
        if isCold { return takeLong(operation) }
        finish(operation, openNow(directory: operation.entry.descriptor, path: operation.path, flags: operation.openFlags))
    }

    func readNow(_ fd: Int32, into: UnsafeMutableRawPointer, count: Int, offset: UInt64) -> Int {
        guard let file = simulation.descriptors[fd] as? NodeFile else {
            simulation.violation("read of descriptor \(fd), which is not an open file")
            return -Int(EBADF)
        }
        return unsafe readNow(file, into: into, count: count, offset: offset)
    }

    private func readNow(_ file: NodeFile, into: UnsafeMutableRawPointer, count: Int, offset: UInt64) -> Int {
        guard let bytes = file.node.bytes else { return file.node.isDirectory ? -Int(EISDIR) : -Int(EAGAIN) }
        guard offset < UInt64(bytes.count), count > 0 else { return 0 }
        var size = min(count, bytes.count - Int(offset))
        if size > 1, simulation.fault(\.shortRead) { size = simulation.random.within(1...(size - 1)) }
        unsafe bytes.withUnsafeBytes { unsafe into.copyMemory(from: $0.baseAddress! + Int(offset), byteCount: size) }
        return size
    }

    func read(_ operation: PendingOperation) {
        guard let file = file(of: operation) else { return }
        guard let node = file as? NodeFile else {
            simulation.violation("queued read of descriptor \(operation.entry.descriptor), which is not a file: not simulated")
            return finish(operation, -EINVAL)
        }
        if !operation.hasWaited, simulation.fault(\.readNotCached) { return takeLong(operation) }
        // The program keeps this memory until the completion.
        guard let into = unsafe UnsafeMutableRawPointer(bitPattern: UInt(operation.entry.address)) else { return finish(operation, -EFAULT) }
        let count = unsafe readNow(node, into: into, count: Int(operation.entry.length), offset: operation.entry.offset)
        finish(operation, Int32(count), failed: count < Int(operation.entry.length))
    }

    /// A worker thread waits for the disk.
    private func takeLong(_ operation: PendingOperation) {
        operation.hasWaited = true
        operation.state = .asynchronous
        register(operation)
        simulation.schedule(after: simulation.random.within(Self.diskNs)) { [weak self] in
            guard operation.state == .asynchronous else { return }
            self?.queueWork(operation)
        }
    }
}
