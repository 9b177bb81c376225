// CompressionFilter: compresses the responses of a route for clients that accept it: its own, files, and those of upstreams while they come. Made at start and on reloads, immutable, shared by all
// loops, as the compressors behind it, of which each loop has its own.

internal import UringServer
internal import UringServerCompression

final class CompressionFilter: Sendable {
    /// In the order of `CompressionOutcome`.
    static let results = ["zstd", "br", "gzip", "not_accepted", "left"]

    private let compression: ResponseCompression

    /// - Parameter compressors: of all routes, so that what a loop holds for compression does not grow with their number.
    init(_ configuration: CompressionConfiguration, _ compressors: SharedCompressors, _ counts: FilterCounts) {
        var options = CompressionOptions()
        options.codings = configuration.codings.map { coding in
            switch coding {
            case .zstd: .zstd
            case .br: .brotli
            case .gzip: .gzip
            }
        }
        options.minimumBytes = Int(clamping: configuration.bytesMin)
        options.additionalTypes = configuration.types
        compression = ResponseCompression(options, compressors, encodesFiles: true) { outcome, loop in counts.add(outcome.rawValue, loop: loop) }
    }

    /// Before what the other filters may answer. On a loop's thread.
    func register(_ request: borrowing Request, _ response: inout Response) { compression.register(request, &response) }
}
