// Compression of responses, as middleware. The loops' threads.

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
        let compression = ResponseCompression(options)
        return Middleware { request, response, next in
            compression.register(request, &response)
            try next(request, &response)
        }
    }
}
