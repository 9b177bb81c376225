// What a compressor is told: levels and windows. Plain values; any thread.

package import UringHTTP

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

    /// What a stream of this coding holds at most, its blocks kept for the next included; measured with 1 MiB of text (bench/compression/run), rounded up.
    package func streamBytes(of coding: ContentCoding) -> Int {
        let kibibytes =
            switch coding {
            case .gzip: 272
            case .brotli: Self.brotliKiB[brotliLevel]
            case .zstd: zstdKiB
            }
        return kibibytes * 1024
    }

    /// By level. 9 has larger tables than 10 and 11, which search another way.
    private static let brotliKiB: [12 of Int] = [144, 160, 2400, 2400, 4300, 4800, 5850, 12_000, 20_200, 38_000, 14_000, 23_900]

    private var zstdKiB: Int {
        switch zstdLevel {
        case ...1: 1100
        case 2: 1280
        case 3: 1800
        case 4: 3080
        case ...12: 4100
        case ...15: 5120
        case ...17: 5280
        default: 5900
        }
    }

    func level(of coding: ContentCoding) -> Int {
        switch coding {
        case .gzip: gzipLevel
        case .brotli: brotliLevel
        case .zstd: zstdLevel
        }
    }
}
