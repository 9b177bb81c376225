// What an operator or program decides about a directory that is served. Plain values; any thread.

/// How `StaticFiles` serves its directory.
public struct StaticFilesOptions: Sendable {
    /// Codings of files that were compressed beforehand: `app.js.br`, `app.js.zst`, `app.js.gz` beside `app.js`.
    public enum Precompressed: Sendable, CaseIterable {
        /// The siblings `NAME.br`, `NAME.zst` and `NAME.gz`.
        case brotli, zstd, gzip
    }

    /// What becomes of symbolic links.
    public enum SymbolicLinks: Sendable {
        /// Followed as long as they stay beneath the directory; what leads out of it is 404.
        case inside
        /// None is followed, in no part of the path: 404.
        case deny
    }

    /// Where the directory is mounted: with `/static`, a request for `/static/a.css` gets `a.css`. Empty, or `/name…` without a slash at
    /// its end. Requests outside of it get 404.
    public var prefix = ""
    /// The file that answers for a directory: the first of these that exists. Without one the answer is 404; directories are not listed.
    public var index = ["index.html"]
    /// The value of `Cache-Control` on files; nil sends none.
    public var cacheControl: String?
    /// In order of preference among codings that the client likes equally.
    public var precompressed: [Precompressed] = []
    /// What becomes of symbolic links; links never lead out of the directory.
    public var symbolicLinks = SymbolicLinks.inside
    /// Whether names that begin with a dot are served. Below `/.well-known/` they always are (RFC 8615).
    public var servesHiddenFiles = false

    /// The defaults.
    public init() {}
}
