// The one door to /proc and /sys. Owns nothing but a root path: tests put a made-up tree there, the server uses "/".
// Called at start-up and by `uringd doctor`, from any thread; never on the request path, because each read blocks.

internal import Glibc
internal import UringRing

/// Reads small text files of procfs, sysfs and cgroupfs below a root.
package struct SystemFiles: Sendable {
    /// Why a file gave no text.
    package enum Failure: Error, Hashable, Sendable {
        /// ENOENT, ENOTDIR or ENODEV: the kernel does not offer this file here. Mostly this means "no such limit".
        case absent
        /// Any other errno of open(2) or read(2).
        case unreadable(errno: Int32)
        /// More than the reader's bound: not a file of the kernel, or one that would cost too much to read.
        case tooLarge(bytesMax: Int)

        /// What to say of it in a note, after the file's path.
        package var explanation: String {
            switch self {
            case .absent: "does not exist"
            case .unreadable(let errno): "cannot be read: \(SystemError.text(of: errno))"
            case .tooLarge(let bytesMax): "is longer than \(bytesMax) bytes"
            }
        }
    }

    /// 4 MiB: /proc/self/mountinfo of a container host with 10,000 mounts stays below 3 MiB; everything else is far smaller.
    package static let fileBytesMax = 4 << 20

    /// The machine's own files.
    package static let live = SystemFiles(root: "")

    /// What stands before each path; empty for the machine's own root.
    package let root: String

    /// - Parameter root: a directory without a slash at its end, or "" for the machine's own root.
    package init(root: String) {
        self.root = root
    }

    /// The whole text of the file at an absolute path; bytes that are not UTF-8 come out as U+FFFD.
    package func read(_ path: String, bytesMax: Int = fileBytesMax) throws(Failure) -> String {
        let descriptor = unsafe open(root + path, O_RDONLY | O_CLOEXEC)  // the string lives through the call
        guard descriptor >= 0 else { throw Failure(errno) }
        defer { _ = close(descriptor) }
        var bytes: [UInt8] = []
        while true {
            let chunk = try readChunk(descriptor)
            if chunk.isEmpty { return String(decoding: bytes, as: UTF8.self) }
            guard bytes.count + chunk.count <= bytesMax else { throw .tooLarge(bytesMax: bytesMax) }
            bytes += chunk
        }
    }

    /// The file's text without the white space around it, or nil for any failure: for values whose absence is an answer.
    package func value(_ path: String) -> String? {
        guard let text = try? read(path) else { return nil }
        return String(trimmed(text[...]))
    }

    private func readChunk(_ descriptor: Int32) throws(Failure) -> [UInt8] {
        var failure: Int32 = 0
        let chunk = unsafe [UInt8](unsafeUninitializedCapacity: 16 << 10) { buffer, count in
            var got = -1
            repeat {
                got = unsafe Glibc.read(descriptor, buffer.baseAddress, buffer.count)  // the array owns the buffer through the call
            } while got < 0 && errno == EINTR
            failure = got < 0 ? errno : 0
            count = max(got, 0)
        }
        guard failure == 0 else { throw Failure(failure) }
        return chunk
    }
}

extension SystemFiles.Failure {
    fileprivate init(_ code: Int32) {
        switch code {
        case ENOENT, ENOTDIR, ENODEV: self = .absent
        default: self = .unreadable(errno: code)
        }
    }
}

/// The text without spaces, tabs and line ends around it.
func trimmed(_ text: Substring) -> Substring {
    var text = text
    while let first = text.first, first.isWhitespace { text.removeFirst() }
    while let last = text.last, last.isWhitespace { text.removeLast() }
    return text
}
