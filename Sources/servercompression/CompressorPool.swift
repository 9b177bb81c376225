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
    private let bytesMax: Int
    private var free: [[PooledCompressor]] = [[], [], []]
    private var streams = 0
    /// Of all compressors there are, by what each comes to hold.
    private(set) var bytes = 0

    init(_ settings: CompressorSettings, streamsMax: Int, bytesMax: Int) { (self.settings, self.streamsMax, self.bytesMax) = (settings, streamsMax, bytesMax) }

    /// nil when there is no memory, and for a stream beyond the limits.
    func take(_ coding: ContentCoding, isStream: Bool) -> PooledCompressor? {
        if isStream, streams >= streamsMax { return nil }
        guard let compressor = free[Int(coding.rawValue)].popLast() ?? make(coding, isStream) else { return nil }
        // One of those for content at once that were made beyond the limit.
        if isStream, bytes > bytesMax {
            drop(compressor)
            return nil
        }
        if isStream { streams += 1 }
        compressor.isStream = isStream
        compressor.pool = self
        return compressor
    }

    private func make(_ coding: ContentCoding, _ isStream: Bool) -> PooledCompressor? {
        let needed = settings.streamBytes(of: coding)
        // Those that wait for other codings' streams make room.
        while needed > bytesMax - bytes, let largest = free.compactMap(\.last).max(by: { settings.streamBytes(of: $0.coding) < settings.streamBytes(of: $1.coding) }) {
            free[Int(largest.coding.rawValue)].removeLast()
            drop(largest)
        }
        guard !isStream || needed <= bytesMax - bytes, let made = PooledCompressor(coding, settings) else { return nil }
        bytes += needed
        return made
    }

    private func drop(_ compressor: PooledCompressor) { bytes -= settings.streamBytes(of: compressor.coding) }

    fileprivate func give(_ compressor: PooledCompressor) {
        compressor.pool = nil
        if compressor.isStream { streams -= 1 }
        let index = Int(compressor.coding.rawValue)
        if free[index].count < Self.freeMax && bytes <= bytesMax { free[index].append(compressor) } else { drop(compressor) }
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
