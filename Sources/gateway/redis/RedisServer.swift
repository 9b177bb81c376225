// RedisServer: one entry of `redis` at work. One object for all loops: what is counted and told of it; for each loop a connection of its own (LoopRedis), which its thread alone touches. Made at start and on
// reloads; one whose configuration has not changed is taken over as it is, connections included.

internal import Glibc
internal import Synchronization
internal import UringBase
internal import UringPolicy
internal import UringServer

@safe
final class RedisServer: Sendable {
    /// Why a question got no answer.
    enum Trouble: String, CaseIterable {
        /// There is no connection, and none is being made.
        case unconnected
        case timeout
        /// The connection ended before the answer, or could not be made.
        case disconnected
        /// Redis answered with an error.
        case refused
        /// An answer that is none to the question.
        case unexpected
        /// As many questions wait as may.
        case overloaded
    }

    /// Words that one loop writes and anybody reads: these, then one for each trouble.
    private enum Word: Int { case isConnected, requests, connects, troubles }
    private static let words = Word.troubles.rawValue + Trouble.allCases.count

    let configuration: RedisConfiguration
    let login: RedisLogin
    /// For all loops' connections.
    let options: HTTPClientOptions
    let client = UpstreamPool.makeClient()
    private let tls: HTTPClientTLS?
    private let log: LogReporter?
    private let loops: Int
    /// By loop, each its thread's alone; the memory goes with this object, when no loop runs any more or every loop has retired its own.
    nonisolated(unsafe) private let connections: UnsafeMutablePointer<LoopRedis?>
    nonisolated(unsafe) private let counters: UnsafeMutablePointer<Atomic<UInt64>>
    private let lines = Locked(Lines())
    private let isRetired = Atomic<Bool>(false)

    private struct Lines {
        var connected = 0
        var nextAt: UInt64 = 0
        var unwritten: UInt64 = 0
    }

    /// A line about trouble comes no more often.
    private static let lineNs: UInt64 = 1_000_000_000

    /// - Throws: for a password that is too long, or files of `tls` that cannot be used.
    init(_ configuration: RedisConfiguration, loops: Int, log: LogReporter?) throws {
        self.configuration = configuration
        (self.loops, self.log) = (loops, log)
        let password = String(decoding: configuration.password?.bytes ?? [], as: UTF8.self)
        guard let login = RedisLogin(user: configuration.username ?? "", password: password, database: UInt32(clamping: configuration.database)) else {
            throw GatewayError("redis.\(configuration.name): username and password have at most \(RedisLogin.wordBytesMax) bytes each")
        }
        self.login = login
        tls = try configuration.tls.map { try Upstream.clientTLS($0, label: "redis.\(configuration.name)") }
        var options = HTTPClientOptions()
        options.connectTimeout = .nanoseconds(Int64(clamping: configuration.timeoutNs))
        options.connectsTo = configuration.address.connectsTo
        if var tls {
            tls.offersProtocols = false
            options.tls = tls
        }
        self.options = options
        unsafe connections = .allocate(capacity: loops)
        unsafe connections.initialize(repeating: nil, count: loops)
        unsafe counters = .allocate(capacity: loops * Self.words)
        for index in 0..<loops * Self.words { unsafe (counters + index).initialize(to: Atomic(0)) }
    }

    deinit {
        unsafe connections.deinitialize(count: loops)
        unsafe connections.deallocate()
        unsafe counters.deallocate()
    }

    /// Whether it can serve another configuration as it is. Files of `tls` may have changed under their names.
    func goesOn(as wanted: RedisConfiguration, loops: Int) throws -> Bool {
        guard configuration == wanted, self.loops == loops else { return false }
        guard let now = try wanted.tls.map({ try Upstream.clientTLS($0, label: "redis.\(wanted.name)") }) else { return true }
        return tls?.isSame(as: now) ?? false
    }

    var host: String { configuration.address.host ?? "localhost" }
    var port: UInt16 { configuration.address.port ?? 0 }

    // MARK: loops

    /// The loop's connection, which is begun if there is none. On the loop's thread.
    func onLoop(_ index: Int, _ loop: ServerLoop) -> LoopRedis {
        precondition(index >= 0 && index < loops, "BUG: a loop that the gateway did not start")
        if let known = unsafe connections[index] { return known }
        let made = LoopRedis(self, index, loop)
        unsafe connections[index] = made
        // Requests that are under way since before a reload may still come.
        if isRetired.load(ordering: .relaxed) { made.retire() } else { made.connect() }
        return made
    }

    /// It is no part of the configuration any more. On the loop's thread.
    func retire(_ index: Int) {
        isRetired.store(true, ordering: .relaxed)
        guard let connection = unsafe connections[index] else { return }
        unsafe connections[index] = nil
        connection.retire()
    }

    // MARK: what is counted and told, on the loop's thread

    private func add(_ word: Int, _ loop: Int) {
        // SAFETY: words of a loop that there is; the memory lives as long as this object.
        let counter = unsafe counters + (loop * Self.words + word)
        unsafe counter.pointee.store(counter.pointee.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    }

    private func load(_ word: Int, _ loop: Int) -> UInt64 { unsafe counters[loop * Self.words + word].load(ordering: .relaxed) }

    func countRequest(_ loop: Int) { add(Word.requests.rawValue, loop) }

    func count(_ trouble: Trouble, _ loop: Int, _ detail: @autoclosure () -> String = "") {
        add(Word.troubles.rawValue + (Trouble.allCases.firstIndex(of: trouble) ?? 0), loop)
        switch trouble {
        // They come by the thousand while there is no connection, which has a line of its own.
        case .unconnected, .disconnected: break
        case .timeout: tell("\(configuration.address) has not answered within \(ConfigUnit.duration.format(configuration.timeoutNs))")
        case .refused: tell("\(configuration.address) answered \(detail())")
        case .unexpected: tell("\(configuration.address) gave an answer that is none to the question")
        case .overloaded: tell("more than \(LoopRedis.pendingMax) questions wait for \(configuration.address) on one loop")
        }
    }

    /// The connection stands, and Redis has taken the login.
    func connected(_ loop: Int) {
        unsafe counters[loop * Self.words + Word.isConnected.rawValue].store(1, ordering: .relaxed)
        add(Word.connects.rawValue, loop)
        let connected = lines.withLock { lines in
            lines.connected += 1
            return lines.connected
        }
        if connected == 1 { log?.log.notice("redis \(configuration.name): connected to \(configuration.address)") }
    }

    /// A connection is over, or could not be made.
    /// - Parameter ns: to the next; nil: nobody wants another.
    func lost(_ loop: Int, wasConnected: Bool, _ reason: String, again ns: UInt64?) {
        unsafe counters[loop * Self.words + Word.isConnected.rawValue].store(0, ordering: .relaxed)
        let left = lines.withLock { lines in
            if wasConnected { lines.connected -= 1 }
            return lines.connected
        }
        guard let ns else { return }
        tell("\(wasConnected ? "lost a connection to" : "cannot connect to") \(configuration.address): \(reason); \(left) of \(loops) loops are connected; again in \(ns / 1_000_000) ms")
    }

    private func tell(_ text: @autoclosure () -> String) {
        let now = MonotonicClock.now
        let unwritten = lines.withLock { lines -> UInt64? in
            guard now >= lines.nextAt else {
                lines.unwritten += 1
                return nil
            }
            lines.nextAt = now + Self.lineNs
            defer { lines.unwritten = 0 }
            return lines.unwritten
        }
        guard let unwritten else { return }
        log?.log.warning("redis \(configuration.name): \(text())\(unwritten > 0 ? "; \(unwritten) more since the last such line" : "")")
    }

    // MARK: figures, any thread

    struct Figures: Sendable {
        var name = ""
        var address = ""
        var loops = 0
        var connected = 0
        var requests: UInt64 = 0
        var connects: UInt64 = 0
        var troubles: [(reason: String, count: UInt64)] = []

        /// What stands in the text of /readyz.
        var line: String { "redis \(name): \(connected == loops ? "connected" : connected == 0 ? "down" : "\(connected) of \(loops) loops connected")" }
    }

    var figures: Figures {
        func sum(_ word: Int) -> UInt64 { (0..<loops).reduce(0) { $0 &+ load(word, $1) } }
        return Figures(
            name: configuration.name, address: "\(configuration.address)", loops: loops, connected: Int(sum(Word.isConnected.rawValue)), requests: sum(Word.requests.rawValue),
            connects: sum(Word.connects.rawValue),
            troubles: Trouble.allCases.enumerated().map { ($1.rawValue, sum(Word.troubles.rawValue + $0)) })
    }
}
