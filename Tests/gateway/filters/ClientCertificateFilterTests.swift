// Client certificates of routes, with certificates that openssl makes and curl sends: who passes, what the others are told, and what goes upstream.

import Glibc
import TestSupport
import Testing
import UringPolicy

@testable import UringGateway

@Suite struct ClientCertificateFilterTests {
    /// Certificates in a directory that goes with this object.
    private final class Certificates {
        let path: String

        init() throws {
            var template = Array("/tmp/uring-client-cert-XXXXXX".utf8CString)
            // The template is written during the call only, and terminated.
            try #require(unsafe mkdtemp(&template) != nil)
            path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
            try make("ca", "/CN=clients")
            try make("server", "/CN=localhost", "DNS:localhost")
        }

        deinit { _ = try? shell("rm -r \(path)") }

        func make(_ name: String, _ subject: String, _ names: String? = nil, issuer: String? = nil) throws {
            let by = issuer.map { "-CA \(path)/\($0).pem -CAkey \(path)/\($0).key" } ?? ""
            let extensions = names.map { "-addext 'subjectAltName=\($0)'" } ?? ""
            let output = try shell(
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -utf8 -subj '\(subject)' \(extensions) \(by) -keyout \(path)/\(name).key -out \(path)/\(name).pem 2>&1; chmod 600 \(path)/*")
            try #require(unsafe access("\(path)/\(name).pem", R_OK) == 0, "\(output)")
        }

        var listen: String {
            """
            listen:
              - { address: "127.0.0.1:0", tls: { certificates: [{ cert: \(path)/server.pem, key: \(path)/server.key }], client-auth: { mode: optional, ca: \(path)/ca.pem } } }
              - { address: "127.0.0.1:0" }
            """
        }

        /// The status, and the body behind it.
        func ask(_ gateway: RunningGateway, _ name: String?, _ more: String = "", _ path: String = "/") throws -> (status: String, body: String) {
            let certificate = name.map { "--cert \(self.path)/\($0).pem --key \(self.path)/\($0).key" } ?? ""
            let output = try shell("curl -sk --max-time 20 \(certificate) \(more) -w '\n%{http_code}' https://\(gateway.endpoint)\(path)")
            let lines = output.split(separator: "\n", omittingEmptySubsequences: false)
            return (String(lines.last ?? ""), lines.dropLast().joined(separator: "\n"))
        }
    }

    @Test(arguments: ["--http1.1", "--http2", "--http1.1 --tls-max 1.2"]) func whoHasOneOfTheNamesPasses(_ version: String) throws {
        let files = try Certificates()
        try files.make("uri", "/CN=a", "URI:spiffe://mesh/orders/7", issuer: "ca")
        try files.make("dns", "/CN=b", "DNS:other.internal,DNS:Orders.Internal", issuer: "ca")
        try files.make("mail", "/CN=c", "email:ops@Example.COM", issuer: "ca")
        try files.make("cn", "/O=x/CN=admin", issuer: "ca")
        try files.make("stranger", "/CN=nobody", "URI:spiffe://mesh-evil/orders,DNS:x.orders.internal,email:ops@example.org", issuer: "ca")
        let upstream = try RecordingServer { _, _ in [.answer(200, "in")] }
        let gateway = try RunningGateway(
            """
            upstreams: { orders: { servers: ["127.0.0.1:\(upstream.port)"] } }
            routes:
              - { name: open, match: { path: /open }, respond: { body: open } }
              - name: staff
                match: {}
                client-cert: { subjects: ["URI:spiffe://mesh/*", "DNS:orders.internal", "EMAIL:ops@example.com", CN=admin], forward: x-subject }
                proxy: { upstream: orders }
            """, listen: files.listen)
        let wanted = [("uri", "URI:spiffe://mesh/orders/7"), ("dns", "DNS:orders.internal"), ("mail", "EMAIL:ops@example.com"), ("cn", "CN=admin")]
        for (number, (name, subject)) in wanted.enumerated() {
            // What clients say themselves does not go along, however they spell it.
            let (status, body) = try files.ask(gateway, name, "\(version) -H 'X-Subject: CN=root' -H 'x_subject: CN=root'")
            #expect(status == "200" && body == "in", "\(name)")
            #expect(upstream.requests.count == number + 1)
            #expect(upstream.requests.last?.values("x-subject") == [subject])
            #expect(upstream.requests.last?.values("x_subject") == [])
        }
        let other = try files.ask(gateway, "stranger", version)
        #expect(other.status == "403" && other.body.contains("of another subject"))
        let none = try files.ask(gateway, nil, version)
        #expect(none.status == "403" && none.body.contains("a client certificate is needed"))
        #expect(try files.ask(gateway, nil, version, "/open").body == "open")
        let clear = try RawClient(gateway.endpoints[1])
        try clear.send("GET / HTTP/1.1\r\nHost: a\r\nX-Subject: CN=admin\r\n\r\n")
        #expect(try clear.readResponse().status == 403)
        #expect(upstream.requests.count == wanted.count)
        #expect(gateway.count("staff", "client-cert", "other_subject") == 1)
        #expect(gateway.count("staff", "client-cert", "no_certificate") == 1)
        #expect(gateway.count("staff", "client-cert", "clear") == 1)
        #expect(gateway.count("staff", "client-cert", "malformed_name") == 0)
        #expect(gateway.log.contains { $0.contains("client-cert of the route staff: 403: the client certificate is of another subject") })
        let page = String(decoding: MetricsPage.make(gateway.gateway.figures(), .text).bytes, as: UTF8.self)
        #expect(page.contains("uringd_filter_results_total{route=\"staff\",filter=\"client-cert\",result=\"clear\"} 1"))
    }

    /// Names that a C program would read up to the NUL, or an upstream up to the end of a line.
    @Test(arguments: [
        "DER:30:0e:82:0c:61:64:6d:69:6e:00:2e:65:76:69:6c:2e", "DER:30:09:86:07:75:3a:61:0d:0a:62:3a", "DER:30:02:82:00", "DER:30:05:82:03:61:20:62", "DER:30:04:86:02:61:62",
        "URI:spiffe://mesh/orders/../admin",
    ])
    func malformedNamesAreRefused(_ names: String) throws {
        let files = try Certificates()
        try files.make("odd", "/CN=admin", names, issuer: "ca")
        let gateway = try RunningGateway(
            "routes: [{ name: staff, match: {}, client-cert: { subjects: [CN=admin, \"URI:*\", \"DNS:*\"] }, respond: { body: in } }]", listen: files.listen)
        let refused = try files.ask(gateway, "odd")
        #expect(refused.status == "403" && refused.body.contains("malformed name"))
        #expect(gateway.count("staff", "client-cert", "malformed_name") == 1)
    }

    /// Another filter that waits stands between, and the name is found again behind it; counts outlive a reload, and a changed rule holds for connections that are there.
    @Test func beforeOneThatWaitsAndOverReloads() throws {
        let files = try Certificates()
        try files.make("cn", "/CN=J\u{f6}rg", issuer: "ca")
        let users = "\(files.path)/users"
        try writeFile(users, "ann:$2y$04$936wplclw2us/UzeiXyJQO7kYitfK2XP5YcAGb8HmkclYXdahfnwm\n")
        let upstream = try RecordingServer { _, _ in [.answer(200, "in")] }
        func lines(_ subject: String) -> String {
            """
            upstreams: { orders: { servers: ["127.0.0.1:\(upstream.port)"] } }
            routes: [{ name: staff, match: {}, client-cert: { subjects: ["\(subject)"], forward: x-subject }, basic: { file: \(users), forward: x-user }, proxy: { upstream: orders } }]
            """
        }
        let gateway = try RunningGateway(lines("CN=J*"), listen: files.listen)
        for _ in 0..<2 {
            #expect(try files.ask(gateway, "cn", "-u ann:pa:ss").status == "200")
            #expect(upstream.requests.last?.values("x-subject") == ["CN=J\u{f6}rg"])
            #expect(upstream.requests.last?.values("x-user") == ["ann"])
        }
        #expect(try files.ask(gateway, nil, "-u ann:pa:ss").status == "403")
        try gateway.reload(lines("CN=K*"))
        #expect(try files.ask(gateway, "cn", "-u ann:pa:ss").status == "403")
        #expect(gateway.count("staff", "client-cert", "no_certificate") == 1)
        #expect(gateway.count("staff", "client-cert", "other_subject") == 1)
    }
}
