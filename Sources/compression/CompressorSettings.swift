// What a compressor is told: levels and windows. Plain values; any thread.

internal import UringHTTP

/// How hard compressors try. Levels out of range count as the nearest in range.
package struct CompressorSettings: Sendable, Equatable {
    /// 1…9. 5 gives the size of 9, within 1 %, in half of its time.
    package var gzipLevel: Int
    /// 0…11. 128 KiB of text take 2 ms with 4, 3 with 5 and 6, 20 with 9, 160 with 11 (bench/compression/run).
    package var brotliLevel: Int
    /// 1…19. 128 KiB of text take 0.7 ms with 3, 3 with 9, 38 with 19, for 4 % less size than 3; beyond 19 it needs windows that clients refuse.
    package var zstdLevel: Int

    package init(gzipLevel: Int = 5, brotliLevel: Int = 4, zstdLevel: Int = 3) {
        self.gzipLevel = min(max(gzipLevel, 1), 9)
        self.brotliLevel = min(max(brotliLevel, 0), 11)
        self.zstdLevel = min(max(zstdLevel, 1), 19)
    }

    /// The window of brotli and zstd, in bits: 256 KiB. Tables and buffers grow with the window: a stream holds 7 (zstd 3) to 17 (brotli 4) windows, and a server has many streams.
    /// RFC 9659 section 3 forbids zstd windows beyond 8 MiB, RFC 7932 brotli windows beyond 16 MiB.
    static let windowBits = 18

    func level(of coding: ContentCoding) -> Int {
        switch coding {
        case .gzip: gzipLevel
        case .brotli: brotliLevel
        case .zstd: zstdLevel
        }
    }
}
