// TLS and HTTP/2 towards upstreams, with this library's own server there.

import Glibc
import TestSupport
import Testing
import UringHTTP
import UringServer

@testable import UringGateway

@Suite struct UpstreamTLSTests {
    private let files = TLSDirectory()
    private var certificate: String { "\(files.path)/a.pem" }
    private var key: String { "\(files.path)/a.key" }

    init() {
        files.write("a.pem", TLSFixtures.certificate)
        files.write("a.key", TLSFixtures.key)
    }

    private func server(_ http2: HTTP2Mode = .on, _ edit: (inout TLSOptions) -> Void = { _ in }) throws -> RunningServer {
        var tls = TLSOptions.files(cert: certificate, key: key)
        edit(&tls)
        var options = ServerOptions()
        options.loops = .count(1)
        return try Server(listeners: [Listener("127.0.0.1:0", tls: tls, http2: http2)], options: options) { request, response in
            response.write("\(request.protocolVersion) \(request.isSecure) \(request.headers["upgrade"] == nil)")
        }.start()
    }

    private func upstream(_ server: RunningServer, _ version: UpstreamVersion = .auto) throws -> UpstreamConfiguration {
        var upstream = UpstreamConfiguration(ports: [try #require(server.addresses[0].split(separator: ":").last.flatMap { UInt16($0) })])
        upstream.version = version
        var tls = UpstreamTLS.standard
        (tls.authorities, tls.serverName) = (certificate, "localhost")
        upstream.tls = tls
        return upstream
    }

    @Test(arguments: [(UpstreamVersion.auto, HTTP2Mode.on, "HTTP/2.0"), (.auto, .off, "HTTP/1.1"), (.http1, .on, "HTTP/1.1"), (.http2, .only, "HTTP/2.0")])
    func protocols(version: UpstreamVersion, mode: HTTP2Mode, spoken: String) throws {
        let server = try server(mode)
        defer { server.stop(within: .seconds(5)) }
        let gateway = try TestGateway(upstream(server, version))
        for _ in 0..<2 { #expect(try gateway.get().bodyText == "\(spoken) true true") }
    }

    /// HTTP/2 has no word for it: such a request has a connection of HTTP/1.1.
    @Test func upgradesHaveConnectionsOfTheirOwn() throws {
        let server = try server()
        defer { server.stop(within: .seconds(5)) }
        let gateway = try TestGateway(upstream(server))
        #expect(try gateway.get().bodyText == "HTTP/2.0 true true")
        #expect(try gateway.get("/", "Connection: upgrade", "Upgrade: websocket").bodyText == "HTTP/1.1 true false")
        #expect(try gateway.get().bodyText == "HTTP/2.0 true true")
    }

    @Test func whoIsNotVouchedForGetsNothing() throws {
        let server = try server()
        defer { server.stop(within: .seconds(5)) }
        var other = try upstream(server)
        other.tls?.serverName = "other.example"
        let gateway = try TestGateway(other)
        #expect(try gateway.get().status == 502)
        #expect(gateway.log.contains { $0.contains("orders (127.0.0.1:") && $0.contains("connect-failure") && $0.contains("TLS handshake") }, "\(gateway.log)")
        #expect(gateway.snapshot.servers[0].failures(.connect) > 0)
        // The address is not in the certificate.
        other.tls?.serverName = nil
        #expect(try TestGateway(other).get().status == 502)
        other.tls?.verifies = false
        #expect(try TestGateway(other).get().status == 200)
    }

    @Test func aClientCertificateIsShown() throws {
        let ca = certificate
        let server = try server { $0.clientAuth = .required(ca: .file(ca)) }
        defer { server.stop(within: .seconds(5)) }
        var wanted = try upstream(server)
        #expect(try TestGateway(wanted).get().status == 502)
        wanted.tls?.certificate = certificate
        wanted.tls?.key = key
        #expect(try TestGateway(wanted).get().status == 200)
        wanted.tls?.key = "/does/not/exist"
        #expect(throws: GatewayError.self) { try TestGateway(wanted) }
    }

    @Test func theOldestVersionIsKept() throws {
        let server = try server { $0.maxVersion = .tls12 }
        defer { server.stop(within: .seconds(5)) }
        var wanted = try upstream(server)
        #expect(try TestGateway(wanted).get().status == 200)
        wanted.tls?.versionMin = .tls13
        #expect(try TestGateway(wanted).get().status == 502)
    }

    /// As gRPC has it: HTTP/2 on both sides, an answer that begins before the request has ended, pieces both ways, trailers both ways.
    @Test(arguments: [false, true]) func streamsBothWaysAtOnce(secure: Bool) throws {
        var router = Router()
        router.post("/echo.Service/Talk", streamingBody: true) { request, response in
            response.headers["content-type"] = "application/grpc"
            let body = try request.bodyStream
            let stream = try response.startStream()
            var count = 0
            for try await piece in body {
                count += piece.count
                try await stream.write(piece)
            }
            _ = try await stream.addTrailer("grpc-status", "0")
            _ = try await stream.addTrailer("x-count", "\(count) \(request.headers["te"] == "trailers")")
        }
        var options = ServerOptions()
        options.loops = .count(1)
        let tls = secure ? TLSOptions.files(cert: certificate, key: key) : nil
        let server = try Server(listeners: [Listener("127.0.0.1:0", tls: tls, http2: .only)], options: options, application: Application(router: router)).start()
        defer { server.stop(within: .seconds(5)) }
        var wanted = try upstream(server, .http2)
        if !secure { wanted.tls = nil }
        let gateway = try TestGateway(wanted)
        let client = try FrameClient(gateway.endpoint)
        for stream: UInt32 in [1, 3] {
            try client.send(FrameClient.request(stream, "POST", "/echo.Service/Talk", [("te", "trailers"), ("content-type", "application/grpc")], ends: false))
            var expected: [UInt8] = []
            for round in 0..<5 {
                let piece = [UInt8](repeating: UInt8(65 + round), count: 100)
                expected += piece
                try client.send(FrameClient.data(stream, piece))
                // Each piece comes back before the next is sent.
                while (client.answers[stream]?.body.count ?? 0) < expected.count { #expect(try client.next() != nil) }
            }
            #expect(client.answers[stream]?.status == 200)
            #expect(client.answers[stream]?.hasEnded == false)
            try client.send(FrameClient.data(stream, [], ends: true))
            let answer = try client.answer(stream)
            #expect(answer.body == expected)
            #expect(answer.hasTrailers)
            #expect(answer.resetCode == nil)
        }
        #expect(gateway.snapshot.servers[0].requests == 2)
        #expect(gateway.eventually { $0.snapshot.servers[0].active == 0 })
    }
}
