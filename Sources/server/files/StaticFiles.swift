// StaticFiles: a directory as the answer to requests. Joins the rules of Sources/http/files with the kernel's openat2 and sendfile.
// Made at start or on reload; used by all loops at once, each on its own thread; owns the directory's descriptor.
//
// Two walls keep every answer inside the directory: the path is normalised before it is looked up (PathNormalizer), and the kernel
// resolves it beneath the directory only (RESOLVE_BENEATH), symbolic links included.

internal import Glibc
internal import UringHTTP
internal import UringRing

/// Serves the files of one directory: `GET` and `HEAD`, conditional requests, ranges, precompressed siblings.
///
///     let site = try StaticFiles(root: "./public")
///     let server = Server(listen: ["127.0.0.1:8080"]) { request, response in site.respond(to: request, &response) }
public final class StaticFiles: Sendable {
    /// Of the directory; closed in deinit.
    private let directory: Int32
    private let options: FileOptions
    private let prefix: [UInt8]
    private let index: [[UInt8]]
    private let cacheControl: [UInt8]
    private let siblings: ContentCodings
    private let siblingOrder: [3 of ContentCoding]
    private let followsSymlinks: Bool
    private let hiddenFiles: HiddenFiles

    /// - Parameters:
    ///   - root: a directory; opened now, so that replacing the name later does not change what is served.
    ///   - given: what is served of it, and how.
    /// - Throws: `ServerError` when it is not a directory, cannot be opened, or an option has no meaning.
    public init(root: String, options given: StaticFilesOptions = StaticFilesOptions()) throws {
        if !given.prefix.isEmpty, !given.prefix.hasPrefix("/") || given.prefix.hasSuffix("/") {
            throw ServerError("the prefix '\(given.prefix)' must begin with a slash and not end with one")
        }
        for name in given.index where name.isEmpty || name.contains("/") || name.utf8.contains(0) || name == "." || name == ".." {
            throw ServerError("'\(name)' is not the name of an index file: one name without a slash is")
        }
        if let value = given.cacheControl, let problem = PreparedResponse.problem(name: "cache-control", value: value) {
            throw ServerError(problem)
        }
        var options = FileOptions()
        options.hasCacheControl = given.cacheControl != nil
        options.usesSiblings = !given.precompressed.isEmpty
        self.options = options
        prefix = Array(given.prefix.utf8)
        index = given.index.map { Array($0.utf8) }
        cacheControl = Array((given.cacheControl ?? "").utf8)
        (siblings, siblingOrder) = Self.siblings(given.precompressed)
        followsSymlinks = given.symbolicLinks == .inside
        hiddenFiles = given.servesHiddenFiles ? .allow : .deny
        directory = unsafe Glibc.open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw ServerError("cannot serve the directory '\(root)': \(SystemError.text(of: errno))") }
    }

    deinit { if directory >= 0 { _ = Glibc.close(directory) } }

    private static func siblings(_ given: [StaticFilesOptions.Precompressed]) -> (ContentCodings, [3 of ContentCoding]) {
        let wanted = given.map { (coding: StaticFilesOptions.Precompressed) -> ContentCoding in
            switch coding {
            case .brotli: .brotli
            case .zstd: .zstd
            case .gzip: .gzip
            }
        }
        let set = wanted.reduce(into: ContentCodings()) { $0.insert(ContentCodings($1)) }
        var order: [ContentCoding] = []
        for coding in wanted + ContentCoding.allCases where !order.contains(coding) { order.append(coding) }
        return (set, [order[0], order[1], order[2]])
    }

    // MARK: answering

    /// Answers the request. When the file has to be fetched from a disk first, the handler is called again later: do nothing after this
    /// that must not happen twice.
    public func respond(to request: borrowing Request, _ response: inout Response) {
        if let plan = FilePlan.beforeOpening(request.method) { return write(plan, &response) }
        guard let start = mountedPath(request) else { return response.fail(.notFound) }
        // SAFETY: the loop's room for one name, used by one handler call at a time; it outlives the loop's handlers.
        let room = unsafe response.state.pointee.pathRoom
        let memory = unsafe UnsafeMutableBufferPointer(start: room, count: PathNormalizer.resultBytesMax)
        var name = unsafe OutputSpan(buffer: memory, initializedCount: 0)
        switch PathNormalizer.normalize(request.path.span.extracting(start...), hiddenFiles: hiddenFiles, into: &name) {
        case .refused(let status): response.fail(status)
        case .resolved(_, isDirectory: true): respondWithIndex(request, &response, &name)
        case .resolved(_, isDirectory: false): respondWithFile(request, &response, &name)
        }
    }

    /// Where the path begins that is looked up; nil when the request is not below the prefix.
    private func mountedPath(_ request: borrowing Request) -> Int? {
        guard !prefix.isEmpty else { return 0 }
        let path = request.path
        guard path.count > prefix.count, path[prefix.count] == UInt8(ascii: "/") else { return nil }
        for offset in 0..<prefix.count where path[offset] != prefix[offset] { return nil }
        return prefix.count
    }

    private func respondWithFile(_ request: borrowing Request, _ response: inout Response, _ name: inout OutputSpan<UInt8>) {
        let fields = FileFields(request)
        switch find(request, fields, &response, &name) {
        case .pending: return
        case .failed(let code): response.fail(Self.status(of: code))
        case .found(let file, _, _) where file.status.isDirectory: redirect(request, &response, name.span.extracting(droppingLast: 1))
        case .found(let file, let encoding, let type): send(file, encoding, type, request, fields, &response)
        }
    }

    private func respondWithIndex(_ request: borrowing Request, _ response: inout Response, _ name: inout OutputSpan<UInt8>) {
        let fields = FileFields(request)
        let isRoot = name.count == 2 && name[0] == UInt8(ascii: ".")
        for file in index {
            guard PathNormalizer.appendIndex(file.span, to: &name) != nil else { continue }
            switch find(request, fields, &response, &name) {
            case .pending: return
            case .failed(ENOENT), .failed(ENOTDIR): break
            case .failed(let code): return response.fail(Self.status(of: code))
            case .found(let file, let encoding, let type):
                if !file.status.isDirectory { return send(file, encoding, type, request, fields, &response) }
            }
            name.removeLast(file.count &+ (isRoot ? 1 : 2))
            if isRoot { name.append(UInt8(ascii: ".")) }
            name.append(0)
        }
        response.fail(.notFound)
    }

    // MARK: looking

    private enum Found {
        case found(OpenedFile, EncodingChoice, MediaType)
        case failed(Int32)
        case pending
    }

    /// Opens what `name` names, or the sibling of it that the client likes best. `name` is unchanged afterwards.
    private func find(
        _ request: borrowing Request, _ fields: FileFields, _ response: inout Response, _ name: inout OutputSpan<UInt8>
    ) -> Found {
        let type = MediaType.forPath(name.span.extracting(droppingLast: 1))
        var accepted = AcceptEncoding()
        if fields.acceptEncoding.count > 0 {
            let list = FileFields.joined(fields.acceptEncoding, request)
            if let value = FileFields.value(fields.acceptEncoding, request, list) { accepted = AcceptEncoding(value) }
        }
        if options.usesSiblings, type.mayHaveSiblings {
            let preferences = accepted.preferences(order: siblingOrder)
            for index in 0..<preferences.count {
                let coding = preferences[index]
                guard siblings.contains(ContentCodings(coding)), PathNormalizer.appendSuffix(coding, to: &name) != nil else { continue }
                let result = open(&response)
                _ = PathNormalizer.removeSuffix(coding, from: &name)
                switch result {
                case .pending: return .pending
                case .opened(let file) where file.status.isRegular: return .found(file, .coded(coding), type)
                case .opened, .failed: break
                }
            }
        }
        switch open(&response) {
        case .pending: return .pending
        case .failed(let code): return .failed(code)
        case .opened(let file): return .found(file, accepted.acceptsIdentity ? .identity : .notAcceptable, type)
        }
    }

    private func open(_ response: inout Response) -> FileOpenResult {
        // SAFETY: a name with its NUL stands there; nobody else writes to it during the call.
        unsafe response.state.pointee.pathRoom.withMemoryRebound(to: CChar.self, capacity: PathNormalizer.resultBytesMax) {
            unsafe response.openFile(directory: directory, path: $0, followsSymlinks: followsSymlinks)
        }
    }

    /// What a client is told about an errno of openat2(2).
    private static func status(of code: Int32) -> HTTPStatus {
        switch code {
        // ELOOP: a link where none is allowed, or a circle; EXDEV: a way out of the directory; ENXIO: a socket.
        case ENOENT, ENOTDIR, ELOOP, EXDEV, ENAMETOOLONG, ENXIO, ENODEV: .notFound
        case EACCES, EPERM: .forbidden
        case EMFILE, ENFILE, ENOMEM: .serviceUnavailable
        default: .internalServerError
        }
    }

    // MARK: writing

    private func send(
        _ file: OpenedFile, _ encoding: EncodingChoice, _ type: MediaType, _ request: borrowing Request, _ fields: FileFields,
        _ response: inout Response
    ) {
        let now = response.unixSeconds
        let status = file.status
        let kind: FileStat.Kind = status.isRegular ? .regular : status.isDirectory ? .directory : .other
        let stat = FileStat(kind: kind, size: status.size, mtimeSeconds: status.modifiedSeconds, mtimeNanoseconds: status.modifiedNanoseconds)
        let (matchList, noneMatchList) = (FileFields.joined(fields.ifMatch, request), FileFields.joined(fields.ifNoneMatch, request))
        let rangeList = FileFields.joined(fields.ifRange, request)
        let preconditions = Preconditions(
            ifMatch: FileFields.value(fields.ifMatch, request, matchList),
            ifNoneMatch: FileFields.value(fields.ifNoneMatch, request, noneMatchList),
            ifRange: FileFields.value(fields.ifRange, request, rangeList),
            ifModifiedSince: FileFields.date(fields.ifModifiedSince, request, now: now),
            ifUnmodifiedSince: FileFields.date(fields.ifUnmodifiedSince, request, now: now),
            ifRangeDate: FileFields.date(fields.ifRange, request, now: now))
        // A Range on several lines is no valid field and is ignored.
        let range = fields.range.count == 1 ? request.headers.value(at: fields.range.first).span : nil
        let fileRequest = FileRequest(method: request.method, range: range, preconditions: preconditions)
        let candidate = FileCandidate(stat: stat, mediaType: type, encoding: encoding)
        // Only an answer of several parts shows its boundary.
        let boundary = range == nil ? 0 : UInt64.random(in: .min ... .max)
        let plan = FilePlan.make(fileRequest, candidate, options: options, now: now, boundary: boundary)
        write(plan, &response, file)
    }

    private func redirect(_ request: borrowing Request, _ response: inout Response, _ name: Span<UInt8>) {
        let query = request.query?.span
        let prefix = self.prefix
        let room = DirectoryRedirect.locationBytesMax(prefixCount: prefix.count, pathCount: name.count, queryCount: query?.count ?? 0)
        let location = [UInt8](capacity: room) { out in
            _ = DirectoryRedirect.render(prefix: prefix.span, path: name, query: query, into: &out)
        }
        response.fail(.movedPermanently)
        response.headers.add("location", ByteView(location.span))
    }

    private func write(_ plan: FilePlan, _ response: inout Response, _ file: OpenedFile? = nil) {
        let sendsFile = plan.status == .ok || plan.status == .partialContent
        if sendsFile || plan.status == .notModified || plan.status == .noContent {
            response.status = plan.status
        } else {
            response.fail(plan.status)
        }
        writeFields(plan, response.headers)
        if let date = plan.lastModified { response.addDate("last-modified", date) }
        guard sendsFile, let file else { return }
        response.send(file, pieces: Self.pieces(plan.body, file.status.size))
    }

    private func writeFields(_ plan: FilePlan, _ headers: ResponseHeaders) {
        switch plan.contentType {
        case .media(let type): headers.add("content-type", ByteView(type.name.bytes))
        case .multipart:
            if case .multipart(let parts) = plan.body {
                let type = [UInt8](capacity: MultipartByteRanges.contentTypeCount) { _ = parts.renderContentType(into: &$0) }
                headers.add("content-type", ByteView(type.span))
            }
        case nil: break
        }
        if let range = plan.contentRange {
            let value = [UInt8](capacity: ContentRange.bytesMax) { _ = range.render(into: &$0) }
            headers.add("content-range", ByteView(value.span))
        }
        if let coding = plan.contentEncoding { headers.add("content-encoding", ByteView(coding.token.bytes)) }
        if let tag = plan.entityTag { headers.add("etag", ByteView(tag.bytes)) }
        if plan.acceptsRanges { headers.add("accept-ranges", ByteView(("bytes" as StaticString).bytes)) }
        if plan.variesByEncoding { headers.add("vary", ByteView(("accept-encoding" as StaticString).bytes)) }
        if plan.sendsCacheControl {
            let value = cacheControl
            headers.add("cache-control", ByteView(value.span))
        }
        if plan.sendsAllow { headers.add("allow", ByteView(FilePlan.allow.bytes)) }
    }

    private static func pieces(_ body: FilePlan.Body, _ size: UInt64) -> [FilePiece] {
        switch body {
        // HEAD: the length is that of the file, and no byte of it is sent.
        case .none, .whole: return [.range(offset: 0, count: size)]
        case .single(let range): return [.range(offset: range.first, count: range.count)]
        case .multipart(let parts):
            var pieces: [FilePiece] = []
            for index in 0..<parts.ranges.count {
                pieces.append(.text([UInt8](capacity: MultipartByteRanges.partHeaderBytesMax) { _ = parts.renderPartHeader(index, into: &$0) }))
                pieces.append(.range(offset: parts.ranges[index].first, count: parts.ranges[index].count))
            }
            pieces.append(.text([UInt8](capacity: MultipartByteRanges.trailerCount) { _ = parts.renderTrailer(into: &$0) }))
            return pieces
        }
    }
}

extension [UInt8] {
    /// What `render` appends to an empty run of `capacity` bytes.
    fileprivate init(capacity: Int, _ render: (inout OutputSpan<UInt8>) -> Void) {
        // SAFETY: the memory is the array's own; the span tells how much of it was written.
        self = unsafe [UInt8](unsafeUninitializedCapacity: capacity) { memory, count in
            var out = unsafe OutputSpan(buffer: memory, initializedCount: 0)
            render(&out)
            count = unsafe out.finalize(for: memory)
        }
    }
}
