// gzip (RFC 1952) by zlib. Owned by a Compressor, which frees it.

internal import CUringCompression

@unsafe
struct GzipStream {
    /// zlib's state points back to it: it must stay where it is.
    private let stream: UnsafeMutablePointer<z_stream>

    /// nil when there is no memory.
    init?(level: Int32) {
        unsafe stream = .allocate(capacity: 1)
        unsafe stream.initialize(to: z_stream())
        guard unsafe uc_gzip_init(stream, level) == Z_OK else {
            unsafe stream.deallocate()
            return nil
        }
    }

    func destroy() {
        unsafe deflateEnd(stream)
        unsafe stream.deallocate()
    }

    func begin() -> Bool { unsafe deflateReset(stream) == Z_OK }

    func step(
        _ input: UnsafePointer<UInt8>?, _ count: Int, _ operation: CompressorOperation, _ out: UnsafeMutablePointer<UInt8>, _ room: Int
    ) -> CompressorStep? {
        // zlib counts in 32 bits.
        let (given, space) = (UInt32(clamping: count), UInt32(clamping: room))
        unsafe stream.pointee.next_in = unsafe UnsafeMutablePointer(mutating: input)  // read only, whatever its type says
        unsafe stream.pointee.avail_in = given
        unsafe stream.pointee.next_out = unsafe out
        unsafe stream.pointee.avail_out = space
        let isWhole = Int(given) == count
        let flush =
            switch operation {
            case .run: Z_NO_FLUSH
            case .flush: isWhole ? Z_SYNC_FLUSH : Z_NO_FLUSH
            case .finish: isWhole ? Z_FINISH : Z_NO_FLUSH
            }
        let code = unsafe deflate(stream, flush)
        // Z_BUF_ERROR: nothing was left to do, as after a flush that ended with the room.
        guard code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR else { return nil }
        let (unused, left) = unsafe (stream.pointee.avail_in, stream.pointee.avail_out)
        unsafe (stream.pointee.next_in, stream.pointee.next_out) = (nil, nil)
        let isDone =
            switch operation {
            case .run: isWhole && unused == 0
            case .flush: isWhole && unused == 0 && left > 0
            case .finish: code == Z_STREAM_END
            }
        return CompressorStep(consumed: Int(given &- unused), produced: Int(space &- left), isDone: isDone)
    }
}
