// Output: where response bytes are written before they leave. The loop's thread.
// Pointers: a connection's slot stays valid until the turn that ends it is over, the loop's own memory until the loop ends.

internal import CUring
internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringHTTP2
internal import UringRing

extension Loop {
    // MARK: writing

    /// `count` writable bytes at the end of the connection's output; `commit` says how many were used. nil when memory is refused: the
    /// connection was aborted.
    func reserve(_ connection: UnsafeMutablePointer<Connection>, _ count: Int) -> UnsafeMutablePointer<UInt8>? {
        if unsafe connection.pointee.queue.isEmpty, unsafe connection.pointee.sending == .none, unsafe batch.pointee.space >= count,
            unsafe !connection.pointee.flags.contains(.stream)
        {
            if unsafe connection.pointee.batchCount == 0 { unsafe connection.pointee.batchStart = unsafe batch.pointee.cursor }
            if unsafe connection.pointee.batchStart! + connection.pointee.batchCount == batch.pointee.cursor { return unsafe batch.pointee.cursor }
        }
        if let tail = unsafe connection.pointee.queue.tail, unsafe tail.pointee.room >= count {
            return unsafe UnsafeMutablePointer(mutating: tail.pointee.base! + Int(tail.pointee.count))
        }
        return unsafe newSegment(connection, count)
    }

    @inline(never)
    func newSegment(_ connection: UnsafeMutablePointer<Connection>, _ count: Int) -> UnsafeMutablePointer<UInt8>? {
        let fitsChunk = count <= ChunkPool.chunkBytes
        guard let memory = unsafe fitsChunk ? pool.pointee.take() : pool.pointee.takeLarge(count) else {
            unsafe shed(connection)
            return nil
        }
        let bytes = unsafe memory.bindMemory(to: UInt8.self, capacity: count)
        unsafe connection.pointee.queue.append(
            OutputSegment(
                owner: fitsChunk ? .chunk : .block, base: UnsafePointer(bytes), count: 0, room: fitsChunk ? ChunkPool.chunkBytes : count,
                memory: memory, memoryBytes: count))
        return unsafe bytes
    }

    /// The bytes written at what `reserve` answered are output now.
    func commit(_ connection: UnsafeMutablePointer<Connection>, _ count: Int) {
        if unsafe connection.pointee.queue.isEmpty {
            unsafe connection.pointee.batchCount &+= count
            unsafe batch.pointee.commit(count)
        } else {
            let tail = unsafe connection.pointee.queue.tail!
            unsafe tail.pointee.count &+= UInt64(count)
            unsafe tail.pointee.room &-= count
        }
        unsafe markDirty(connection)
    }

    func appendOutput(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        guard let out = unsafe reserve(connection, count) else { return }
        unsafe memcpy(out, bytes, count)
        unsafe commit(connection, count)
    }

    func appendBlock(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) {
        guard unsafe pool.pointee.adoptLarge(count) else {
            unsafe free(bytes)
            return unsafe shed(connection)
        }
        unsafe connection.pointee.queue.append(
            OutputSegment(
                owner: .block, base: UnsafePointer(bytes), count: UInt64(count), memory: UnsafeMutableRawPointer(bytes), memoryBytes: count))
    }

    func appendShared(_ connection: UnsafeMutablePointer<Connection>, _ bytes: SharedBytes) {
        unsafe connection.pointee.queue.append(
            OutputSegment(owner: .shared, base: bytes.base, count: UInt64(bytes.count), object: Unmanaged<AnyObject>.passRetained(bytes)))
    }

    func markDirty(_ connection: UnsafeMutablePointer<Connection>) {
        if unsafe connection.pointee.flags.contains(.stream) {
            guard let (carrier, http2) = unsafe carrier(connection), unsafe !connection.pointee.flags.contains(.closing) else { return }
            unsafe http2.pointee.engine.setReady(connection.pointee.streamSlot, true)
            return unsafe markDirty(carrier)
        }
        guard unsafe !connection.pointee.flags.contains(.dirty) else { return }
        unsafe connection.pointee.flags.insert(.dirty)
        unsafe state.pointee.dirty.append(connection)
    }
}
