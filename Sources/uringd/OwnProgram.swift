// OwnProgram: this program, started once more: as a successor or as a supervisor's worker. Any thread.

import Glibc

struct SpawnFailure: Error { let reason: String }

enum OwnProgram {
    /// Variables that one process leaves to another: whoever starts a process sets those that are meant for it.
    private static let ownVariables = [
        Successor.socketsVariable, Successor.readyVariable, Supervisor.channelVariable, ServiceManager.workerVariable, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
    ]

    /// The same program with the same arguments: what stands at the path now. The path is where the program was found when this process was started, so that a new file in its place is taken.
    /// - Parameters:
    ///   - descriptors: that it gets, by the same numbers.
    ///   - variables: of its environment, beside this process's.
    ///   - without: a variable that it does not get.
    static func spawn(passing descriptors: [Int32], _ variables: [String: String], without: String? = nil) throws(SpawnFailure) -> pid_t {
        guard let path else { throw SpawnFailure(reason: "/proc/self/exe cannot be read") }
        var actions = unsafe posix_spawn_file_actions_t()
        _ = unsafe posix_spawn_file_actions_init(&actions)
        defer { _ = unsafe posix_spawn_file_actions_destroy(&actions) }
        // A duplicate onto itself is passed on (posix_spawn_file_actions_adddup2(3): the flag FD_CLOEXEC is cleared).
        for descriptor in descriptors { _ = unsafe posix_spawn_file_actions_adddup2(&actions, descriptor, descriptor) }
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        // This process blocks the signals that it waits for: the other begins as this one began.
        var none = sigset_t()
        unsafe sigemptyset(&none)
        unsafe posix_spawnattr_setsigmask(&attributes, &none)
        unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        let environment = inherited(without: without) + variables.map { "\($0.key)=\($0.value)" }
        var child: pid_t = 0
        // The copies of the texts are freed behind the call, which copies them into the new process.
        let arguments = unsafe CommandLine.arguments.map { unsafe strdup($0) } + [nil]
        let texts = unsafe environment.map { unsafe strdup($0) } + [nil]
        defer {
            for index in unsafe arguments.indices { unsafe free(arguments[index]) }
            for index in unsafe texts.indices { unsafe free(texts[index]) }
        }
        let code = unsafe posix_spawn(&child, path, &actions, &attributes, arguments, texts)
        guard code == 0 else { throw SpawnFailure(reason: unsafe "\(path) cannot be started: \(String(cString: strerror(code)))") }
        return child
    }

    private static func inherited(without: String?) -> [String] {
        var found: [String] = []
        var entry = unsafe environ
        // The environment is not changed while it is read: this program changes it at its start only.
        while let text = unsafe entry.pointee {
            let line = unsafe String(cString: text)
            if !(ownVariables + (without.map { [$0] } ?? [])).contains(where: { line.hasPrefix($0 + "=") }) { found.append(line) }
            unsafe entry += 1
        }
        return found
    }

    /// Where this program stands. A file that was replaced meanwhile is told as `PATH (deleted)`.
    private static let path: String? = {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let count = unsafe readlink("/proc/self/exe", &buffer, Int(PATH_MAX))
        guard count > 0 else { return nil }
        let path = String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let deleted = " (deleted)"
        return path.hasSuffix(deleted) ? String(path.dropLast(deleted.count)) : path
    }()

    /// How a process ended, of waitpid(2).
    static func ending(_ status: Int32) -> String { status & 0x7f == 0 ? "ended with status \((status >> 8) & 0xff)" : "was ended by signal \(status & 0x7f)" }

    /// A variable of this process's environment that was meant for it alone: it is taken out.
    static func take(_ variable: String) -> String? {
        guard let value = unsafe getenv(variable).map({ unsafe String(cString: $0) }) else { return nil }
        unsafe unsetenv(variable)
        return value
    }
}
