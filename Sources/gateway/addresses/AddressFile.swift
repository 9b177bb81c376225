// AddressFile: the prefixes of `addresses.file`, as they were read: a value. Read at start, on reloads and when the file changes (BanBook), on threads that may block.

internal import Glibc
internal import UringPolicy

struct AddressFile: Sendable {
    /// Bans and the prefixes that no ban touches.
    let list: BanList
    let path: String
    /// Of what was read; another one is a reason to read again.
    let stamp: Stamp

    /// What changes with a file's content, as far as one can tell without reading it.
    struct Stamp: Equatable, Sendable {
        private let device, inode: UInt64
        private let size: Int
        private let changed, modified: [Int]

        /// Nil: there is no such file now. `errno` says why.
        init?(_ path: String) {
            var status = stat()
            // `status` is written during the call only.
            guard unsafe stat(path, &status) == 0 else { return nil }
            (device, inode, size) = (UInt64(status.st_dev), UInt64(status.st_ino), Int(status.st_size))
            changed = [status.st_ctim.tv_sec, status.st_ctim.tv_nsec]
            modified = [status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
        }
    }

    /// 64 MiB: a million lines with something to say.
    static let bytesMax = 64 << 20
    /// More mistakes are of one kind.
    private static let problemsMax = 10

    /// - Throws: every line that is wrong, as FILE:LINE, or why it cannot be read. Then nothing of it counts.
    /// - Parameter now: ns since 1970; bans that are over are left out.
    static func read(_ path: String, now: UInt64) throws(AddressFileError) -> AddressFile {
        // First, so that what is written meanwhile is seen by the next look.
        guard let stamp = Stamp(path) else { throw AddressFileError(path, "cannot look at `\(path)`: \(ConfigFileChecks.reason(errno))") }
        switch ConfigFileChecks.read(path, "`\(path)`", upTo: bytesMax) {
        case .failure(let problem): throw AddressFileError(path, problem.reason)
        case .success(let bytes):
            guard bytes.count <= bytesMax else { throw AddressFileError(path, "`\(path)` has more than \(bytesMax) bytes") }
            let text = String(decoding: bytes, as: UTF8.self)
            var list = BanList()
            let problems = BanFile.read(text, now: now, into: &list)
            guard problems.isEmpty else { throw AddressFileError(path, problems, max: problemsMax) }
            return AddressFile(list: list, path: path, stamp: stamp)
        }
    }
}

/// Why a file of prefixes is not used.
struct AddressFileError: Error, CustomStringConvertible, Sendable {
    /// A sentence each, `FILE:LINE: …` for lines.
    let lines: [String]

    init(_ path: String, _ reason: String) { lines = [reason] }

    init(_ path: String, _ problems: [BanFile.Line], max: Int) {
        let more = problems.count > max ? ["\(path): \(problems.count - max) more lines are wrong"] : []
        lines = problems.prefix(max).map { "\(path):\($0.number): \($0.message); accepted: \(BanFile.accepted)" } + more
    }

    var description: String { lines.joined(separator: "\n") }
}
