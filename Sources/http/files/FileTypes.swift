// The small values that the static-file logic passes around: method, status, stat, content coding.
//
// Owns nothing. Everything in Sources/http/files is sans-I/O and thread-agnostic: the server's connection calls it on the loop that
// owns the request, and does openat2, fstat and sendfile itself. Nothing here allocates, and nothing traps on a peer's input.

/// What fstat(2) says of the opened file, reduced to what the plan needs.
package struct FileStat: Sendable, Equatable {
    /// Only a regular file has a body. A FIFO, socket or device under the root is answered like a missing file: the server opens with
    /// `O_NONBLOCK` so that a FIFO cannot hold the loop until we get here.
    package enum Kind: Sendable, Equatable {
        case regular, directory, other
    }

    package var kind: Kind
    /// Bytes, `st_size`. fstat cannot report more than `Int64.max`; larger values are tolerated by all arithmetic.
    package var size: UInt64
    /// Seconds since 1970, `st_mtim.tv_sec`; may be negative.
    package var mtimeSeconds: Int64
    /// 0…999_999_999, `st_mtim.tv_nsec`.
    package var mtimeNanoseconds: UInt32

    package init(kind: Kind, size: UInt64, mtimeSeconds: Int64, mtimeNanoseconds: UInt32) {
        self.kind = kind
        self.size = size
        self.mtimeSeconds = mtimeSeconds
        self.mtimeNanoseconds = mtimeNanoseconds
    }
}

/// The content codings that files are served in (RFC 9110 section 8.4.1, RFC 7932, RFC 8878). `x-gzip` is read as `gzip`.
package enum ContentCoding: UInt8, Sendable, Equatable, CaseIterable {
    case gzip, brotli, zstd

    /// The value of `Content-Encoding`.
    package var token: StaticString {
        switch self {
        case .gzip: "gzip"
        case .brotli: "br"
        case .zstd: "zstd"
        }
    }

    /// What a precompressed sibling's name ends with: `app.js.br` beside `app.js`. nginx, Caddy and h2o look for the same names.
    package var fileSuffix: StaticString {
        switch self {
        case .gzip: ".gz"
        case .brotli: ".br"
        case .zstd: ".zst"
        }
    }

    /// What is appended to the entity-tag, so that two variants never share one (RFC 9110 section 8.8.3.3).
    package var entityTagSuffix: StaticString {
        switch self {
        case .gzip: "-gz"
        case .brotli: "-br"
        case .zstd: "-zst"
        }
    }
}
