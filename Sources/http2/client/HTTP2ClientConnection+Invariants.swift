// What must be true of a client's connection between two calls. Called by tests and fuzz targets only: it looks at every stream.

extension HTTP2ClientConnection {
    /// The first rule that is broken, or nil.
    package func brokenInvariant() -> StaticString? {
        if control.count > max(limits.controlBytesMax, HTTP2ClientSettings.prefaceBytesMax) + ControlOutput.reserveBytes {
            return "control output is larger than its limit"
        }
        if isFailed { return nil }
        var live = 0
        var ready = 0
        var queued = 0
        var held = Int(progress.data)
        for index in 0..<table.capacity {
            let slot = StreamSlot(index: UInt16(truncatingIfNeeded: index))
            guard let stream = unsafe stream(slot) else { continue }
            // The table's memory, not changed here.
            if let broken = unsafe brokenInvariant(of: stream.pointee, slot) { return broken }
            live += 1
            unsafe ready += stream.pointee.isReady ? 1 : 0
            unsafe queued += stream.pointee.isQueued ? 1 : 0
            unsafe held += Int(stream.pointee.unconsumed)
        }
        if live != table.active { return "live streams are miscounted" }
        if live > settings.streamsMax { return "more streams than may be open" }
        if ready != readyCount { return "ready streams are miscounted" }
        if let streams = unsafe table.streams, unsafe queue.length(in: streams) != queued { return "the send queue has other streams than are queued" }
        // Every byte of the connection's window is the server's to send, on its way, with the caller, or to be announced.
        if Int(receiveWindow.bytes) + Int(receiveWindow.credit) + held != settings.connectionWindowBytes { return "bytes of the connection's window are lost" }
        return nil
    }

    private func brokenInvariant(of stream: HTTP2Stream, _ slot: StreamSlot) -> StaticString? {
        if table.find(stream.id) != slot.index { return "a stream is not found by its identifier" }
        if stream.id & 1 == 0 || stream.id > lastStreamID { return "a stream has an identifier that was not given" }
        if stream.requestEnded && stream.responseEnded { return "a stream outlives its end" }
        if stream.isQueued && !stream.isReady { return "a stream is queued and has nothing to send" }
        if stream.isReady && !stream.isQueued && stream.send.bytes > 0 { return "a ready stream with a window is not queued" }
        if stream.isReady && stream.requestEnded { return "a stream is ready after its request" }
        if stream.responseEnded && !stream.answer.contains(.hasHead) { return "a response ended before its head" }
        let arriving = progress.slot == slot ? Int(progress.data) : 0
        if Int(stream.receive.bytes) + Int(stream.receive.credit) + Int(stream.unconsumed) + arriving != Int(streamWindow) {
            return "bytes of a stream's window are lost"
        }
        if stream.unconsumed < 0 || stream.receive.credit < 0 { return "more bytes consumed than arrived" }
        return nil
    }
}
