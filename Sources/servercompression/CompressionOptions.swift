// What a program decides about compression. Plain values; any thread.

/// How `Middleware.compression` compresses.
public struct CompressionOptions: Sendable {
    public enum Coding: Sendable, CaseIterable {
        /// RFC 8878. Fastest for its size; browsers take it over TLS.
        case zstd
        /// RFC 7932. Smallest; browsers take it over TLS.
        case brotli
        /// RFC 1952. Everybody takes it.
        case gzip
    }

    /// What is offered, in order of preference among codings that the client likes equally. None named here is used.
    public var codings: [Coding] = [.zstd, .brotli, .gzip]
    /// 1…9, 0…11 and 1…19; what is out of range counts as the nearest in range. The defaults are what can be done while a client waits.
    public var gzipLevel = 5
    public var brotliLevel = 4
    public var zstdLevel = 3
    /// Content in memory of fewer bytes is sent as it is: it fits a packet or two in any case. Streams have no size and are compressed.
    public var minimumBytes = 1024
    /// Media types to compress besides the usual ones (text, JSON, XML, JavaScript, SVG, wasm, fonts and the like), without parameters: `application/x-ours`.
    public var additionalTypes: [String] = []
    /// Most streams that one loop compresses at a time; those beyond are sent as they are. With the default levels each holds up to 0.3 MiB (gzip), 1.8 (zstd) or 4.2
    /// (brotli) until its end; see `streamBytesPerLoop`.
    public var streamsPerLoop = 256
    /// Most bytes that the compressors of one loop hold, working on streams and waiting for the next. A stream whose coding has no room any more is compressed with gzip, which needs the least, if the client takes it, and else
    /// sent as it is. Content that is compressed at once needs one compressor at a time, whatever this says. 64 MiB: 15 streams of brotli, 36 of zstd or 240 of gzip with the default levels.
    public var streamBytesPerLoop = 64 << 20

    public init() {}
}
