// Compressor: one stream of gzip, brotli or zstd at a time, used again for the next. Bytes in, bytes out; no I/O. Any one thread at a time.

package import UringHTTP

/// What a step is to achieve.
package enum CompressorOperation: Sendable {
    /// Take the input; output comes when there is enough of it.
    case run
    /// Take the input, and put out everything that a decoder needs to have all of it.
    case flush
    /// Take the input and end the stream.
    case finish
}

package struct CompressorStep: Sendable, Equatable {
    package var consumed: Int
    package var produced: Int
    /// The operation is done. Otherwise: call again with the rest of the input and more room.
    package var isDone: Bool
}

/// Compresses streams, one after another.
@safe
package final class Compressor {
    package let coding: ContentCoding
    private var gzip: GzipStream?
    private var brotli: BrotliStream?
    private var zstd: ZstdStream?

    /// nil when there is no memory.
    package init?(_ coding: ContentCoding, _ settings: CompressorSettings = CompressorSettings()) {
        self.coding = coding
        let level = Int32(settings.level(of: coding))
        switch coding {
        case .gzip:
            guard let stream = unsafe GzipStream(level: level) else { return nil }
            unsafe gzip = unsafe stream
        case .brotli: unsafe brotli = unsafe BrotliStream(level: level)
        case .zstd:
            guard let stream = unsafe ZstdStream(level: level) else { return nil }
            unsafe zstd = unsafe stream
        }
    }

    deinit {
        unsafe gzip?.destroy()
        unsafe brotli?.destroy()
        unsafe zstd?.destroy()
    }

    /// Begins a stream; what was not finished of the one before is forgotten.
    /// - Parameter size: how many bytes it will have in all, when that is known: then exactly as many must come.
    /// - Returns: false when there is no memory.
    package func begin(size: Int?) -> Bool {
        switch coding {
        case .gzip: unsafe gzip!.begin()
        case .brotli: unsafe brotli!.begin(size: size)
        case .zstd: unsafe zstd!.begin(size: size)
        }
    }

    /// Less room than zlib's flush needs for its marker makes it begin the flush anew each time, without end (zlib.h: more than six bytes).
    package static var roomMin: Int { 64 }

    /// Works on input until it is used up or `out` is full.
    /// - Parameters:
    ///   - input: `count` readable bytes; may be nil when there are none.
    ///   - out: `room` writable bytes, `roomMin` at least.
    /// - Returns: nil when the library has failed, for want of memory: the stream is lost.
    package func step(
        _ input: UnsafePointer<UInt8>?, _ count: Int, _ operation: CompressorOperation, into out: UnsafeMutablePointer<UInt8>, room: Int
    ) -> CompressorStep? {
        precondition(room >= Self.roomMin, "BUG: a compressor without room")
        return switch coding {
        case .gzip: unsafe gzip!.step(input, count, operation, out, room)
        case .brotli: unsafe brotli!.step(input, count, operation, out, room)
        case .zstd: unsafe zstd!.step(input, count, operation, out, room)
        }
    }

    /// Bytes that compressed data of `count` bytes never exceeds by much: what one `finish` nearly always gets by with.
    package static func bound(_ count: Int) -> Int { count &+ count / 128 &+ 512 }
}
