// ListenerSet: which addresses a running server listens on, and the sockets it gave its loops. The thread that starts, reloads or stops the
// server; the sockets themselves belong to the loops from the moment they are handed over.

internal import Glibc
internal import UringRing

/// One address, with a socket for each loop.
struct OpenListener {
    var loaded: LoadedListener
    /// As bound: the port is filled in.
    let address: SocketAddress
    /// At least one for each loop; the loops take them in turns. Each loop closes its own.
    let descriptors: [Int32]
    /// Another process serves on the same sockets until this one does: the file of a unix socket is its until then.
    var isAdopted = false
    /// The file of the unix socket is a service manager's, which removes it when it likes.
    var keepsFile = false

    func descriptors(of loop: Int, _ loops: Int) -> [Int32] { stride(from: loop, to: descriptors.count, by: loops).map { descriptors[$0] } }
    func listeners(of loop: Int, _ loops: Int) -> [LoopListener] {
        descriptors(of: loop, loops).map { LoopListener(fd: $0, address: address, closesWithLoop: true, transport: loaded.transport) }
    }

    /// Before the loops have taken the descriptors over.
    func abandon() {
        for descriptor in descriptors { close(descriptor) }
        if !isAdopted { removeFile() }
    }

    /// Removes the file of a unix socket.
    func removeFile() {
        guard address.family == .unix, !address.path.hasPrefix("@"), !keepsFile else { return }
        unsafe unlink(address.path)
    }

    /// Opens a socket per loop, all on one address (SO_REUSEPORT); a unix socket is one, with a descriptor per loop.
    static func open(_ loaded: LoadedListener, loops: Int, _ options: ServerOptions, besides own: [OpenListener]) throws -> OpenListener {
        let listener = loaded.listener
        let address = try SocketAddress.parse(listener.address).get()
        let backlog = Int32(clamping: listener.backlog ?? options.backlog)
        let inherited = InheritedSockets.take(listener.address)
        if !inherited.descriptors.isEmpty { return try adopt(inherited, loaded, address, loops, backlog, options) }
        if address.family == .unix { return try patiently { try openUnix(loaded, address, loops, backlog) } }
        // Another program with SO_REUSEPORT on this address would share our clients: refuse, as every other server does. Our own sockets
        // on that port (a reload that goes from 0.0.0.0 to one address) are no reason.
        if address.port != 0, !own.contains(where: { $0.address.port == address.port }) {
            try patiently { if let taken = UringKernel.isTaken(address) { throw taken } }
        }
        var actual = address
        var descriptors: [Int32] = []
        do {
            for _ in 0..<loops {
                let fd = try UringKernel.openListener(
                    actual, backlog: backlog, deferAcceptSeconds: options.deferAccept ? 1 : 0, isIPv6Only: listener.isIPv6Only
                ).get()
                descriptors.append(fd)
                if actual.port == 0 { actual = UringKernel.boundAddress(fd) ?? actual }
            }
        } catch {
            for fd in descriptors { close(fd) }
            throw error
        }
        return OpenListener(loaded: loaded, address: actual, descriptors: descriptors)
    }

    /// Goes on with sockets of another process, and the clients queued in them. Where there are fewer than loops, further ones are opened; a socket that was not made to be
    /// one of several (a unix socket, or a service manager's) has a descriptor for each loop.
    private static func adopt(
        _ taken: InheritedSockets.Taken, _ loaded: LoadedListener, _ wanted: SocketAddress, _ loops: Int, _ backlog: Int32, _ options: ServerOptions
    ) throws -> OpenListener {
        let inherited = taken.descriptors
        let address = wanted.family == .unix ? wanted : UringKernel.boundAddress(inherited[0]) ?? wanted
        var descriptors = inherited
        while descriptors.count < loops {
            var next: Int32 = -1
            if address.family != .unix {
                next = (try? UringKernel.openListener(
                    address, backlog: backlog, deferAcceptSeconds: options.deferAccept ? 1 : 0, isIPv6Only: loaded.listener.isIPv6Only
                ).get()) ?? -1
            }
            if next < 0 { next = fcntl(inherited[descriptors.count % inherited.count], F_DUPFD_CLOEXEC, 3) }
            guard next >= 0 else {
                let error = SystemError("duplicating the socket of \(address.description)", code: errno, remedy: UringKernel.remedy(for: errno))
                for descriptor in descriptors { close(descriptor) }
                throw error
            }
            descriptors.append(next)
        }
        return OpenListener(loaded: loaded, address: address, descriptors: descriptors, isAdopted: true, keepsFile: taken.keepsFile)
    }

    /// How long an address may stay taken. When a process with a ring is killed, the kernel lets go of the ring's sockets a moment after the
    /// process is gone: whoever restarts it at once must not fail for that.
    private static let takenMs = 1000

    private static func patiently<Result>(_ body: () throws -> Result) throws -> Result {
        let pauseMs = 20
        for _ in 0..<(takenMs / pauseMs) {
            do { return try body() } catch let error as SystemError where error.code == EADDRINUSE { usleep(UInt32(pauseMs * 1000)) }
        }
        return try body()
    }

    private static func openUnix(_ loaded: LoadedListener, _ address: SocketAddress, _ loops: Int, _ backlog: Int32) throws -> OpenListener {
        if !address.path.hasPrefix("@") { UringKernel.removeStaleSocket(address) }
        let fd = try UringKernel.openListener(address, backlog: backlog, deferAcceptSeconds: 0, mode: loaded.listener.unixMode).get()
        var descriptors = [fd]
        while descriptors.count < loops {
            // A descriptor of its own for each loop: closing one must not free a number that another loop still uses.
            let copy = fcntl(fd, F_DUPFD_CLOEXEC, 3)
            guard copy >= 0 else {
                let error = SystemError("duplicating the socket of \(address.description)", code: errno, remedy: UringKernel.remedy(for: errno))
                OpenListener(loaded: loaded, address: address, descriptors: descriptors).abandon()
                throw error
            }
            descriptors.append(copy)
        }
        return OpenListener(loaded: loaded, address: address, descriptors: descriptors)
    }
}

/// What a reload does to the listeners.
struct ListenerChange {
    var kept: [OpenListener] = []
    var removed: [OpenListener] = []
    var added: [LoadedListener] = []

    /// An address that is wanted again keeps its sockets, whatever else changed about it: the kernel's queue of clients is in them.
    init(from open: [OpenListener], to wanted: [LoadedListener]) {
        var rest = open
        for listener in wanted {
            if let index = rest.firstIndex(where: { $0.loaded.listener.address == listener.listener.address }) {
                var open = rest.remove(at: index)
                open.loaded = listener
                kept.append(open)
            } else {
                added.append(listener)
            }
        }
        removed = rest
    }
}
