// Files: parts of files as response content; small ones are read, large ones go by sendfile(2). The loop's thread.
// Pointers: a connection's slot stays valid until the turn that ends it is over, the loop's own memory until the loop ends.

internal import CUring
internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringRing

extension Loop {
    /// Up to here a file is read into memory and leaves with its head; from here on sendfile(2) (io_uring.md: 64 KiB).
    static var readFileMax: UInt64 { 64 * 1024 }

    func appendFile(_ connection: UnsafeMutablePointer<Connection>, _ content: FileContent) {
        for piece in content.pieces {
            if unsafe connection.pointee.flags.contains(.closing) { return }  // no memory for a piece before: shed
            switch piece {
            case .text(let bytes): unsafe bytes.withUnsafeBufferPointer { if $0.count > 0 { unsafe appendOutput(connection, $0.baseAddress!, $0.count) } }
            case .range(let offset, let count):
                if count > 0, count < Self.readFileMax, unsafe readSmall(connection, content.file, offset, Int(count)) { continue }
                guard count > 0 else { continue }
                unsafe connection.pointee.queue.append(
                    OutputSegment(
                        owner: .file, base: nil, count: count, object: Unmanaged<AnyObject>.passRetained(content.file), fileOffset: offset))
            }
        }
    }

    /// False when the page cache does not hold all of it.
    func readSmall(_ connection: UnsafeMutablePointer<Connection>, _ file: OpenFile, _ offset: UInt64, _ count: Int) -> Bool {
        guard let out = unsafe reserve(connection, count) else { return true }
        let read = unsafe kernel.readCached(file.fd, into: out, count: count, offset: offset)
        guard read == count else {
            unsafe connection.pointee.queue.dropLeadingEmpty(pool: pool)
            return false
        }
        unsafe commit(connection, count)
        return true
    }

    /// Bytes of one file per turn and connection, so that a large download does not hold the others up.
    static var fileBytesPerTurn: Int { 2 * 1024 * 1024 }
    /// Bytes of files per half turn (completions, then output), over all connections: 2 to 3 ms. Thousands of downloads that begin at once
    /// would otherwise fill all their sockets, a gigabyte and more, before anybody else has a turn.
    static var fileBytesOfAllPerTurn: Int { 16 * 1024 * 1024 }

    /// What is read at a time of a file that the page cache does not hold: what the kernel reads ahead by default, so that the next piece is there
    /// when this one has left. A connection that waits for a disk holds this much memory.
    static var coldReadBytes: Int { 128 * 1024 }

    /// Sends head and file with immediate calls: the head in a segment of its own, and sendfile follows at once.
    /// - Parameter patient: sends what a disk must be waited for, too.
    func sendFiles(_ connection: UnsafeMutablePointer<Connection>, patient: Bool = false) {
        guard unsafe state.pointee.fileBytesInTurn < Self.fileBytesOfAllPerTurn else { return unsafe waitForTurn(connection) }
        var budget = Self.fileBytesPerTurn
        var total: UInt64 = 0
        var failed = false
        var isCold = false
        while budget > 0 {
            let result: Int
            if unsafe connection.pointee.batchCount > 0 {
                // Without MSG_MORE: a head in front of the pages shifts every 64 KiB run that sendfile hands over across two segments, and
                // 1 MiB then costs twice as much (377 against 199 µs in one run, nginx 189).
                result = unsafe kernel.send(connection.pointee.fd, connection.pointee.batchStart!, connection.pointee.batchCount, more: false)
            } else if let first = unsafe connection.pointee.queue.first {
                if unsafe first.pointee.owner == .file {
                    let file = unsafe unsafeDowncast(first.pointee.object!.takeUnretainedValue(), to: OpenFile.self)
                    let wanted = unsafe Int(min(first.pointee.count, UInt64(budget)))
                    if !patient, unsafe !kernel.isCached(file.fd, offset: first.pointee.fileOffset, count: wanted) {
                        isCold = true
                        break
                    }
                    result = unsafe kernel.sendFile(connection.pointee.fd, file: file.fd, offset: first.pointee.fileOffset, count: wanted)
                    // The file has become shorter than the length that was announced: only a cut connection can say so.
                    if result == 0 { failed = true }
                } else {
                    result = unsafe kernel.send(
                        connection.pointee.fd, first.pointee.base!, Int(first.pointee.count), more: first.pointee.next != nil)
                }
            } else {
                break
            }
            if failed { break }
            if result < 0 {
                if case .again = SocketFailure(Int32(-result)) { break }
                failed = true
                break
            }
            unsafe advanceOutput(connection, UInt64(result))
            total &+= UInt64(result)
            budget -= result
            unsafe state.pointee.fileBytesInTurn &+= result
        }
        if failed { return unsafe sendFailed(connection) }
        unsafe bytesLeft(connection, total)
        guard unsafe preserveBatch(connection) else { return unsafe shed(connection) }
        let step = unsafe connection.pointee.machine.outputSent(total, now: state.pointee.now, settings.pointee.policy)
        if isCold {
            unsafe readAhead(connection)
        } else if unsafe !connection.pointee.queue.isEmpty {
            if budget > 0 { unsafe waitWritable(connection) } else { unsafe markDirty(connection) }
        }
        if step != .wait { unsafe perform(connection, step) }
        unsafe armTimer(connection)
    }

    /// This turn has sent enough of files. The next flush begins with the first who was left out, so that all get their turn.
    private func waitForTurn(_ connection: UnsafeMutablePointer<Connection>) {
        unsafe markDirty(connection)
        if unsafe state.pointee.dirtyStart < 0 { unsafe state.pointee.dirtyStart = unsafe state.pointee.dirty.count &- state.pointee.flushing &- 1 }
    }

    // MARK: files that are not in the page cache

    /// Has the ring read the next bytes of the file at the front of the output, whose disk nobody else shall wait for.
    func readAhead(_ connection: UnsafeMutablePointer<Connection>) {
        guard let first = unsafe connection.pointee.queue.first else { return }
        let count = unsafe Int(min(first.pointee.count, UInt64(Self.coldReadBytes)))
        guard let memory = unsafe pool.pointee.takeLarge(count) else { return unsafe shed(connection) }
        // The segment owns the memory, and is not released before the completion: `closeIfDone` waits for it.
        unsafe (first.pointee.memory, first.pointee.memoryBytes) = unsafe (memory, count)
        let file = unsafe unsafeDowncast(first.pointee.object!.takeUnretainedValue(), to: OpenFile.self)
        let sqe = unsafe entry()
        unsafe ur_prep_read(sqe, file.fd, memory, UInt32(count), first.pointee.fileOffset)
        unsafe ur_sqe_tag(sqe, Operation(.read, connection.pointee.handle).raw, 0)
        unsafe connection.pointee.sending = .read
        unsafe connection.pointee.operations &+= 1
        unsafe meter.pointee.coldReads &+= 1
    }

    /// Completion of `readAhead`: what was read goes out in front of the rest of its file.
    func fileRead(_ handle: Handle, _ result: Int32) {
        guard let connection = unsafe connections.pointee.pointer(handle), unsafe connection.pointee.sending == .read else { return }
        unsafe connection.pointee.sending = .none
        unsafe connection.pointee.operations &-= 1
        if unsafe connection.pointee.flags.contains(.closing) { return unsafe closeIfDone(connection) }
        guard let file = unsafe connection.pointee.queue.first, let memory = unsafe file.pointee.memory else { return }
        let size = unsafe file.pointee.memoryBytes
        unsafe (file.pointee.memory, file.pointee.memoryBytes) = (nil, 0)
        guard result > 0 else {
            unsafe pool.pointee.giveLarge(memory, size)
            let isPlain = unsafe connection.pointee.tls == nil && !connection.pointee.flags.contains(.stream)
            if isPlain, case .again = SocketFailure(-result) { return unsafe sendFiles(connection, patient: true) }
            // A disk that fails, or a file that has become shorter than was announced: only a cut connection can say so.
            unsafe because(connection, .failure)
            return unsafe sendFailed(connection)
        }
        let count = UInt64(result)
        unsafe file.pointee.fileOffset &+= count
        unsafe file.pointee.count &-= count
        let bytes = unsafe memory.bindMemory(to: UInt8.self, capacity: size)
        unsafe connection.pointee.queue.prepend(
            OutputSegment(owner: .block, base: UnsafePointer(bytes), count: count, memory: memory, memoryBytes: size))
        unsafe markDirty(connection)
    }

    func waitWritable(_ connection: UnsafeMutablePointer<Connection>) {
        let sqe = unsafe entry()
        unsafe ur_prep_poll(sqe, connection.pointee.fd, UInt32(POLLOUT))
        unsafe ur_sqe_tag(sqe, Operation(.poll, connection.pointee.handle).raw, 0)
        unsafe connection.pointee.sending = .poll
        unsafe connection.pointee.operations &+= 1
    }

    func writable(_ handle: Handle, _ result: Int32) {
        guard let connection = unsafe connections.pointee.pointer(handle), unsafe connection.pointee.sending == .poll else { return }
        unsafe connection.pointee.sending = .none
        unsafe connection.pointee.operations &-= 1
        if unsafe connection.pointee.flags.contains(.closing) { return unsafe closeIfDone(connection) }
        if result < 0, result != -EINTR, result != -EAGAIN { return unsafe sendFailed(connection) }
        if unsafe !connection.pointee.queue.isEmpty { unsafe sendFiles(connection) }
    }
}
