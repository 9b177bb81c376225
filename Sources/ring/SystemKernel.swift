// SystemKernel: the calls of the seam that need no ring: clocks, sockets, files. What UringKernel and EpollKernel have in common.
// Used on its loop's pinned thread; the static methods on any.
//
// Behind SocketAddress in the alphabet: Swift takes socket structures for those of the C module that the first file to be compiled names first.

package import CUring
internal import CUringBase
internal import Glibc

package class SystemKernel: Kernel {
    package override init(ring: UnsafeMutablePointer<ur_ring>, features: KernelFeatures) { unsafe super.init(ring: ring, features: features) }

    package override func now() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(truncatingIfNeeded: time.tv_sec) &* 1_000_000_000 &+ UInt64(truncatingIfNeeded: time.tv_nsec)
    }

    package override func ticks() -> UInt64 { ur_ticks() }

    /// Measured once for the process, against the monotonic clock, over 5 ms: better than 0.1 %, which durations need not.
    package override var ticksPerSecond: UInt64 { Self.measuredTicksPerSecond }

    private static let measuredTicksPerSecond: UInt64 = {
        func clock() -> UInt64 {
            var time = timespec()
            unsafe clock_gettime(CLOCK_MONOTONIC, &time)
            return UInt64(truncatingIfNeeded: time.tv_sec) &* 1_000_000_000 &+ UInt64(truncatingIfNeeded: time.tv_nsec)
        }
        let (ticks, began) = (ur_ticks(), clock())
        while clock() &- began < 5_000_000 {}
        let (moreTicks, ended) = (ur_ticks(), clock())
        return max(1, (moreTicks &- ticks) &* 1_000_000_000 / max(1, ended &- began))
    }()

    package override func unixTime() -> Int64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME_COARSE, &time)
        return Int64(time.tv_sec)
    }

    // MARK: sockets

    package override func listen(_ address: SocketAddress, backlog: Int32, deferAcceptSeconds: Int32) -> Result<Int32, SystemError> {
        Self.openListener(address, backlog: backlog, deferAcceptSeconds: deferAcceptSeconds)
    }

    /// As `listen`, for the thread that opens all loops' listeners before the loops exist.
    /// - Parameters:
    ///   - isIPv6Only: whether `[::]` leaves IPv4 clients alone.
    ///   - mode: permission bits of a unix socket's file; nil leaves them to the umask.
    package static func openListener(
        _ address: SocketAddress, backlog: Int32, deferAcceptSeconds: Int32, isIPv6Only: Bool = false, mode: UInt32? = nil
    ) -> Result<Int32, SystemError> {
        let family =
            switch address.family {
            case .ipv4: AF_INET
            case .ipv6: AF_INET6
            case .unix: AF_UNIX
            }
        let fd = Glibc.socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else { return .failure(SystemError("socket for \(address.description)", code: errno)) }
        func failure(_ operation: String, remedy: String = "") -> Result<Int32, SystemError> {
            let error = SystemError("\(operation) \(address.description)", code: errno, remedy: remedy)
            _ = Glibc.close(fd)
            return .failure(error)
        }
        func option(_ level: Int32, _ name: Int32, _ value: Int32) -> Bool {
            var value = value
            return unsafe setsockopt(fd, level, name, &value, socklen_t(MemoryLayout<Int32>.size)) == 0
        }
        if address.family != .unix {
            guard option(SOL_SOCKET, SO_REUSEADDR, 1), option(SOL_SOCKET, SO_REUSEPORT, 1) else { return failure("setsockopt on") }
            _ = option(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
            if deferAcceptSeconds > 0 { _ = option(Int32(IPPROTO_TCP), TCP_DEFER_ACCEPT, deferAcceptSeconds) }
            // `*:PORT` serves IPv4 too, whatever net.ipv6.bindv6only says.
            if address.family == .ipv6 { _ = option(Int32(IPPROTO_IPV6), IPV6_V6ONLY, isIPv6Only || address.high | address.low != 0 ? 1 : 0) }
        }
        // The file is born with these bits (less the umask), so that nobody whom they shut out gets in before the chmod below.
        if let mode, address.family == .unix { _ = fchmod(fd, mode) }
        guard unsafe address.withSockaddr({ unsafe bind(fd, $0, $1) }) == 0 else {
            let remedy =
                switch errno {
                case EADDRINUSE: inUse
                case EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE"
                case ENOENT: "the directory of the socket does not exist"
                case EADDRNOTAVAIL: "no interface of this machine has that address"
                default: ""
                }
            return failure("bind", remedy: remedy)
        }
        if let mode, address.family == .unix, !address.path.hasPrefix("@"), unsafe chmod(address.path, mode) != 0 { return failure("chmod of") }
        guard Glibc.listen(fd, backlog) == 0 else { return failure("listen on") }
        return .success(fd)
    }

    /// A socket file that nobody listens on, left by a process that was killed, is removed; one that answers is left for bind to refuse.
    package static func removeStaleSocket(_ address: SocketAddress) {
        let fd = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else { return }
        defer { _ = Glibc.close(fd) }
        let code = unsafe address.withSockaddr { unsafe connect(fd, $0, $1) }
        if code != 0, errno == ECONNREFUSED { unsafe unlink(address.path) }
    }

    /// The error that a second server on this address would meet; nil when the address is free. SO_REUSEPORT alone would let two
    /// unrelated servers share the clients without a word.
    package static func isTaken(_ address: SocketAddress) -> SystemError? {
        let fd = Glibc.socket(address.family == .ipv6 ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else { return nil }
        defer { _ = Glibc.close(fd) }
        var one: Int32 = 1
        _ = unsafe setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        guard unsafe address.withSockaddr({ unsafe bind(fd, $0, $1) }) != 0, errno == EADDRINUSE else { return nil }
        return SystemError("bind \(address.description)", code: EADDRINUSE, remedy: inUse)
    }

    private static let inUse = "another program listens there: stop it, or choose another address (ss -ltnp shows who it is)"

    package override func socket(_ family: SocketAddress.Family) -> Int32 {
        let domain =
            switch family {
            case .ipv4: AF_INET
            case .ipv6: AF_INET6
            case .unix: AF_UNIX
            }
        let fd = Glibc.socket(domain, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else { return -errno }
        var one: Int32 = 1
        if family != .unix { _ = unsafe setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size)) }
        return fd
    }

    package static func boundAddress(_ fd: Int32) -> SocketAddress? { unsafe name(fd, getsockname) }

    package override func localAddress(_ fd: Int32) -> SocketAddress? { Self.boundAddress(fd) }
    package override func peerAddress(_ fd: Int32) -> SocketAddress? { unsafe Self.name(fd, getpeername) }

    private static func name(
        _ fd: Int32, _ call: (Int32, UnsafeMutablePointer<sockaddr>?, UnsafeMutablePointer<socklen_t>?) -> Int32
    ) -> SocketAddress? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let code = unsafe withUnsafeMutablePointer(to: &storage) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe call(fd, $0, &length) }
        }
        return code == 0 ? SocketAddress(storage) : nil
    }

    /// Listeners are blocking sockets, as the ring wants them; from here on this one is not. It stays so: loops share the description of a unix
    /// socket, and what one of them sets back another would wait in.
    package override func acceptWaiting(_ fd: Int32) -> Int32 {
        setNonBlocking(fd, 1)
        return ur_accept4(fd, Int32(SOCK_CLOEXEC.rawValue))
    }

    package override func send(_ fd: Int32, _ bytes: UnsafeRawPointer, _ count: Int, more: Bool) -> Int {
        let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL) | (more ? Int32(MSG_MORE) : 0)
        let sent = unsafe Glibc.send(fd, bytes, count, flags)
        return sent < 0 ? -Int(errno) : sent
    }

    /// sendfile(2) has no flag that forbids waiting, and the sockets are blocking ones: on a non-blocking socket the ring answers -EAGAIN where
    /// it should wait. So the socket is non-blocking for the length of this call; the ring prepares nothing meanwhile.
    package override func sendFile(_ fd: Int32, file: Int32, offset: UInt64, count: Int) -> Int {
        setNonBlocking(fd, 1)
        defer { setNonBlocking(fd, 0) }
        var position = off_t(clamping: offset)
        let sent = unsafe sendfile(fd, file, &position, count)
        return sent < 0 ? -Int(errno) : sent
    }

    final func setNonBlocking(_ fd: Int32, _ isOn: Int32) {
        var isOn = isOn
        _ = unsafe ioctl(fd, UInt(FIONBIO), &isOn)
    }

    package override func threadTime() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }

    package override func roundTripUs(_ fd: Int32) -> UInt32? {
        let microseconds = ur_round_trip_us(fd)
        return microseconds > 0 ? microseconds : nil
    }

    package override func unacknowledgedBytes(_ fd: Int32) -> Int {
        var count: Int32 = 0
        // The kernel writes the number during the call only.
        return unsafe ioctl(fd, UInt(TIOCOUTQ), &count) == 0 ? Int(max(0, count)) : 0
    }

    package override func shutdownWrite(_ fd: Int32) { _ = shutdown(fd, Int32(SHUT_WR)) }

    package override func resetOnClose(_ fd: Int32) {
        var value = linger(l_onoff: 1, l_linger: 0)
        _ = unsafe setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
    }

    package override func close(_ fd: Int32) { _ = Glibc.close(fd) }
    /// close(2), whatever a kernel of ours knows of the descriptor.
    static func closeNow(_ fd: Int32) { _ = Glibc.close(fd) }

    // MARK: files

    package override func openFile(directory: Int32, path: UnsafePointer<CChar>, cachedOnly: Bool, resolve: UInt64) -> Int32 {
        unsafe ur_openat2(directory, path, Self.openFlags, resolve | (cachedOnly ? UInt64(RESOLVE_CACHED) : 0))
    }

    package override func fileStatus(_ fd: Int32) -> Result<FileStatus, SystemError> {
        var status = stat()
        guard unsafe fstat(fd, &status) == 0 else { return .failure(SystemError("fstat", code: errno)) }
        return .success(
            FileStatus(
                size: UInt64(clamping: status.st_size), modifiedSeconds: Int64(status.st_mtim.tv_sec),
                modifiedNanoseconds: UInt32(clamping: status.st_mtim.tv_nsec), inode: UInt64(status.st_ino),
                isRegular: status.st_mode & S_IFMT == S_IFREG, isDirectory: status.st_mode & S_IFMT == S_IFDIR))
    }

    package override func readCached(_ fd: Int32, into: UnsafeMutableRawPointer, count: Int, offset: UInt64) -> Int {
        unsafe ur_preadv2_nowait(fd, into, count, Int64(clamping: offset))
    }
}
