// Windows of streams and connection (RFC 9113 5.2, 6.9), and whose turn it is to send (RFC 9218 10). See HTTP2Connection.swift.

extension HTTP2Connection {
    // MARK: what the client may send

    /// The server has taken body bytes out of its buffers: the client may send as many more. Bytes of a stream that ends are credited by the
    /// engine.
    package mutating func consumed(_ slot: StreamSlot, _ count: Int) {
        guard let stream = unsafe stream(slot), count > 0 else { return }
        // The table's memory, not changed in between.
        let bytes = unsafe Int32(truncatingIfNeeded: min(count, Int(stream.pointee.unconsumed)))
        unsafe stream.pointee.unconsumed &-= bytes
        unsafe stream.pointee.receive.free(bytes)
        receiveWindow.free(bytes)
        announceStream(slot)
        announceConnection()
    }

    /// Tells the client of the connection's window when half of it is free again.
    @inline(__always) mutating func announceConnection() {
        if receiveWindow.isWorthAnnouncing(of: settings.connectionWindowBytes) { writeConnectionUpdate() }
    }

    @inline(never) private mutating func writeConnectionUpdate() {
        guard let out = unsafe windowUpdate(0) else { return }
        // Control memory: four bytes behind a frame header.
        unsafe Wire.write32(UInt32(bitPattern: receiveWindow.announce()), to: out)
    }

    /// Tells the client of a stream's window when half of it is free again and more can come.
    mutating func announceStream(_ slot: StreamSlot) {
        guard let stream = unsafe stream(slot), unsafe !stream.pointee.requestEnded,
            unsafe stream.pointee.receive.isWorthAnnouncing(of: settings.streamWindowBytes)
        else { return }
        guard let out = unsafe windowUpdate(stream.pointee.id) else { return }
        // Control memory: four bytes behind a frame header.
        unsafe Wire.write32(UInt32(bitPattern: stream.pointee.receive.announce()), to: out)
    }

    /// Where the increment of an update in the control output goes. Without room the update is owed until there is: the client is
    /// not at fault when the server takes bytes faster than it sends.
    private mutating func windowUpdate(_ id: UInt32) -> UnsafeMutablePointer<UInt8>? {
        guard let out = unsafe control.appendWindowUpdate(id) else {
            owesUpdates = true
            return nil
        }
        return unsafe out
    }

    /// Window updates that found no room.
    mutating func writeOwedUpdates() {
        guard owesUpdates else { return }
        owesUpdates = false
        announceConnection()
        for index in 0..<table.capacity where !owesUpdates { announceStream(StreamSlot(index: UInt16(truncatingIfNeeded: index))) }
    }

    /// Our initial window has changed for the streams that are open.
    mutating func shiftReceiveWindows(by difference: Int32) {
        guard difference != 0, let streams = unsafe table.streams else { return }
        // The table's memory, up to its capacity.
        for index in 0..<table.capacity where unsafe streams[index].isLive { unsafe streams[index].receive.shift(by: difference) }
    }

    // MARK: what the server may send

    /// Bytes of DATA that may be sent on the stream now; may be 0 or less.
    @inline(__always) package func sendWindow(_ slot: StreamSlot) -> Int {
        guard let stream = unsafe stream(slot) else { return 0 }
        // The table's memory, for this expression.
        return unsafe Int(min(stream.pointee.send.bytes, sendWindow.bytes))
    }

    /// The largest payload of a frame that the client accepts.
    @inline(__always) package var maxFrameBytes: Int { Int(peer.frameBytesMax) }

    /// Whether `bytes` of DATA fit one frame and the windows.
    @inline(__always) package func canSendWhole(_ slot: StreamSlot, _ bytes: Int) -> Bool {
        bytes <= maxFrameBytes && bytes <= sendWindow(slot)
    }

    /// The client's initial window has changed; false when a window becomes larger than windows may be.
    mutating func shiftSendWindows(by difference: Int64) -> Bool {
        guard difference != 0, let streams = unsafe table.streams else { return true }
        guard let difference = Int32(exactly: difference) else { return false }
        // The table's memory, up to its capacity.
        for index in 0..<table.capacity where unsafe streams[index].isLive {
            guard unsafe streams[index].send.change(by: difference) else { return false }
            requeue(StreamSlot(index: UInt16(truncatingIfNeeded: index)))
        }
        return true
    }

    // MARK: whose turn it is

    /// Whether the server has bytes for the stream that wait for their turn.
    package mutating func setReady(_ slot: StreamSlot, _ isReady: Bool) {
        guard let stream = unsafe stream(slot), let streams = unsafe table.streams else { return }
        // The table's memory, not changed in between.
        guard unsafe stream.pointee.isReady != isReady, unsafe !(isReady && stream.pointee.responseEnded) else { return }
        unsafe stream.pointee.isReady = isReady
        readyCount &+= isReady ? 1 : -1
        if isReady {
            requeue(slot)
        } else if unsafe stream.pointee.isQueued {
            unsafe queue.remove(slot.index, in: streams)
        }
    }

    /// The ready stream that is to send next and has a window; nil when none can. Ask again after each frame: incremental ones take turns.
    package mutating func nextSendable() -> StreamSlot? {
        guard sendWindow.bytes > 0, let streams = unsafe table.streams else { return nil }
        while let index = unsafe queue.take(in: streams) {
            // The table's memory; queued slots are live.
            if unsafe streams[Int(index)].send.bytes > 0 { return StreamSlot(index: index) }
            // Back when its window opens.
            unsafe queue.remove(index, in: streams)
        }
        return nil
    }

    /// Whether `nextSendable` may have something to name.
    @inline(__always) package var hasSendable: Bool { sendWindow.bytes > 0 && !queue.isEmpty }

    /// Puts a ready stream into the queue when it is not there and may send.
    mutating func requeue(_ slot: StreamSlot) {
        guard let stream = unsafe stream(slot), let streams = unsafe table.streams else { return }
        // The table's memory, not changed in between.
        guard unsafe stream.pointee.isReady && !stream.pointee.isQueued && stream.pointee.send.bytes > 0 else { return }
        unsafe queue.insert(slot.index, in: streams)
    }

    mutating func setPriority(_ priority: StreamPriority, of slot: StreamSlot) {
        guard let stream = unsafe stream(slot), let streams = unsafe table.streams else { return }
        // The table's memory, not changed in between.
        let wasQueued = unsafe stream.pointee.isQueued
        if wasQueued { unsafe queue.remove(slot.index, in: streams) }
        unsafe stream.pointee.priority = priority
        if wasQueued { unsafe queue.insert(slot.index, in: streams) }
    }
}
