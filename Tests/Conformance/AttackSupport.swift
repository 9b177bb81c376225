// Crowds of clients on one thread, servers under a descriptor limit, and what a server weighs. Used by the attack tests.

import Glibc
import Testing
import TestSupport

/// A `uringd` that a shell starts, so that limits can be set for it and its process number is known.
struct LimitedServer {
    let process: ServerProcess
    let pid: Int32

    /// - Parameter descriptors: hard and soft limit of open files; nil = the test's own.
    init(_ arguments: [String], descriptors: Int? = nil) throws {
        let quoted = ([ServerProcess.defaultBinary] + arguments).map { "'" + $0 + "'" }.joined(separator: " ")
        let limit = descriptors.map { "ulimit -n \($0) && " } ?? ""
        process = try ServerProcess(["-c", "\(limit)echo pid $$ && exec \(quoted)"], binary: "/bin/sh")
        let line = process.output.split(separator: "\n").first { $0.hasPrefix("pid ") }
        pid = try #require(line.flatMap { Int32($0.dropFirst(4)) })
    }

    /// Resident memory now, KiB.
    var residentKiB: Int { status("VmRSS:") }
    /// The most it ever was, KiB.
    var peakKiB: Int { status("VmHWM:") }

    private func status(_ key: String) -> Int {
        guard let text = readFile("/proc/\(pid)/status") else { return 0 }
        let line = text.split(separator: "\n").first { $0.hasPrefix(key) }
        return line.flatMap { Int($0.filter(\.isNumber)) } ?? 0
    }

    /// Descriptors it has open.
    var descriptors: Int {
        guard let directory = unsafe opendir("/proc/\(pid)/fd") else { return 0 }
        defer { _ = unsafe closedir(directory) }
        var count = -2
        while unsafe readdir(directory) != nil { count += 1 }
        return count
    }
}

func readFile(_ path: String) -> String? {
    // The stream is ours until fclose.
    guard let file = unsafe fopen(path, "r") else { return nil }
    defer { _ = unsafe fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 64 << 10)
    let count = unsafe fread(&bytes, 1, bytes.count, file)
    return String(decoding: bytes.prefix(count), as: UTF8.self)
}

/// Makes a file of `bytes` bytes that repeat no pattern of a page.
func writeFile(_ path: String, bytes: Int) throws {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    guard descriptor >= 0 else { throw RawClientError.system(call: "open", errno: errno) }
    defer { close(descriptor) }
    var block = [UInt8](repeating: 0, count: 1 << 20)
    for index in block.indices { block[index] = UInt8(truncatingIfNeeded: index &* 31 &+ index >> 8) }
    var left = bytes
    while left > 0 {
        // The array owns the bytes through the call.
        let count = unsafe block.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, min(left, $0.count)) }
        guard count > 0 else { throw RawClientError.system(call: "write", errno: errno) }
        left -= count
    }
}

/// Raises this process's limit of open files as far as it may be; answers the limit.
func raiseDescriptorLimit(to wanted: Int) -> Int {
    var limit = rlimit()
    unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    if limit.rlim_cur < wanted {
        var more = rlimit(rlim_cur: rlim_t(wanted), rlim_max: max(limit.rlim_max, rlim_t(wanted)))
        if unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &more) != 0 {
            more = rlimit(rlim_cur: min(limit.rlim_max, rlim_t(wanted)), rlim_max: limit.rlim_max)
            _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &more)
        }
        unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
    return Int(clamping: limit.rlim_cur)
}

/// Many connections on one thread, from several addresses of 127.0.0.0/8, so that ports suffice. They connect without waiting, say
/// something, and count what comes back.
final class Crowd {
    enum State: UInt8 { case connecting, open, ended, reset }
    struct Member {
        var socket: Int32
        var state = State.connecting
        var received = 0
    }

    private(set) var members: [Member] = []
    private let port: UInt16

    init(_ endpoint: Endpoint) throws {
        port = try #require(endpoint.port)
    }

    deinit {
        for member in members where member.socket >= 0 { close(member.socket) }
    }

    /// Another connection, from 127.0.0.`address`. It is not waited for.
    @discardableResult
    func join(from address: UInt8 = 1, receiveBytes: Int32? = nil) throws -> Int {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard socket >= 0 else { throw RawClientError.system(call: "socket", errno: errno) }
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_addr.s_addr = (UInt32(127) << 24 | UInt32(address)).bigEndian
        // The kernel reads these values during each call only.
        unsafe withUnsafeBytes(of: &name) { _ = unsafe bind(socket, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count)) }
        if var bytes = receiveBytes { _ = unsafe setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &bytes, 4) }
        name.sin_addr.s_addr = (UInt32(127) << 24 | 1).bigEndian
        name.sin_port = port.bigEndian
        let result = unsafe withUnsafeBytes(of: &name) {
            unsafe connect(socket, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
        }
        guard result == 0 || errno == EINPROGRESS else { throw RawClientError.system(call: "connect", errno: errno) }
        members.append(Member(socket: socket))
        return members.count - 1
    }

    /// Sends what the socket takes now; answers how much that was.
    @discardableResult
    func send(_ bytes: [UInt8], by index: Int) -> Int {
        // The array owns the bytes through the call.
        let sent = unsafe bytes.withUnsafeBytes {
            unsafe Glibc.send(members[index].socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        }
        return max(0, sent)
    }

    func leave(_ index: Int) {
        guard members[index].socket >= 0 else { return }
        close(members[index].socket)
        members[index].socket = -1
        members[index].state = .ended
    }

    /// Handles what happens until `done` or until nothing has happened for `quietMs`. Answers `done()`.
    @discardableResult
    func run(reading: Bool = true, quietMs: Int32 = 10_000, onOpen: (Int) -> Void = { _ in }, until done: () -> Bool) -> Bool {
        while !done() {
            let active = members.indices.filter { members[$0].state == .connecting || members[$0].state == .open }
            var waits = active.map { index in
                pollfd(fd: members[index].socket, events: members[index].state == .connecting ? Int16(POLLOUT) : reading ? Int16(POLLIN) : 0, revents: 0)
            }
            // The kernel writes the array during the call only.
            let count = unsafe poll(&waits, nfds_t(waits.count), quietMs)
            if count == 0 { return done() }
            for (at, index) in active.enumerated() where waits[at].revents != 0 {
                let happened = Int32(waits[at].revents)
                if members[index].state == .connecting {
                    members[index].state = happened & POLLERR != 0 ? .reset : .open
                    if members[index].state == .open { onOpen(index) }
                } else if reading {
                    read(index)
                } else {
                    members[index].state = happened & POLLERR != 0 ? .reset : .ended
                }
            }
        }
        return true
    }

    private func read(_ index: Int) {
        var chunk = [UInt8](repeating: 0, count: 16 << 10)
        while members[index].state == .open {
            // The array owns the bytes through the call.
            let count: Int = unsafe chunk.withUnsafeMutableBytes { unsafe recv(members[index].socket, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT)) }
            if count > 0 {
                members[index].received += count
            } else if count == 0 {
                members[index].state = .ended
            } else {
                if errno != EAGAIN { members[index].state = .reset }
                return
            }
        }
    }
}
