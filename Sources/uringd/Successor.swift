// Successor: the next binary, started by this process, which serves on until the other is ready (SIGUSR2). Listening sockets go over as they are, with the clients queued in them: no address is
// closed for a moment. A thread of its own waits for the successor.

import Glibc
import UringGateway
import UringServer

enum Successor {
    /// Lines of `InheritedSockets.adopt`, and the pipe by which the successor says that it serves.
    static let socketsVariable = "URINGD_SOCKETS"
    static let readyVariable = "URINGD_READY"

    /// How long a successor may take until it serves: reading a large configuration, keys and certificates.
    private static let readyMs: Int32 = 60_000

    enum Outcome { case serves(pid_t), failed(String) }

    /// Starts it and waits until it serves or has failed; then it is gone.
    static func start(_ sockets: [(address: String, descriptors: [Int32])]) -> Outcome {
        var ends: [Int32] = [-1, -1]
        // Nobody else starts processes, which could have it before it is marked.
        guard unsafe pipe(&ends) == 0, ends.allSatisfy({ fcntl($0, F_SETFD, FD_CLOEXEC) == 0 }) else { return .failed("no pipe: \(text(errno))") }
        let (reading, writing) = (ends[0], ends[1])
        defer { close(reading) }
        let child: pid_t
        do throws(SpawnFailure) {
            defer { close(writing) }
            child = try OwnProgram.spawn(passing: sockets.flatMap(\.descriptors) + [writing], [socketsVariable: InheritedSockets.text(sockets), readyVariable: "\(writing)"])
        } catch {
            return .failed(error.reason)
        }
        var request = pollfd(fd: reading, events: Int16(POLLIN), revents: 0)
        var byte: UInt8 = 0
        var code: Int32
        repeat { code = unsafe poll(&request, 1, readyMs) } while code < 0 && errno == EINTR
        if code > 0, unsafe read(reading, &byte, 1) == 1 { return .serves(child) }
        // The end of the pipe without a byte: it has ended, or will not say any more.
        if code == 0 { kill(child, SIGKILL) }
        var status: Int32 = 0
        while unsafe waitpid(child, &status, 0) < 0, errno == EINTR {}
        if code == 0 { return .failed("it did not serve within \(readyMs / 1000) s") }
        return .failed("it \(OwnProgram.ending(status)); what it said stands above")
    }

    private static func text(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }

    // MARK: in the successor

    /// Whether a predecessor waits for this process. Before `sayReady`.
    static var isOne: Bool { unsafe getenv(readyVariable) != nil }

    /// Takes over what a predecessor left. Before anything else is opened.
    static func takeOver() -> [String] {
        OwnProgram.take(socketsVariable).map(InheritedSockets.adopt) ?? []
    }

    /// Says that this process serves.
    static func sayReady() {
        InheritedSockets.closeRest()
        guard let text = OwnProgram.take(readyVariable), let descriptor = Int32(text), descriptor > 2 else { return }
        var byte: UInt8 = 1
        _ = unsafe write(descriptor, &byte, 1)
        close(descriptor)
    }
}
