// ReloadSignal: a reload that is asked for by SIGHUP with a value (sigqueue(3)), and whose outcome goes back to who asked. The value is random and names an abstract unix socket on which the asker waits;
// it reaches the process that the signal is for, and nobody else. Both ends; the asker's main thread, the server's.

import Glibc
import UringGateway

enum ReloadSignal {
    /// Bits of the value beside the random ones.
    private static let planBit: UInt64 = 1
    private static let jsonBit: UInt64 = 2

    /// Longest time that a server takes: files, names and keys are waited for.
    private static let answerSeconds = 60
    /// An asker that does not read holds nothing up for longer.
    private static let replySeconds = 5

    // MARK: who asks

    struct Refusal: Error { let reason: String }

    /// Sends the signal and waits for the outcome.
    /// - Returns: the status as of HTTP, and what to print.
    static func ask(_ process: pid_t, plan: Bool, json: Bool) throws(Refusal) -> (status: Int, text: String) {
        try check(process)
        let value = UInt64.random(in: 0 ... .max) & ~(planBit | jsonBit) | (plan ? planBit : 0) | (json ? jsonBit : 0)
        let listener = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        defer { close(listener) }
        guard unsafe withAddress(of: value, { unsafe bind(listener, $0, $1) }) == 0, listen(listener, 1) == 0 else { throw Refusal(reason: "no socket for the answer: \(text(errno))") }
        // The pointer is a number that the kernel hands on.
        guard unsafe sigqueue(process, SIGHUP, sigval(sival_ptr: UnsafeMutableRawPointer(bitPattern: UInt(value)))) == 0 else {
            throw Refusal(reason: "process \(process) cannot be signalled: \(text(errno))")
        }
        var request = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        var code: CInt
        repeat { code = unsafe poll(&request, 1, CInt(answerSeconds * 1000)) } while code < 0 && errno == EINTR
        let connection = code > 0 ? accept(listener, nil, nil) : -1
        guard connection >= 0 else {
            throw Refusal(reason: "process \(process) was asked to reload and has not answered within \(answerSeconds) s: its log says what came of it")
        }
        defer { close(connection) }
        bound(connection, SO_RCVTIMEO, answerSeconds)
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            // The array lives through the call.
            let count = unsafe recv(connection, &chunk, chunk.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            bytes += chunk.prefix(count)
        }
        // `STATUS LF TEXT`.
        guard let end = bytes.firstIndex(of: 0x0a), let status = Int(String(decoding: bytes[..<end], as: UTF8.self)) else { throw Refusal(reason: "process \(process) has ended while it answered") }
        return (status, String(decoding: bytes[(end + 1)...], as: UTF8.self))
    }

    /// SIGHUP ends a process that does not wait for it: it is sent to those alone that do.
    private static func check(_ process: pid_t) throws(Refusal) {
        guard let name = field("Name", of: "/proc/\(process)") else { throw Refusal(reason: "there is no process \(process)") }
        // All its threads block the signal, but for the one that waits for it at this moment.
        let blocked = threads(of: process).compactMap { field("SigBlk", of: "/proc/\(process)/task/\($0)").flatMap { UInt64($0, radix: 16) } }
        guard blocked.contains(where: { $0 & 1 << UInt64(SIGHUP - 1) != 0 }) else { throw Refusal(reason: "process \(process) (\(name)) is no uringd that serves") }
    }

    /// Of `status` in a directory of /proc (proc(5)).
    private static func field(_ name: String, of directory: String) -> Substring? {
        guard case .success(let status) = SmallFile.read(directory + "/status") else { return nil }
        return status.split(separator: "\n").first { $0.hasPrefix(name + ":") }.map { $0.dropFirst(name.count + 1).drop { $0 == "\t" || $0 == " " } }
    }

    private static func threads(of process: pid_t) -> [pid_t] {
        guard let directory = unsafe opendir("/proc/\(process)/task") else { return [] }
        defer { unsafe closedir(directory) }
        var found: [pid_t] = []
        // The entry is valid until the next readdir; its name is copied.
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { raw in unsafe String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self) }
            if let number = pid_t(name) { found.append(number) }
        }
        return found
    }

    // MARK: who is asked

    /// Does what a SIGHUP with this value asks for, and answers.
    /// - Parameter reload: does it, and tells the log.
    static func serve(_ value: UInt64, _ gateway: Gateway, isStopping: Bool, reload: () -> ReloadOutcome) {
        let outcome = isStopping ? .stopping : value & planBit != 0 ? gateway.plan() : reload()
        reply(value, status: outcome.status, value & jsonBit != 0 ? outcome.jsonText : outcome.text)
    }

    static func reply(_ value: UInt64, status: Int, _ text: String) {
        let connection = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        defer { close(connection) }
        bound(connection, SO_SNDTIMEO, replySeconds)
        // Whoever asked may have gone: then nobody is told.
        guard unsafe withAddress(of: value, { unsafe connect(connection, $0, $1) }) == 0 else { return }
        var rest = Array("\(status)\n\(text)".utf8)[...]
        while !rest.isEmpty {
            // The slice owns the bytes through the call.
            let count = unsafe rest.withUnsafeBytes { unsafe send(connection, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    // MARK: both

    private static func withAddress(of value: UInt64, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt) -> CInt {
        let digits = String(value, radix: 16)
        // The zero in front is the abstract namespace's mark.
        let name = Array("\0uringd-reload-\(String(repeating: "0", count: 16 - digits.count))\(digits)".utf8)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let start = MemoryLayout<sa_family_t>.size
        // The address lives through the call.
        return unsafe withUnsafeMutableBytes(of: &address) { raw in
            unsafe UnsafeMutableRawBufferPointer(rebasing: raw[start...]).copyBytes(from: name)
            return unsafe body(raw.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(start + name.count))
        }
    }

    private static func bound(_ socket: CInt, _ option: CInt, _ seconds: Int) {
        var time = timeval(tv_sec: seconds, tv_usec: 0)
        // The value lives through the call.
        _ = unsafe setsockopt(socket, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
    }

    static func text(_ code: CInt) -> String { unsafe String(cString: strerror(code)) }
}

/// A file of a few lines.
enum SmallFile {
    static let bytesMax = 64 << 10

    static func read(_ path: String) -> Result<String, ReloadSignal.Refusal> {
        func failure() -> Result<String, ReloadSignal.Refusal> { .failure(ReloadSignal.Refusal(reason: path + ": " + ReloadSignal.text(errno))) }
        // The path lives through the call.
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return failure() }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while bytes.count < bytesMax {
            // The array lives through the call.
            let count = unsafe Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return failure() }
            if count == 0 { break }
            bytes += chunk.prefix(count)
        }
        return .success(String(decoding: bytes, as: UTF8.self))
    }
}
