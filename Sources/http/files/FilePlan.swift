// What to answer a request for a file: every rule of RFC 9110 about methods, conditions, ranges and variants joined in one pure function.
//
// Owns nothing. The server resolves the path, opens and fstats the file, asks for the plan, and then only writes the fields the plan
// names and sends the bytes it names. No clock, no file, no allocation here.

/// What the operator decides, per route.
package struct FileOptions: Sendable {
    /// ETag and the fields that compare with it.
    package var sendsEntityTag = true
    /// Last-Modified and the fields that compare with it.
    package var sendsLastModified = true
    /// Accept-Ranges, Range.
    package var servesRanges = true
    /// Whether `.br`, `.zst` and `.gz` siblings are looked for.
    package var usesSiblings = false
    /// Whether a Cache-Control value is configured.
    package var hasCacheControl = false

    package init() {}
}

/// One request, reduced to what concerns a file. Views into the request's memory.
package struct FileRequest: ~Escapable {
    let method: HTTPMethod
    /// The field value of Range; nil when absent or given on several lines.
    let range: Span<UInt8>?
    let preconditions: Preconditions
    /// The path ended in a slash or a dot segment, and no index file has been put behind it.
    let namesDirectory: Bool

    @_lifetime(copy range, copy preconditions)
    package init(method: HTTPMethod, range: Span<UInt8>?, preconditions: Preconditions, namesDirectory: Bool = false) {
        self.method = method
        self.range = range
        self.preconditions = preconditions
        self.namesDirectory = namesDirectory
    }
}

/// The file that was found.
package struct FileCandidate: Sendable {
    /// Of the file whose bytes would be sent: the sibling's when one was chosen.
    package var stat: FileStat
    /// From the name without the sibling's suffix.
    package var mediaType: MediaType
    package var encoding: EncodingChoice
    /// The body is compressed while it is sent: its length is unknown, no range of it can be had, and its tag is weak.
    package var isEncodedOnTheFly: Bool

    package init(stat: FileStat, mediaType: MediaType, encoding: EncodingChoice = .identity, isEncodedOnTheFly: Bool = false) {
        self.stat = stat
        self.mediaType = mediaType
        self.encoding = encoding
        self.isEncodedOnTheFly = isEncodedOnTheFly
    }
}

/// What the server sends. Nil and false mean that the field is absent.
package struct FilePlan: Sendable {
    package enum Body: Sendable {
        /// No file bytes. With an error status the server writes its own error page.
        case none
        case whole
        case single(ByteRange)
        case multipart(MultipartByteRanges)
    }

    package enum ContentType: Sendable {
        case media(MediaType)
        /// Rendered by `MultipartByteRanges.renderContentType`.
        case multipart
    }

    package var status: HTTPStatus
    package var body: Body = .none
    package var contentType: ContentType?
    /// Bytes of the body, or with HEAD of the body that GET would get. Nil where it is unknown (chunked), not allowed (204, 304) or the
    /// length of the server's own error page.
    package var contentLength: UInt64?
    package var contentRange: ContentRange?
    package var contentEncoding: ContentCoding?
    package var entityTag: EntityTag?
    /// Seconds since 1970, within what an HTTP date can say.
    package var lastModified: Int64?
    /// `Accept-Ranges: bytes`
    package var acceptsRanges = false
    /// `Vary: Accept-Encoding`
    package var variesByEncoding = false
    /// The configured Cache-Control.
    package var sendsCacheControl = false
    /// `Allow` with `FilePlan.allow`.
    package var sendsAllow = false

    /// The value of Allow.
    package static let allow: StaticString = "GET, HEAD, OPTIONS"

    init(_ status: HTTPStatus) {
        self.status = status
    }
}

extension FilePlan {
    /// The answer that needs no file: OPTIONS, a method that files do not have, or nil. Ask before opening anything.
    package static func beforeOpening(_ method: HTTPMethod) -> FilePlan? {
        switch method {
        case .get, .head: return nil
        case .options: return allowing(.noContent)
        case .post, .put, .delete, .connect, .trace, .patch, .other: return allowing(.methodNotAllowed)
        }
    }

    /// The answer to a path that `PathNormalizer` refused, or to a file that could not be opened.
    package static func refusal(_ status: HTTPStatus) -> FilePlan {
        FilePlan(status)
    }

    /// The answer.
    ///
    /// - A directory named without its slash is 301 to `DirectoryRedirect`'s location; named with it, the server tries the index file
    ///   (and passes that one's stat) and otherwise gets 404 here.
    /// - A regular file named with a slash, and anything that is neither file nor directory, is 404.
    /// - Conditions come before ranges (RFC 9110 section 13.2.2), so 304 and 412 win over 206 and 416. Range concerns GET alone.
    ///
    /// - Parameters:
    ///   - now: seconds since 1970; Last-Modified is never later (RFC 9110 section 8.8.2.1).
    ///   - boundary: 64 random bits, used when the answer is multipart.
    package static func make(
        _ request: FileRequest, _ file: FileCandidate, options: FileOptions, now: Int64, boundary: UInt64
    ) -> FilePlan {
        if let plan = beforeOpening(request.method) { return plan }
        switch file.stat.kind {
        case .directory: return FilePlan(request.namesDirectory ? .notFound : .movedPermanently)
        case .other: return FilePlan(.notFound)
        case .regular: if request.namesDirectory { return FilePlan(.notFound) }
        }

        var plan = FilePlan(.ok)
        plan.variesByEncoding = options.usesSiblings && file.mediaType.mayHaveSiblings || file.isEncodedOnTheFly
        guard plan.takeEncoding(file.encoding) else { return plan }

        let validators = validators(of: file, coding: plan.contentEncoding, options: options, now: now)
        plan.entityTag = validators.entityTag
        plan.lastModified = validators.lastModified
        plan.sendsCacheControl = options.hasCacheControl
        switch request.preconditions.evaluate(validators, isGetOrHead: true) {
        case .notModified: return plan.notModified()
        case .failed: return plan.withoutRepresentation(.preconditionFailed)
        case .proceed: break
        }

        plan.acceptsRanges = options.servesRanges && !file.isEncodedOnTheFly
        if plan.acceptsRanges && request.method == .get, let range = request.range,
            request.preconditions.allowsRange(validators)
        {
            if let partial = plan.applying(range, file, boundary: boundary) { return partial }
        }
        plan.contentType = .media(file.mediaType)
        plan.contentLength = file.isEncodedOnTheFly ? nil : file.stat.size
        plan.body = request.method == .head ? .none : .whole
        return plan
    }

    /// The validators of the selected variant.
    ///
    /// A modification time of 0 or 1 is what reproducible builds, Nix and OSTree write into every file: it says nothing, and
    /// with it two versions of equal size would share both validators. Such a file has none.
    private static func validators(
        of file: FileCandidate, coding: ContentCoding?, options: FileOptions, now: Int64
    ) -> Validators {
        let seconds = file.stat.mtimeSeconds
        guard seconds != 0 && seconds != 1 else { return Validators(entityTag: nil, lastModified: nil) }
        let tag = options.sendsEntityTag
            ? EntityTag(stat: file.stat, coding: coding, isWeak: file.isEncodedOnTheFly) : nil
        let isHTTPDate = seconds >= HTTPDate.secondsMin && seconds <= HTTPDate.secondsMax
        let date = options.sendsLastModified && isHTTPDate ? min(seconds, now) : nil
        return Validators(entityTag: tag, lastModified: date)
    }

    private static func allowing(_ status: HTTPStatus) -> FilePlan {
        var plan = FilePlan(status)
        plan.sendsAllow = true
        return plan
    }

    /// Notes the coding; false, with the status set, when the client takes none that there is.
    private mutating func takeEncoding(_ choice: EncodingChoice) -> Bool {
        switch choice {
        case .identity: return true
        case .coded(let coding):
            contentEncoding = coding
            variesByEncoding = true
            return true
        case .notAcceptable:
            status = .notAcceptable
            variesByEncoding = true
            return false
        }
    }

    /// RFC 9110 section 15.4.5: ETag, Cache-Control and Vary as with 200, Last-Modified only where there is no ETag.
    private func notModified() -> FilePlan {
        var plan = FilePlan(.notModified)
        plan.entityTag = entityTag
        plan.lastModified = entityTag == nil ? lastModified : nil
        plan.variesByEncoding = variesByEncoding
        plan.sendsCacheControl = sendsCacheControl
        return plan
    }

    /// An error about the selected variant: its tag helps the client, its other fields would describe the error page.
    private func withoutRepresentation(_ status: HTTPStatus) -> FilePlan {
        var plan = FilePlan(status)
        plan.entityTag = entityTag
        plan.variesByEncoding = variesByEncoding
        return plan
    }

    /// The 206 or 416, or nil when the whole file is to be sent.
    private func applying(_ range: Span<UInt8>, _ file: FileCandidate, boundary: UInt64) -> FilePlan? {
        let size = file.stat.size
        var plan = self
        plan.status = .partialContent
        switch ByteRangeField.parse(range, size: size) {
        case .whole:
            return nil
        case .single(let range):
            plan.contentType = .media(file.mediaType)
            plan.contentRange = .satisfied(range, size: size)
            plan.contentLength = range.count
            plan.body = .single(range)
        case .multiple(let ranges):
            let parts = MultipartByteRanges(ranges: ranges, size: size, mediaType: file.mediaType, boundary: boundary)
            guard let length = parts.contentLength else { return nil }
            plan.contentType = .multipart
            plan.contentLength = length
            plan.body = .multipart(parts)
        case .unsatisfiable:
            plan = withoutRepresentation(.rangeNotSatisfiable)
            plan.contentRange = .unsatisfied(size: size)
            plan.acceptsRanges = true
        }
        return plan
    }
}
