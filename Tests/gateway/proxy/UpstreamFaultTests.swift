// What a client sees when an upstream is at fault, and what the operator is told: the status, the metric, the line of the log that names upstream and server.

import Glibc
import TestSupport
import Testing
import UringPolicy
import UringServer

@testable import UringGateway

@Suite struct UpstreamFaultTests {
    struct Fault: Sendable, CustomTestStringConvertible {
        let name: String
        let acts: [ServerAct]
        let failure: ProxyFailure
        /// 0: the response had begun, and is cut off.
        let status: Int
        var testDescription: String { name }
    }

    static let faults: [Fault] = [
        Fault(name: "closes without an answer", acts: [.close], failure: .reset, status: 502),
        Fault(name: "resets without an answer", acts: [.reset], failure: .reset, status: 502),
        Fault(name: "hangs", acts: [.hang], failure: .timeout, status: 504),
        Fault(name: "is too slow", acts: [.send("HTTP/1.1 200 OK\r\nContent-"), .hang], failure: .timeout, status: 504),
        Fault(name: "speaks another protocol", acts: [.send("220 mail.example.com ESMTP\r\n\r\n")], failure: .malformed, status: 502),
        Fault(name: "ends within its head", acts: [.send("HTTP/1.1 200 OK\r\nContent-"), .close], failure: .reset, status: 502),
        Fault(name: "has two lengths", acts: [.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx")], failure: .malformed, status: 502),
        Fault(
            name: "has a length and is chunked", acts: [.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")],
            failure: .malformed, status: 502),
        Fault(name: "ends a line with LF alone", acts: [.send("HTTP/1.1 200 OK\nContent-Length: 0\n\n"), .hang], failure: .malformed, status: 502),
        Fault(name: "resets within the body", acts: [.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nxxxxx"), .pause(milliseconds: 20), .reset], failure: .truncated, status: 0),
        Fault(name: "ends within the body", acts: [.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nxxxxx"), .close], failure: .truncated, status: 0),
        Fault(name: "ends within a chunk", acts: [.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nxxxxx"), .close], failure: .truncated, status: 0),
        Fault(
            name: "has a chunk that is none", acts: [.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxxxxx\r\nzz\r\n"), .hang], failure: .truncated,
            status: 0),
    ]

    @Test(arguments: faults) func whatIsToldOfAFault(_ fault: Fault) throws {
        let server = try RecordingServer { _, _ in fault.acts }
        var upstream = UpstreamConfiguration(ports: [server.port])
        if fault.failure == .timeout { upstream.timeouts.responseNs = 50_000_000 }
        let gateway = try TestGateway(upstream)
        for _ in 0..<2 {
            let client = try RawClient(gateway.endpoint)
            try client.send("GET /asked HTTP/1.1\r\nHost: example.com\r\n\r\n")
            if fault.status > 0 {
                let response = try client.readFinalResponse()
                #expect(response.status == fault.status)
            } else {
                // The head was there before anybody knew: the connection ends in the middle, and no client takes that for the whole.
                #expect(throws: (any Error).self) { try client.readFinalResponse() }
            }
        }
        // Nothing was sent twice: the server had the request.
        #expect(server.requests.count == 2)
        try isTold(fault.failure, of: "127.0.0.1:\(server.port)", 2, gateway)
    }

    @Test func whoIsNotThere() throws {
        let server = try RecordingServer { _, _ in [.answer(), .close] }
        let port = server.port
        let gateway = try TestGateway(UpstreamConfiguration(ports: [port]))
        #expect(try gateway.get().status == 200)
        // Killed: nobody listens.
        server.stop()
        #expect(gateway.eventually { (try? $0.get().status) == 502 })
        let failed = gateway.snapshot.servers[0].failures(.connect)
        #expect(failed >= 1)
        try isTold(.connect, of: "127.0.0.1:\(port)", failed, gateway)
    }

    /// A kept connection whose server closes it as the next request comes: a request that may be repeated is, and its client notices nothing.
    @Test func whoClosesWhatWasKept() throws {
        let server = try RecordingServer { request, number in request.line.contains("/last") || number == 0 ? [.answer(200, "kept"), .close] : [.answer(200, "new")] }
        let gateway = try TestGateway(UpstreamConfiguration(ports: [server.port]))
        for _ in 0..<5 { #expect(try gateway.get("/last").status == 200) }
        #expect(server.requests.count == 5)
        #expect(gateway.snapshot.servers[0].responses[1] == 5)
    }

    /// The same where the server has read the request and closes without a word: that says nothing about the server.
    @Test func whoClosesInsteadOfASecondAnswer() throws {
        let server = try RecordingServer { _, number in number % 2 == 0 ? [.answer(200, "here")] : [.close] }
        let gateway = try TestGateway(UpstreamConfiguration(ports: [server.port]))
        for _ in 0..<4 { #expect(try gateway.get().bodyText == "here") }
        #expect(server.requests.count == 7 && server.connections == 4)
        #expect(gateway.snapshot.servers[0].failures.allSatisfy { $0 == 0 })
        #expect(gateway.log.allSatisfy { !$0.contains("failed") }, "\(gateway.log)")
    }

    /// It may have acted on a POST before it closed.
    @Test func whatMayHaveBeenDoneIsNotRepeated() throws {
        let server = try RecordingServer { _, number in number == 0 ? [.answer(200, "here")] : [.close] }
        let gateway = try TestGateway(UpstreamConfiguration(ports: [server.port]))
        #expect(try gateway.get().bodyText == "here")
        let client = try RawClient(gateway.endpoint)
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        #expect(try client.readFinalResponse().status == 502)
        #expect(server.requests.count == 2)
        try isTold(.reset, of: "127.0.0.1:\(server.port)", 1, gateway)
    }

    /// `timeouts.body`, between pieces of a body.
    @Test func whoStopsWithinTheBody() throws {
        let server = try RecordingServer { _, _ in [.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nxxxxx"), .hang] }
        var upstream = UpstreamConfiguration(ports: [server.port])
        upstream.timeouts.bodyNs = 50_000_000
        let gateway = try TestGateway(upstream)
        #expect(throws: (any Error).self) { try gateway.get() }
        try isTold(.truncated, of: "127.0.0.1:\(server.port)", 1, gateway)
    }

    /// `timeouts.write`: a server that takes connections and reads nothing. What holds for clients does not hold for servers.
    @Test(arguments: [30_000_000_000, 20_000_000] as [UInt64]) func whoReadsNothing(clientsNs: UInt64) throws {
        let deaf = try DeafServer()
        var upstream = UpstreamConfiguration(ports: [deaf.port])
        upstream.timeouts.writeNs = 100_000_000
        upstream.timeouts.responseNs = 0
        let gateway = try TestGateway(upstream, configure: { $0.timeouts.writeNs = clientsNs })
        let client = try RawClient(gateway.endpoint)
        // More than the sockets between take up.
        let length = 9 << 20
        try client.send("POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: \(length)\r\n\r\n")
        _ = try? client.sendUntilHeldBack([UInt8](repeating: 120, count: length), patienceMs: 500)
        #expect(try client.readFinalResponse().status == 504)
        try isTold(.timeout, of: "127.0.0.1:\(deaf.port)", 1, gateway)
    }

    private func isTold(_ failure: ProxyFailure, of server: String, _ count: UInt64, _ gateway: TestGateway) throws {
        #expect(gateway.eventually { $0.snapshot.servers[0].failures(failure) == count }, "\(gateway.snapshot)")
        let page = String(decoding: MetricsPage.make(gateway.gateway.figures(), .text).bytes, as: UTF8.self)
        let sample = "uringd_upstream_failures_total{upstream=\"orders\",server=\"\(server)\",reason=\"\(failure.word)\"} \(count)\n"
        #expect(page.contains(sample), "\(page.split(separator: "\n").filter { $0.hasPrefix("uringd_upstream_failures_total") })")
        // One line, however many there are in a second.
        let lines = gateway.log.filter { $0.contains("upstream orders (\(server))") && $0.contains("(\(failure.word))") }
        #expect(lines.count >= 1 && lines.count <= 2, "\(gateway.log)")
    }
}

/// Listens, and never accepts: the kernel does, and buffers what comes.
private final class DeafServer {
    let port: UInt16
    private let socket: Int32

    init() throws {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = socket
        // The address is the calls' own.
        let listens = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(listener, $0, length) == 0 && listen(listener, 16) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        port = UInt16(bigEndian: address.sin_port)
        guard listens else { throw RawClientError.system(call: "bind", errno: errno) }
    }

    deinit { close(socket) }
}
