// Compression of responses. The middleware reads what the client accepts; the work is done by a step when the response is complete. The loops' threads.

internal import UringCompression
internal import UringHTTP
public import UringServer

extension Middleware {
    /// Compresses responses with gzip, brotli or zstd, as the client accepts (`Accept-Encoding` with its weights, RFC 9110 section 12.5.3).
    ///
    /// What is sent as it is: content that has a coding already, is small (`minimumBytes`), of a media type that compression wins nothing on, or without one; files
    /// (`StaticFiles` sends siblings that were compressed beforehand); partial content; responses with `Cache-Control: no-transform` or a digest of their content. A client
    /// that refuses `identity` gets small content and any type compressed too; one that accepts nothing there is gets it as it is, which RFC 9110 section 12.1 allows.
    ///
    /// Compressed responses have `Content-Encoding`, a weak `ETag` if any, and no `Accept-Ranges`; all that might have been compressed have `Vary: Accept-Encoding`.
    /// Streams leave compressed piece by piece, and everything written so far leaves whenever their producer waits.
    ///
    /// Content with secrets beside what others can put into it should not be compressed over TLS (BREACH): set `Cache-Control: no-transform` there.
    public static func compression(_ options: CompressionOptions = CompressionOptions()) -> Middleware {
        let compression = Compression(options)
        let step = ResponseStep { response, note in compression.compress(&response, note) }
        return Middleware { request, response, next in
            response.beforeSending(step, note: compression.choose(request.acceptEncoding))
            try next(request, &response)
        }
    }
}

/// What one middleware knows. Immutable; shared by all loops.
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

    init(_ options: CompressionOptions) {
        var codings: [ContentCoding] = []
        for coding in options.codings.map(Self.coding) where !codings.contains(coding) { codings.append(coding) }
        offered = codings.reduce(into: []) { $0.insert(ContentCodings($1)) }
        codings += ContentCoding.allCases.filter { !codings.contains($0) }
        order = [codings[0], codings[1], codings[2]]
        minimumBytes = options.minimumBytes
        types = CompressibleTypes(additional: options.additionalTypes)
        let settings = CompressorSettings(gzipLevel: options.gzipLevel, brotliLevel: options.brotliLevel, zstdLevel: options.zstdLevel)
        let (streams, bytes) = (options.streamsPerLoop, max(0, options.streamBytesPerLoop))
        pools = LoopLocal { CompressorPool(settings, streamsMax: streams, bytesMax: bytes) }
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
        guard mayChange(response), isForced || isWorthwhile(response) else { return }
        response.vary(on: "accept-encoding")
        guard note & Self.codingBits > 0, let coding = ContentCoding(rawValue: UInt8(note & Self.codingBits) - 1) else { return }
        if let used = encode(&response, coding, orGzip: note & Self.acceptsGzip != 0, isForced) { label(&response, used) }
    }

    private func mayChange(_ response: borrowing Response) -> Bool {
        let status = response.status
        guard !response.isUpgrade, !status.forbidsContent, status.code != 205, status.code != 206 else { return false }
        if response.contentShape == .file || response.hasField("content-encoding") || response.hasField("content-range") { return false }
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
        if case .memory(let bytes) = response.contentShape, bytes < minimumBytes { return false }
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
