// Compressed messages that the caller sends (RFC 7692 7.2.1). See WebSocketConnection.swift. The deflater is the loop's, lent for the message, or for
// the connection's life when it may refer to earlier messages.

internal import CUringZ

/// What `writeDeflated` did.
@frozen @usableFromInline package enum WebSocketDeflated: Equatable, Sendable {
    /// So many bytes are in the caller's memory: one whole frame.
    case written(Int)
    /// Nothing was written: send it as it is. It is short, it does not get smaller, or compression was not agreed upon.
    case plain
    /// Nothing was written, and nothing may be sent.
    case refused
}

extension WebSocketConnection {
    /// Room that `writeDeflated` needs for so many bytes: what zlib adds to data that it cannot compress is less than 1/128 and 64 bytes.
    package static func deflatedBytesMax(_ count: Int) -> Int { WebSocketFrame.headBytesMax &+ count &+ count &>> 7 &+ 64 }

    /// Shorter messages are sent plain; `.max` when all are.
    @inline(__always) package var deflatesFrom: Int {
        // The loop's compression, which outlives its connections.
        unsafe deflate.compresses ? max(1, compression!.pointee.options.thresholdBytes) : .max
    }

    /// Compresses a message, or with `isLast` false a fragment of one, and writes it as one frame. When the first fragment is answered with `plain` the
    /// whole message is sent plain.
    ///
    /// - Parameters:
    ///   - bytes: `count` bytes of content, readable for this call. Text is UTF-8.
    ///   - out: room for `deflatedBytesMax(count)`.
    package mutating func writeDeflated(
        _ kind: WebSocketMessageKind, _ bytes: UnsafePointer<UInt8>, count: Int, isLast: Bool = true, into out: UnsafeMutablePointer<UInt8>
    ) -> WebSocketDeflated {
        guard phase == .open else { return .refused }
        let begins = outgoing == .none
        if begins {
            // Caller's memory and the loop's compression.
            guard deflate.compresses, count >= (unsafe compression!.pointee.options.thresholdBytes) else { return .plain }
        } else if outgoing == .plain {
            return .plain
        }
        guard let z = unsafe borrowDeflater() else {
            // Never within a message: its deflater is held since it began.
            return begins ? .plain : .refused
        }
        guard let written = unsafe deflateFrame(z, kind, bytes, count: count, begins: begins, isLast: isLast, into: out) else {
            // The deflater has seen what the client will not get from it: it must not refer to that.
            _ = unsafe curing_z_reset_deflate(z)
            if !deflate.serverTakesContextOver { giveBackDeflater() }
            return .plain
        }
        outgoing = isLast ? .none : .compressed
        if isLast, !deflate.serverTakesContextOver { giveBackDeflater() }
        return .written(written)
    }

    /// Nil when the first frame of a message does not get smaller.
    private func deflateFrame(
        _ z: UnsafeMutablePointer<curing_z>, _ kind: WebSocketMessageKind, _ bytes: UnsafePointer<UInt8>, count: Int, begins: Bool, isLast: Bool,
        into out: UnsafeMutablePointer<UInt8>
    ) -> Int? {
        // Caller's memory, as above. The content goes where it will stay if it gets no shorter than its class of heads.
        let guess = WebSocketFrame.headBytes(max(count &>> 1, 126))
        var next: UnsafePointer<UInt8>? = unsafe bytes
        var left = count
        var place: UnsafeMutablePointer<UInt8>? = unsafe out + guess
        let room = Self.deflatedBytesMax(count) &- WebSocketFrame.headBytesMax
        var space = room
        // One call does it: there is room for whatever zlib makes of it, and a flush is done when room is left.
        let result = unsafe curing_z_deflate(z, &next, &left, &place, &space)
        // A flush with nothing to say is no error (an empty fragment behind another).
        guard result == Z_OK || result == Z_BUF_ERROR, left == 0, space > 0 else {
            precondition(begins, "BUG: compressed data that does not fit its bound")
            return nil
        }
        var length = room &- space
        // The end of a flush goes without saying (7.2.1); an empty message is one byte (7.2.3.6).
        if isLast { length = length >= 4 ? length &- 4 : 0 }
        if isLast, length == 0 {
            unsafe out[guess] = 0
            length = 1
        }
        if begins, length >= count { return nil }
        let opcode = begins ? kind.rawValue | WebSocketBits.compressed : WebSocketOpcode.continuation
        let head = WebSocketFrame.headBytes(length)
        if head != guess { unsafe (out + head).update(from: out + guess, count: length) }
        return unsafe WebSocketFrame.writeHead((isLast ? WebSocketBits.final : 0) | opcode, count: length, to: out) &+ length
    }

    private mutating func borrowDeflater() -> UnsafeMutablePointer<curing_z>? {
        if let state = unsafe deflater.state { return unsafe state }
        // The loop's compression, which outlives its connections.
        unsafe deflater.state = compression?.pointee.borrowDeflater(windowBits: deflate.serverWindowBits)
        return unsafe deflater.state
    }

    mutating func giveBackDeflater() {
        guard let state = unsafe deflater.state else { return }
        unsafe deflater.state = nil
        unsafe compression?.pointee.giveBackDeflater(state)
    }
}
