// SharedBans: the bans of a fleet, kept in Redis (`addresses.redis`): a task of one loop sends there what was banned or lifted here, and reads what all instances have. Once per process. Redis's clock says when
// bans end. While Redis is away, what was read last holds on, and what is new here holds here. Made with the configuration that names it, and ends with it.

internal import UringBase
internal import UringPolicy
internal import UringServer

final class SharedBans: Sendable {
    /// How often it reads, and sends what has gathered.
    static let intervalNs: UInt64 = 1_000_000_000
    /// Changes that wait for Redis; further ones are not shared, which is told.
    static let ordersMax = 10_000

    enum Order: Sendable {
        case put(BanEntry)
        case lift(Prefix)
    }

    private struct State {
        var orders: [Order] = []
        var dropped: UInt64 = 0
        var task: Task<Void, Never>?
        var isStopped = false
    }

    let server: RedisServer
    private let book: BanBook
    private let log: LogReporter?
    private let keys: [[UInt8]]
    private let state = Locked(State())

    init(_ server: RedisServer, _ book: BanBook, log: LogReporter?) {
        (self.server, self.book, self.log) = (server, book, log)
        keys = ["bans", "bans:reasons", "bans:version"].map { Array((server.configuration.prefix + $0).utf8) }
    }

    /// Something was banned or lifted here. Any thread.
    func share(_ orders: [Order]) {
        state.withLock { state in
            let room = max(0, Self.ordersMax - state.orders.count)
            state.orders += orders.prefix(room)
            state.dropped += UInt64(max(0, orders.count - room))
        }
    }

    // MARK: the task

    /// Begins, unless it has.
    /// - Parameter index: the loop's number.
    func start(on loop: ServerLoop, _ index: Int) {
        state.withLock { state in
            guard state.task == nil, !state.isStopped else { return }
            state.task = Task(executorPreference: loop.taskExecutor) { await self.run(loop, index) }
        }
    }

    /// Ends it, for good.
    func stop() {
        let task = state.withLock { state in
            state.isStopped = true
            return state.task
        }
        task?.cancel()
    }

    private func run(_ loop: ServerLoop, _ index: Int) async {
        var version = ""
        while !Task.isCancelled, ServerLoop.current != nil {
            let redis = server.onLoop(index, loop)
            if await send(redis) { await read(redis, &version, loop) }
            do { try await loop.sleep(for: .nanoseconds(Int64(Self.intervalNs))) } catch { return }
        }
    }

    /// Sends what has gathered. False: Redis does not take it now.
    private func send(_ redis: LoopRedis) async -> Bool {
        let dropped = state.withLock { state in
            defer { state.dropped = 0 }
            return state.dropped
        }
        if dropped > 0 { log?.log.warning("addresses.redis: \(dropped) changes of bans were not shared: more than \(Self.ordersMax) waited for \(server.configuration.name)") }
        while let order = state.withLock({ $0.orders.first }) {
            let answer: [UInt8]?
            switch order {
            case .lift(let prefix): answer = await redis.eval(RedisBanScripts.lift, keys: keys, words: [Array(prefix.description.utf8)])
            case .put(let entry):
                let seconds = entry.isPermanent ? 0 : max(1, (entry.until - min(entry.until, Gateway.wallNs())) / 1_000_000_000)
                answer = await redis.eval(
                    RedisBanScripts.put, keys: keys, words: [entry.prefix.description, "\(seconds)", entry.reason, "\(RedisBanScripts.entriesMax)"].map { Array($0.utf8) })
            }
            guard let answer else { return false }
            state.withLock { if !$0.orders.isEmpty { $0.orders.removeFirst() } }
            guard case .put(let entry) = order else { continue }
            if answer.elementsEqual("ok".utf8) { book.isShared(entry) } else {
                log?.log.warning("addresses.redis: the ban of \(entry.prefix) is not shared: \(server.configuration.name) has \(RedisBanScripts.entriesMax) bans, which is all it may have")
            }
            if Task.isCancelled { return false }
        }
        return true
    }

    /// Reads all bans, if there was a change.
    private func read(_ redis: LoopRedis, _ version: inout String, _ loop: ServerLoop) async {
        var entries: [BanEntry] = []
        var (offset, read) = (0, "")
        while offset <= RedisBanScripts.entriesMax {
            let words = [version, "\(offset)", "\(RedisBanScripts.pageMax)"].map { Array($0.utf8) }
            guard let bytes = await redis.eval(RedisBanScripts.page, keys: keys, words: words) else { return }
            guard let page = RedisBanPage(bytes.span, now: Gateway.wallNs()) else {
                log?.log.warning("addresses.redis: \(server.configuration.name) has something else under \(server.configuration.prefix)bans")
                return
            }
            if offset == 0 {
                if page.version == version { return }
                read = page.version
            }
            // Changed between two pages: next time.
            guard page.version == read else { return }
            entries += page.entries
            if page.lines < RedisBanScripts.pageMax { break }
            offset += RedisBanScripts.pageMax
        }
        // Sorting in thousands of bans would hold the loop.
        let (book, all) = (book, entries)
        guard (try? await loop.offload { book.take(shared: all) }) != nil else { return }
        version = read
    }
}
