// Compressors of one loop, used again and again. The loop's thread only.

internal import UringCompression
internal import UringHTTP
internal import UringServer

/// The compressors that a loop has; they are made when none is free.
final class CompressorPool {
    /// Kept for the next: as many as a loop needs at once when responses come one by one, and some streams besides.
    private static let freeMax = 16

    private let settings: CompressorSettings
    private let streamsMax: Int
    private var free: [[PooledCompressor]] = [[], [], []]
    private var streams = 0

    init(_ settings: CompressorSettings, streamsMax: Int) { (self.settings, self.streamsMax) = (settings, streamsMax) }

    /// nil when there is no memory, and for a stream beyond the limit.
    func take(_ coding: ContentCoding, isStream: Bool) -> PooledCompressor? {
        if isStream {
            guard streams < streamsMax else { return nil }
            streams += 1
        }
        guard let compressor = free[Int(coding.rawValue)].popLast() ?? PooledCompressor(coding, settings) else {
            if isStream { streams -= 1 }
            return nil
        }
        compressor.isStream = isStream
        compressor.pool = self
        return compressor
    }

    fileprivate func give(_ compressor: PooledCompressor) {
        compressor.pool = nil
        if compressor.isStream { streams -= 1 }
        let index = Int(compressor.coding.rawValue)
        if free[index].count < Self.freeMax { free[index].append(compressor) }
    }
}

/// A compressor that goes back to its pool.
final class PooledCompressor: ContentEncoder {
    private let compressor: Compressor
    /// While it works. The pool holds those that are free, so it must not be held by them; and a stream may outlive the application whose pool it is.
    fileprivate var pool: CompressorPool?
    fileprivate var isStream = false
    var coding: ContentCoding { compressor.coding }

    fileprivate init?(_ coding: ContentCoding, _ settings: CompressorSettings) {
        guard let compressor = Compressor(coding, settings) else { return nil }
        self.compressor = compressor
    }

    func begin(size: Int?) -> Bool { compressor.begin(size: size) }

    func encode(_ bytes: UnsafeBufferPointer<UInt8>, _ piece: ContentPiece, into out: inout GrowingBytes) -> Bool {
        let operation: CompressorOperation =
            switch piece {
            case .part: .run
            case .pause: .flush
            case .last: .finish
            }
        var used = 0
        while true {
            // Room for all that is likely to come: more than one round is rare.
            unsafe out.reserve(piece == .last ? Compressor.bound(bytes.count - used) / 2 + 512 : 4096)
            let room = unsafe out.capacity - out.count
            // SAFETY: `used` is at most the count of `bytes`, which the caller keeps readable; the room was reserved.
            let step = unsafe compressor.step(
                bytes.baseAddress.map { unsafe $0 + used }, bytes.count - used, operation, into: out.base + out.count, room: room)
            guard let step else { return false }
            unsafe out.wrote(step.produced)
            used += step.consumed
            if step.isDone { return true }
        }
    }

    func end() { pool?.give(self) }
}
