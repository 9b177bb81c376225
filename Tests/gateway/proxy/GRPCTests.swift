// gRPC through the gateway: what its clients are told when no gRPC server answers, and how long their calls may take. Real clients and servers are in Tests/GRPC/run.

import Glibc
import Synchronization
import TestSupport
import Testing
import UringHTTP
import UringServer

@testable import UringGateway

@Suite struct GRPCTests {
    private let fields = [("te", "trailers"), ("content-type", "application/grpc+proto")]

    /// A port that nobody listens on any more.
    private func closedPort() throws -> UInt16 { try RecordingServer { _, _ in [] }.port }

    @Test func aServerThatIsDownIsUnavailable() throws {
        let gateway = try TestGateway(UpstreamConfiguration(ports: [try closedPort()]))
        let client = try FrameClient(gateway.endpoint)
        let answer = try client.ask(1, "POST", "/a.Service/Call", fields)
        #expect(answer.status == 200)
        #expect(answer.has("grpc-status", "14"))
        #expect(answer.has("grpc-message", "connect-failure"))
        #expect(answer.body.isEmpty && answer.hasEnded && !answer.hasTrailers)
        // Others are told by the status; gRPC-Web is another protocol.
        for type in ["application/json", "application/grpc-web", "application/grpcx"] {
            let other = try FrameClient(gateway.endpoint).ask(1, "POST", "/a.Service/Call", [("content-type", type)])
            #expect(other.status == 502, "\(type)")
            #expect(!other.has("grpc-status", "14"))
        }
        // Each was tried once more: nothing had been sent.
        #expect(gateway.snapshot.servers[0].requests == 8)
    }

    @Test func noRouteIsUnimplemented() throws {
        var configuration = TestGateway.configuration([UpstreamConfiguration(ports: [try closedPort()])])
        configuration.routes[0].match = RouteMatchRule(paths: [try PathPattern.parse("/a.Service/*").get()])
        let gateway = try Gateway(configuration, log: OperationalLog(level: .info) { _ in })
        defer { gateway.stop() }
        let endpoint = try #require(gateway.listening.lazy.compactMap { Endpoint(line: $0) }.first)
        let answer = try FrameClient(endpoint).ask(1, "POST", "/b.Service/Call", fields)
        #expect(answer.status == 200)
        #expect(answer.has("grpc-status", "12"))
        #expect(answer.hasEnded)
        #expect(try FrameClient(endpoint).ask(1, "POST", "/b.Service/Call").status == 404)
    }

    @Test func statusesMeanWhatTheMappingSays() {
        let wanted: [(HTTPStatus, GRPC.Code)] = [
            (.badRequest, .internal), (.unauthorized, .unauthenticated), (.forbidden, .permissionDenied), (.notFound, .unimplemented), (.tooManyRequests, .unavailable),
            (.badGateway, .unavailable), (.serviceUnavailable, .unavailable), (.gatewayTimeout, .unavailable), (.internalServerError, .unknown), (.methodNotAllowed, .unknown),
        ]
        for (status, code) in wanted { #expect(GRPC.code(for: status) == code, "\(status)") }
    }

    /// The call's own time ends before the route's, which is half a minute.
    @Test func aCallHasItsOwnTime() throws {
        let server = try RecordingServer { _, _ in [.hang] }
        let gateway = try TestGateway(UpstreamConfiguration(ports: [server.port]))
        let answer = try FrameClient(gateway.endpoint).ask(1, "POST", "/a.Service/Call", fields + [("grpc-timeout", "50m")])
        #expect(answer.status == 200)
        #expect(answer.has("grpc-status", "4"))
        // What is left of it.
        let sent = try #require(server.requests[0].values("grpc-timeout").first)
        #expect(sent.hasSuffix("n") && UInt64(sent.dropLast()).map { $0 > 0 && $0 <= 50_000_000 } == true, "\(sent)")
        #expect(server.requests[0].values("grpc-timeout").count == 1)
        #expect(gateway.eventually { $0.snapshot.servers[0].active == 0 })
    }

    /// By route and `grpc-status`, whoever says it: trailers, a head that is all, the gateway.
    @Test func callsAreCountedByTheirStatus() throws {
        let server = try RecordingServer { request, _ in
            switch request.line.split(separator: " ")[1] {
            case "/a.S/Trailers":
                [.send("HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status\r\n\r\n3\r\nabc\r\n0\r\ngrpc-status: 5\r\n\r\n")]
            case "/a.S/Head": [.answer(200, "", "Content-Type: application/grpc", "grpc-status: 8")]
            case "/a.S/Odd": [.answer(200, "", "Content-Type: application/grpc", "grpc-status: 99")]
            case "/a.S/None": [.answer(200, "x", "Content-Type: application/grpc")]
            default: [.close]
            }
        }
        let served = try AdminGateway(
            """
            upstreams: { app: { servers: [{ address: "127.0.0.1:\(server.port)" }] } }
            routes: [{ name: calls, match: { path: "/a.S/*" }, proxy: { upstream: app } }]
            """)
        for path in ["/a.S/Trailers", "/a.S/Trailers", "/a.S/Head", "/a.S/Odd", "/a.S/None", "/a.S/Down", "/b.S/Call"] { _ = try FrameClient(served.main).ask(1, "POST", path, fields) }
        _ = try served.get("/a.S/Head")
        let page = try served.ask("/metrics").bodyText
        for (route, code, count) in [("calls", "NOT_FOUND", 2), ("calls", "RESOURCE_EXHAUSTED", 1), ("calls", "other", 1), ("calls", "missing", 1), ("calls", "UNAVAILABLE", 1), ("none", "UNIMPLEMENTED", 1)] {
            #expect(served.sample("uringd_grpc_responses_total{route=\"\(route)\",code=\"\(code)\"}", in: page) == Double(count), "\(route) \(code)")
        }
        #expect(page.split(separator: "\n").count { $0.hasPrefix("uringd_grpc_responses_total{") } == 6)
    }

    @Test func statusesAreRead() {
        for (text, number) in [("0", 0), ("16", 16), ("07", 7), ("17", 17), ("", 17), ("-1", 17), ("1x", 17), ("100", 17), ("255", 17)] as [(String, UInt8)] {
            let bytes = Array(text.utf8)
            #expect(GRPC.status(bytes.span) == number, "\(text)")
        }
        #expect(GRPC.statusNames.count == Int(GRPC.statusMissing) + 1 && "\(GRPC.statusNames[Int(GRPC.Code.unauthenticated.rawValue)])" == "UNAUTHENTICATED")
    }

    /// What cannot be read is no limit, and goes on to whoever can say so.
    @Test(arguments: ["", "m", "50", "50x", "123456789m", "-1m"])
    func aTimeThatIsNoneIsNotKept(text: String) throws {
        let server = try RecordingServer { _, _ in [.answer(200, "x")] }
        let gateway = try TestGateway(UpstreamConfiguration(ports: [server.port]))
        let answer = try FrameClient(gateway.endpoint).ask(1, "POST", "/a.Service/Call", fields + [("grpc-timeout", text)])
        #expect(answer.status == 200)
        #expect(answer.bodyText == "x")
        #expect(server.requests[0].values("grpc-timeout") == [text])
    }

    /// Over before it is sent: nobody is asked, and no server is to blame.
    @Test func aCallWithoutTimeIsNotSent() throws {
        let server = try RecordingServer { _, _ in [.answer(200, "x")] }
        let gateway = try TestGateway(UpstreamConfiguration(ports: [server.port]))
        let answer = try FrameClient(gateway.endpoint).ask(1, "POST", "/a.Service/Call", fields + [("grpc-timeout", "0n")])
        #expect(answer.status == 200 && answer.has("grpc-status", "4"))
        #expect(server.requests.isEmpty && gateway.snapshot.expired == 1)
        #expect(gateway.snapshot.servers[0].failures.allSatisfy { $0 == 0 })
    }
}
