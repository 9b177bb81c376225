// The access log's destination: a file, a pipe, a terminal or the socket that systemd gives as standard output. One per
// loop with a descriptor of its own, so that loops share nothing. Never blocks on a slow reader. The process ignores
// SIGPIPE; `uringd` does so at start.

import Glibc

package final class AccessLogFile: AccessLogSink {
    private enum Kind {
        /// A regular file or a terminal: O_APPEND puts each write at the end as a whole.
        case file
        /// Written in pieces of whole lines up to PIPE_BUF, which the kernel does not mix with those of other loops.
        case pipe
        /// A pipe that could only be inherited, without O_NONBLOCK, which would change it for other processes too.
        case inheritedPipe
        case socket
    }

    private struct Destination {
        let descriptor: CInt
        let kind: Kind
    }

    /// PIPE_BUF of pipe(7) on Linux; Glibc's Swift module does not export the constant.
    private static let pipeBufferBytes = 4096

    private let path: String
    private var destination: Destination

    private init(path: String, destination: Destination) {
        self.path = path
        self.destination = destination
    }

    deinit { Glibc.close(destination.descriptor) }

    /// Opens or makes the file; or says why that is not possible.
    package static func open(path: String) -> Result<AccessLogFile, TextProblem> {
        switch openDestination(path) {
        case .success(let destination): return .success(AccessLogFile(path: path, destination: destination))
        case .failure(let error):
            return .failure(TextProblem(reason: "cannot open the access log `\(path)`: \(ConfigFileChecks.reason(error.code))"))
        }
    }

    package func reopen() -> CInt {
        switch Self.openDestination(path) {
        case .success(let new):
            Glibc.close(destination.descriptor)
            destination = new
            return 0
        case .failure(let error): return error.code
        }
    }

    package func write(_ lines: UnsafeRawBufferPointer) -> AccessLogSinkResult {
        var taken = 0
        while taken < lines.count {
            // The writer keeps the lines alive through this call.
            let piece = unsafe nextPiece(UnsafeRawBufferPointer(rebasing: lines[taken...]))
            let written = unsafe send(piece)
            if written < 0 {
                if errno == EINTR { continue }
                return taken > 0 ? .wrote(taken) : .failed(errno)
            }
            taken += written
            // A short write: the disk is full or the pipe is. The next flush learns which.
            if written < piece.count { break }
        }
        return .wrote(taken)
    }

    private func nextPiece(_ rest: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        switch destination.kind {
        case .file, .socket: return unsafe rest
        case .pipe, .inheritedPipe:
            guard rest.count > Self.pipeBufferBytes else { return unsafe rest }
            var end = Self.pipeBufferBytes
            while end > 0, unsafe rest[end - 1] != UInt8(ascii: "\n") { end -= 1 }
            // No line is longer than PIPE_BUF, so there is a newline.
            return unsafe UnsafeRawBufferPointer(rebasing: rest[..<(end > 0 ? end : Self.pipeBufferBytes)])
        }
    }

    /// Bytes written, or -1 with errno. The kernel copies; nobody keeps the pointer.
    private func send(_ piece: UnsafeRawBufferPointer) -> Int {
        switch destination.kind {
        case .file, .pipe: break
        case .socket:
            return unsafe Glibc.send(
                destination.descriptor, piece.baseAddress, piece.count, CInt(MSG_DONTWAIT | MSG_NOSIGNAL))
        case .inheritedPipe:
            // Writable means room for PIPE_BUF (pipe(7)). Another loop may take it first: then this write waits for the
            // reader, which is the price of a pipe that may not be made non-blocking.
            var poll = pollfd(fd: destination.descriptor, events: Int16(POLLOUT), revents: 0)
            guard unsafe Glibc.poll(&poll, 1, 0) > 0 else {
                errno = EAGAIN
                return -1
            }
        }
        return unsafe Glibc.write(destination.descriptor, piece.baseAddress, piece.count)
    }

    // MARK: Opening

    private struct OpenError: Error { let code: CInt }

    /// Opening `/dev/stdout` gives a description of its own, on which O_NONBLOCK harms nobody. It fails for sockets (ENXIO)
    /// and for files of another user (EACCES): then the inherited descriptor itself is used.
    private static func openDestination(_ path: String) -> Result<Destination, OpenError> {
        // A log holds addresses of people: not for everyone to read.
        let descriptor = unsafe Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0o640)
        if descriptor >= 0 { return classify(descriptor, isInherited: false) }
        let code = errno
        guard code == ENXIO || code == EACCES, let standard = standardDescriptor(path) else { return .failure(OpenError(code: code)) }
        let copy = fcntl(standard, F_DUPFD_CLOEXEC, 3)
        return copy >= 0 ? classify(copy, isInherited: true) : .failure(OpenError(code: errno))
    }

    private static func standardDescriptor(_ path: String) -> CInt? {
        switch path {
        case "/dev/stdout", "/proc/self/fd/1", "/dev/fd/1": 1
        case "/dev/stderr", "/proc/self/fd/2", "/dev/fd/2": 2
        default: nil
        }
    }

    private static func classify(_ descriptor: CInt, isInherited: Bool) -> Result<Destination, OpenError> {
        var status = stat()
        // `status` is written during the call only.
        guard unsafe fstat(descriptor, &status) == 0 else {
            let code = errno
            Glibc.close(descriptor)
            return .failure(OpenError(code: code))
        }
        let kind: Kind =
            switch status.st_mode & S_IFMT {
            case S_IFIFO: isInherited ? .inheritedPipe : .pipe
            case S_IFSOCK: .socket
            default: .file
            }
        return .success(Destination(descriptor: descriptor, kind: kind))
    }
}
