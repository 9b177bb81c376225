// Where io_uring is refused by a real seccomp filter, and what is demanded in spite of it. The filter is that of Tests/Support/WithoutUring.

import Glibc
import Testing
import TestSupport

@Suite(.timeLimit(.minutes(3))) struct BackendTests {
    /// `uringd` with io_uring's calls answering `errno`.
    private func refused(_ errno: Int32, _ arguments: [String], listeners: Int = 1) throws -> ServerProcess {
        try ServerProcess(
            ["\(errno)", ServerProcess.defaultBinary] + arguments, listeners: listeners, binary: ServerProcess.refusingLauncher,
            environment: ["URING_BACKEND": ""])
    }

    private static let respond = ["respond", "--listen", "127.0.0.1:0", "--body", answer]

    @Test(arguments: [(EPERM, "Operation not permitted"), (ENOSYS, "Function not implemented")])
    func servesWithEpoll(errno: Int32, text: String) throws {
        let server = try refused(errno, Self.respond)
        #expect(try ask(server, get()).bodyText == answer)
        let note = "io_uring is not available (io_uring_setup: \(text)): serving with epoll, which costs more CPU per request; "
        try server.wait(forOutput: note)
        #expect(server.output.ranges(of: "io_uring is not available").count == 1)
        #expect(server.output.contains("allow io_uring_setup, io_uring_enter and io_uring_register"))
        server.send(signal: SIGTERM)
        #expect(try server.waitForExit() == .code(0))
    }

    @Test func doctorWarns() throws {
        let doctor = try refused(EPERM, ["doctor"], listeners: 0)
        #expect(try doctor.waitForExit() == .code(0), "\(doctor.output)")
        let line = doctor.output.split(separator: "\n").first { $0.contains(" io_uring ") }
        #expect(line?.hasPrefix("warning") == true, "\(doctor.output)")
        #expect(line?.contains("serving with epoll") == true)
        #expect(doctor.output.contains("--security-opt seccomp="))
    }

    @Test func demandedItFailsAndSaysWhy() throws {
        let server = try refused(EPERM, Self.respond + ["--backend", "uring"], listeners: 0)
        #expect(try server.waitForExit() == .code(1))
        for part in ["io_uring_setup: Operation not permitted (errno 1)", "What `uringd doctor` finds wrong", "a seccomp profile forbids it"] {
            #expect(server.output.contains(part), "\(part) in \(server.output)")
        }
        let doctor = try refused(EPERM, ["doctor", "--backend", "uring"], listeners: 0)
        #expect(try doctor.waitForExit() == .code(1))
    }

    /// Nobody is told about what he asked for.
    @Test func epollOnDemand() throws {
        for (arguments, environment) in [(["--backend", "epoll"], ""), ([], "epoll")] {
            let server = try ServerProcess(Self.respond + arguments, environment: ["URING_BACKEND": environment])
            #expect(try ask(server, get()).bodyText == answer)
            #expect(!server.output.contains("io_uring"))
        }
    }

    @Test func unknownBackends() throws {
        let environment = try ServerProcess(Self.respond, listeners: 0, environment: ["URING_BACKEND": "kqueue"])
        #expect(try environment.waitForExit() == .code(1))
        #expect(environment.output.contains("URING_BACKEND is 'kqueue'; automatic, uring, epoll are known"))
        let flag = try ServerProcess(Self.respond + ["--backend", "kqueue"], listeners: 0)
        #expect(try flag.waitForExit() == .code(64))
    }
}
