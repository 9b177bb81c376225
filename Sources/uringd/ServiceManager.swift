// What systemd asks of a service: notifications by NOTIFY_SOCKET (sd_notify(3)), a datagram per state on a unix socket; its sockets (sd_listen_fds(3)); its watchdog (sd_watchdog_enabled(3)).

import Glibc
import UringServer

struct ServiceManager: Sendable {
    /// Path of the socket; a leading "@" names the abstract namespace. nil: nobody asked.
    private let path: String?

    /// To whom a supervisor's worker tells that its loops turn, and nothing else: the rest is the supervisor's to say.
    static let workerVariable = "URINGD_NOTIFY"

    init() { self.init(variable: "NOTIFY_SOCKET") }

    /// The service manager as a worker knows it.
    static let ofWorker = ServiceManager(variable: workerVariable)

    private init(variable: String) {
        // The environment's text lives until it is changed; it is copied here.
        path = unsafe getenv(variable).map { unsafe String(cString: $0) }
    }

    /// For a worker's environment.
    var workerVariables: [String: String] { path.map { [Self.workerVariable: $0] } ?? [:] }

    // MARK: sockets

    /// Takes over the sockets that were passed to this process.
    /// - Returns: a sentence about each that cannot be used.
    static func takeSockets() -> [String] {
        let (process, count, names) = (OwnProgram.take("LISTEN_PID"), OwnProgram.take("LISTEN_FDS"), OwnProgram.take("LISTEN_FDNAMES"))
        // They may be for a process that has started this one.
        guard let process, pid_t(process) == getpid() else { return [] }
        guard let number = count.flatMap({ Int($0) }), (0...socketsMax).contains(number) else { return ["LISTEN_FDS is `\(count ?? "")`, accepted: 0 to \(socketsMax)"] }
        let separated = names?.split(separator: ":", omittingEmptySubsequences: false).map { String($0) }
        return InheritedSockets.adoptActivated(count: number, names: separated ?? [])
    }

    /// More descriptors than any unit has.
    private static let socketsMax = 4096

    // MARK: notifications

    /// `READY=1`, `STOPPING=1`, `RELOADING=1`…, lines. A manager that is gone is no reason to fail.
    func tell(_ state: String) {
        guard let path, path.hasPrefix("/") || path.hasPrefix("@") else { return }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var name = Array(path.utf8)
        if path.hasPrefix("@") { name[0] = 0 }
        let start = MemoryLayout<sa_family_t>.size
        guard name.count < MemoryLayout<sockaddr_un>.size - start else { return }
        let socket = Glibc.socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return }
        defer { close(socket) }
        // Both the address and the text live through the call.
        unsafe withUnsafeMutableBytes(of: &address) { raw in
            unsafe UnsafeMutableRawBufferPointer(rebasing: raw[start...]).copyBytes(from: name)
            let target = unsafe raw.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            let text = Array(state.utf8)
            _ = unsafe text.withUnsafeBytes {
                unsafe sendto(socket, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL), target, socklen_t(start + name.count))
            }
        }
    }

    /// Behind it `READY=1` says that the reload is over. The time lets `Type=notify-reload` know which reload is meant.
    func tellReloading() {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        tell("RELOADING=1\nMONOTONIC_USEC=\(time.tv_sec * 1_000_000 + time.tv_nsec / 1000)")
    }

    // MARK: watchdog

    /// How often the watchdog wants to hear; nil: there is none, or it is another process's.
    /// - Parameter isHeir: this process stands in for the one that the manager has started.
    static func watchdogMicroseconds(isHeir: Bool) -> UInt64? {
        guard let text = unsafe getenv("WATCHDOG_USEC").map({ unsafe String(cString: $0) }), let period = UInt64(text), period > 0 else { return nil }
        // Absent: it is meant for whoever reads it.
        let process = unsafe getenv("WATCHDOG_PID").map { unsafe String(cString: $0) }
        return isHeir || process == nil || process.flatMap { pid_t($0) } == getpid() ? period : nil
    }

    /// Tells the watchdog that this process lives, twice in its period, whenever `check` returns: a loop that hangs keeps it from that.
    func feedWatchdog(everyMicroseconds period: UInt64, _ check: @escaping @Sendable () -> Void) {
        guard path != nil else { return }
        let pause = timespec(tv_sec: Int(clamping: period / 2_000_000), tv_nsec: Int(period / 2 % 1_000_000) * 1000)
        Service.onThread {
            while true {
                check()
                tell("WATCHDOG=1")
                var time = pause
                // The value lives through the call. Signals are blocked: none ends it early.
                _ = unsafe nanosleep(&time, nil)
            }
        }
    }
}
