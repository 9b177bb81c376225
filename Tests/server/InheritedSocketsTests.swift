// Listening sockets of another process: taken over with whoever waits in them, and nothing else is.

import Glibc
import TestSupport
import Testing
import UringBase
@testable import UringServer

@Suite(.serialized) struct InheritedSocketsTests {
    /// A listening socket of the loopback, and its address.
    private func socket() throws -> (descriptor: Int32, port: UInt16) {
        let descriptor = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        // The address is the calls' own.
        let listens = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(descriptor, $0, length) == 0 && listen(descriptor, 16) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        try #require(listens)
        return (descriptor, UInt16(bigEndian: address.sin_port))
    }

    @Test(arguments: [1, 2, 3]) func whoWaitsIsServed(loops: Int) throws {
        let (one, port) = try socket()
        // A second descriptor of the same socket, as a predecessor with two loops would have for a unix socket.
        let two = dup(one)
        // Connected before there is a server.
        let early = try RawClient(try #require(Endpoint(line: "listening on http://127.0.0.1:\(port)")))
        try early.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(InheritedSockets.adopt("127.0.0.1:\(port)=\(one),\(two)") == [])
        var options = ServerOptions()
        options.loops = .count(loops)
        options.timeouts.linger = .milliseconds(100)
        let server = try Server(listen: ["127.0.0.1:\(port)"], options: options) { _, response in response.write("served") }.start()
        defer { server.stop(within: .seconds(5)) }
        #expect(try early.readFinalResponse().bodyText == "served")
        #expect(server.addresses == ["127.0.0.1:\(port)"])
        #expect(server.sockets.count == 1 && server.sockets[0].address == "127.0.0.1:\(port)" && server.sockets[0].descriptors.count == max(2, loops))
        for _ in 0..<8 {
            let client = try RawClient(try #require(Endpoint(line: "listening on http://127.0.0.1:\(port)")))
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readFinalResponse().bodyText == "served")
        }
    }

    @Test func onlyListeningSocketsAreTaken() throws {
        let (listening, port) = try socket()
        let plain = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(plain) }
        let problems = InheritedSockets.adopt("127.0.0.1:1=\(plain)\nnonsense\n=4\nunix:/a=b=1\n127.0.0.1:2=x,-1,99999\n127.0.0.1:\(port)=\(listening)")
        #expect(problems.count == 7, "\(problems)")
        #expect(InheritedSockets.take("127.0.0.1:1").descriptors.isEmpty && InheritedSockets.take("127.0.0.1:2").descriptors.isEmpty)
        #expect(fcntl(listening, F_GETFD) & FD_CLOEXEC != 0)
        // Nobody wants it: it is closed, so that nobody waits in it.
        InheritedSockets.closeRest()
        #expect(fcntl(listening, F_GETFD) == -1)
        #expect(InheritedSockets.take("127.0.0.1:\(port)").descriptors.isEmpty)
        // What this process did not adopt stays open.
        #expect(fcntl(plain, F_GETFD) >= 0)
    }

    /// Whoever cannot start leaves the file of a unix socket to whom it is: the process that goes on.
    @Test func aFailedStartLeavesTheFile() throws {
        let (path, taken) = (TestServer.temporaryPath(), try TestServer { _, response in response.write("x") })
        let first = try Server(listen: ["unix:\(path)"]) { _, response in response.write("first") }.start()
        defer { first.stop(within: .seconds(5)) }
        #expect(InheritedSockets.adopt("unix:\(path)=\(first.sockets[0].descriptors.map { dup($0) }[0])") == [])
        #expect(throws: ServerError.self) { try Server(listen: ["unix:\(path)", taken.running.addresses[0]]) { _, _ in }.start() }
        let client = try RawClient(try #require(Endpoint(line: "listening on unix:\(path)")))
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readFinalResponse().bodyText == "first")
    }

    @Test func writtenAsItIsRead() {
        #expect(InheritedSockets.text([("127.0.0.1:80", [3, 4]), ("unix:/run/a=b", [5])]) == "127.0.0.1:80=3,4\nunix:/run/a=b=5")
        #expect(InheritedSockets.text([]) == "")
    }

    /// A service manager's sockets are known by their addresses.
    @Test func activatedSocketsAreMatchedByAddress() throws {
        let (tcp, port) = try socket()
        let path = TestServer.temporaryPath()
        let unix = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // The address is the call's own.
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: Array(path.utf8)) }
        let isBound = unsafe withUnsafeBytes(of: &address) {
            unsafe bind(unix, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
        }
        try #require(isBound && listen(unix, 16) == 0)
        let datagrams = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        // In a row, as systemd has them.
        let first: Int32 = 700
        for (index, descriptor) in [tcp, unix, datagrams].enumerated() {
            try #require(dup2(descriptor, first + Int32(index)) >= 0)
            close(descriptor)
        }
        _ = fcntl(first, F_SETFL, O_NONBLOCK)
        let problems = InheritedSockets.adoptActivated(first: first, count: 4, names: ["http", "local", "dns"])
        #expect(problems.count == 2 && problems[0].contains("descriptor 702 (dns)") && problems[1].contains("descriptor 703 (unknown)"), "\(problems)")
        #expect(fcntl(first + 2, F_GETFD) == -1)
        #expect(fcntl(first, F_GETFD) & FD_CLOEXEC != 0 && fcntl(first, F_GETFL) & O_NONBLOCK == 0)
        #expect(InheritedSockets.unclaimed(besides: ["localhost:\(port)", "unix:\(path)"]) == [])
        let unclaimed = InheritedSockets.unclaimed(besides: ["127.0.0.2:\(port)", "unix:\(path)x", "nonsense"])
        #expect(unclaimed.count == 2 && unclaimed[0].contains("127.0.0.1:\(port) (http)") && unclaimed[1].contains("unix:\(path) (local)"), "\(unclaimed)")
        var options = ServerOptions()
        options.loops = .count(2)
        let server = try Server(listen: ["127.0.0.1:\(port)", "unix:\(path)"], options: options) { _, response in response.write("served") }.start()
        for endpoint in ["http://127.0.0.1:\(port)", "unix:\(path)"] {
            let client = try RawClient(try #require(Endpoint(line: "listening on \(endpoint)")))
            try client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(try client.readFinalResponse().bodyText == "served")
        }
        // A successor leaves the file alone too.
        let text = InheritedSockets.text(server.sockets)
        #expect(text.hasSuffix(",keep") && text.split(separator: "\n").count == 2, "\(text)")
        server.stop(within: .seconds(5))
        #expect(unsafe access(path, F_OK) == 0)
        unsafe unlink(path)
    }

    @Test func aServiceManagersFileIsKeptOverGenerations() throws {
        let path = TestServer.temporaryPath()
        let first = try Server(listen: ["unix:\(path)"]) { _, response in response.write("first") }.start()
        #expect(InheritedSockets.adopt("unix:\(path)=\(dup(first.sockets[0].descriptors[0])),keep") == [])
        let second = try Server(listen: ["unix:\(path)"]) { _, response in response.write("second") }.start()
        first.handOver()
        first.stop(within: .seconds(5))
        second.stop(within: .seconds(5))
        #expect(unsafe access(path, F_OK) == 0)
        unsafe unlink(path)
    }

    /// Idle clients may send one more request to a server whose sockets another has.
    @Test func idleClientsAreSpared() throws {
        let server = try TestServer { _, response in response.write("ok") }
        let (asks, silent) = (try server.client(), try server.client())
        for client in [asks, silent] {
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readFinalResponse().value("connection") == nil)
        }
        server.running.handOver()
        let ended = Locked(false)
        Detached.start {
            server.running.stop(limit: .seconds(20), patience: .milliseconds(600))
            ended.withLock { $0 = true }
        }
        // Until it drains: nobody is let in any more.
        while (try? server.client()) != nil { sched_yield() }
        try asks.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        let last = try asks.readFinalResponse()
        #expect(last.status == 200 && last.value("connection") == "close")
        #expect(try asks.readToEnd().isEmpty)
        // Whoever stays silent is let go when patience ends, in order.
        #expect(try silent.readToEnd().isEmpty)
        for _ in 0..<5000 where !ended.withLock({ $0 }) { usleep(1000) }
        #expect(ended.withLock { $0 })
    }
}
