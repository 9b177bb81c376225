// `uringd tcptrace`: the TCP tracer on any process's cgroup, live, until it is interrupted.

import ArgumentParser
import Glibc
import UringServer
import UringTCPTrace

struct TCPTraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tcptrace", abstract: "Count the TCP connections of a cgroup and their round trips, by the server's port, in the kernel.",
        discussion: """
            Every interval it prints what has happened since the last: connections that were begun, established, closed or failed, segments that were sent again, and \
            round trips from 0.1 ms to 1 s, for ports that processes of the cgroup listen on (server) and for those that they connect to (client). \
            Connections that are open when it begins are not seen. It needs CAP_BPF and CAP_NET_ADMIN, and a mounted cgroup2.
            """)

    @Option(help: ArgumentHelp("A process, whose cgroup is traced.", valueName: "pid")) var pid: Int32?
    @Option(help: ArgumentHelp("The directory of a cgroup of version 2, in place of a process.", valueName: "directory")) var cgroup: String?
    @Option(help: "Seconds between two reports.") var interval = 1
    @Option(help: "How many reports; 0 goes on until it is interrupted.") var count = 0
    @Option(help: ArgumentHelp("Only this port.", valueName: "port")) var port: UInt16?
    @Flag(help: "One JSON object a line for programs: round trips as pairs of a bucket, 0 to 255 on a logarithmic scale, and a count.") var json = false

    func validate() throws {
        guard (pid == nil) != (cgroup == nil) else { throw ValidationError("either --pid or --cgroup") }
        guard (1...86_400).contains(interval), count >= 0 else { throw ValidationError("--interval is 1 to 86400 seconds, --count not negative") }
    }

    func run() throws {
        let directory: String
        if let cgroup {
            directory = cgroup
        } else {
            var groups = ControlGroups(files: .live)
            guard let found = groups.unified(process: "\(pid ?? 0)") else {
                Console.error("uringd: no cgroup of version 2 of process \(pid ?? 0) can be seen here\(groups.notes.map { "; " + $0 }.joined())\n")
                throw ExitCode(1)
            }
            directory = found
        }
        let tracer: TCPTracer
        do throws(TCPTracerFailure) {
            tracer = try TCPTracer(cgroup: directory)
        } catch {
            Console.error("uringd: \(error)\nWithout these rights `ss -ti` shows the round trips of connections that are open now; a uringd with admin.tcp-tracer samples its own.\n")
            throw ExitCode(1)
        }
        if !json { Console.out("tracing \(directory)\n") }
        var (before, reports) = (TCPTrace(), 0)
        while count == 0 || reports < count {
            sleep(UInt32(interval))
            let now = tracer.read()
            let changes = now.ports.filter { port == nil || $0.number == port }.map { $0.since(before[$0.side, $0.number]) }
            if json {
                Console.out(TCPTraceText.json(changes, lost: now.lost, unixMs: Self.unixMs(), source: "ebpf"))
            } else {
                let busy = changes.filter { $0.begun > 0 || $0.closed > 0 || $0.retransmits > 0 || $0.samples > 0 }
                Console.out(busy.isEmpty ? "nothing happened\n" : TCPTraceText.lines(busy))
                if now.lost > before.lost { Console.out("\(now.lost - before.lost) counts were lost: there are too many ports\n") }
            }
            (before, reports) = (now, reports + 1)
        }
    }

    private static func unixMs() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
    }
}
