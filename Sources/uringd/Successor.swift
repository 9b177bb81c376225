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
        let started = spawn(sockets, ready: writing)
        close(writing)
        guard case .success(let child) = started else {
            if case .failure(let failure) = started { return .failed(failure.reason) }
            return .failed("")
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
        return .failed(status & 0x7f == 0 ? "it ended with status \((status >> 8) & 0xff); what it said stands above" : "signal \(status & 0x7f) ended it")
    }

    private struct SpawnFailure: Error { let reason: String }

    /// The same program with the same arguments: what stands at the path now. The path is where the program was found when this process was started, so that a new file in its place is taken.
    private static func spawn(_ sockets: [(address: String, descriptors: [Int32])], ready: Int32) -> Result<pid_t, SpawnFailure> {
        guard let program = programPath else { return .failure(SpawnFailure(reason: "/proc/self/exe cannot be read")) }
        var actions = unsafe posix_spawn_file_actions_t()
        _ = unsafe posix_spawn_file_actions_init(&actions)
        defer { _ = unsafe posix_spawn_file_actions_destroy(&actions) }
        // A duplicate onto itself is passed on (posix_spawn_file_actions_adddup2(3): the flag FD_CLOEXEC is cleared).
        for descriptor in sockets.flatMap(\.descriptors) + [ready] { _ = unsafe posix_spawn_file_actions_adddup2(&actions, descriptor, descriptor) }
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        // This process blocks the signals that it waits for: the successor begins as this one began.
        var none = sigset_t()
        unsafe sigemptyset(&none)
        unsafe posix_spawnattr_setsigmask(&attributes, &none)
        unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var environment = inheritedEnvironment
        environment.append("\(socketsVariable)=\(InheritedSockets.text(sockets))")
        environment.append("\(readyVariable)=\(ready)")
        var child: pid_t = 0
        // The copies of the texts are freed behind the call, which copies them into the new process.
        let arguments = unsafe CommandLine.arguments.map { unsafe strdup($0) } + [nil]
        let variables = unsafe environment.map { unsafe strdup($0) } + [nil]
        defer {
            for index in unsafe arguments.indices { unsafe free(arguments[index]) }
            for index in unsafe variables.indices { unsafe free(variables[index]) }
        }
        let code = unsafe posix_spawn(&child, program, &actions, &attributes, arguments, variables)
        return code == 0 ? .success(child) : .failure(SpawnFailure(reason: "\(program) cannot be started: \(text(code))"))
    }

    /// Of this process, without what was meant for it alone.
    private static var inheritedEnvironment: [String] {
        var found: [String] = []
        var entry = unsafe environ
        // The environment is not changed while it is read: this program sets nothing after its start.
        while let text = unsafe entry.pointee {
            let line = unsafe String(cString: text)
            if !["\(socketsVariable)=", "\(readyVariable)=", "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES="].contains(where: { line.hasPrefix($0) }) { found.append(line) }
            unsafe entry += 1
        }
        return found
    }

    /// Where this program stands. A file that was replaced meanwhile is told as `PATH (deleted)`.
    private static let programPath: String? = {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let count = unsafe readlink("/proc/self/exe", &buffer, Int(PATH_MAX))
        guard count > 0 else { return nil }
        let path = String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let deleted = " (deleted)"
        return path.hasSuffix(deleted) ? String(path.dropLast(deleted.count)) : path
    }()

    private static func text(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }

    // MARK: in the successor

    /// Takes over what a predecessor left. Before anything else is opened.
    static func takeOver() -> [String] {
        guard let sockets = variable(socketsVariable) else { return [] }
        unsafe unsetenv(socketsVariable)
        return InheritedSockets.adopt(sockets)
    }

    /// Says that this process serves.
    static func sayReady() {
        InheritedSockets.closeRest()
        guard let text = variable(readyVariable), let descriptor = Int32(text), descriptor > 2 else { return }
        unsafe unsetenv(readyVariable)
        var byte: UInt8 = 1
        _ = unsafe write(descriptor, &byte, 1)
        close(descriptor)
    }

    private static func variable(_ name: String) -> String? { unsafe getenv(name).map { unsafe String(cString: $0) } }
}
