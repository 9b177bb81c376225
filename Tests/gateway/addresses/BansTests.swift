// Bans at run time: `/bans` of the administration and `addresses.file`, over the wire.

import TestSupport
import Testing
import UringHTTP
import UringPolicy

@testable import UringGateway

@Suite("Bans at run time") struct BansTests {
    @Test("are added, met, listed and lifted")
    func life() throws {
        let served = try AdminGateway("")
        let old = try RawClient(served.main)
        try old.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try old.readResponse().status == 200)

        let added = try served.ban("{\"prefix\": \"127.0.0.1\", \"for\": \"1h\", \"reason\": \"too \\u0065ager\"}")
        #expect(added.status == 201 && added.value("content-type") == "application/json")
        #expect(added.bodyText.contains("\"prefix\": \"127.0.0.1\"") && added.bodyText.contains("\"reason\": \"too eager\"") && added.bodyText.contains("\"replaced\": false"))
        // A connection from before is told, and closed.
        try old.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        let refused = try old.readResponse()
        #expect(refused.status == 403 && refused.bodyText.contains("banned") && refused.value("connection") == "close")
        #expect((try refused.value("retry-after").flatMap { Int($0) }.map { (3595...3601).contains($0) }) == true)
        #expect(try old.readToEnd() == [])
        // New ones are reset, whichever loop they meet; the administration itself stays.
        for _ in 0..<8 { #expect(served.isRefused) }

        let list = try served.ask("/bans")
        #expect(list.status == 200 && list.bodyText.contains("\"count\": 1") && list.bodyText.contains("\"source\": \"admin\"") && list.bodyText.contains("\"seconds-left\": 3"))
        #expect(try served.ask("/bans?address=127.0.0.1").bodyText.contains("\"count\": 1"))
        #expect(try served.ask("/bans?address=127.0.0.2").bodyText.contains("\"count\": 0"))
        #expect(try served.ask("/bans?source=rule").bodyText.contains("\"count\": 0"))
        #expect(try served.ask("/bans?text").bodyText.contains("deny 127.0.0.1 until=20"))
        #expect(try served.metric("uringd_bans{source=\"admin\"}") == 1)
        #expect(try served.metric("uringd_bans_made_total{source=\"admin\"}") == 1)
        #expect(try served.metric("uringd_banned_connections_total") ?? 0 >= 8)
        #expect(try served.metric("uringd_banned_requests_total") == 1)

        // A reload changes nothing of it.
        #expect(try served.ask("/reload", "Content-Length: 0\r\n", method: "POST").status == 200)
        #expect(served.isRefused)
        let again = try served.ban("{\"prefix\": \"127.0.0.1\"}")
        #expect(again.status == 200 && again.bodyText.contains("\"replaced\": true") && again.bodyText.contains("\"until\": null"))

        #expect(try served.lift("127.0.0.1%2F32").status == 200)
        #expect(try served.get("/hello").status == 200)
        let gone = try served.lift("127.0.0.1")
        #expect(gone.status == 404 && gone.bodyText.contains("there is no ban of 127.0.0.1"))
    }

    @Test("what is wrong is answered with what is right, and bans nobody")
    func badInput() throws {
        let served = try AdminGateway("")
        for (body, status, words) in [
            ("", 400, "no JSON text"), ("{", 400, "no JSON text"), ("prefix: 127.0.0.1", 400, "no JSON text"), ("[]", 422, "0 bans"), ("7", 422, "where a ban is expected"),
            ("{}", 422, "`prefix` is missing"), ("{\"prefix\": 7}", 422, "`prefix` is no text"), ("{\"prefix\": \"127.0.0.300\"}", 422, "is not an IP address"),
            ("{\"prefix\": \"127.0.0.1/8\"}", 422, "bits behind the prefix length"), ("{\"prefix\": \"0.0.0.0/0\"}", 422, "at least /8"), ("{\"prefix\": \"::/0\"}", 422, "at least /16"),
            ("{\"prefix\": \"127.0.0.1\", \"for\": \"soon\"}", 422, "`for` is soon"), ("{\"prefix\": \"127.0.0.1\", \"for\": \"0\"}", 422, "from 1s to 3650d"),
            ("{\"prefix\": \"127.0.0.1\", \"for\": \"1h\", \"until\": \"2100-01-01T00:00:00Z\"}", 422, "both there"),
            ("{\"prefix\": \"127.0.0.1\", \"until\": \"2001-01-01T00:00:00Z\"}", 422, "a time to come"), ("{\"prefix\": \"127.0.0.1\", \"forever\": \"yes\"}", 422, "`forever`"),
            ("[{\"prefix\": \"127.0.0.1\"}, {\"prefix\": \"x\"}]", 422, "[1]: x"),
            ("[" + Array(repeating: "{\"prefix\": \"192.0.2.1\"}", count: BansPage.addedMax + 1).joined(separator: ",") + "]", 422, "1001 bans"),
            ("\"" + String(repeating: "x", count: BansPage.bodyBytesMax) + "\"", 413, "more than"),
        ] {
            let refused = try served.ban(body)
            #expect(refused.status == status && refused.value("content-type") == "application/problem+json", "\(body.prefix(60)): \(refused.status)")
            #expect(refused.bodyText.contains(words), "\(body.prefix(60)): \(refused.bodyText)")
            if status == 422 { #expect(refused.bodyText.contains("accepted: ")) }
        }
        for query in ["", "?prefix=", "?prefix=nobody", "?address=127.0.0.1"] { #expect(try served.ask("/bans\(query)", method: "DELETE").status == 400, "\(query)") }
        for query in ["?nonsense", "?source=nobody", "?address=here", "?address=%zz"] { #expect(try served.ask("/bans\(query)").status == 400, "\(query)") }
        #expect(try served.ban("{\"prefix\": \"127.0.0.1\"}", "?x").status == 400)
        #expect(try served.ask("/bans?prefix=127.0.0.1", "Origin: http://evil.example\r\n", method: "DELETE").status == 403)
        let put = try served.ask("/bans", "Content-Length: 0\r\n", method: "PUT")
        #expect(put.status == 405 && put.value("allow") == "GET, HEAD, POST, DELETE, OPTIONS")
        #expect(try served.get("/hello").status == 200)
        #expect(try served.ask("/bans").bodyText.contains("\"count\": 0"))
    }

    @Test("there are at most so many, and a full book says so")
    func bound() {
        let book = BanBook(loops: 1)
        let entries = (0..<UInt32(BanBook.entriesMax)).map { BanEntry(Prefix(IPAddress(ipv4: 0x0a00_0000 + $0)), source: .admin) }
        #expect((try? book.add(entries, now: 0).get().count) == BanBook.entriesMax)
        #expect(book.add([BanEntry(Prefix(IPAddress(ipv4: 1)), source: .admin)], now: 0) == .failure(.full))
        #expect(!book.ban(BanEntry(Prefix(IPAddress(ipv4: 1)), source: .rule), now: 0))
        #expect(book.figures(now: 0).overflows == 2)
        let page = BansPage(book: book, watch: nil, now: 1)
        #expect(page.add(Array("{\"prefix\": \"192.0.2.1\"}".utf8)).status == .insufficientStorage)
        guard case .object(let members) = page.list(.all) else { return #expect(Bool(false), "no object") }
        #expect(members.first { $0.name == "count" }?.value == .integer(UInt64(BanBook.entriesMax)) && members.first { $0.name == "shown" }?.value == .integer(UInt64(BansPage.shownMax)))
        #expect(book.loops.hasBans(0) && book.loops.bannedUntil(IPAddress(ipv4: 0x0a00_0007), 0, now: 0) == .max && book.loops.bannedUntil(IPAddress(ipv4: 1), 0, now: 0) == nil)
    }

    @Test("the client behind a trusted proxy is banned, the proxy never is")
    func behindProxy() throws {
        let served = try AdminGateway("trusted-proxies: [127.0.0.0/8]")
        let shielded = try served.ban("{\"prefix\": \"127.0.0.1\"}")
        #expect(shielded.status == 422 && shielded.bodyText.contains("127.0.0.0/8 is never banned"))
        #expect(try served.ban("[{\"prefix\": \"203.0.113.0/24\", \"for\": \"1h\"}, {\"prefix\": \"2001:db8::/32\"}]").status == 201)
        for banned in ["203.0.113.9", "192.0.2.1, 203.0.113.9", "2001:db8::5"] {
            #expect(try served.get("/hello", "X-Forwarded-For: \(banned)\r\n").status == 403, "\(banned)")
        }
        for other in ["203.0.114.9", "203.0.113.9, 192.0.2.1"] { #expect(try served.get("/hello", "X-Forwarded-For: \(other)\r\n").status == 200, "\(other)") }
        #expect(try served.get("/hello").status == 200)
    }

    @Test("a file's prefixes are met, and read again when it changes")
    func file() throws {
        let file = try ScratchFile("# nobody yet\n")
        let served = try AdminGateway("addresses: { file: \(file.path) }")
        #expect(try served.get("/hello").status == 200)
        let bans = served.gateway.bans
        try file.write("127.0.0.0/8 # all of us\nallow 127.9.9.9\n")
        bans.look()
        #expect(try comesSoon { served.isRefused })
        let list = try served.ask("/bans").bodyText
        #expect(list.contains("\"reason\": \"all of us\"") && list.contains("\"source\": \"file\"") && list.contains("\"127.9.9.9\"") && !list.contains("\"problem\""))
        #expect(try served.lift("127.0.0.0/8").status == 409)
        #expect(try served.ban("{\"prefix\": \"127.9.9.9\"}").status == 422)

        // One that is wrong changes nothing, and is told of.
        try file.write("127.0.0.0/8\n127.0.0.300\n")
        bans.look()
        bans.look()
        #expect(served.isRefused)
        #expect(try served.ask("/bans").bodyText.contains("\(file.path):2: 127.0.0.300: '127.0.0.300' is not an IP address; accepted: a prefix like"))
        #expect(try served.metric("uringd_address_file_current") == 0)
        #expect(try served.metric("uringd_address_file_reads_total{result=\"failure\"}") == 1)
        let reload = try served.ask("/reload", "Content-Length: 0\r\n", method: "POST")
        #expect(reload.status == 422 && reload.bodyText.contains("\(file.path):2: 127.0.0.300"))

        try file.write("")
        bans.look()
        #expect(try comesSoon { !served.isRefused })
        #expect(try served.metric("uringd_address_file_current") == 1)
        // Seen without being told to look, too.
        try file.write("127.0.0.1\n")
        #expect(try comesSoon { served.isRefused })
        // A reload without it lets go of it.
        served.later.text = ""
        #expect(try served.ask("/reload", "Content-Length: 0\r\n", method: "POST").status == 200)
        #expect(try served.get("/hello").status == 200)
    }

    @Test("a file that is wrong does not start, and says where")
    func wrongFile() throws {
        let file = try ScratchFile((1...14).map { "line \($0)\n" }.joined())
        let text = "addresses: { file: \(file.path) }"
        let result = AdminGateway.load(text, "/tmp")
        #expect(result.configuration == nil)
        let rendered = result.render()
        #expect(rendered.contains("test.yaml:4:20: addresses.file: \(file.path):1: 'line' is neither deny, allow nor a prefix; accepted: a prefix like") && rendered.contains("4 more lines are wrong"))
        #expect(AdminGateway.load("addresses: { file: /nowhere/at/all }", "/tmp").render().contains("cannot look at `/nowhere/at/all`"))
        var configuration = TestGateway.configuration([UpstreamConfiguration(ports: [1])])
        configuration.addresses.file = file.path
        #expect(throws: GatewayError.self) { try GatewayApplication(configuration, loops: 1) }
    }
}
