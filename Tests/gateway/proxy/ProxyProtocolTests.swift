// Listeners with `proxy-protocol`: whom the gateway takes a client for, who may say so, and what becomes of those who say it wrong. HAProxy and curl are the senders where they are
// installed.

import Glibc
import TestSupport
import Testing
import UringBase
import UringServer

@testable import UringGateway

@Suite struct ProxyProtocolTests {
    private static let loopback = [try! AddressPrefix.parse("127.0.0.1").get()]
    private static let line = "PROXY TCP4 192.0.2.7 198.51.100.1 5678 443\r\n"
    private static let signature = "\r\n\r\n\0\r\nQUIT\n"
    /// Version 2, PROXY, TCP over IPv6: 2001:db8::7 to 2001:db8::1.
    private static let binary =
        signature + "\u{21}\u{21}\0\u{24}" + "\u{20}\u{01}\u{0d}\u{b8}" + String(repeating: "\0", count: 11) + "\u{07}" + "\u{20}\u{01}\u{0d}\u{b8}"
        + String(repeating: "\0", count: 11) + "\u{01}" + "\u{16}\u{2e}\u{01}\u{bb}"
    private static let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    /// Serve until the test is over.
    private final class Servers { var all: [RecordingServer] = [] }

    private let servers = Servers()

    /// Answers with whom the gateway names.
    private func upstream() throws -> RecordingServer {
        let server = try RecordingServer { request, _ in [.answer(200, request.values("x-forwarded-for").joined(separator: "|"))] }
        servers.all.append(server)
        return server
    }

    private func gateway(_ server: RecordingServer, trusted: [AddressPrefix] = loopback, _ configure: (inout Configuration) -> Void = { _ in }) throws -> TestGateway {
        try TestGateway(UpstreamConfiguration(ports: [server.port]), configure: { configuration in
            configuration.listeners[0].expectsProxyProtocol = true
            configuration.trustedProxies = trusted
            configure(&configuration)
        })
    }

    private func refusals(_ gateway: TestGateway) -> [UInt64] { ListenerPreamble.Refusal.allCases.map { gateway.gateway.door.count($0) } }

    @Test(arguments: [
        (line, "192.0.2.7"), (binary, "2001:db8::7"), ("PROXY TCP6 ::ffff:192.0.2.9 ::1 1 2\r\n", "192.0.2.9"),
        // Proxies that speak for themselves: the connection's own address.
        ("PROXY UNKNOWN\r\n", "127.0.0.1"), (signature + "\u{20}\0\0\0", "127.0.0.1"),
    ]) func saysWhoTheClientIs(header: String, client: String) throws {
        let server = try upstream()
        let gateway = try gateway(server)
        let connection = try RawClient(gateway.endpoint)
        try connection.send(header + Self.request)
        #expect(try connection.readFinalResponse().bodyText == client)
        // For all of its requests, and only the first begins with it.
        try connection.send(Self.request)
        #expect(try connection.readFinalResponse().bodyText == client)
        #expect(refusals(gateway) == [0, 0, 0])
    }

    /// Whatever the pieces are that it comes in.
    @Test(arguments: [line, binary]) func comesInPieces(header: String) throws {
        let server = try upstream()
        let path = "/tmp/uring-proxy-\(getpid())-\(header.utf8.count).sock"
        let gateway = try gateway(server) { $0.listeners[0].address = .unix(path: path) }
        let bytes = RawClient.bytes(header + Self.request)
        for cut in 1..<bytes.count {
            let connection = try RawClient(gateway.endpoint)
            try connection.send(bytes[..<cut])
            try connection.waitUntilTaken()
            try connection.send(bytes[cut...])
            #expect(try connection.readFinalResponse().bodyText == (header == Self.line ? "192.0.2.7" : "2001:db8::7"), "cut at \(cut)")
        }
        #expect(refusals(gateway) == [0, 0, 0])
    }

    @Test(arguments: [
        request, "PROXY TCP4 192.0.2.7 198.51.100.1 5678\r\n" + request, "PROXY TCP4 192.0.2.700 198.51.100.1 1 2\r\n" + request,
        "PROXY " + String(repeating: "x", count: 200), signature + "\u{31}\u{11}\0\u{0c}" + String(repeating: "\0", count: 12),
        signature + "\u{21}\u{11}\u{ff}\u{ff}",
    ]) func whatIsNoHeaderIsRefused(bytes: String) throws {
        let server = try upstream()
        let gateway = try gateway(server)
        let connection = try RawClient(gateway.endpoint)
        try connection.send(bytes)
        // Nothing is answered: who sends no header is no HTTP client.
        #expect((try? connection.readToEnd()) ?? [] == [])
        #expect(gateway.eventually { refusals($0) == [0, 1, 0] })
        #expect(server.requests.isEmpty)
        #expect(gateway.eventually { $0.log.contains { $0.contains("a connection of 127.0.0.1 to 127.0.0.1:0 was closed: what it began with is no PROXY protocol header") } }, "\(gateway.log)")
    }

    @Test func onlyTrustedProxiesMaySendIt() throws {
        let server = try upstream()
        let gateway = try gateway(server, trusted: [try AddressPrefix.parse("10.0.0.0/8").get()])
        let connection = try RawClient(gateway.endpoint)
        try? connection.send(Self.line + Self.request)
        #expect((try? connection.readToEnd()) ?? [] == [])
        #expect(gateway.eventually { refusals($0) == [1, 0, 0] })
        #expect(server.requests.isEmpty)
        #expect(gateway.eventually { $0.log.contains { $0.contains("it is none of trusted-proxies") } }, "\(gateway.log)")
    }

    @Test func halfAHeaderIsCounted() throws {
        let gateway = try gateway(try upstream()) { $0.timeouts.headerNs = 50_000_000 }
        do {
            let connection = try RawClient(gateway.endpoint)
            try connection.send("PROXY TCP4 ")
            connection.finishSending()
            #expect((try? connection.readToEnd()) ?? [] == [])
        }
        #expect(gateway.eventually { refusals($0) == [0, 0, 1] })
        // And so is one that never goes on: it has the time of a head.
        let connection = try RawClient(gateway.endpoint)
        try connection.send("PROXY TCP4 ")
        #expect((try? connection.readToEnd()) ?? [] == [])
        #expect(gateway.eventually { refusals($0) == [0, 0, 2] })
    }

    /// Limits and bans are for the client, not for the proxy.
    @Test func limitsAreTheClients() throws {
        let gateway = try gateway(try upstream()) { configuration in
            configuration.limits.connectionsPerAddress = 1
            configuration.addresses.deny = [try! AddressPrefix.parse("192.0.2.66").get()]
        }
        func open(_ address: String) throws -> RawClient {
            let connection = try RawClient(gateway.endpoint)
            try connection.send("PROXY TCP4 \(address) 198.51.100.1 5678 443\r\n" + Self.request)
            return connection
        }
        let first = try open("192.0.2.1")
        #expect(try first.readFinalResponse().bodyText == "192.0.2.1")
        let second = try open("192.0.2.2")
        #expect(try second.readFinalResponse().bodyText == "192.0.2.2")
        #expect((try? open("192.0.2.1").readFinalResponse()) == nil)
        #expect((try? open("192.0.2.66").readFinalResponse()) == nil)
        #expect(refusals(gateway) == [0, 0, 0])
        // A place is free again when its connection has ended.
        first.finishSending()
        _ = try? first.readToEnd()
        #expect(gateway.eventually { _ in (try? open("192.0.2.1").readFinalResponse().status) == 200 })
    }

    /// A reload takes the protocol from a listener, or gives it one, for new connections.
    @Test func aReloadChangesIt() throws {
        let server = try upstream()
        let gateway = try gateway(server)
        var changed = gateway.gateway.configuration
        changed.listeners[0].expectsProxyProtocol = false
        #expect(Gateway.remarks(from: gateway.gateway.configuration, to: changed).isEmpty)
        _ = try gateway.gateway.reload(changed)
        #expect(gateway.eventually { (try? $0.get().bodyText) == "127.0.0.1" })
        changed.listeners[0].expectsProxyProtocol = true
        _ = try gateway.gateway.reload(changed)
        #expect(gateway.eventually { gateway in
            guard let connection = try? RawClient(gateway.endpoint), (try? connection.send(Self.line + Self.request)) != nil else { return false }
            return (try? connection.readFinalResponse().bodyText) == "192.0.2.7"
        })
        #expect(gateway.log.contains { $0.contains("begin with a PROXY protocol header from now on") })
    }

    // MARK: others

    private static let areThere = unsafe access("/usr/bin/curl", X_OK) == 0 && access("/usr/sbin/haproxy", X_OK) == 0

    /// The header comes before TLS.
    @Test(.enabled(if: areThere, "curl or HAProxy is missing"), arguments: [false, true]) func curlSendsIt(secure: Bool) throws {
        let gateway = try gateway(try upstream()) { if secure { $0.listeners[0].tls = TLSSettings(.selfSigned) } }
        #expect(try curl(secure, port: try #require(gateway.endpoint.port), "--haproxy-protocol") == "127.0.0.1")
        // Without it there is no answer.
        #expect(try curl(secure, port: try #require(gateway.endpoint.port)) == "")
        #expect(refusals(gateway) == [0, 1, 0])
    }

    @Test(.enabled(if: areThere, "curl or HAProxy is missing"), arguments: ["send-proxy", "send-proxy-v2"], [false, true])
    func haproxySendsIt(option: String, secure: Bool) throws {
        // The proxy connects from an address that is not its client's.
        let gateway = try gateway(try upstream(), trusted: [try AddressPrefix.parse("127.0.0.3").get()]) { if secure { $0.listeners[0].tls = TLSSettings(.selfSigned) } }
        let port = try RecordingServer.freePort()
        let file = "/tmp/uring-haproxy-\(getpid())-\(option)-\(secure).cfg"
        let text = """
            defaults
              mode tcp
              timeout connect 5s
              timeout client 5s
              timeout server 5s
            listen front
              bind 127.0.0.1:\(port)
              server gateway 127.0.0.1:\(try #require(gateway.endpoint.port)) source 127.0.0.3 \(option)

            """
        let descriptor = unsafe creat(file, 0o600)
        #expect(unsafe write(descriptor, text, text.utf8.count) == text.utf8.count)
        close(descriptor)
        defer { unsafe unlink(file) }
        let haproxy = try ServerProcess(["-db", "-f", file], listeners: 0, binary: "/usr/sbin/haproxy")
        let isUp = gateway.eventually { _ in (try? RawClient(.ipv4(host: "127.0.0.1", port: port))) != nil }
        #expect(isUp, "\(haproxy.output)")
        #expect(try curl(secure, port: port) == "127.0.0.1")
        #expect(gateway.gateway.door.count(.malformed) == 0 && gateway.gateway.door.count(.untrusted) == 0)
    }

    /// What it prints.
    private func curl(_ secure: Bool, port: UInt16, _ options: String...) throws -> String {
        let curl = try ServerProcess(["-sk", "-m", "10"] + options + ["\(secure ? "https" : "http")://127.0.0.1:\(port)/"], listeners: 0, binary: "/usr/bin/curl")
        try curl.waitForExit()
        return curl.output
    }
}
