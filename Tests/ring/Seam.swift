// Seam: one script, three worlds. The same operations run on the ring, on epoll and on the simulated kernel, and what can be seen of them is
// compared, so that the other two are known to be true to what they stand for.

import CUring
import Glibc
import UringBase
import UringRing
import UringSimulation

/// The other end of a connection to the kernel under test.
protocol Peer: AnyObject {
    func write(_ bytes: [UInt8])
    /// What has arrived, up to `count`; ends early when there is no more.
    func read(_ count: Int) -> [UInt8]
    /// The kernel's FIN has arrived and everything before it was read.
    var sawEnd: Bool { get }
    var sawReset: Bool { get }
    func finish()
    func reset()
    func close()
}

/// A kernel and what surrounds it.
protocol World: AnyObject {
    var kernel: Kernel { get }
    var otherKernel: Kernel { get }
    /// A descriptor of a directory that holds what the worlds below put there.
    var directory: Int32 { get }
    func connect(_ address: SocketAddress) -> any Peer
    /// Keeps the connection's buffers small, so that sends come short soon.
    func limitSendBuffer(_ fd: Int32)
}

/// Drives a kernel as a loop would and writes down what it sees.
final class Seam {
    let world: any World
    let kernel: Kernel
    private(set) var seen: [String] = []
    /// Descriptors of accepts, in order; their numbers differ between worlds and are not written down.
    private(set) var accepted: [Int32] = []
    var buffers: BufferRing?

    static let acceptTag: UInt64 = 1

    init(_ world: any World) {
        self.world = world
        kernel = world.kernel
    }

    func note(_ text: String) { seen.append(text) }
    func sortLast(_ count: Int) { seen.replaceSubrange((seen.count - count)..., with: seen.suffix(count).sorted()) }
    func takeLast() -> String { seen.removeLast() }

    func listen() -> (fd: Int32, address: SocketAddress) {
        guard case .success(let address) = SocketAddress.parse("127.0.0.1:0"),
            case .success(let fd) = kernel.listen(address, backlog: 64, deferAcceptSeconds: 0), let bound = kernel.localAddress(fd)
        else { preconditionFailure("BUG: the test cannot listen") }
        return (fd, bound)
    }

    func makeBuffers(_ count: UInt32, _ bytesEach: Int = 4096) {
        do { buffers = try BufferRing.make(kernel: kernel, count: count, bytesEach: bytesEach) } catch { preconditionFailure("BUG: \(error)") }
    }

    /// Queues one operation. `prepare` sees the entry only while it is called.
    @safe func queue(_ tag: UInt64, flags: UInt32 = 0, on kernel: Kernel? = nil, _ prepare: (UnsafeMutablePointer<ur_sqe>) -> Void) {
        guard let entry = unsafe ur_get_sqe((kernel ?? self.kernel).ring) else { preconditionFailure("BUG: submission queue full") }
        unsafe prepare(entry)
        unsafe ur_sqe_tag(entry, tag, flags)
    }

    /// Enters until `count` completions were seen, then once more for those that should not be there.
    func collect(_ count: Int, from other: Kernel? = nil) {
        let kernel = other ?? kernel
        var found = 0
        var tries = 0
        while true {
            let missing = max(0, count - found)
            let code = kernel.enter(waitFor: UInt32(missing), timeoutNs: 5_000_000_000)
            precondition(code >= 0 || code == -EINTR || code == -ETIME || code == -EAGAIN || code == -EBUSY, "BUG: enter answered \(code)")
            found += reap(kernel)
            if missing == 0 { return }
            tries += 1
            if tries > 20 || code == -ETIME {
                note("MISSING \(count - found) completions")
                return
            }
        }
    }

    /// Works off and writes down what is in the completion queue.
    @discardableResult
    func reap(_ kernel: Kernel) -> Int {
        let count = unsafe ur_cq_ready(kernel.ring)
        for n in 0..<count {
            let cqe = unsafe ur_cq_at(kernel.ring, n).pointee
            describe(cqe.user_data, cqe.res, cqe.flags)
        }
        unsafe ur_cq_advance(kernel.ring, count)
        return Int(count)
    }

    private func describe(_ tag: UInt64, _ result: Int32, _ flags: UInt32) {
        var text = "\(tag): "
        if result < 0 {
            text += "-\(SystemError.text(of: -result))"
        } else if tag == Self.acceptTag {
            accepted.append(result)
            text += "descriptor"
        } else {
            text += "\(result)"
        }
        if flags & 2 != 0 { text += " more" }
        if flags & 1 != 0 {
            text += " buffer"
            if buffers != nil, result > 0 {
                let bytes = unsafe UnsafeRawBufferPointer(start: buffers!.take(UInt16(flags >> 16)), count: Int(result))
                unsafe text += result <= 32 ? " '\(String(decoding: bytes, as: UTF8.self))'" : " sum \(bytes.reduce(0) { $0 &+ Int($1) })"
                if recycles { recycle(UInt16(flags >> 16)) } else { held.append(UInt16(flags >> 16)) }
            }
        }
        note(text)
    }

    var buffersOutstanding: Int { buffers!.currentlyOutstanding() }

    /// False: the test gives buffers back itself.
    var recycles = true
    var held: [UInt16] = []

    func recycle(_ id: UInt16) {
        buffers!.recycle(id)
        buffers!.publish()
    }

    func recycleHeld() {
        for id in held { recycle(id) }
        held = []
    }

    /// A connection: the kernel's descriptor and its peer.
    func pair() -> (fd: Int32, peer: any Peer) {
        let listener = listen()
        let before = seen
        let peer = world.connect(listener.address)
        queue(Self.acceptTag) { unsafe ur_prep_accept($0, listener.fd) }
        collect(1)
        seen = before
        kernel.close(listener.fd)
        return (accepted[accepted.count - 1], peer)
    }
}

extension BufferRing {
    /// Mutating, because a class can lend a value that cannot be copied only for writing.
    mutating func currentlyOutstanding() -> Int { outstanding }
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

// MARK: the simulated world

final class SimulatedWorld: World {
    let simulation: Simulation
    let simulated: SimulatedKernel
    let kernel: Kernel
    let otherKernel: Kernel
    let directory: Int32
    private let sendBytes = 1 << 18

    init() {
        simulation = Simulation(seed: 1)
        simulated = simulation.makeKernel()
        kernel = simulated.makeKernel()
        otherKernel = simulation.makeKernel().makeKernel()
        simulation.files.makeDirectory("/root/sub")
        simulation.files.write("/root/file", bytes("contents of the file"))
        simulation.files.write("/root/sub/inner", bytes("inner"))
        simulation.files.write("/outside", bytes("secret"))
        simulation.files.link("/root/inside-link", to: "sub/inner")
        simulation.files.link("/root/outside-link", to: "../outside")
        simulation.files.link("/root/absolute-link", to: "/etc/passwd")
        simulation.files.link("/root/loop", to: "loop")
        simulation.files.link("/root/sub/up", to: "../file")
        directory = simulation.openDirectory("/root")
    }

    func connect(_ address: SocketAddress) -> any Peer {
        let peer = SimulatedPeer(simulation, address, sendBytes)
        simulation.runDue()
        return peer
    }

    func limitSendBuffer(_ fd: Int32) {}
}

final class SimulatedPeer: Peer {
    let simulation: Simulation
    let client: SimulatedClient
    private var taken = 0

    init(_ simulation: Simulation, _ address: SocketAddress, _ sendBytes: Int) {
        self.simulation = simulation
        var options = ClientOptions()
        options.reads = false
        options.closesAtEnd = false
        options.serverSendBytes = sendBytes
        options.serverReceiveBytes = 1 << 20
        client = simulation.connect(to: address, options: options)
    }

    func write(_ bytes: [UInt8]) {
        client.send(bytes)
        simulation.runDue()
    }
    func read(_ count: Int) -> [UInt8] {
        client.startReading()
        simulation.runDue()
        client.stopReading()
        let result = Array(client.received.dropFirst(taken).prefix(count))
        taken += result.count
        return result
    }
    var sawEnd: Bool { client.state == .finished && client.received.count == taken }
    var sawReset: Bool {
        client.startReading()
        simulation.runDue()
        return client.state == .reset
    }
    func finish() {
        client.halfClose()
        simulation.runDue()
    }
    func reset() {
        client.reset()
        simulation.runDue()
    }
    func close() {
        client.close()
        simulation.runDue()
    }
}

// MARK: Linux

final class LinuxWorld: World {
    let kernel: Kernel
    let otherKernel: Kernel
    let directory: Int32
    private let path: String

    enum Backend: String, CaseIterable { case uring, epoll }

    init(_ backend: Backend) throws {
        func make() throws -> Kernel { backend == .uring ? try UringKernel.make() : try EpollKernel.make() }
        (kernel, otherKernel) = (try make(), try make())
        var template = Array("/tmp/uring-conformance-XXXXXX".utf8CString)
        path = unsafe template.withUnsafeMutableBufferPointer { unsafe String(cString: mkdtemp($0.baseAddress!)) }
        let path = path
        func makeFile(_ name: String, _ text: String) {
            let fd = unsafe open(path + name, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
            _ = unsafe Glibc.write(fd, text, text.utf8.count)
            _ = Glibc.close(fd)
        }
        unsafe mkdir(path + "/root", 0o700)
        unsafe mkdir(path + "/root/sub", 0o700)
        makeFile("/root/file", "contents of the file")
        makeFile("/root/sub/inner", "inner")
        makeFile("/outside", "secret")
        unsafe symlink("sub/inner", path + "/root/inside-link")
        unsafe symlink("../outside", path + "/root/outside-link")
        unsafe symlink("/etc/passwd", path + "/root/absolute-link")
        unsafe symlink("loop", path + "/root/loop")
        unsafe symlink("../file", path + "/root/sub/up")
        directory = unsafe open(path + "/root", O_DIRECTORY | O_CLOEXEC)
    }

    deinit {
        for name in ["/root/file", "/root/sub/inner", "/outside", "/root/inside-link", "/root/outside-link", "/root/absolute-link", "/root/loop", "/root/sub/up"] {
            unsafe unlink(path + name)
        }
        unsafe rmdir(path + "/root/sub")
        unsafe rmdir(path + "/root")
        unsafe rmdir(path)
        _ = Glibc.close(directory)
    }

    func connect(_ address: SocketAddress) -> any Peer { LinuxPeer(address) }

    func limitSendBuffer(_ fd: Int32) {
        var size: Int32 = 65536
        unsafe setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, 4)
    }
}

final class LinuxPeer: Peer {
    private var fd: Int32
    private(set) var sawEnd = false
    private(set) var hadReset = false

    init(_ address: SocketAddress) {
        fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        let socket = fd
        var size: Int32 = 65536
        unsafe setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, 4)
        let code = unsafe address.withSockaddr { unsafe Glibc.connect(socket, $0, $1) }
        precondition(code == 0, "BUG: the test cannot connect: \(errno)")
    }

    deinit { close() }

    func write(_ bytes: [UInt8]) {
        let count = unsafe send(fd, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        precondition(count == bytes.count || hadReset, "BUG: the test's peer wrote \(count) of \(bytes.count)")
    }

    func read(_ count: Int) -> [UInt8] {
        var result: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 65536)
        while result.count < count {
            let got = unsafe recv(fd, &part, min(part.count, count - result.count), Int32(MSG_DONTWAIT))
            if got == 0 { sawEnd = true }
            if got < 0 && errno == ECONNRESET { hadReset = true }
            if got <= 0 { break }
            result += part.prefix(got)
        }
        return result
    }

    var sawReset: Bool {
        _ = read(1 << 24)
        return hadReset
    }
    func finish() { _ = shutdown(fd, Int32(SHUT_WR)) }
    func reset() {
        var value = linger(l_onoff: 1, l_linger: 0)
        unsafe setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
        close()
    }
    func close() {
        if fd >= 0 { _ = Glibc.close(fd) }
        fd = -1
    }
}
