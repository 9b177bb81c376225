// Requests that Redis has not answered, first in first out, in memory that a client allocates once. Part of RedisClient; a loop's thread.

/// Who logs in, and where. Made of configuration, before loops start.
package struct RedisLogin: Sendable {
    let user: [UInt8]
    let password: [UInt8]
    let database: UInt32

    /// Of each of the two: a password in configuration is no longer.
    package static var wordBytesMax: Int { 512 }
    package static var bytesMax: Int { 2 * wordBytesMax + 128 + 6 * RESPEncoder.partOverheadMax }

    /// - Parameters:
    ///   - user: empty: the default one, as before Redis 6.
    ///   - password: empty: no AUTH.
    ///   - database: 0: no SELECT.
    /// - Returns: nil when user or password is longer than 512 bytes, or a user has no password.
    package init?(user: String, password: String, database: UInt32) {
        (self.user, self.password, self.database) = (Array(user.utf8), Array(password.utf8), database)
        guard self.user.count <= Self.wordBytesMax, self.password.count <= Self.wordBytesMax, self.user.isEmpty || !self.password.isEmpty else { return nil }
    }

    package init() { (user, password, database) = ([], [], 0) }

    /// Answers the number of commands.
    func write(to sink: inout ByteSink) -> Int {
        var commands = 0
        if !password.isEmpty {
            RESPEncoder.begin(parts: user.isEmpty ? 2 : 3, to: &sink)
            RESPEncoder.part("AUTH", to: &sink)
            if !user.isEmpty { RESPEncoder.part(user.span, to: &sink) }
            RESPEncoder.part(password.span, to: &sink)
            commands += 1
        }
        if database != 0 {
            RESPEncoder.begin(parts: 2, to: &sink)
            RESPEncoder.part("SELECT", to: &sink)
            RESPEncoder.part(UInt64(database), to: &sink)
            commands += 1
        }
        return commands
    }
}

/// A request in flight, with what is needed to say it again.
struct PendingReply: BitwiseCopyable {
    enum Kind: UInt8 { case login, script, wholeScript, words }

    var kind: Kind
    /// No: its caller was told that time is up.
    var isAwaited: Bool
    private var keyCount: UInt8 = 0
    var token: UInt64 = 0
    var deadline: UInt64
    /// µs.
    var interval: UInt64 = 0
    var burst: UInt64 = 0
    var cost: UInt64 = 0
    private var key = InlineArray<128, UInt8>(repeating: 0)

    init(kind: Kind, deadline: UInt64) {
        (self.kind, self.deadline, isAwaited) = (kind, deadline, kind != .login)
    }

    mutating func setKey(_ bytes: Span<UInt8>) {
        for place in bytes.indices { key[place] = bytes[place] }
        keyCount = UInt8(bytes.count)
    }

    func write(isWhole: Bool, to sink: inout ByteSink) {
        RESPEncoder.begin(parts: 7, to: &sink)
        RESPEncoder.part(isWhole ? "EVAL" : "EVALSHA", to: &sink)
        RESPEncoder.part(isWhole ? RedisRateScript.source : RedisRateScript.digest, to: &sink)
        RESPEncoder.part(1 as UInt64, to: &sink)
        RESPEncoder.part(key.span.extracting(0..<Int(keyCount)), to: &sink)
        RESPEncoder.part(interval, to: &sink)
        RESPEncoder.part(burst, to: &sink)
        RESPEncoder.part(cost, to: &sink)
    }
}

/// A ring of requests in flight.
@safe
struct PendingReplies: ~Copyable {
    /// Owned: allocated in `init`, freed in `deinit`, of trivial elements.
    private let entries: UnsafeMutablePointer<PendingReply>
    private let mask: Int
    private var first = 0
    private(set) var count = 0
    /// Of the first ones, how many are given up already.
    private var abandoned = 0
    private var logins = 0

    static var capacityMax: Int { 65_536 }

    /// Two more for the login, one for a request that is said again.
    init(capacity: Int) {
        var size = 4
        while size < min(max(capacity, 1), Self.capacityMax) + 3 { size *= 2 }
        unsafe entries = .allocate(capacity: size)
        unsafe entries.initialize(repeating: PendingReply(kind: .login, deadline: 0), count: size)
        mask = size - 1
    }

    deinit { unsafe entries.deallocate() }

    var isFull: Bool { count > mask - 3 }
    var hasLogin: Bool { logins > 0 }

    mutating func append(_ pending: PendingReply) {
        precondition(count <= mask, "BUG: more requests in flight than there is room for")
        // SAFETY: within the ring, by the mask; so below.
        unsafe entries[(first &+ count) & mask] = pending
        count += 1
        if pending.kind == .login { logins += 1 }
    }

    mutating func popFirst() -> PendingReply? {
        guard count > 0 else { return nil }
        let pending = unsafe entries[first & mask]
        first = (first &+ 1) & mask
        count -= 1
        if abandoned > 0 { abandoned -= 1 }
        if pending.kind == .login { logins -= 1 }
        return pending
    }

    var nextDeadline: UInt64 { abandoned < count ? unsafe entries[(first &+ abandoned) & mask].deadline : .max }

    /// The first one that is not given up, if its time is up: gives it up and answers it.
    mutating func abandonFirst(at now: UInt64) -> PendingReply? {
        guard abandoned < count else { return nil }
        let place = (first &+ abandoned) & mask
        guard unsafe entries[place].deadline <= now else { return nil }
        abandoned += 1
        unsafe entries[place].isAwaited = false
        return unsafe entries[place]
    }
}

/// What a reply was, as far as rate decisions are concerned: an error, or a run of integers.
struct RedisReply: BitwiseCopyable {
    private var tokens = 0
    private var numbers = InlineArray<4, Int64>(repeating: 0)
    private var numberCount = 0
    private(set) var isError = false
    private(set) var isPush = false
    private var isOther = false

    var isEmpty: Bool { tokens == 0 }

    mutating func note(_ token: RESPParser.Token) {
        switch token {
        case .error where tokens == 0: isError = true
        case .push: isPush = true
        case .array(4) where tokens == 0: break
        case .integer(let number) where tokens > 0 && numberCount < 4:
            numbers[numberCount] = number
            numberCount += 1
        default: isOther = true
        }
        // At most what one aggregate of each level holds; a count, no memory.
        tokens = min(tokens + 1, 1 << 20)
    }

    func decision(burst: UInt64) -> RateDecision? {
        guard !isOther, !isError, numberCount == 4, numbers[0] == 0 || numbers[0] == 1, numbers[1] >= 0, numbers[2] >= 0, numbers[3] >= -1 else { return nil }
        return RateDecision(
            isAllowed: numbers[0] == 1, isCounted: true, limit: burst, remaining: UInt64(numbers[1]), resetAfter: Self.nanoseconds(numbers[2]),
            retryAfter: numbers[3] < 0 ? .max : Self.nanoseconds(numbers[3]))
    }

    private static func nanoseconds(_ microseconds: Int64) -> UInt64 {
        let (value, overflow) = UInt64(microseconds).multipliedReportingOverflow(by: 1000)
        return overflow ? .max : value
    }
}
