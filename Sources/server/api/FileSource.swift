// FileSource: a file's bytes for those that change them on their way (content codings), piece by piece, without waiting for a disk where the kernel can say so. The loop's thread.

internal import Glibc
internal import UringRing

@safe
final class FileSource {
    /// Of a page that is not there yet: when to look again, and how often before it is waited for.
    private static let retryMs: UInt32 = 2
    private static let retriesMax = 50

    private let content: FileContent
    /// Not retained: the loop outlives what it calls.
    private let loop: Unmanaged<Loop>
    private let first: UInt64
    private let count: UInt64
    private var sent: UInt64 = 0
    private var retries = 0

    /// Nil: not one whole piece of a file, or its beginning is not in memory (RWF_NOWAIT, Linux 4.14), and some file systems cannot say what is.
    init?(_ content: FileContent, _ loop: Unmanaged<Loop>) {
        guard let whole = content.wholeBytes, case .range(let offset, _)? = content.pieces.first else { return nil }
        (self.content, first, count) = (content, offset, whole)
        unsafe self.loop = unsafe loop
        let wanted = Int(min(whole, UInt64(ResponseWriter.preferredBytes)))
        let isCached = unsafe loop._withUnsafeGuaranteedRef { $0.kernel.isCached(content.file.fd, offset: offset, count: wanted) }
        guard isCached else { return nil }
    }

    var producer: ResponseProducer { ResponseProducer { writer in try self.next(&writer) } }

    private struct ReadFailure: Error, CustomStringConvertible {
        let description: String
    }

    private func next(_ writer: inout ResponseWriter) throws -> StreamStep {
        let wanted = Int(min(count - sent, UInt64(ResponseWriter.preferredBytes)))
        guard wanted > 0 else { return .end }
        let out = unsafe writer.buffer
        unsafe out.pointee.reserve(wanted)
        // SAFETY: the room was reserved, and is the writer's during this call.
        let room = unsafe out.pointee.base + out.pointee.count
        var read = unsafe loop._withUnsafeGuaranteedRef { unsafe $0.kernel.readCached(content.file.fd, into: room, count: wanted, offset: first + sent) }
        if read <= 0 {
            // Unless the file system cannot say what it has.
            if read == -Int(EAGAIN), retries < Self.retriesMax {
                // Has the kernel fetch it meanwhile.
                if retries == 0 { posix_fadvise(content.file.fd, off_t(first + sent), off_t(wanted), POSIX_FADV_WILLNEED) }
                retries += 1
                return .wait(milliseconds: Self.retryMs)
            }
            // Rather than never.
            read = unsafe pread(content.file.fd, room, wanted, off_t(first + sent))
        }
        guard read > 0 else { throw ReadFailure(description: read == 0 ? "a file has become shorter while it was sent" : "a file cannot be read: errno \(errno)") }
        retries = 0
        unsafe out.pointee.wrote(read)
        sent += UInt64(read)
        return sent == count ? .end : .more
    }
}

extension FileContent {
    /// The length of the one piece of a file that this is; nil: parts of it with text between.
    var wholeBytes: UInt64? {
        guard pieces.count == 1, case .range(_, let count) = pieces[0] else { return nil }
        return count
    }
}
