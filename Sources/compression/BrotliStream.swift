// brotli (RFC 7932) by libbrotlienc. Owned by a Compressor, which frees it.

internal import CUringCompression

/// The library cannot begin anew with an encoder: each stream makes one, of the same few blocks, which are kept between streams.
@unsafe
struct BrotliStream {
    /// From 1 MiB on level 4 takes a table of 4 MiB, which has no use with our window and has to be cleared for each stream.
    private static let sizeHintMax: UInt32 = (1 << 20) - 1

    private let level: UInt32
    private var encoder: OpaquePointer?
    private let blocks: UnsafeMutablePointer<BlockCache>

    init(level: Int32) {
        unsafe self.level = UInt32(level)
        unsafe blocks = .allocate(capacity: 1)
        unsafe blocks.initialize(to: BlockCache())
    }

    func destroy() {
        if let encoder = unsafe encoder { unsafe BrotliEncoderDestroyInstance(encoder) }
        unsafe blocks.pointee.destroy()
        unsafe blocks.deallocate()
    }

    mutating func begin(size: Int?) -> Bool {
        if let encoder = unsafe encoder { unsafe BrotliEncoderDestroyInstance(encoder) }
        // The cache outlives the encoder: `destroy` and `begin` end that first.
        unsafe encoder = unsafe BrotliEncoderCreateInstance(
            { cache, bytes in unsafe cache!.assumingMemoryBound(to: BlockCache.self).pointee.take(bytes) },
            { cache, block in unsafe cache!.assumingMemoryBound(to: BlockCache.self).pointee.give(block) }, blocks)
        guard let encoder = unsafe encoder else { return false }
        unsafe BrotliEncoderSetParameter(encoder, BROTLI_PARAM_QUALITY, level)
        unsafe BrotliEncoderSetParameter(encoder, BROTLI_PARAM_LGWIN, UInt32(CompressorSettings.windowBits))
        if let size { unsafe BrotliEncoderSetParameter(encoder, BROTLI_PARAM_SIZE_HINT, min(UInt32(clamping: size), Self.sizeHintMax)) }
        return true
    }

    func step(
        _ input: UnsafePointer<UInt8>?, _ count: Int, _ operation: CompressorOperation, _ out: UnsafeMutablePointer<UInt8>, _ room: Int
    ) -> CompressorStep? {
        guard let encoder = unsafe encoder else { return nil }
        var (given, space) = (count, room)
        var (from, to) = unsafe (input, Optional(out))
        let code =
            switch operation {
            case .run: BROTLI_OPERATION_PROCESS
            case .flush: BROTLI_OPERATION_FLUSH
            case .finish: BROTLI_OPERATION_FINISH
            }
        guard unsafe BrotliEncoderCompressStream(encoder, code, &given, &from, &space, &to, nil) != 0 else { return nil }
        let isDone =
            switch operation {
            case .run: given == 0
            case .flush: unsafe given == 0 && BrotliEncoderHasMoreOutput(encoder) == 0
            case .finish: unsafe BrotliEncoderIsFinished(encoder) != 0
            }
        return CompressorStep(consumed: count &- given, produced: room &- space, isDone: isDone)
    }
}
