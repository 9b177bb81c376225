// What the loader asks the file system: directories, files, secrets, patterns of names. Called where a configuration is loaded, never on a loop.

internal import Glibc

/// What the loader asks the file system. A value, so that the fuzz test can judge files without touching any.
/// Every path below is passed to the kernel as a C string that Swift keeps alive for the length of the call.
struct ConfigFileChecks: Sendable {
    /// Why a directory cannot be served, or nil.
    var directoryProblem: @Sendable (String) -> String?
    /// Why a file cannot be appended to, or nil.
    var appendProblem: @Sendable (String) -> String?
    /// What is wrong with the files of a listener's `tls`.
    var tlsProblems: @Sendable (TLSSettings) -> [TLSFileProblem]
    /// Whether a file can be read, and by whom.
    var fileJudgement: @Sendable (String) -> FileJudgement
    /// The bytes of a secret's file, without the line break at their end.
    var secret: @Sendable (String) -> Result<[UInt8], TextProblem>
    /// The paths that a pattern stands for, in alphabetical order.
    var glob: @Sendable (String) -> [String]
    /// What is wrong with a file of prefixes, a sentence each.
    var addressFile: @Sendable (String) -> [String] = { _ in [] }
    /// The bytes of a file that is included.
    var include: @Sendable (String) -> Result<[UInt8], TextProblem>

    struct FileJudgement: Sendable {
        var problem: String?
        var isReadableByOthers = false
    }

    /// No file is looked at. A secret that is not read is as good as one can be.
    static let none = ConfigFileChecks(
        directoryProblem: { _ in nil }, appendProblem: { _ in nil }, tlsProblems: { _ in [] }, fileJudgement: { _ in FileJudgement() },
        secret: { _ in .success(Array(repeating: 0x78, count: 64)) }, glob: { _ in [] },
        include: { _ in .failure(TextProblem(reason: "no file is looked at")) })
    static let system = ConfigFileChecks(
        directoryProblem: directoryProblem, appendProblem: appendProblem, tlsProblems: TLSFileChecks.problems, fileJudgement: fileJudgement,
        secret: secret, glob: glob, addressFile: addressFileProblems, include: { read($0) })

    private static func fileJudgement(_ path: String) -> FileJudgement {
        guard let mode = mode(path) else { return FileJudgement(problem: "cannot look at `\(path)`: \(reason(errno))") }
        if mode & S_IFMT == S_IFDIR { return FileJudgement(problem: "`\(path)` is a directory") }
        let isReadableByOthers = mode & S_IROTH != 0
        if unsafe access(path, R_OK) == 0 { return FileJudgement(isReadableByOthers: isReadableByOthers) }
        return FileJudgement(problem: "cannot read `\(path)`: \(reason(errno))", isReadableByOthers: isReadableByOthers)
    }

    /// Longer than any key or password; shorter than what is given by mistake.
    private static let secretBytesMax = 64 << 10

    private static func secret(_ path: String) -> Result<[UInt8], TextProblem> {
        read(path, "the secret `\(path)`").flatMap { bytes in
            guard bytes.count <= secretBytesMax else { return .failure(TextProblem(reason: "`\(path)` has more than \(secretBytesMax) bytes")) }
            let end = bytes.hasSuffix([0x0d, 0x0a]) ? 2 : bytes.hasSuffix([0x0a]) ? 1 : 0
            return .success(Array(bytes.dropLast(end)))
        }
    }

    private static func glob(_ pattern: String) -> [String] {
        var found = unsafe glob_t()
        // `found` owns the paths until globfree; they are copied before.
        defer { unsafe globfree(&found) }
        guard unsafe Glibc.glob(pattern, 0, nil, &found) == 0, let paths = unsafe found.gl_pathv else { return [] }
        return unsafe (0..<Int(found.gl_pathc)).compactMap { unsafe paths[$0].map { unsafe String(cString: $0) } }
    }

    private static func addressFileProblems(_ path: String) -> [String] {
        do throws(AddressFileError) { _ = try AddressFile.read(path, now: 0) } catch { return error.lines }
        return []
    }

    private static func directoryProblem(_ path: String) -> String? {
        guard let mode = mode(path) else { return "cannot look at `\(path)`: \(reason(errno))" }
        guard mode & S_IFMT == S_IFDIR else { return "`\(path)` is not a directory" }
        return unsafe access(path, R_OK | X_OK) == 0 ? nil : "cannot read the directory `\(path)`: \(reason(errno))"
    }

    private static func appendProblem(_ path: String) -> String? {
        if let mode = mode(path) {
            if mode & S_IFMT == S_IFDIR { return "`\(path)` is a directory" }
            return unsafe access(path, W_OK) == 0 ? nil : "cannot write to `\(path)`: \(reason(errno))"
        }
        guard errno == ENOENT else { return "cannot look at `\(path)`: \(reason(errno))" }
        // The file will be made: its directory has to be there and to allow it.
        let parent = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        guard let mode = mode(parent) else { return "cannot look at the directory `\(parent)`: \(reason(errno))" }
        guard mode & S_IFMT == S_IFDIR else { return "`\(parent)` is not a directory" }
        return unsafe access(parent, W_OK | X_OK) == 0 ? nil : "cannot make a file in `\(parent)`: \(reason(errno))"
    }

    private static func mode(_ path: String) -> mode_t? {
        var status = stat()
        // `status` is written during the call only.
        return unsafe stat(path, &status) == 0 ? status.st_mode : nil
    }

    /// The text of an errno without touching the shared buffer of strerror.
    static func reason(_ code: CInt) -> String {
        var buffer = [CChar](repeating: 0, count: 128)
        // XSI strerror_r writes into `buffer`, which lives through the call, and terminates it.
        _ = unsafe strerror_r(code, &buffer, buffer.count)
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The bytes of a file, up to some more than its reader accepts; or why they cannot be had.
    static func read(_ path: String, _ what: String = "the configuration", upTo bytesMax: Int = YAMLDocument.fileBytesMax) -> Result<[UInt8], TextProblem> {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
        guard descriptor >= 0 else { return .failure(TextProblem(reason: "cannot open \(what): \(reason(errno))")) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while bytes.count <= bytesMax {
            // The kernel writes at most chunk.count bytes into `chunk` during the call.
            let count = unsafe Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                return .failure(TextProblem(reason: "cannot read \(what): \(reason(errno))"))
            }
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        return .success(bytes)
    }
}

extension [UInt8] {
    fileprivate func hasSuffix(_ suffix: [UInt8]) -> Bool { suffix.count <= count && self[(count - suffix.count)...].elementsEqual(suffix) }
}
