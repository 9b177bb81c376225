// Passwords kept as slow hashes: which files are taken, who gets in, what is verified how often, and that every kind of handler can stand behind a verification.

import Glibc
import TestSupport
import Testing
import UringBase
import UringHTTP

@testable import UringServer
import UringTLS

@Suite struct PasswordTests {
    /// ann:pa:ss, bob:zwei, cem:drei, dan:vier, eve:vier; of the lowest costs.
    private static let text = """
        # users
        ann:$2y$04$936wplclw2us/UzeiXyJQO7kYitfK2XP5YcAGb8HmkclYXdahfnwm
        bob:$6$rounds=1000$saltsalt$wUVaoLn4Z0NM3/.W4xCENKifSGkLhPQ58DKima8OCEDjQ.gi.S8jITbSHWgefkes2DQKSRW28Npc89Ys0w8Pa0:and:more

        cem:$5$rounds=1000$saltsalt$YCh50UhQ5oleTkaAvhjwclZxycPwKcq37wUl7jazh7/\r
        dan:$y$j75$abcdefgh12345678$Z8gsrQ8R8fP9Sr015KJpGsOvJ9vE9OC3wM9sXxLEJc.
        eve:$2b$04$abcdefghijklmnopqrstuulXj5r6eAtabVKoh9meKYRXw4r4WthXi
        """
    private static let user = RequestKey<UInt8>()

    private static func basic(_ credentials: String) -> String {
        let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        let bytes = Array(credentials.utf8)
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let part = Array(bytes[start..<min(start + 3, bytes.count)])
            let bits = (0..<3).reduce(UInt32(0)) { $0 << 8 | UInt32($1 < part.count ? part[$1] : 0) }
            for digit in 0..<4 { text.append(digit <= part.count ? digits[Int(bits >> UInt32(18 - 6 * digit) & 63)] : UInt8(ascii: "=")) }
        }
        return "Authorization: Basic " + String(decoding: text, as: UTF8.self)
    }

    private static func server(_ passwords: PasswordFile, _ options: PasswordOptions = PasswordOptions(), _ build: (inout Router) -> Void) throws -> TestServer {
        var router = Router()
        router.use(.basicAuthentication(realm: "shop", passwords, options) { user, response in response[Self.user] = user[0] })
        build(&router)
        return try TestServer(router: router)
    }

    /// Counts what is asked, and waits until it is let go.
    private final class Gate: Sendable {
        let calls = Locked<[String]>([])
        let isOpen = Locked(true)
        var count: Int { calls.withLock { $0.count } }
        var file: PasswordFile {
            get throws {
                try PasswordFile(Array(PasswordTests.text.utf8), source: "test") { password, _ in
                    let given = unsafe password.withBytes { unsafe String(decoding: $0.dropLast(), as: UTF8.self) }
                    self.calls.withLock { $0.append(given) }
                    while !self.isOpen.withLock({ $0 }) { sched_yield() }
                    return given == "right"
                }
            }
        }
    }

    @Test func everyMethodIsKnown() throws {
        let server = try Self.server(PasswordFile(Self.text)) { $0.get("/") { _, response in response.write("user \(response[Self.user] ?? 0)") } }
        for credentials in ["ann:pa:ss", "bob:zwei", "cem:drei", "dan:vier", "eve:vier"] {
            // Verified, then remembered.
            for _ in 0..<2 { #expect(try server.get("/", Self.basic(credentials)).bodyText == "user \(credentials.utf8.first!)", "\(credentials)") }
        }
        for credentials in ["ann:pa:sS", "ann:", "ann:zwei", "nobody:pa:ss", ":", "bob:zwei ", "cem:vier", "eve:" + String(repeating: "a", count: 600), "ann:pa:ss\0x", "ann"] {
            let response = try server.get("/", Self.basic(credentials))
            #expect(response.status == 401, "\(credentials)")
            #expect(response.values("www-authenticate") == ["Basic realm=\"shop\", charset=\"UTF-8\""])
            #expect(response.values("content-type") == ["application/problem+json"])
        }
        #expect(try server.get("/").status == 401)
    }

    @Test(arguments: [
        ("", "no user"), ("# nobody\n", "no user"), ("ann", "line 1"), ("\n:x", "line 2"), ("ann:secret", "no hash"), ("ann:$apr1$Yl5ZzS4t$ZRtGLLRnjHVKKyLVE/fOz1", "htpasswd -B"),
        ("ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "no hash"), ("ann:$2y$04$", "no hash"), ("a:$5$salt$x", "no hash"),
        ("a:$5$rounds=1000$saltsalt$YCh50UhQ5oleTkaAvhjwclZxycPwKcq37wUl7jazh7/\na:$5$rounds=1000$saltsalt$YCh50UhQ5oleTkaAvhjwclZxycPwKcq37wUl7jazh7/", "line already"),
    ])
    func otherFilesAreRefused(_ text: String, _ reason: String) {
        #expect { try PasswordFile(text) } throws: { "\($0)".contains(reason) && !"\($0)".contains("secret") }
    }

    /// A right password is verified once, a wrong one each time, an unknown user's too.
    @Test func whatIsVerified() throws {
        let gate = Gate()
        let server = try Self.server(gate.file) { $0.get("/") { _, response in response.write("in") } }
        for _ in 0..<3 { #expect(try server.get("/", Self.basic("ann:right")).status == 200) }
        #expect(gate.count == 1)
        for _ in 0..<2 { #expect(try server.get("/", Self.basic("ann:wrong")).status == 401) }
        for _ in 0..<2 { #expect(try server.get("/", Self.basic("unknown:right")).status == 401) }
        #expect(gate.count == 5)
        #expect(try server.get("/", Self.basic("ann:right")).status == 200)
        #expect(gate.count == 5)
    }

    @Test func nothingIsRemembered() throws {
        let gate = Gate()
        var options = PasswordOptions()
        options.remembersFor = .zero
        let server = try Self.server(gate.file, options) { $0.get("/") { _, response in response.write("in") } }
        for _ in 0..<2 { #expect(try server.get("/", Self.basic("ann:right")).status == 200) }
        #expect(gate.count == 2)
    }

    /// While a password is verified the loop serves others; the same credentials wait for the same verification, others beyond the bound are told to come again.
    @Test func manyAtOnce() throws {
        let gate = Gate()
        gate.isOpen.withLock { $0 = false }
        defer { gate.isOpen.withLock { $0 = true } }
        var options = PasswordOptions()
        options.verificationsMax = 1
        let server = try Self.server(gate.file, options) { $0.get("/") { _, response in response.write("in") } }
        let clients = try (0..<3).map { _ in try server.client() }
        for client in clients { try client.send("GET / HTTP/1.1\r\nHost: a\r\n\(Self.basic("ann:right"))\r\n\r\n") }
        while gate.count == 0 { sched_yield() }
        let refused = try server.get("/", Self.basic("bob:right"))
        #expect(refused.status == 503)
        #expect(refused.values("retry-after") == ["1"])
        #expect(try server.get("/").status == 401)
        gate.isOpen.withLock { $0 = true }
        for client in clients { #expect(try client.readResponse().bodyText == "in") }
        #expect(gate.calls.withLock { $0 } == ["right"])
    }

    /// A client that leaves while its password is verified is nobody's any more.
    @Test func clientsLeave() throws {
        let gate = Gate()
        gate.isOpen.withLock { $0 = false }
        let calls = Locked(0)
        let server = try Self.server(gate.file) { router in router.get("/") { _, response in calls.withLock { $0 += 1 } } }
        do {
            let client = try server.client()
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\(Self.basic("ann:right"))\r\n\r\n")
            while gate.count == 0 { sched_yield() }
            client.resetOnClose()
        }
        // Its reset is seen before this is answered, or the handler runs for nobody: then its answer goes nowhere.
        #expect(try server.get("/").status == 401)
        gate.isOpen.withLock { $0 = true }
        #expect(try server.get("/", Self.basic("bob:right")).status == 200)
        #expect(calls.withLock { $0 } >= 1)
    }

    /// Every way that a handler can answer, behind a verification and behind a remembered one.
    @Test(arguments: ["verified", "remembered"])
    func handlers(_ how: String) throws {
        let gate = Gate()
        var options = PasswordOptions()
        if how == "verified" { options.remembersFor = .zero }
        let server = try Self.server(gate.file, options) { router in
            router.get("/stream") { _, response in
                var left = 3
                response.stream { writer in
                    left -= 1
                    writer.write("piece ")
                    return left == 0 ? .end : .more
                }
            }
            router.get("/async") { request, response in
                try await request.loop.sleep(for: .milliseconds(1))
                response.write("later")
            }
            router.get("/fails") { _, _ in throw HTTPError(.conflict) }
            router.post("/whole") { request, response in
                response.receiveBody { part, response in
                    response.write("\(part.bytes.count) \(part.isLast)")
                    return .more
                }
            }
            router.post("/up", streamingBody: true) { request, response in
                var (bytes, pauses) = (0, 0)
                let exchange = response.exchange
                response.receiveBody { part, response in
                    bytes += part.bytes.count
                    if part.isLast {
                        response.write("\(bytes) \(pauses > 0) ")
                        if let sum = part.trailers["x-sum"] { response.write(String(sum)) } else { response.write("none") }
                    }
                    guard !part.isLast, pauses < 3 else { return .more }
                    pauses += 1
                    exchange.resume()
                    return .pause
                }
            }
            router.post("/enough", streamingBody: true) { request, response in
                response.receiveBody { part, response in
                    response.write("enough")
                    return .finish
                }
            }
            router.get("/socket") { request, response in
                response.webSocket { socket, event in if case .message(let message) = event { socket.send(message) } }
            }
        }
        let login = Self.basic("ann:right")
        if how == "remembered" { #expect(try server.get("/fails", login).status == 409) }
        for _ in 0..<2 {
            #expect(try server.get("/stream", login).bodyText == "piece piece piece ")
            #expect(try server.get("/async", login).bodyText == "later")
            #expect(try server.get("/fails", login).status == 409)
            #expect(try server.get("/none", login).status == 404)
            let client = try server.client()
            for _ in 0..<2 {
                try client.send("POST /whole HTTP/1.1\r\nHost: a\r\n\(login)\r\nContent-Length: 5\r\n\r\nhello")
                #expect(try client.readResponse().bodyText == "5 true")
                try client.send("POST /up HTTP/1.1\r\nHost: a\r\n\(login)\r\nContent-Length: 300000\r\n\r\n" + String(repeating: "a", count: 300_000))
                #expect(try client.readResponse().bodyText == "300000 true none")
                try client.send("POST /up HTTP/1.1\r\nHost: a\r\n\(login)\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n")
                #expect(try client.readResponse().bodyText == "5 true 7")
                try client.send("POST /enough HTTP/1.1\r\nHost: a\r\n\(login)\r\nContent-Length: 5\r\n\r\nhello")
                #expect(try client.readResponse().bodyText == "enough")
            }
            let socket = try WebSocketClient(server, "/socket", login)
            try socket.send("hello")
            #expect(try socket.text() == "hello")
            try socket.close()
        }
        let client = try FrameClient(server.endpoint)
        let field = ("authorization", String(login.dropFirst("Authorization: ".count)))
        #expect(try client.ask(1, "GET", "/async", [field]).bodyText == "later")
        #expect(try client.ask(3, "GET", "/stream", [field]).bodyText == "piece piece piece ")
        #expect(how == "remembered" ? gate.count == 1 : gate.count > 10)
    }

    /// The table forgets those unused longest, and only those.
    @Test func loginsAreForgotten() throws {
        let table = RememberedLogins(logins: 4, keepNs: 100)
        func code(_ number: UInt64) -> KeyedDigest.Code {
            var code = KeyedDigest.Code()
            code.words = [number, 0, 0, number]
            return code
        }
        for number in 1...4 { table.add(code(UInt64(number)), UInt64(number)) }
        #expect(table.contains(code(1), 50))
        #expect(!table.contains(code(5), 50))
        table.add(code(5), 60)
        #expect(!table.contains(code(2), 60))
        for number in [1, 3, 4, 5] as [UInt64] { #expect(table.contains(code(number), 60)) }
        #expect(!table.contains(code(1), 160))
    }

    @Test func codesAreOfOneKey() throws {
        let (one, other) = (try #require(KeyedDigest()), try #require(KeyedDigest()))
        func code(_ digest: KeyedDigest, _ text: String) -> KeyedDigest.Code? { unsafe text.utf8.span.withUnsafeBufferPointer { unsafe digest.code($0) } }
        #expect(code(one, "ann:right") == code(one, "ann:right"))
        #expect(code(one, "ann:right") != code(one, "ann:righT"))
        #expect(code(one, "ann:right") != code(other, "ann:right"))
        #expect(code(one, "ann:right") != nil)
    }
}
