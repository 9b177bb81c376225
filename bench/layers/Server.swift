// The whole server: in memory on the simulated kernel, whose own time and whose client's is taken out, and on loopback with a kernel.

import CUring
import CUringBase
import Glibc
import UringHTTP
import UringRing
import UringServer
import UringSimulation

func serverBenchmarks() -> [Benchmark] { [inMemory(pipelined: 1), inMemory(pipelined: 16)] + onLoopback() }

private func application() -> Application {
    var router = Router()
    router.get("/v1/orders/{id}") { request, response in
        response.headers["content-type"] = "application/json"
        response.json { json in
            json["status"] = "ok"
            json["id"] = request.parameter("id")
        }
    }
    guard let application = try? Application(router: router) else { fatalError("BUG: a good router") }
    return application
}

private let request = Array("GET /v1/orders/42 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\r\n".utf8)

// MARK: in memory

/// The simulated kernel, with the server's time standing still during its calls.
private final class OutsideTime: KernelCalls {
    private let kernel: Kernel
    init(_ kernel: Kernel) { self.kernel = kernel }

    @inline(__always) private func outside<T>(_ call: () -> T) -> T {
        own.end()
        defer { own.begin() }
        return call()
    }
    func enter(waitFor minimum: UInt32, timeoutNs: Int64) -> Int32 { outside { kernel.enter(waitFor: minimum, timeoutNs: timeoutNs) } }
    func now() -> UInt64 { kernel.now() }
    func unixTime() -> Int64 { kernel.unixTime() }
    func ticks() -> UInt64 { kernel.ticks() }
    var ticksPerSecond: UInt64 { kernel.ticksPerSecond }
    func listen(_ address: SocketAddress, backlog: Int32, deferAcceptSeconds: Int32) -> Result<Int32, SystemError> {
        kernel.listen(address, backlog: backlog, deferAcceptSeconds: deferAcceptSeconds)
    }
    func socket(_ family: SocketAddress.Family) -> Int32 { kernel.socket(family) }
    func localAddress(_ fd: Int32) -> SocketAddress? { kernel.localAddress(fd) }
    func peerAddress(_ fd: Int32) -> SocketAddress? { kernel.peerAddress(fd) }
    func acceptWaiting(_ fd: Int32) -> Int32 { kernel.acceptWaiting(fd) }
    func send(_ fd: Int32, _ bytes: UnsafeRawPointer, _ count: Int, more: Bool) -> Int { outside { kernel.send(fd, bytes, count, more: more) } }
    func sendFile(_ fd: Int32, file: Int32, offset: UInt64, count: Int) -> Int { outside { kernel.sendFile(fd, file: file, offset: offset, count: count) } }
    func unacknowledgedBytes(_ fd: Int32) -> Int { kernel.unacknowledgedBytes(fd) }
    func shutdownWrite(_ fd: Int32) { kernel.shutdownWrite(fd) }
    func resetOnClose(_ fd: Int32) { kernel.resetOnClose(fd) }
    func close(_ fd: Int32) { kernel.close(fd) }
    func openFile(directory: Int32, path: UnsafePointer<CChar>, cachedOnly: Bool, resolve: UInt64) -> Int32 {
        kernel.openFile(directory: directory, path: path, cachedOnly: cachedOnly, resolve: resolve)
    }
    func fileStatus(_ fd: Int32) -> Result<FileStatus, SystemError> { kernel.fileStatus(fd) }
    func readCached(_ fd: Int32, into: UnsafeMutableRawPointer, count: Int, offset: UInt64) -> Int { kernel.readCached(fd, into: into, count: count, offset: offset) }
    func registerBufferRing(_ memory: UnsafeMutablePointer<ur_buf_ring>, entries: UInt32, group: Int32) -> Int32 {
        kernel.registerBufferRing(memory, entries: entries, group: group)
    }
    var messageTarget: Int32 { kernel.messageTarget }
    func destroy() {}
}

/// Accept has been long ago; a request is received, parsed, routed, answered in JSON and its answer handed to the kernel.
private func inMemory(pipelined: Int) -> Benchmark {
    let simulation = Simulation(seed: 6)
    simulation.enterCostNs = 0
    let simulated = simulation.makeKernel().makeKernel()
    let kernel = ForwardingKernel(ring: simulated.ring, features: simulated.features, calls: OutsideTime(simulated))
    guard case .success(let address) = SocketAddress.parse("127.0.0.1:80"), case .success(let listener) = kernel.listen(address, backlog: 16, deferAcceptSeconds: 0),
        let loop = try? LoneLoop.make(kernel: kernel, listener: listener, address: address, options: ServerOptions(), application: application())
    else { fatalError("BUG: a simulated kernel has room for a listener") }
    var options = ClientOptions()
    options.keepsReceived = false
    let client = simulation.connect(to: address, options: options)
    let batch = Array((0..<pipelined).map { _ in request }.joined())
    var answerCount = 0
    /// One batch; until all of it is answered.
    func exchange() {
        let before = client.receivedCount
        client.send(batch)
        while client.receivedCount == before || (answerCount > 0 && client.receivedCount < before + answerCount) {
            own.begin()
            loop.runOnce()
            own.end()
        }
    }
    exchange()
    for _ in 0..<3 {
        own.begin()
        loop.runOnce()
        own.end()
    }
    answerCount = client.receivedCount
    return Benchmark(name: "server.memory-\(pipelined)", size: request.count + answerCount / pipelined, multiple: pipelined, countsOwn: true, checks: 64) { count in
        let before = client.receivedCount
        for _ in 0..<count / pipelined { exchange() }
        precondition(client.receivedCount - before == answerCount * count / pipelined, "BUG: answers are missing")
        return UInt64(client.receivedCount - before)
    }
}

// MARK: on loopback

/// CPU time of the loop's thread, kernel included; 64 connections that are served in one batch. The client is this thread.
private func onLoopback() -> [Benchmark] {
    nonisolated(unsafe) let loopClock = place(clockid_t(-1))
    var served = application()
    let inner = served.handler
    served.handler = { request, response in
        if loopClock.pointee == -1 {
            var id: clockid_t = 0
            pthread_getcpuclockid(pthread_self(), &id)
            loopClock.pointee = id
        }
        try inner(request, &response)
    }
    var options = ServerOptions()
    options.loops = .count(1)
    options.timeouts.idle = .seconds(600)
    guard let running = try? Server(listen: ["127.0.0.1:0"], options: options, application: served).start(), case .success(let address) = SocketAddress.parse(running.addresses[0])
    else { fatalError("no server on loopback") }
    let connections = (0..<64).map { _ in
        let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        precondition(fd >= 0 && connect(fd, port: address.port), "cannot connect")
        return fd
    }
    let buffer = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 16)
    func exchange() -> UInt64 {
        var sum: UInt64 = 0
        for fd in connections { precondition(write(fd, request, request.count) == request.count, "cannot write") }
        for fd in connections {
            let count = read(fd, buffer, 4096)
            precondition(count > 0, "the server closed a connection")
            sum &+= UInt64(count)
        }
        return sum
    }
    _ = exchange()
    return [
        Benchmark(name: "server.loopback-64", multiple: 64, countsOwn: true, isAlone: false, checks: 64) { count in
            var sum: UInt64 = 0
            let before = clock(loopClock.pointee)
            if own.counting { own.begin() }
            for _ in 0..<count / 64 { sum &+= exchange() }
            if own.counting { own.end() }
            own.took(ns: clock(loopClock.pointee) - before)
            return sum
        }
    ]
}

private func connect(_ fd: Int32, port: UInt16) -> Bool {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0 }
    }
}
