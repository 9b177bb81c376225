// From an encoded field block to HEADERS and CONTINUATION frames (RFC 9113 6.2, 6.10), for both sides of a connection. No state; memory is the
// caller's, for the call.

internal import UringHPACK

enum HeaderFrames {
    /// Most bytes of the frames for fields of `textBytes` in all. Frames are at least 16 KiB.
    static func bound(textBytes: Int) -> Int {
        let block = HPACKEncoder.bound(textBytes: textBytes)
        return block &+ FrameHeader.bytes &* (2 &+ block / HTTP2LocalSettings.defaultFrameBytes)
    }

    /// Puts frame headers around a block that stands behind room for one: HEADERS, and CONTINUATION where it is too long for a frame.
    @inline(__always)
    static func frame(_ out: UnsafeMutablePointer<UInt8>, count: Int, id: UInt32, endStream: Bool, frameBytesMax: Int) -> Int {
        guard count > frameBytesMax else {
            let flags = FrameFlags.endHeaders | (endStream ? FrameFlags.endStream : 0)
            // Caller's memory: nine bytes in front of the block.
            unsafe FrameHeader(length: count, type: FrameType.headers, flags: flags, streamID: id).write(to: out)
            return FrameHeader.bytes &+ count
        }
        return unsafe split(out, count: count, id: id, endStream: endStream, size: frameBytesMax)
    }

    @inline(never)
    private static func split(_ out: UnsafeMutablePointer<UInt8>, count: Int, id: UInt32, endStream: Bool, size: Int) -> Int {
        let frames = (count &+ size &- 1) / size
        // From the last to the first, each part moves back by the headers in front of it. Room by `bound`.
        for index in (0..<frames).reversed() {
            let length = min(size, count &- index &* size)
            let place = unsafe out + index &* (size &+ FrameHeader.bytes)
            unsafe (place + FrameHeader.bytes).update(from: out + FrameHeader.bytes + index &* size, count: length)
            var flags = index == frames &- 1 ? FrameFlags.endHeaders : 0
            if index == 0, endStream { flags |= FrameFlags.endStream }
            let type = index == 0 ? FrameType.headers : FrameType.continuation
            unsafe FrameHeader(length: length, type: type, flags: flags, streamID: id).write(to: place)
        }
        return count &+ frames &* FrameHeader.bytes
    }
}
