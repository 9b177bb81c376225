// What the TCP tracer counts, by itself and in the kernel with real connections where this process may.

import Glibc
import TestSupport
import Testing
import UringBase
import UringServer

@testable import UringTCPTrace

@Suite struct TCPTraceTests {
    private func key(_ side: UInt32, _ port: UInt32, _ slot: UInt32) -> UInt32 { side << 31 | port << 9 | slot }

    @Test func countsGoToTheirPortAndSlot() throws {
        var trace = TCPTrace()
        for (slot, count) in [(256, 1), (257, 2), (258, 3), (259, 4), (260, 5), (0, 6), (255, 7), (300, 99)] as [(UInt32, UInt64)] { trace.add(key: key(1, 65_535, slot), count) }
        trace.add(key: key(0, 8080, 17), 5)
        trace.add(key: key(0, 80, 257), 1)
        trace.sort()
        #expect(trace.ports.map(\.number) == [80, 8080, 65_535] && trace.ports.map(\.side) == [.server, .server, .client])
        let client = try #require(trace[.client, 65_535])
        #expect((client.begun, client.established, client.closed, client.retransmits, client.failed) == (1, 2, 3, 4, 5))
        #expect(client.roundTrips[0] == 6 && client.roundTrips[255] == 7 && client.samples == 13)
        #expect(trace[.server, 65_535] == nil)
    }

    @Test func sharesOfRoundTrips() {
        var port = TCPTrace.Port(.server, 80)
        #expect(port.roundTrip(permille: 500) == nil)
        port.roundTrips[0] = 50
        port.roundTrips[100] = 49
        port.roundTrips[255] = 1
        #expect(port.roundTrip(permille: 500) == RoundTripScale.lowerBound(0) && port.roundTrip(permille: 501) == RoundTripScale.lowerBound(100))
        #expect(port.roundTrip(permille: 990) == RoundTripScale.lowerBound(100) && port.roundTrip(permille: 1000) == RoundTripScale.lowerBound(255))
        #expect(port.roundTrip(permille: 0) == RoundTripScale.lowerBound(0))
    }

    @Test func differences() {
        var (before, now) = (TCPTrace.Port(.server, 80), TCPTrace.Port(.server, 80))
        (before.begun, now.begun) = (3, 10)
        (before.roundTrips[7], now.roundTrips[7]) = (5, 4)
        (before.roundTrips[8], now.roundTrips[8]) = (5, 9)
        let change = now.since(before)
        #expect(change.begun == 7 && change.roundTrips[8] == 4)
        // Read one after the other, a count may seem to fall: never below nothing.
        #expect(change.roundTrips[7] == 0 && now.since(nil) == now)
    }

    @Test func portsBeyondTheBusiestAreOne() {
        var trace = TCPTrace()
        for port: UInt32 in 1...50 { trace.add(key: key(port % 2, port, 256), UInt64(port)) }
        trace.sort()
        let few = trace.busiest(10)
        #expect(few.prefix(10).map(\.number) == [42, 44, 46, 48, 50, 41, 43, 45, 47, 49] && few.count == 12)
        #expect(few.suffix(2).map(\.number) == [0, 0] && few.suffix(2).map(\.side) == [.server, .client])
        #expect(few.reduce(0) { $0 + $1.begun } == (1...50).reduce(0, +))
        #expect(trace.busiest(50).count == 50)
        // Even ports are listened on here, and 3 is a client's.
        #expect(trace.busiest(10, own: [2, 3]).prefix(10).map(\.number) == [2, 42, 44, 46, 48, 50, 43, 45, 47, 49])
    }

    @Test func linesAndJSON() {
        var port = TCPTrace.Port(.server, 8080)
        (port.begun, port.roundTrips[0], port.roundTrips[255]) = (3, 1, 9)
        let strip = TCPTraceText.strip(port.roundTrips)
        #expect(strip.count == 64 && strip.first == "." && strip.last == "@" && strip.dropFirst().dropLast().allSatisfy { $0 == " " })
        let lines = TCPTraceText.lines([port, TCPTrace.Port(.client, 0)])
        #expect(lines.contains("server port 8080: begun 3  established 0") && lines.contains("round trips 10, half within 1000.00 ms") && lines.contains("client port other"))
        #expect(TCPTraceText.duration(123_456) == "0.12 ms" && TCPTraceText.duration(5_004_999) == "5.00 ms" && TCPTraceText.duration(nil) == "–")
        #expect(
            TCPTraceText.json([port], lost: 2, unixMs: 5, source: "ebpf")
                == "{\"time\":5,\"source\":\"ebpf\",\"lost\":2,\"ports\":[{\"side\":\"server\",\"port\":8080,\"begun\":3,\"established\":0,\"closed\":0,\"failed\":0,\"retransmits\":0,\"round_trips\":[[0,1],[255,9]]}]}\n")
    }

    @Test func reasonsNameTheRemedy() {
        #expect(TCPTracer.sentence("loading", EPERM).contains("CAP_BPF and CAP_NET_ADMIN"))
        #expect(TCPTracer.sentence("loading", ENOSYS).contains("CONFIG_CGROUP_BPF") && TCPTracer.sentence("attaching", EINVAL).contains("version 2"))
        #expect(TCPTracer.sentence("x", 99) == "x: errno 99")
    }

    @Test func whatIsNoCgroupIsRefused() {
        for path in ["/nowhere/at/all", "/tmp"] {
            #expect(throws: TCPTracerFailure.self) { try TCPTracer(cgroup: path) }
        }
    }

    // MARK: in the kernel

    /// Where this process's sockets are counted, and a tracer of it; nil where it may not.
    private static func live() -> TCPTracer? {
        var groups = ControlGroups(files: .live)
        return groups.unified(process: "self").flatMap { try? TCPTracer(cgroup: $0) }
    }

    static var isPermitted: Bool { live() != nil }

    @Test(.enabled(if: TCPTraceTests.isPermitted, "no CAP_BPF and CAP_NET_ADMIN, or no cgroup2"))
    func connectionsOfThisProcessAreCounted() throws {
        let tracer = try #require(Self.live())
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        func withAddress<R>(_ body: (UnsafeMutablePointer<sockaddr>) -> R) -> R {
            unsafe withUnsafeMutablePointer(to: &address) { unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0) } }
        }
        try #require(unsafe withAddress { unsafe bind(listener, $0, length) } == 0 && listen(listener, 8) == 0)
        try #require(unsafe withAddress { unsafe getsockname(listener, $0, &length) } == 0)
        let port = UInt16(bigEndian: address.sin_port)
        for _ in 0..<5 {
            let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            try #require(unsafe withAddress { unsafe connect(client, $0, length) } == 0)
            let server = accept(listener, nil, nil)
            // Back and forth: the second byte acknowledges the first.
            var byte: UInt8 = 1
            for (from, to) in [(client, server), (server, client), (client, server)] {
                #expect(unsafe write(from, &byte, 1) == 1)
                #expect(unsafe read(to, &byte, 1) == 1)
            }
            close(client)
            #expect(unsafe read(server, &byte, 1) == 0)
            close(server)
        }
        let trace = tracer.read()
        for side in [TCPTrace.Side.server, .client] {
            let counted = try #require(trace[side, port], "\(side)")
            #expect(counted.begun == 5 && counted.established == 5 && counted.failed == 0)
            #expect(counted.samples >= 5)
        }
        // Whoever closes last ends its connection at once; the other end waits for stray segments, and is counted where it began to.
        #expect(trace.ports.filter { $0.number == port }.reduce(0) { $0 + $1.closed } >= 5)
        #expect(trace.lost == 0)
        // Nobody listens any more.
        close(listener)
        let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        #expect(unsafe withAddress { unsafe connect(client, $0, length) } == -1)
        close(client)
        #expect(tracer.read()[.client, port]?.failed == 1)
    }
}
