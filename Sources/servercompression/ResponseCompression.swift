// Compression of responses. What the client accepts is read when a response begins; the work is done by a step when it is complete. The loops' threads.

internal import UringCompression
internal import UringHTTP
package import UringServer

/// What became of a response that is worth compressing.
package enum CompressionOutcome: Int, Sendable, CaseIterable {
    case zstd, brotli, gzip
    /// Sent as it is: the client takes none of the codings.
    case notAccepted
    /// Sent as it is: there was no room for another stream, it would not have become smaller, or a file has to be waited for.
    case left
}

/// Compressors of all loops, for several `ResponseCompression` whose levels and limits are the same: then the limits hold for all of them together.
package final class SharedCompressors: Sendable {
    fileprivate let pools: LoopLocal<CompressorPool>

    package init(_ options: CompressionOptions = CompressionOptions()) {
        let settings = CompressorSettings(gzipLevel: options.gzipLevel, brotliLevel: options.brotliLevel, zstdLevel: options.zstdLevel)
        let (streams, bytes) = (options.streamsPerLoop, max(0, options.streamBytesPerLoop))
        pools = LoopLocal { CompressorPool(settings, streamsMax: streams, bytesMax: bytes) }
    }
}

/// Compresses the responses that it is registered for. Immutable; shared by all loops.
package final class ResponseCompression: Sendable {
    private let compression: Compression
    private let step: ResponseStep

    /// - Parameters:
    ///   - compressors: nil: its own.
    ///   - encodesFiles: also files that lie there uncompressed, which then leave through this program instead of by sendfile.
    ///   - told: of each response that is worth compressing, on its loop.
    package init(
        _ options: CompressionOptions, _ compressors: SharedCompressors? = nil, encodesFiles: Bool = false,
        told: (@Sendable (_ outcome: CompressionOutcome, _ loop: Int) -> Void)? = nil
    ) {
        let compression = Compression(options, (compressors ?? SharedCompressors(options)).pools, encodesFiles: encodesFiles, told)
        self.compression = compression
        step = ResponseStep { response, note in compression.compress(&response, note) }
    }

    /// The response is compressed when it is complete, if the client and it are fit for that. On a loop's thread.
    package func register(_ request: borrowing Request, _ response: inout Response) {
        response.beforeSending(step, note: compression.choose(request.acceptEncoding))
    }
}

/// What is known of responses and clients. Immutable; shared by all loops.
private final class Compression: Sendable {
    /// What a step is told: the chosen coding's raw value and one more, 0 for none, whether the client refuses what is not encoded, and whether it takes gzip.
    private static let codingBits: UInt64 = 3
    private static let refusesIdentity: UInt64 = 4
    /// gzip would do, too.
    private static let acceptsGzip: UInt64 = 8

    private let order: [3 of ContentCoding]
    private let offered: ContentCodings
    private let minimumBytes: Int
    private let types: CompressibleTypes
    private let pools: LoopLocal<CompressorPool>
    private let encodesFiles: Bool
    private let told: (@Sendable (_ outcome: CompressionOutcome, _ loop: Int) -> Void)?

    init(
        _ options: CompressionOptions, _ pools: LoopLocal<CompressorPool>, encodesFiles: Bool, _ told: (@Sendable (_ outcome: CompressionOutcome, _ loop: Int) -> Void)?
    ) {
        (self.pools, self.encodesFiles, self.told) = (pools, encodesFiles, told)
        var codings: [ContentCoding] = []
        for coding in options.codings.map(Self.coding) where !codings.contains(coding) { codings.append(coding) }
        offered = codings.reduce(into: []) { $0.insert(ContentCodings($1)) }
        codings += ContentCoding.allCases.filter { !codings.contains($0) }
        order = [codings[0], codings[1], codings[2]]
        minimumBytes = options.minimumBytes
        types = CompressibleTypes(additional: options.additionalTypes)
    }

    private static func coding(_ coding: CompressionOptions.Coding) -> ContentCoding {
        switch coding {
        case .zstd: .zstd
        case .brotli: .brotli
        case .gzip: .gzip
        }
    }

    func choose(_ accepted: AcceptEncoding) -> UInt64 {
        var note: UInt64 = accepted.acceptsIdentity ? 0 : Self.refusesIdentity
        if case .coded(let coding) = accepted.choose(among: offered, order: order) { note |= UInt64(coding.rawValue) + 1 }
        if offered.contains(.gzip), case .coded = accepted.choose(among: .gzip, order: order) { note |= Self.acceptsGzip }
        return note
    }

    func compress(_ response: inout Response, _ note: UInt64) {
        let isForced = note & Self.refusesIdentity != 0
        // It says what the response would have said that the client has (RFC 9110 section 15.4.5); its type, which is not there, may be one that is compressed.
        if response.status.code == 304, encodesFiles || response.contentShape != .file { return response.vary(on: "accept-encoding") }
        guard mayChange(response), isForced || isWorthwhile(response) else { return }
        response.vary(on: "accept-encoding")
        guard note & Self.codingBits > 0, let coding = ContentCoding(rawValue: UInt8(note & Self.codingBits) - 1) else {
            told?(.notAccepted, response.loopIndex)
            return
        }
        guard let used = encode(&response, coding, orGzip: note & Self.acceptsGzip != 0, isForced) else {
            told?(.left, response.loopIndex)
            return
        }
        label(&response, used)
        guard let told else { return }
        told(used == .zstd ? .zstd : used == .brotli ? .brotli : .gzip, response.loopIndex)
    }

    private func mayChange(_ response: borrowing Response) -> Bool {
        let status = response.status
        guard !response.isUpgrade, !status.forbidsContent, status.code != 205, status.code != 206 else { return false }
        switch response.contentShape {
        case .file: return false
        case .wholeFile: guard encodesFiles else { return false }
        case .memory, .relayed, .produced: break
        }
        if response.hasField("content-encoding") || response.hasField("content-range") { return false }
        // RFC 9530: they are of the bytes as they would have been sent.
        if response.hasField("content-digest") || response.hasField("repr-digest") || response.hasField("digest") { return false }
        return unsafe !response.hasField("cache-control") { unsafe Self.hasNoTransform($0) }
    }

    /// RFC 9111 section 5.2.2.6. Directives with quoted arguments hold no such word between commas that would matter: at worst nothing is compressed.
    private static func hasNoTransform(_ value: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let base = value.baseAddress else { return false }
        var list = FieldListIterator(count: value.count)
        // SAFETY: the value is readable during this call.
        while let item = unsafe list.next(in: base) {
            if unsafe equalsIgnoringCase(base + item.lowerBound, count: item.count, "no-transform") { return true }
        }
        return false
    }

    private func isWorthwhile(_ response: borrowing Response) -> Bool {
        switch response.contentShape {
        case .memory(let bytes): guard bytes >= minimumBytes else { return false }
        case .wholeFile(let bytes), .relayed(let bytes?): guard bytes >= UInt64(clamping: minimumBytes) else { return false }
        case .relayed(nil), .produced, .file: break
        }
        return unsafe response.hasField("content-type") { unsafe types.contains($0) }
    }

    /// With what the content is encoded now; nil: it is not.
    private func encode(_ response: inout Response, _ coding: ContentCoding, orGzip: Bool, _ isForced: Bool) -> ContentCoding? {
        if response.isHead {
            response.forgetContentLength()
            return coding
        }
        let isStream: Bool
        if case .memory(let bytes) = response.contentShape {
            // An empty answer needs no coding, whatever the client refuses.
            if bytes == 0 { return nil }
            isStream = bytes > Response.encodedAtOnceMax
        } else {
            isStream = true
        }
        let taken = pools.with(response) { pool in
            pool.take(coding, isStream: isStream) ?? (orGzip && coding != .gzip ? pool.take(.gzip, isStream: isStream) : nil)
        }
        guard let encoder = taken else { return nil }
        let isEncoded = isStream ? response.encodeStream(encoder) : response.encodeWritten(encoder, onlyIfSmaller: !isForced)
        return isEncoded ? encoder.coding : nil
    }

    private func label(_ response: inout Response, _ coding: ContentCoding) {
        response.headers.add("content-encoding", ByteView(coding.token.bytes))
        // Ranges would be of what was encoded anew, with other bytes perhaps.
        response.headers["accept-ranges"] = nil
        response.weakenEntityTag()
    }
}
