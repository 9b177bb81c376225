// What a compressor is told: levels and windows. Plain values; any thread.

internal import UringHTTP

/// How hard compressors try. Levels out of range count as the nearest in range.
package struct CompressorSettings: Sendable, Equatable {
    /// 1…9. 5 gives nearly the size of 9 for a fraction of its time.
    package var gzipLevel: Int
    /// 0…11. From 5 on each level costs several times as much as the one before.
    package var brotliLevel: Int
    /// 1…19. Beyond 9 it is slower than what can be done while a client waits; beyond 19 it needs windows that clients refuse.
    package var zstdLevel: Int

    package init(gzipLevel: Int = 5, brotliLevel: Int = 4, zstdLevel: Int = 3) {
        self.gzipLevel = min(max(gzipLevel, 1), 9)
        self.brotliLevel = min(max(brotliLevel, 0), 11)
        self.zstdLevel = min(max(zstdLevel, 1), 19)
    }

    /// The window of brotli and zstd, in bits: 256 KiB. What a stream holds is a few times its window, and a server has many streams; beyond this size pages win little.
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
