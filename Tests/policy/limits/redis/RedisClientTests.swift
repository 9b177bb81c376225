import Testing

@testable import UringPolicy

/// A client whose output and input are arrays.
final class RedisHarness {
    var client: RedisClient
    var output: [UInt8] = []
    var input: [UInt8] = []

    init(_ login: RedisLogin = RedisLogin(), timeout: UInt64 = 100, pipelineMax: Int = 8) {
        client = RedisClient(login: login, timeout: timeout, pipelineMax: pipelineMax)
    }

    func connect(now: UInt64 = 0) { output += write { $0.connected(now: now, to: &$1) }.1 }

    @discardableResult
    func ask(_ key: String, _ policy: RatePolicy, cost: UInt64 = 1, token: UInt64, now: UInt64 = 0) -> RedisClient.Admission {
        let bytes = Array(key.utf8)
        let (admission, said) = write { $0.check(bytes.span, policy, cost: cost, token: token, now: now, to: &$1) }
        output += said
        return admission
    }

    func eval(_ words: [[UInt8]], token: UInt64, now: UInt64 = 0) -> RedisClient.Admission {
        let (admission, said) = write { $0.eval("return 'x'", keys: 1, words: words, token: token, now: now, to: &$1) }
        output += said
        return admission
    }

    /// The events of `bytes`, which come in steps.
    func receive(_ bytes: [UInt8], step: Int = .max / 2) -> [RedisClient.Event] {
        var events: [RedisClient.Event] = []
        var at = 0
        while at < bytes.count {
            let end = min(bytes.count, at + min(step, bytes.count))
            input += bytes[at..<end]
            at = end
            while true {
                let pending = input
                let ((event, consumed), said) = write { client, sink in exactly(pending) { input in client.receive(input, to: &sink) } }
                output += said
                input.removeFirst(consumed)
                if event == .needMore { break }
                events.append(event)
                if case .broken = event { return events }
            }
        }
        return events
    }

    /// One call, with the same bytes from where the last has ended.
    func pass(_ bytes: [UInt8]) -> (RedisClient.Event, Int) {
        let (result, said) = write { client, sink in exactly(bytes) { input in client.receive(input, to: &sink) } }
        output += said
        return result
    }

    func receive(_ text: String, step: Int = .max / 2) -> [RedisClient.Event] { receive(Array(text.utf8), step: step) }

    var said: String { String(decoding: output, as: UTF8.self) }
    func takeOutput() -> [UInt8] {
        defer { output = [] }
        return output
    }

    var inFlight: Int { client.requestsInFlight }
    var isStalled: Bool { client.isStalled }
    var nextDeadline: UInt64 { client.nextDeadline }
    var lastError: String { client.lastError }
    func expire(now: UInt64) -> UInt64? { client.expire(now: now) }
    func disconnected() -> UInt64? { client.disconnected() }

    private func write<R>(_ body: (inout RedisClient, inout ByteSink) -> R) -> (R, [UInt8]) {
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 16_384)
        defer { unsafe memory.deallocate() }
        var sink = unsafe ByteSink(memory, capacity: 16_384)
        let result = body(&client, &sink)
        return (result, unsafe Array(UnsafeBufferPointer(start: memory, count: sink.count)))
    }
}

@Suite("A connection to Redis")
struct RedisClientTests {
    private let policy = RatePolicy(tokens: 10, per: second, burst: 5)!
    private static let allowed = RateDecision(isAllowed: true, isCounted: true, limit: 5, remaining: 4, resetAfter: 100_000_000, retryAfter: 0)
    private static let refused = RateDecision(isAllowed: false, isCounted: true, limit: 5, remaining: 0, resetAfter: 500_000_000, retryAfter: 50_000_000)

    @Test("runs scripts that answer a string, between other requests", arguments: [1, 2, 5, 1000])
    func strings(step: Int) throws {
        let redis = RedisHarness()
        #expect(redis.eval([], token: 1) == .closed)
        redis.connect()
        #expect(redis.eval([Array("k".utf8), Array("two words".utf8)], token: 1) == .sent)
        #expect(redis.said == "*5\r\n$4\r\nEVAL\r\n$10\r\nreturn 'x'\r\n$1\r\n1\r\n$1\r\nk\r\n$9\r\ntwo words\r\n")
        redis.ask("k", policy, token: 2)
        for token in 3...6 { #expect(redis.eval([[0x6b]], token: UInt64(token)) == .sent) }
        var texts: [String] = []
        var at = 0
        let answer = Array("$3\r\nabc\r\n*4\r\n:1\r\n:4\r\n:100000\r\n:0\r\n$0\r\n\r\n:7\r\n-ERR no\r\n*1\r\n$1\r\ny\r\n".utf8)
        // Ranges are of the input of their call, which begins behind what was used.
        var used = 0
        while at < answer.count {
            at = min(answer.count, at + step)
            reading: while true {
                let (event, consumed) = redis.pass(Array(answer[used..<at]))
                defer { used += consumed }
                switch event {
                case .answered(let token, let range): texts.append("\(token) \(String(decoding: answer[used + range.lowerBound..<used + range.upperBound], as: UTF8.self))")
                case .needMore: break reading
                default: texts.append("\(event)")
                }
            }
        }
        #expect(texts == ["1 abc", "\(RedisClient.Event.decided(token: 2, Self.allowed))", "3 ", "4 ", "\(RedisClient.Event.failed(token: 5, .refused))", "6 "])
    }

    @Test("says who it is, and matches replies to requests in their order", arguments: [1, 2, 3, 7, 1000])
    func order(step: Int) throws {
        let redis = RedisHarness(try #require(RedisLogin(user: "u", password: "secret", database: 3)))
        #expect(redis.ask("k", policy, token: 1) == .closed)
        redis.connect()
        #expect(redis.said == "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$6\r\nsecret\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n")
        #expect(redis.ask("a", policy, token: 1) == .sent)
        #expect(redis.ask("b", policy, cost: 2, token: 2) == .sent)
        #expect(redis.said.hasSuffix("$1\r\n1\r\n$1\r\nb\r\n$6\r\n100000\r\n$1\r\n5\r\n$1\r\n2\r\n"))
        let events = redis.receive("+OK\r\n+OK\r\n*4\r\n:1\r\n:4\r\n:100000\r\n:0\r\n>1\r\n+news\r\n*4\r\n:0\r\n:0\r\n:500000\r\n:50000\r\n", step: step)
        #expect(events == [.ready, .decided(token: 1, Self.allowed), .decided(token: 2, Self.refused)])
        #expect(redis.inFlight == 0)
    }

    @Test("sends the script when Redis does not know it, behind what is in flight")
    func noScript() {
        let redis = RedisHarness()
        redis.connect()
        redis.ask("a", policy, token: 1)
        redis.ask("b", policy, token: 2)
        _ = redis.takeOutput()
        #expect(redis.receive("-NOSCRIPT No matching script.\r\n*4\r\n:1\r\n:4\r\n:100000\r\n:0\r\n") == [.decided(token: 2, Self.allowed)])
        #expect(redis.said.hasPrefix("*7\r\n$4\r\nEVAL\r\n") && redis.said.contains("redis.call('TIME')") && redis.said.contains("$1\r\na\r\n"))
        #expect(redis.receive("*4\r\n:0\r\n:0\r\n:500000\r\n:50000\r\n") == [.decided(token: 1, Self.refused)])
        // Not twice.
        redis.ask("a", policy, token: 3)
        #expect(redis.receive("-NOSCRIPT\r\n-NOSCRIPT\r\n") == [.failed(token: 3, .refused)])
    }

    @Test("tells whose time is up, and drops the late reply")
    func timeouts() {
        let redis = RedisHarness()
        redis.connect()
        #expect(redis.nextDeadline == .max)
        redis.ask("a", policy, token: 1, now: 0)
        redis.ask("b", policy, token: 2, now: 50)
        #expect(redis.nextDeadline == 100)
        #expect(redis.expire(now: 99) == nil)
        #expect(redis.expire(now: 100) == 1)
        #expect(redis.expire(now: 100) == nil)
        #expect(redis.nextDeadline == 150)
        let reply = "*4\r\n:1\r\n:4\r\n:100000\r\n:0\r\n"
        #expect(redis.receive(reply + reply) == [.decided(token: 2, Self.allowed)])
        // A script that is asked for too late is not sent.
        redis.ask("c", policy, token: 3, now: 0)
        #expect(redis.expire(now: 100) == 3)
        _ = redis.takeOutput()
        #expect(redis.receive("-NOSCRIPT\r\n") == [] && redis.output.isEmpty && redis.inFlight == 0)
    }

    @Test("is given up when nothing comes back any more")
    func stalled() throws {
        let redis = RedisHarness(pipelineMax: 64)
        redis.connect()
        for token in 0..<UInt64(RedisClient.stallAfter) { redis.ask("a", policy, token: token) }
        while redis.expire(now: 99) != nil {}
        #expect(!redis.isStalled)
        while redis.expire(now: 100) != nil {}
        #expect(redis.isStalled)
        #expect(redis.receive("*4\r\n:1\r\n:4\r\n:100000\r\n:0\r\n") == [] && !redis.isStalled)
        let silent = RedisHarness(try #require(RedisLogin(user: "", password: "p", database: 0)))
        silent.connect()
        #expect(silent.expire(now: 100) == nil && silent.isStalled)
    }

    @Test("is full, closed, and cautious with keys")
    func admission() {
        let redis = RedisHarness(pipelineMax: 8)
        redis.connect()
        #expect(redis.ask("", policy, token: 0) == .badKey)
        #expect(redis.ask(String(repeating: "k", count: 129), policy, token: 0) == .badKey)
        #expect(redis.ask(String(repeating: "k", count: 128), policy, token: 0) == .sent)
        var sent = 1
        while redis.ask("k", policy, token: UInt64(sent)) == .sent { sent += 1 }
        #expect(sent >= 8 && redis.ask("k", policy, token: 0) == .full)
        // All of them may have to be said again.
        let replies = String(repeating: "-NOSCRIPT x\r\n", count: sent)
        #expect(redis.receive(replies) == [] && redis.inFlight == sent)
        var lost: [UInt64] = []
        while let token = redis.disconnected() { lost.append(token) }
        #expect(lost == (0..<UInt64(sent)).map { $0 })
        #expect(redis.ask("k", policy, token: 0) == .closed)
        redis.connect()
        #expect(redis.ask("k", policy, token: 0) == .sent)
    }

    @Test("the longest request has room, and less is not begun")
    func room() {
        var client = RedisClient(timeout: 1)
        let key = [UInt8](repeating: 0x6b, count: RedisClient.keyBytesMax)
        let policy = RatePolicy(tokens: 1, per: RatePolicy.toleranceMax, burst: 1)!
        let (exact, less) = (RedisClient.requestBytesMax, RedisClient.requestBytesMax - 1)
        _ = written { client.connected(now: 0, to: &$0) }
        var admission = RedisClient.Admission.closed
        #expect(written(capacity: less) { admission = client.check(key.span, policy, token: 1, now: 0, to: &$0) } == [])
        #expect(admission == .noRoom)
        #expect(written(capacity: exact) { admission = client.check(key.span, policy, cost: .max, token: 1, now: 0, to: &$0) } != nil)
        #expect(admission == .sent)
        let reply = Array("-NOSCRIPT\r\n".utf8)
        var answer = (event: RedisClient.Event.ready, consumed: -1)
        #expect(written(capacity: less) { answer = client.receive(reply.span, to: &$0) } == [])
        #expect(answer == (.needRoom, 0))
        let said = written(capacity: exact) { answer = client.receive(reply.span, to: &$0) }
        #expect(answer == (.needMore, reply.count))
        #expect(said?.count ?? 0 > 500)
    }

    @Test("breaks on what is no reply to anything", arguments: [
        ("+OK\r\n", .unasked), ("x", .malformed(.unknownType)), (":a\r\n", .malformed(.badNumber)),
    ] as [(String, RedisClient.Breakage)])
    func broken(_ text: String, _ breakage: RedisClient.Breakage) {
        let redis = RedisHarness()
        redis.connect()
        #expect(redis.receive(text) == [.broken(breakage)])
        #expect(redis.ask("k", policy, token: 0) == .closed)
        #expect(redis.receive(":1\r\n") == [])
    }

    @Test("does not go on without its login")
    func loginRefused() throws {
        let redis = RedisHarness(try #require(RedisLogin(user: "", password: "wrong", database: 0)))
        redis.connect()
        redis.ask("k", policy, token: 7)
        #expect(redis.receive("-WRONGPASS invalid username-password pair\r\n") == [.broken(.loginRefused)])
        #expect(redis.lastError == "WRONGPASS invalid username-password pair")
        #expect(redis.disconnected() == 7)
        #expect(RedisLogin(user: "u", password: "", database: 0) == nil)
        #expect(RedisLogin(user: "", password: String(repeating: "p", count: 513), database: 0) == nil)
    }

    @Test("tells replies of another form from decisions", arguments: [
        "+OK\r\n", ":1\r\n", "*3\r\n:1\r\n:1\r\n:1\r\n", "*4\r\n:2\r\n:1\r\n:1\r\n:1\r\n", "*4\r\n:1\r\n:-1\r\n:1\r\n:1\r\n", "*4\r\n:1\r\n:1\r\n:1\r\n:-2\r\n", "*4\r\n:1\r\n:1\r\n:1\r\n$1\r\n1\r\n",
        "*4\r\n:1\r\n:1\r\n:1\r\n*1\r\n:1\r\n", "*5\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n", "_\r\n", "*0\r\n", "*4\r\n-NOSCRIPT\r\n:1\r\n:1\r\n:1\r\n",
    ])
    func unexpected(_ reply: String) {
        let redis = RedisHarness()
        redis.connect()
        redis.ask("k", policy, token: 7)
        #expect(redis.receive(reply) == [.failed(token: 7, .unexpectedReply)])
        redis.ask("k", policy, token: 8)
        #expect(redis.receive("*4\r\n:0\r\n:9223372036854775807\r\n:9223372036854775807\r\n:-1\r\n").count == 1)
    }
}
