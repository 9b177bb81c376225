// zstd (RFC 8878) by libzstd. Owned by a Compressor, which frees it.

internal import CUringCompression

@unsafe
struct ZstdStream {
    /// From this level on libzstd's tables are for larger windows than ours. It makes them smaller itself only when it is told the size: level 9 would hold 13 MiB for a
    /// stream, level 19 82 MiB (bench/compression/run).
    private static let levelWithLargeTables: Int32 = 7
    /// What it makes of them then: the positions of twice the window.
    private static let tableBits = Int32(CompressorSettings.windowBits + 1)

    private let context: OpaquePointer

    /// nil when there is no memory.
    init?(level: Int32) {
        guard let made = unsafe ZSTD_createCCtx() else { return nil }
        unsafe context = unsafe made
        // They stay through the resets between streams. None can fail: all are in range.
        unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level)
        unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, Int32(CompressorSettings.windowBits))
        guard unsafe level >= Self.levelWithLargeTables else { return }
        unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_hashLog, Self.tableBits)
        unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_chainLog, Self.tableBits)
    }

    func destroy() { unsafe ZSTD_freeCCtx(context) }

    func begin(size: Int?) -> Bool {
        guard unsafe ZSTD_isError(ZSTD_CCtx_reset(context, ZSTD_reset_session_only)) == 0 else { return false }
        guard let size else { return true }
        return unsafe ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(context, UInt64(size))) == 0
    }

    func step(
        _ input: UnsafePointer<UInt8>?, _ count: Int, _ operation: CompressorOperation, _ out: UnsafeMutablePointer<UInt8>, _ room: Int
    ) -> CompressorStep? {
        var from = unsafe ZSTD_inBuffer(src: input, size: count, pos: 0)
        var to = unsafe ZSTD_outBuffer(dst: out, size: room, pos: 0)
        let directive =
            switch operation {
            case .run: ZSTD_e_continue
            case .flush: ZSTD_e_flush
            case .finish: ZSTD_e_end
            }
        let left = unsafe ZSTD_compressStream2(context, &to, &from, directive)
        guard ZSTD_isError(left) == 0 else { return nil }
        let isDone = unsafe operation == .run ? from.pos == count : left == 0
        return unsafe CompressorStep(consumed: from.pos, produced: to.pos, isDone: isDone)
    }
}
