// How much of a request is read before it is refused. Each limit is a bound on memory or time that a client can cost.

/// Limits on a request head and on the framing of a chunked body. Values are clamped so that the parser's 32-bit offsets
/// and 16-byte blocks always fit.
@frozen @usableFromInline package struct ParserLimits: Equatable, Sendable {
    /// Bytes up to and including the line feed of the request line, counted with the empty lines in front: 414 beyond.
    /// 8 KiB, the least that RFC 9112 3 recommends and what nginx and Apache take.
    @usableFromInline package let requestLineBytesMax: Int
    /// Bytes of the whole head, request line and last empty line included: 431 beyond. 32 KiB: twice what browsers with
    /// large cookies send; also the most that a connection must gather in one place.
    @usableFromInline package let headerBytesMax: Int
    /// Field lines: 431 beyond. 100, as in Apache and Node; browsers send about 20.
    @usableFromInline package let fieldCountMax: Int

    /// A longer method is answered 501 at once (RFC 9112 3); the longest registered one, UPDATEREDIRECTREF, has 17.
    @inlinable package static var methodBytesMax: Int { 32 }
    /// Empty lines skipped before a request line; RFC 9112 2.2 asks for at least one. Two, for clients that end a body with
    /// CRLF and add a line: more is noise that costs the server and says nothing.
    @inlinable package static var leadingEmptyLinesMax: Int { 2 }
    /// Bytes of a trailer section, the empty line at its end included: 431 beyond. Trailers carry a checksum or a status.
    @inlinable package static var trailerBytesMax: Int { 4096 }
    /// Field lines in a trailer section: 431 beyond.
    @inlinable package static var trailerCountMax: Int { 32 }
    /// Bytes of chunk extensions that a body may carry beyond its own length. Extensions are ignored, so they are only cost;
    /// signed uploads carry about 85 bytes per chunk of 64 KiB and pass.
    @inlinable package static var chunkExtensionBytesMax: Int { 4096 }

    /// `requestLineBytesMax` and `headerBytesMax` are clamped to 64…2^30 bytes, `fieldCountMax` to 1…65535.
    @inlinable package init(requestLineBytesMax: Int = 8192, headerBytesMax: Int = 32_768, fieldCountMax: Int = 100) {
        self.requestLineBytesMax = Swift.min(Swift.max(requestLineBytesMax, 64), 1 << 30)
        self.headerBytesMax = Swift.min(Swift.max(headerBytesMax, 64), 1 << 30)
        self.fieldCountMax = Swift.min(Swift.max(fieldCountMax, 1), 65_535)
    }
}
