// Responses: HEADERS, DATA headers, trailers, into memory of the caller (RFC 9113 8.1). See HTTP2Connection.swift for when a slot dies.

internal import UringHPACK
package import UringHTTP

/// Field lines of the form "name: value" and CRLF, one behind the other, as an HTTP/1.1 head has them. The encoder makes names lower case
/// and leaves out fields of the connection.
@unsafe @frozen @usableFromInline package struct HTTP2FieldText {
    @usableFromInline package let text: UnsafePointer<UInt8>
    @usableFromInline package let count: Int

    /// The memory is the caller's, for the call that is given it; every line is whole and has its colon and space.
    @inlinable package init(_ text: UnsafePointer<UInt8>, count: Int) {
        unsafe self.text = text
        unsafe self.count = count
    }
}

extension HTTP2Connection {
    /// Most bytes that `writeHead`, `writeInterim` and `writeTrailers` write for fields of `textBytes` in all. Frames are at least 16 KiB.
    package static func headersBound(textBytes: Int) -> Int {
        HeaderFrames.bound(textBytes: textBytes)
    }

    /// Writes the final response's head; answers its bytes, or 0 when the slot is dead or the head is written already.
    ///
    /// - Parameters:
    ///   - date: 29 bytes, or nil for none.
    ///   - contentLength: nil when it is not known or must not be said.
    ///   - first: field lines such as the server's own; nil for none. `second`: the handler's.
    ///   - endStream: there is no content and no trailers.
    ///   - out: `capacity` bytes, at least `headersBound` of both texts.
    package mutating func writeHead(
        _ slot: StreamSlot, status: HTTPStatus, date: UnsafePointer<UInt8>?, contentLength: UInt64?, first: HTTP2FieldText?,
        second: HTTP2FieldText?, endStream: Bool, into out: UnsafeMutablePointer<UInt8>, capacity: Int
    ) -> Int {
        guard let stream = unsafe stream(slot), unsafe !stream.pointee.headWritten else { return 0 }
        // The table's memory and the caller's, as above.
        unsafe stream.pointee.headWritten = true
        unsafe encoder.begin(out + FrameHeader.bytes, capacity: capacity &- FrameHeader.bytes)
        encoder.status(status.code)
        if let date = unsafe date { unsafe encoder.date(date) }
        if let contentLength { encoder.contentLength(contentLength) }
        if let first = unsafe first { unsafe encoder.fields(text: first.text, count: first.count) }
        if let second = unsafe second { unsafe encoder.fields(text: second.text, count: second.count) }
        let written = unsafe frameBlock(out, count: encoder.end(), id: stream.pointee.id, endStream: endStream)
        if endStream { endResponse(slot) }
        return written
    }

    /// Writes an interim response (RFC 9110 15.2), such as "100 Continue"; answers its bytes, or 0 when it comes too late. `out` as in `writeHead`.
    package mutating func writeInterim(
        _ slot: StreamSlot, status: HTTPStatus, fields: HTTP2FieldText?, into out: UnsafeMutablePointer<UInt8>, capacity: Int
    ) -> Int {
        guard let stream = unsafe stream(slot), unsafe !stream.pointee.headWritten, status.isInformational else { return 0 }
        // The table's memory and the caller's.
        unsafe encoder.begin(out + FrameHeader.bytes, capacity: capacity &- FrameHeader.bytes)
        encoder.status(status.code)
        if let fields = unsafe fields { unsafe encoder.fields(text: fields.text, count: fields.count) }
        return unsafe frameBlock(out, count: encoder.end(), id: stream.pointee.id, endStream: false)
    }

    /// Writes trailer fields, which end the response; answers their bytes, or 0 when the slot is dead or has no head yet. `out` as in `writeHead`.
    package mutating func writeTrailers(
        _ slot: StreamSlot, _ fields: HTTP2FieldText, into out: UnsafeMutablePointer<UInt8>, capacity: Int
    ) -> Int {
        guard let stream = unsafe stream(slot), unsafe stream.pointee.headWritten && !stream.pointee.responseEnded else { return 0 }
        // The table's memory and the caller's.
        unsafe encoder.begin(out + FrameHeader.bytes, capacity: capacity &- FrameHeader.bytes)
        unsafe encoder.fields(text: fields.text, count: fields.count)
        let written = unsafe frameBlock(out, count: encoder.end(), id: stream.pointee.id, endStream: true)
        endResponse(slot)
        return written
    }

    /// Writes the nine bytes in front of `count` bytes of content and charges the windows; answers 9, or 0 when the slot is dead, or its
    /// response has not begun or has ended.
    ///
    /// - Parameter count: at most `sendWindow` and `maxFrameBytes`. 0 is always allowed, to end the stream.
    @inline(__always)
    package mutating func writeDataHeader(_ slot: StreamSlot, count: Int, endStream: Bool, into out: UnsafeMutablePointer<UInt8>) -> Int {
        guard let stream = unsafe stream(slot), unsafe stream.pointee.headWritten && !stream.pointee.responseEnded else { return 0 }
        precondition(count == 0 || (count > 0 && canSendWhole(slot, count)), "BUG: more DATA than the window or the frame size allows")
        // The table's memory and the caller's: nine bytes.
        let bytes = Int32(truncatingIfNeeded: count)
        sendWindow.take(bytes)
        unsafe stream.pointee.send.take(bytes)
        budget.creditData()
        let flags = endStream ? FrameFlags.endStream : 0
        unsafe FrameHeader(length: count, type: FrameType.data, flags: flags, streamID: stream.pointee.id).write(to: out)
        if endStream { endResponse(slot) }
        return FrameHeader.bytes
    }

    // MARK: ends

    /// After a response that ended before its request: asks the client to stop sending (RFC 9113 8.1), and the slot is dead. Nothing while the
    /// response goes on.
    package mutating func stopReading(_ slot: StreamSlot) {
        guard let stream = unsafe stream(slot), unsafe stream.pointee.responseEnded else { return }
        budget.creditResponse()
        reset(slot, .noError)
    }

    /// Ends the stream with RST_STREAM; the slot is dead.
    package mutating func reset(_ slot: StreamSlot, _ code: HTTP2ErrorCode) {
        guard let stream = unsafe stream(slot) else { return }
        let id = unsafe stream.pointee.id
        recentResets.note(id)
        release(slot)
        if !writeReset(id, code) { _ = overflow() }
    }

    @inline(__always)
    private mutating func endResponse(_ slot: StreamSlot) {
        guard let stream = unsafe stream(slot) else { return }
        // The table's memory, before it changes.
        unsafe stream.pointee.responseEnded = true
        if unsafe stream.pointee.isReady { setReady(slot, false) }
        guard unsafe stream.pointee.requestEnded else { return }
        budget.creditResponse()
        release(slot)
    }

    /// The request has arrived whole.
    @inline(__always)
    mutating func endRequest(_ slot: StreamSlot) {
        guard let stream = unsafe stream(slot) else { return }
        // The table's memory, before it changes.
        unsafe stream.pointee.requestEnded = true
        guard unsafe stream.pointee.responseEnded else { return }
        budget.creditResponse()
        release(slot)
    }

    @inline(__always)
    private func frameBlock(_ out: UnsafeMutablePointer<UInt8>, count: Int, id: UInt32, endStream: Bool) -> Int {
        // Caller's memory: nine bytes in front of the block, and room by `headersBound`.
        unsafe HeaderFrames.frame(out, count: count, id: id, endStream: endStream, frameBytesMax: maxFrameBytes)
    }
}
