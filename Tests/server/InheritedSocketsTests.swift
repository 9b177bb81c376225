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
        #expect(InheritedSockets.take("127.0.0.1:1").isEmpty && InheritedSockets.take("127.0.0.1:2").isEmpty)
        #expect(fcntl(listening, F_GETFD) & FD_CLOEXEC != 0)
        // Nobody wants it: it is closed, so that nobody waits in it.
        InheritedSockets.closeRest()
        #expect(fcntl(listening, F_GETFD) == -1)
        #expect(InheritedSockets.take("127.0.0.1:\(port)").isEmpty)
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
