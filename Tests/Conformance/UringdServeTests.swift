// `uringd serve`: routes, logs, administration, signals and reloads of a configuration file.

import Foundation
import Glibc
import Synchronization
import Testing
import TestSupport

/// A configuration in a directory of its own, and the server that runs it.
private final class Served {
    let site: Site
    let server: ServerProcess

    init(_ configuration: String, listeners: Int = 1, environment: [String: String] = [:], prepare: (Site) throws -> Void = { _ in }) throws {
        site = try Site()
        try prepare(site)
        try site.write("uringd.yaml", configuration)
        server = try ServerProcess(
            ["serve", "--config", site.path + "/uringd.yaml", "--loops", "2"], listeners: listeners, environment: environment)
    }

    func reload(_ configuration: String) throws {
        try site.write("uringd.yaml", configuration)
        server.send(signal: SIGHUP)
    }

    /// Waits until the log shows this many of a line.
    func wait(for text: String, times: Int = 1) -> Bool {
        eventually { server.output.split(separator: "\n").count { $0.contains(text) } >= times }
    }
}

@Suite(.timeLimit(.minutes(3))) struct UringdServeTests {
    private func answering(_ text: String, _ more: String = "") -> String {
        """
        listen: [{ address: "127.0.0.1:0" }]
        routes:
          - name: all
            match: {}
            respond: { body: "\(text)" }
        \(more)
        """
    }

    // MARK: routes

    @Test func routesAreMatchedByHostPathAndMethod() throws {
        let served = try Served(
            """
            listen: [{ address: "127.0.0.1:0" }]
            routes:
              - { name: health, match: { path: /healthz, methods: [GET] }, respond: { json: { status: ok } } }
              - { name: private, match: { path: /private/* }, respond: { status: 403, body: private } }
              - { name: api, match: { host: "*.example.com", path: "/v1/{id}" }, respond: { headers: { x-route: api } } }
              - { name: made, match: { path: /made, methods: [PUT, POST] }, respond: { status: 201 } }
              - { name: site, match: { path: /site/* }, files: { root: ., index: [], cache-control: max-age=60 } }
            """,
            prepare: { try $0.write("site/private.txt", "file") })
        let client = try RawClient(served.server.endpoint)
        let cases: [(method: String, target: String, host: String, status: Int)] = [
            ("GET", "/healthz", "a", 200), ("HEAD", "/healthz", "a", 200), ("GET", "/healthz?x=1", "a", 200), ("GET", "/healthz/", "a", 404),
            ("GET", "/private/x", "a", 403), ("GET", "//private/x", "a", 403), ("GET", "/site/../private/x", "a", 403),
            ("GET", "/%70rivate/x", "a", 403), ("GET", "/private%2Fx", "a", 404), ("GET", "/private/%2e%2e/private/", "a", 403),
            ("GET", "/v1/7", "api.example.com:80", 200), ("GET", "/v1/7", "API.EXAMPLE.COM", 200), ("GET", "/v1/7", "example.com", 404),
            ("GET", "/v1/7/8", "api.example.com", 404), ("PUT", "/made", "a", 201), ("GET", "/made", "a", 405), ("POST", "/healthz", "a", 405),
            ("OPTIONS", "/made", "a", 204), ("OPTIONS", "*", "a", 204), ("GET", "/none", "a", 404), ("GET", "/%zz", "a", 400),
            ("GET", "/../x", "a", 400), ("GET", "/site/private.txt", "a", 200), ("GET", "/site/", "a", 404),
        ]
        for (method, target, host, status) in cases {
            let request = "\(method) \(target) HTTP/1.1\r\nHost: \(host)\r\n\(method == "PUT" || method == "POST" ? "Content-Length: 0\r\n" : "")\r\n"
            let response = try client.ask(request, toHead: method == "HEAD")
            #expect(response.status == status, "\(method) \(target) at \(host)")
        }
        #expect(try client.ask(get("/healthz")).value("content-type") == "application/json")
        #expect(try client.ask(get("/made")).value("allow") == "PUT, POST, OPTIONS")
        #expect(try client.ask("GET /v1/7 HTTP/1.1\r\nHost: x.example.com\r\n\r\n").value("x-route") == "api")
        #expect(try client.ask(get("/site/private.txt")).value("cache-control") == "max-age=60")
    }

    @Test func symbolicLinksCanBeDenied() throws {
        let served = try Served(
            """
            listen: [{ address: "127.0.0.1:0" }]
            routes:
              - { name: strict, match: { path: /strict/* }, files: { root: ., symlinks: deny } }
              - { name: site, match: { path: /* }, files: { root: . } }
            """,
            prepare: { site in
                try site.write("strict/file", "x")
                try site.link("strict/link", to: "file")
            })
        #expect(try ask(served.server, get("/strict/file")).status == 200)
        #expect(try ask(served.server, get("/strict/link")).status == 404)
    }

    // MARK: addresses

    @Test func everyKindOfListener() throws {
        let site = try Site()
        let text = """
            listen:
              - address: 127.0.0.1:0
              - address: "[::1]:0"
              - { address: "localhost:0" }
              - { address: "unix:server.sock", mode: "0600" }
            admin: { address: "unix:admin.sock" }
            routes: [{ name: all, match: {}, respond: { body: here } }]
            """
        try site.write("uringd.yaml", text)
        let server = try ServerProcess(["serve", "--config", site.path + "/uringd.yaml"], listeners: 5)
        for endpoint in server.endpoints.dropLast() { #expect(try RawClient(endpoint).ask(get()).bodyText == "here", "\(endpoint)") }
        #expect(try Curl.get("http://a/livez", "--unix-socket", site.path + "/admin.sock") == "ok\n")
        var status = stat()
        // The kernel writes the status during the call only.
        #expect(unsafe stat(site.path + "/server.sock", &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
        server.send(signal: SIGTERM)
        #expect(try server.waitForExit() == .code(0))
        #expect(!site.exists("server.sock") && !site.exists("admin.sock"))
    }

    // MARK: administration and the end

    @Test func administrationSaysWhenTheServerDrains() throws {
        let site = try Site()
        try site.writeSparse("large.bin", bytes: 1 << 30)
        try site.write("uringd.yaml", """
            listen: [{ address: "127.0.0.1:0" }]
            admin: { address: "127.0.0.1:0" }
            routes: [{ name: site, match: {}, files: { root: . } }]
            """)
        let server = try ServerProcess(["serve", "--config", site.path + "/uringd.yaml", "--loops", "2"], listeners: 2)
        let admin = server.endpoints[1]
        #expect(try RawClient(admin).ask(get("/livez")).bodyText == "ok\n")
        #expect(try RawClient(admin).ask(get("/readyz")).status == 200)
        #expect(try RawClient(admin).ask(get("/other")).status == 404)
        #expect(try RawClient(admin).ask("POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").status == 405)
        // A download that nobody reads keeps the drain going.
        let slow = try RawClient(server.endpoint)
        try slow.send(get("/large.bin"))
        #expect(try ask(server, get("/large.bin", "Range: bytes=0-0")).status == 206)
        server.send(signal: SIGTERM)
        #expect(try eventually { try RawClient(admin).ask(get("/readyz")).status == 503 })
        #expect(try RawClient(admin).ask(get("/livez")).status == 200)
        #expect(server.isRunning)
        // The second signal does not wait for it.
        server.send(signal: SIGTERM)
        #expect(try server.waitForExit() == .code(0))
        withExtendedLifetime(slow) {}
    }

    @Test func sigtermLetsAResponseFinish() throws {
        let site = try Site()
        let size = 64 << 20
        try site.writeSparse("large.bin", bytes: size)
        let server = try ServerProcess(["files", site.path, "--listen", "127.0.0.1:0", "--loops", "1"])
        let client = try RawClient(server.endpoint)
        try client.send(get("/large.bin"))
        #expect(try ask(server, get("/large.bin", "Range: bytes=0-0")).status == 206)
        server.send(signal: SIGTERM)
        #expect(eventually { (try? RawClient(server.endpoint)) == nil })
        #expect(server.isRunning)
        #expect(try client.readResponse().body.count == size)
        expectEnd(client, "drained")
        client.finishSending()
        #expect(try server.waitForExit() == .code(0))
    }

    @Test func drainTimeoutEndsTheSlow() throws {
        let site = try Site()
        try site.writeSparse("large.bin", bytes: 1 << 30)
        try site.write("uringd.yaml", """
            listen: [{ address: "127.0.0.1:0" }]
            timeouts: { drain: 200ms }
            routes: [{ name: site, match: {}, files: { root: . } }]
            """)
        let server = try ServerProcess(["serve", "--config", site.path + "/uringd.yaml", "--loops", "1"])
        let client = try RawClient(server.endpoint)
        try client.send(get("/large.bin"))
        #expect(try ask(server, get("/large.bin", "Range: bytes=0-0")).status == 206)
        server.send(signal: SIGTERM)
        #expect(try server.waitForExit() == .code(0))
        withExtendedLifetime(client) {}
    }

    // MARK: reload

    @Test func reloadChangesTheAnswers() throws {
        let served = try Served(answering("one"))
        let client = try RawClient(served.server.endpoint)
        #expect(try client.ask(get()).bodyText == "one")
        try served.reload(answering("two"))
        #expect(served.wait(for: "reloaded the configuration"))
        // The connection was kept.
        #expect(try client.ask(get()).bodyText == "two")
        try served.reload(answering("three", "bogus: 1"))
        #expect(served.wait(for: "was not reloaded"))
        #expect(served.server.output.contains("uringd.yaml:6:1: unknown key `bogus`"))
        #expect(try client.ask(get()).bodyText == "two")
    }

    /// A limit may grow beyond what it was at start.
    @Test func reloadRaisesTheHeaderCount() throws {
        let served = try Served(answering("x", "limits: { header-count: 10 }"))
        let request = "GET / HTTP/1.1\r\nHost: a\r\n" + (0..<500).map { "x-\($0): \($0)\r\n" }.joined() + "\r\n"
        #expect(try ask(served.server, request).status == 431)
        try served.reload(answering("x", "limits: { header-count: 1000 }"))
        #expect(served.wait(for: "reloaded the configuration"))
        #expect(try ask(served.server, request).status == 200)
    }

    @Test func reloadUnderLoadLosesNoRequest() throws {
        let served = try Served(answering("even"))
        let endpoint = served.server.endpoint
        let isOver = Atomic(false)
        let failures = Mutex<[String]>([])
        let requests = Atomic(0)
        let seen = Mutex<Set<String>>([])
        // One client keeps its connection, one makes a new one for each request.
        let work: @Sendable (Bool) -> Void = { keeps in
            var client: RawClient?
            while !isOver.load(ordering: .relaxed) {
                do {
                    let connection = try client ?? RawClient(endpoint)
                    let response = try connection.ask(get("/", keeps ? "X: y" : "Connection: close"))
                    guard response.status == 200 else { throw RawClientError.malformed("\(response.status)", received: response.bodyText) }
                    _ = seen.withLock { $0.insert(response.bodyText) }
                    requests.add(1, ordering: .relaxed)
                    client = keeps ? connection : nil
                } catch {
                    failures.withLock { $0.append("\(error)") }
                    return
                }
            }
        }
        let threads = [Worker { work(true) }, Worker { work(false) }]
        for round in 1...20 {
            let before = requests.load(ordering: .relaxed)
            try served.reload(answering(round % 2 == 0 ? "even" : "odd"))
            #expect(served.wait(for: "reloaded the configuration", times: round))
            // Both answers are given while the next reload is on its way.
            #expect(eventually { requests.load(ordering: .relaxed) > before + 20 || failures.withLock { !$0.isEmpty } })
        }
        isOver.store(true, ordering: .relaxed)
        for thread in threads { thread.join() }
        #expect(failures.withLock { $0 } == [])
        #expect(seen.withLock { $0 } == ["even", "odd"])
    }

    @Test func reloadAddsAndRemovesListeners() throws {
        let routes = "routes: [{ name: all, match: {}, respond: { body: here } }]\n"
        let served = try Served("listen: [{ address: \"unix:a.sock\" }, { address: \"unix:b.sock\" }]\n" + routes, listeners: 2)
        let (a, b, c) = (served.site.path + "/a.sock", served.site.path + "/b.sock", served.site.path + "/c.sock")
        let kept = try RawClient(.unix(path: a))
        let leaving = try RawClient(.unix(path: b))
        #expect(try kept.ask(get()).status == 200)
        #expect(try leaving.ask(get()).status == 200)
        try served.reload("listen: [{ address: \"unix:a.sock\" }, { address: \"unix:c.sock\" }]\nadmin: { address: \"unix:admin.sock\" }\n" + routes)
        #expect(served.wait(for: "reloaded the configuration"))
        #expect(served.server.output.contains("listening on http+unix:\(c)"))
        for _ in 0..<10 {
            #expect(try RawClient(.unix(path: a)).ask(get()).bodyText == "here")
            #expect(try RawClient(.unix(path: c)).ask(get()).bodyText == "here")
        }
        #expect(try Curl.get("http://a/readyz", "--unix-socket", served.site.path + "/admin.sock") == "ok\n")
        #expect(!served.site.exists("b.sock"))
        #expect((try? RawClient(.unix(path: b))) == nil)
        // Connections stay, whatever becomes of the listener that they came by.
        #expect(try kept.ask(get()).status == 200)
        #expect(try leaving.ask(get()).status == 200)
        // And back, without the administration.
        try served.reload("listen: [{ address: \"unix:b.sock\" }]\n" + routes)
        #expect(served.wait(for: "reloaded the configuration", times: 2))
        for _ in 0..<10 { #expect(try RawClient(.unix(path: b)).ask(get()).bodyText == "here") }
        #expect(!served.site.exists("a.sock") && !served.site.exists("admin.sock"))
        served.server.send(signal: SIGTERM)
        #expect(try served.server.waitForExit() == .code(0))
    }

    @Test func aReloadThatCannotListenChangesNothing() throws {
        let served = try Served(answering("old"))
        let taken = try ServerProcess(["respond", "--listen", "127.0.0.1:0", "--body", "other"])
        let text = answering("new").replacing("127.0.0.1:0\" }", with: "127.0.0.1:0\" }, { address: \"\(taken.endpoint)\" }")
        try served.reload(text)
        #expect(served.wait(for: "was not reloaded"))
        #expect(served.server.output.contains("\(taken.endpoint)"))
        #expect(try ask(served.server, get()).bodyText == "old")
    }

    // MARK: logs and notifications

    @Test func accessLogIsWrittenAndReopened() throws {
        let served = try Served(answering("12345", "access-log: { path: access.log, format: json, flush: 10ms }"))
        _ = try ask(served.server, get("/first", "User-Agent: \"quoted\"", "Connection: close"))
        #expect(try eventually { try served.site.read("access.log").contains("/first") })
        let line = try served.site.read("access.log")
        for part in [#""method":"GET""#, #""target":"/first""#, #""status":200"#, #""bytes":5"#, #""route":"all""#, #""user_agent":"\"quoted\"""#] {
            #expect(line.contains(part), "\(part)")
        }
        #expect(line.contains(#""peer":"127.0.0.1:"#))
        try served.site.rename("access.log", to: "access.log.1")
        served.server.send(signal: SIGUSR1)
        #expect(served.wait(for: "opened the access log anew"))
        _ = try ask(served.server, get("/second"))
        // Lines that wait are written when the server ends.
        served.server.send(signal: SIGTERM)
        #expect(try served.server.waitForExit() == .code(0))
        #expect(try served.site.read("access.log").contains("/second"))
        #expect(try !served.site.read("access.log.1").contains("/second"))
    }

    @Test func whatHappenedLastIsWrittenOnASignal() throws {
        let served = try Served(answering("x", "log: { level: notice }\nadmin: { address: \"127.0.0.1:0\", flight-recorder: { directory: \".\" } }"), listeners: 2)
        #expect(try ask(served.server, get("/recorded", "Connection: close")).status == 200)
        served.server.send(signal: SIGQUIT)
        #expect(served.wait(for: "the flight recorder has written its last"))
        let names = try FileManager.default.contentsOfDirectory(atPath: served.site.path).filter { $0.hasPrefix("uringd-flight-") }
        #expect(names.count == 1 && names[0].hasSuffix("-signal.jsonl"))
        let text = try served.site.read(names[0])
        #expect(text.hasPrefix("{\"time\":") && text.contains("\"event\":\"dump\",\"reason\":\"signal\"") && text.hasSuffix("}\n"))
        #expect(text.contains("\"event\":\"request\"") && text.contains("\"status\":200"))
        // It ends nothing.
        #expect(try ask(served.server, get("/recorded", "Connection: close")).status == 200)
    }

    @Test func malformedRequestsAreLogged() throws {
        let served = try Served(answering("x", "access-log: { path: access.log, format: combined, flush: 10ms }"))
        _ = try ask(served.server, "BAD\r\n\r\n")
        #expect(try eventually { try served.site.read("access.log").contains(" 400 ") })
    }

    @Test func theServiceManagerIsTold() throws {
        let site = try Site()
        let manager = try DatagramSocket(path: site.path + "/notify")
        let served = try Served(answering("x"), environment: ["NOTIFY_SOCKET": site.path + "/notify"])
        #expect(try manager.receive() == "READY=1")
        served.server.send(signal: SIGHUP)
        #expect(try manager.receive().hasPrefix("RELOADING=1\nMONOTONIC_USEC="))
        #expect(try manager.receive() == "READY=1")
        served.server.send(signal: SIGTERM)
        #expect(try manager.receive() == "STOPPING=1")
        #expect(try served.server.waitForExit() == .code(0))
    }
}

/// A thread of a test.
private final class Worker: Sendable {
    private let thread: pthread_t

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    init(_ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        // The thread takes over the retained reference.
        let code = unsafe pthread_create(
            &thread, nil,
            {
                unsafe Unmanaged<Body>.fromOpaque($0!).takeRetainedValue().run()
                return nil
            }, unsafe Unmanaged.passRetained(Body(body)).toOpaque())
        precondition(code == 0, "no thread")
        self.thread = thread
    }

    func join() { pthread_join(thread, nil) }
}

/// What systemd would be: the socket that NOTIFY_SOCKET names.
private final class DatagramSocket {
    private let descriptor: Int32

    init(path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // The address is a local value; the kernel reads it during the call only.
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: Array(path.utf8)) }
        let code = unsafe withUnsafeBytes(of: &address) {
            unsafe bind(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(MemoryLayout<sockaddr_un>.size))
        }
        guard code == 0 else { throw RawClientError.system(call: "bind", errno: errno) }
    }

    deinit { close(descriptor) }

    func receive() throws -> String {
        var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        // The kernel writes the request during the call only.
        guard unsafe poll(&poller, 1, 20_000) == 1 else { throw RawClientError.timedOut(received: "") }
        var bytes = [UInt8](repeating: 0, count: 1024)
        // The array owns the bytes through the call.
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, 0) }
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }
}
