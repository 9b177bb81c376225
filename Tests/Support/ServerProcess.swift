// A server under test in a process of its own. Owns the process and its output pipe: killed and reaped with the object.
// Used by one test; the output is collected on a thread of its own, so that the server never waits for a reader.

import Glibc
import UringBase

package enum ServerProcessError: Error, CustomStringConvertible {
    case notFound(path: String)
    case spawn(path: String, errno: Int32)
    /// The process ended before it listened.
    case endedEarly(ServerProcess.Exit, output: String)
    case timedOut(waitingFor: String, output: String)

    package var description: String {
        switch self {
        case .notFound(let path): "\(path) is not there: build it first (swift build), or name another by URINGD"
        case .spawn(let path, let errno): "cannot start \(path): errno \(errno)"
        case .endedEarly(let exit, let output): "the server ended (\(exit)) before it listened; it printed: \(output)"
        case .timedOut(let what, let output): "no \(what); the server printed: \(output)"
        }
    }
}

package final class ServerProcess: Sendable {
    package enum Exit: Hashable, Sendable {
        case code(Int32)
        case signal(Int32)
    }

    private struct State {
        var pid: pid_t
        var exit: Exit?
    }

    /// In the order of their lines.
    package let endpoints: [Endpoint]
    private let state: Locked<State>
    private let collector: OutputCollector

    /// Starts the binary and returns when it listens.
    ///
    /// - Parameters:
    ///   - arguments: without the program's name.
    ///   - listeners: how many `listening on …` lines to wait for; with 0 the process may end by itself.
    ///   - environment: added to the test's own.
    package init(
        _ arguments: [String], listeners: Int = 1, binary: String = ServerProcess.defaultBinary, environment: [String: String] = [:]
    ) throws {
        let (pid, output) = try ServerProcess.spawn(binary, arguments, environment)
        let collector = OutputCollector(reading: output)
        self.collector = collector
        state = Locked(State(pid: pid))
        let heard = collector.wait { text, ended in ended || Self.endpoints(in: text).count >= listeners }
        endpoints = Self.endpoints(in: collector.text)
        if endpoints.count < listeners {
            throw heard
                ? ServerProcessError.endedEarly(try waitForExit(), output: collector.text)
                : ServerProcessError.timedOut(waitingFor: "line 'listening on'", output: collector.text)
        }
    }

    deinit {
        send(signal: SIGKILL)
        _ = try? waitForExit()
    }

    /// The first listener.
    package var endpoint: Endpoint { endpoints[0] }

    package var processID: Int32 { state.withLock { $0.pid } }

    /// Standard output and standard error so far, in the order they were written.
    package var output: String { collector.text }

    /// Returns when the output contains the text.
    package func wait(forOutput text: String) throws {
        var isThere = false
        _ = collector.wait { output, ended in
            isThere = output.contains(text)
            return isThere || ended
        }
        guard isThere else { throw ServerProcessError.timedOut(waitingFor: "output '\(text)'", output: output) }
    }

    /// Whether the process still runs.
    package var isRunning: Bool {
        state.withLock { state in
            reap(&state, options: WNOHANG)
            return state.exit == nil
        }
    }

    package func send(signal: Int32) {
        state.withLock { state in
            // After the process was reaped its number may belong to another.
            if state.exit == nil { kill(state.pid, signal) }
        }
    }

    /// Waits until the process has ended; throws when it does not within the collector's deadline.
    @discardableResult
    package func waitForExit() throws -> Exit {
        // The end of its output comes with the end of the process.
        guard collector.wait(until: { _, ended in ended }) else {
            let state = state.withLock { $0.exit == nil ? ProcessSnapshot.text(of: $0.pid) : "" }
            throw ServerProcessError.timedOut(waitingFor: "end of the process", output: output + state)
        }
        return state.withLock { state in
            reap(&state, options: 0)
            return state.exit ?? .code(-1)
        }
    }

    /// `uringd` beside the test bundle (`.build/<configuration>/uringd`), or what the variable URINGD names.
    package static var defaultBinary: String {
        // The environment's text lives until it is changed; it is copied here.
        if let named = unsafe getenv("URINGD") { return unsafe String(cString: named) }
        return ownDirectory + "/uringd"
    }

    /// Runs a program whose io_uring calls answer an errno: `ERRNO PROGRAM ARGUMENT…` (Tests/Support/WithoutUring).
    package static var refusingLauncher: String { ownDirectory + "/without-uring" }

    private static func endpoints(in text: String) -> [Endpoint] {
        // A line counts when it is whole.
        text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().compactMap { Endpoint(line: $0) }
    }

    private func reap(_ state: inout State, options: Int32) {
        guard state.exit == nil else { return }
        var status: Int32 = 0
        // The kernel writes the status during the call only.
        guard unsafe waitpid(state.pid, &status, options) == state.pid else { return }
        let signal = status & 0x7f
        state.exit = signal == 0 ? .code(status >> 8 & 0xff) : .signal(signal)
    }
}

// MARK: Starting

extension ServerProcess {
    private static var ownDirectory: String {
        var buffer = [CChar](repeating: 0, count: 4096)
        // The array owns the buffer through the call.
        let length = unsafe readlink("/proc/self/exe", &buffer, buffer.count)
        let path = String(decoding: buffer.prefix(max(length, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // The test runner may be started from the toolchain; then the bundle is among its arguments.
        let candidates = [path] + CommandLine.arguments
        let bundle = candidates.first { $0.hasSuffix(".xctest") } ?? path
        return bundle.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    }

    private static func spawn(_ binary: String, _ arguments: [String], _ added: [String: String]) throws -> (pid_t, output: Int32) {
        guard unsafe access(binary, X_OK) == 0 else { throw ServerProcessError.notFound(path: binary) }
        return try spawning.withLock { _ in try spawnAlone(binary, arguments, added) }
    }

    /// One at a time: a pipe exists for a moment before it is marked close-on-exec, and a server that inherited another one's
    /// would keep that one's output from ending.
    private static let spawning = Locked(())

    private static func spawnAlone(_ binary: String, _ arguments: [String], _ added: [String: String]) throws -> (pid_t, output: Int32) {
        var ends: [Int32] = [0, 0]
        // The array owns the two numbers through the call.
        guard unsafe pipe(&ends) == 0 else { throw ServerProcessError.spawn(path: binary, errno: errno) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[1]) }
        var actions = unsafe posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        // Both are initialised here and destroyed below; posix_spawn only reads them.
        unsafe posix_spawn_file_actions_init(&actions)
        unsafe posix_spawnattr_init(&attributes)
        defer {
            unsafe posix_spawn_file_actions_destroy(&actions)
            unsafe posix_spawnattr_destroy(&attributes)
        }
        unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], 2)
        // The test runner's ignored and blocked signals are not the server's.
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe posix_spawnattr_setsigmask(&attributes, &signals)
        unsafe sigfillset(&signals)
        unsafe posix_spawnattr_setsigdefault(&attributes, &signals)
        unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF) | Int16(POSIX_SPAWN_SETSIGMASK))
        var pid = pid_t()
        let result = unsafe withCStrings([binary] + arguments) { argv in
            // The first entry of a name is the one that counts.
            unsafe withCStrings(added.map { "\($0)=\($1)" } + ownEnvironment()) { envp in
                unsafe posix_spawn(&pid, binary, &actions, &attributes, argv, envp)
            }
        }
        guard result == 0 else {
            close(ends[0])
            throw ServerProcessError.spawn(path: binary, errno: result)
        }
        return (pid, ends[0])
    }

    private static func ownEnvironment() -> [String] {
        var entries: [String] = []
        // The environment's texts live until they are changed; they are copied here.
        var at = unsafe environ
        while let entry = unsafe at.pointee {
            unsafe entries.append(String(cString: entry))
            unsafe at += 1
        }
        return entries
    }

    /// The body gets a null-terminated array whose texts live as long as it runs.
    private static func withCStrings<Result>(
        _ texts: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) throws -> Result
    ) rethrows -> Result {
        var pointers: [UnsafeMutablePointer<CChar>?] = unsafe texts.map { unsafe strdup($0) } + [nil]
        defer { unsafe pointers.forEach { unsafe free($0) } }
        return try unsafe body(&pointers)
    }
}

/// Reads a pipe to its end on its own thread. Unchecked: the lock guards `bytes` and `hasEnded`, the rest is constant.
@safe
private final class OutputCollector: @unchecked Sendable {
    /// As a client's: only what hangs meets it.
    private static let timeoutSeconds = 20

    private var bytes: [UInt8] = []
    private var hasEnded = false
    private let descriptor: Int32
    // Freed in deinit, when the thread has ended: it holds the object.
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init(reading descriptor: Int32) {
        self.descriptor = descriptor
        unsafe lock.initialize(to: pthread_mutex_t())
        unsafe changed.initialize(to: pthread_cond_t())
        unsafe pthread_mutex_init(lock, nil)
        unsafe pthread_cond_init(changed, nil)
        var thread = pthread_t()
        // The thread takes over the retained reference.
        let reference = unsafe Unmanaged.passRetained(self).toOpaque()
        let result = unsafe pthread_create(
            &thread, nil,
            {
                unsafe Unmanaged<OutputCollector>.fromOpaque($0!).takeRetainedValue().run()
                return nil
            }, reference)
        precondition(result == 0, "no thread to collect output")
        pthread_detach(thread)
    }

    deinit {
        close(descriptor)
        unsafe pthread_mutex_destroy(lock)
        unsafe pthread_cond_destroy(changed)
        unsafe lock.deallocate()
        unsafe changed.deallocate()
    }

    var text: String {
        unsafe pthread_mutex_lock(lock)
        defer { unsafe pthread_mutex_unlock(lock) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Waits until the condition holds for the output so far and whether it has ended; false at the deadline.
    func wait(until condition: (String, Bool) -> Bool) -> Bool {
        unsafe pthread_mutex_lock(lock)
        defer { unsafe pthread_mutex_unlock(lock) }
        var deadline = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &deadline)
        deadline.tv_sec += Self.timeoutSeconds
        while !condition(String(decoding: bytes, as: UTF8.self), hasEnded) {
            if unsafe pthread_cond_timedwait(changed, lock, &deadline) != 0 { return condition(String(decoding: bytes, as: UTF8.self), hasEnded) }
        }
        return true
    }

    private func run() {
        var chunk = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            // The array owns the bytes through the call.
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            unsafe pthread_mutex_lock(lock)
            if count > 0 { bytes += chunk.prefix(count) } else { hasEnded = true }
            unsafe pthread_cond_broadcast(changed)
            unsafe pthread_mutex_unlock(lock)
            if count <= 0 { return }
        }
    }
}
