import Foundation
import Testing

@testable import UringPolicy

/// A redis-server on a unix socket of its own, for one test.
private final class RedisServer {
    private let process = Process()
    private let directory: URL
    private var descriptor: Int32 = -1

    static var program: String? { ["/usr/bin/redis-server", "/usr/local/bin/redis-server"].first { FileManager.default.isExecutableFile(atPath: $0) } }

    init(_ arguments: [String] = []) throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("redis-\(UInt32.random(in: 0 ... .max))")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        process.executableURL = URL(fileURLWithPath: try #require(Self.program))
        process.arguments = ["--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no", "--dir", directory.path, "--logfile", "log"] + arguments
        try process.run()
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        // Started by a thread that blocks SIGTERM, it blocks that too.
        kill(process.processIdentifier, SIGKILL)
        try? FileManager.default.removeItem(at: directory)
    }

    private var path: String { directory.appendingPathComponent("s").path }

    /// Tries until the server listens: some tens of milliseconds.
    func connect() throws {
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &name.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
        for _ in 0..<2000 {
            if descriptor >= 0 { close(descriptor) }
            descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            let result = unsafe withUnsafePointer(to: &name) {
                unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
            }
            if result == 0 { return }
            usleep(5000)
        }
        Issue.record("redis-server does not listen")
    }

    func exchange(_ output: [UInt8]) -> [UInt8] {
        _ = unsafe output.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress!, $0.count) }
        return read()
    }

    /// Nothing for ten seconds is no answer.
    func read() -> [UInt8] {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&waiting, 1, 10_000) == 1 else { return [] }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = unsafe buffer.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress!, $0.count) }
        return Array(buffer.prefix(max(0, count)))
    }
}

@Suite("The rate limiter of a fleet", .enabled(if: RedisServer.program != nil, "redis-server is not installed (apt-get install redis-server)"))
struct RedisServerTests {
    private func decide(_ redis: RedisHarness, _ server: RedisServer, _ key: String, _ policy: RatePolicy, cost: UInt64 = 1) throws -> RateDecision {
        #expect(redis.ask(key, policy, cost: cost, token: 42) == .sent)
        for _ in 0..<20 {
            let output = redis.takeOutput()
            for event in redis.receive(output.isEmpty ? server.read() : server.exchange(output)) {
                if case .decided(42, let decision) = event { return decision }
                #expect(event == .ready, "\(redis.lastError)")
            }
        }
        throw CancellationError()
    }

    @Test("decides in a real Redis what the table in memory decides")
    func script() throws {
        let server = try RedisServer(["--requirepass", "secret"])
        try server.connect()
        let redis = RedisHarness(try #require(RedisLogin(user: "", password: "secret", database: 2)), timeout: .max / 2)
        redis.connect()
        // A token comes back after an hour: time plays no part.
        let policy = try #require(RatePolicy(tokens: 1, per: 3600 * second, burst: 5))
        let table = SharedRateTable(entries: 10)
        let key = RateKey(high: 1, low: 2)
        var random = PolicyRandom(seed: 3)
        for _ in 0..<40 {
            let cost = random.below(7)
            let (ours, theirs) = (table.check(key, policy, cost: cost, now: 0), try decide(redis, server, "rl:{1}", policy, cost: cost))
            #expect(ours.isAllowed == theirs.isAllowed && ours.limit == theirs.limit)
            // The token under way comes back while the test runs.
            #expect(theirs.remaining == ours.remaining && ours.resetAfter - theirs.resetAfter < 60 * second)
            #expect(ours.retryAfter == theirs.retryAfter || ours.retryAfter - theirs.retryAfter < 60 * second)
        }
        #expect(try decide(redis, server, "rl:{2}", policy).isAllowed, "another key")
        // A slower policy is owed no more than its burst.
        let fast = try #require(RatePolicy(tokens: 1000, per: second, burst: 5))
        #expect(try decide(redis, server, "rl:{1}", fast, cost: 5).retryAfter <= 5_000_000)
    }

    @Test("knows the script by the digest that Redis gives it, and lets keys go")
    func digest() throws {
        let server = try RedisServer()
        try server.connect()
        let load = try #require(written {
            RESPEncoder.begin(parts: 3, to: &$0)
            RESPEncoder.part("SCRIPT", to: &$0)
            RESPEncoder.part("LOAD", to: &$0)
            RESPEncoder.part(RedisRateScript.source, to: &$0)
        })
        #expect(String(decoding: server.exchange(load), as: UTF8.self) == "$40\r\n\(RedisRateScript.digest)\r\n")
        let redis = RedisHarness(timeout: .max / 2)
        redis.connect()
        let policy = try #require(RatePolicy(tokens: 1000, per: second, burst: 5))
        #expect(try decide(redis, server, "k", policy).remaining == 4)
        let size = Array("*1\r\n$6\r\nDBSIZE\r\n".utf8)
        #expect(String(decoding: server.exchange(size), as: UTF8.self) == ":1\r\n")
        for _ in 0..<200 where String(decoding: server.exchange(size), as: UTF8.self) != ":0\r\n" { usleep(1000) }
        #expect(String(decoding: server.exchange(size), as: UTF8.self) == ":0\r\n")
        // What somebody else has put there: no number is no debt, another type is an error.
        _ = server.exchange(Array("*3\r\n$3\r\nSET\r\n$1\r\nt\r\n$3\r\nabc\r\n".utf8))
        #expect(try decide(redis, server, "t", policy).isAllowed)
        _ = server.exchange(Array("*3\r\n$5\r\nLPUSH\r\n$1\r\nl\r\n$1\r\nx\r\n".utf8))
        redis.ask("l", policy, token: 9)
        #expect(redis.receive(server.exchange(redis.takeOutput())) == [.failed(token: 9, .refused)])
        #expect(redis.lastError.contains("WRONGTYPE"))
    }
}
