// Request rates per client, by the generic cell rate algorithm (ITU-T I.371), in a table of each loop's own. The loops' threads; nothing is allocated per request.

internal import UringHTTP

/// How many requests a client may make.
public struct RateLimitOptions: Sendable {
    /// `requests` in each `period`, at an even pace; `burst` of them may come at once.
    public var requests: Int
    /// See `requests`.
    public var period: Duration
    /// nil: `requests`.
    public var burst: Int?
    /// The policy's name in the fields `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers): letters, digits, hyphens.
    public var name = "default"
    /// Clients that each loop remembers, rounded up to a power of two; 16 bytes each. Beyond it those that were quiet longest are forgotten, and begin anew.
    public var clientsPerLoop = 65_536

    /// The defaults, for this rate.
    public init(requests: Int, per period: Duration) { (self.requests, self.period) = (requests, period) }
}

extension Middleware {
    /// Answers 429 to clients that ask too often, with `Retry-After`; every response says what is left in `RateLimit` and `RateLimit-Policy`.
    ///
    /// Each loop counts for itself, without locks: one connection is on one loop and is held to the limit exactly; a client with connections on several loops gets up to the limit on each, so at
    /// most as many times the limit as there are loops. Where that matters, use one loop's share (`requests` divided by the loops), which in turn is all that a single connection gets.
    ///
    /// - Parameters:
    ///   - options: rate, burst and memory.
    ///   - key: which client a request counts for: hash what identifies it, an API key or a user; nil: not limited. By default the peer's address, of IPv6 the /64; unix sockets
    ///     are not limited. Behind a proxy all clients have the proxy's address: give a key.
    public static func rateLimit(
        _ options: RateLimitOptions, key: (@Sendable (borrowing Request, borrowing Response) -> UInt64?)? = nil
    ) -> Middleware {
        let limit = RateLimit(options)
        let step = ResponseStep { response, note in limit.label(&response, note) }
        return Middleware { request, response, next in
            guard let client = key == nil ? addressKey(request) : key?(request, response) else { return try next(request, &response) }
            let now = response.monotonicNanoseconds
            let verdict = limit.tables.with(response) { $0.admit(client, now) }
            response.beforeSending(step, note: verdict.note)
            guard verdict.isAdmitted else { throw TooManyRequests(seconds: verdict.seconds) }
            try next(request, &response)
        }
    }

    private static func addressKey(_ request: borrowing Request) -> UInt64? {
        switch request.peer {
        case .local: nil
        case .ipv4(let address, _): UInt64(address)
        case .ipv6(let high, _, _): high | 1 << 63
        }
    }

    private struct TooManyRequests: ResponseError {
        let seconds: UInt64
        var status: HTTPStatus { .tooManyRequests }
        var message: String { "too many requests" }
        var headers: [(name: String, value: String)] { [("retry-after", "\(seconds)")] }
    }
}

private final class RateLimit: Sendable {
    let tables: LoopLocal<RateTable>
    private let name: String
    private let policy: String

    init(_ options: RateLimitOptions) {
        let requests = UInt64(max(1, options.requests))
        let burst = UInt64(max(1, options.burst ?? options.requests))
        let period = max(1, ServerOptions.nanoseconds(options.period))
        name = String(decoding: options.name.utf8.filter { $0 == 0x2d || (0x30...0x39).contains($0) || (0x61...0x7a).contains($0 | 0x20) }, as: UTF8.self)
        policy = "\"\(name)\";q=\(requests);w=\(max(1, period / 1_000_000_000))"
        let slots = options.clientsPerLoop
        tables = LoopLocal { RateTable(interval: max(1, period / requests), burst: burst, clients: slots) }
    }

    /// - Parameter note: what is left in the upper half, in how many seconds all of it is there again in the lower.
    func label(_ response: inout Response, _ note: UInt64) {
        response.headers["ratelimit-policy"] = policy
        response.addRateLimit(name, left: note >> 32, seconds: note & 0xffff_ffff)
    }
}

extension Response {
    fileprivate func addRateLimit(_ name: String, left: UInt64, seconds: UInt64) {
        // SAFETY: the loop keeps its response state in place during the call.
        unsafe state.pointee.fields.append("ratelimit: \"" as StaticString)
        unsafe state.pointee.fields.append(name)
        unsafe state.pointee.fields.append("\";r=" as StaticString)
        unsafe state.pointee.fields.appendDecimal(left)
        unsafe state.pointee.fields.append(";t=" as StaticString)
        unsafe state.pointee.fields.appendDecimal(seconds)
        unsafe state.pointee.fields.append("\r\n" as StaticString)
    }
}

/// When each client will have paid off what it asked for. Groups of four slots: a client is in one of the four of its group.
@safe
final class RateTable {
    struct Verdict {
        let isAdmitted: Bool
        /// Until the next request is admitted.
        let seconds: UInt64
        let note: UInt64
    }

    private struct Slot {
        var client: UInt64 = 0
        /// The theoretical arrival time: what lies in the past owes nothing, and its slot is free.
        var paidAt: UInt64 = 0
    }

    private static let ways = 4
    /// 16 million clients: 256 MiB.
    private static let clientsMax = 1 << 24

    private let interval: UInt64
    private let burst: UInt64
    private let tolerance: UInt64
    private let groupMask: UInt64
    private let slots: UnsafeMutablePointer<Slot>
    /// So that nobody can choose addresses that meet in one group.
    private let seed = UInt64.random(in: .min ... .max)

    init(interval: UInt64, burst: UInt64, clients: Int) {
        self.interval = interval
        self.burst = burst
        let (spread, overflow) = interval.multipliedReportingOverflow(by: burst - 1)
        tolerance = overflow ? .max / 4 : min(spread, .max / 4)
        var groups = 1
        while groups * Self.ways < min(max(clients, 1), Self.clientsMax) { groups *= 2 }
        groupMask = UInt64(groups - 1)
        unsafe slots = .allocate(capacity: groups * Self.ways)
        unsafe slots.initialize(repeating: Slot(), count: groups * Self.ways)
    }

    deinit { unsafe slots.deallocate() }

    /// Counts a request of `client` at `now` (nanoseconds).
    func admit(_ client: UInt64, _ now: UInt64) -> Verdict {
        let slot = unsafe find(Self.scramble(client ^ seed) | 1)
        let begins = unsafe max(slot.pointee.paidAt, now)
        let debt = begins &- now
        if debt > tolerance { return verdict(false, debt, waits: debt &- tolerance) }
        unsafe slot.pointee.paidAt = begins &+ interval
        return verdict(true, debt &+ interval, waits: 0)
    }

    private func verdict(_ isAdmitted: Bool, _ debt: UInt64, waits: UInt64) -> Verdict {
        let used = debt / interval &+ (debt % interval > 0 ? 1 : 0)
        let left = used < burst ? burst &- used : 0
        return Verdict(isAdmitted: isAdmitted, seconds: max(1, Self.seconds(waits)), note: min(left, 0xffff_ffff) << 32 | min(Self.seconds(debt), 0xffff_ffff))
    }

    private static func seconds(_ nanoseconds: UInt64) -> UInt64 { nanoseconds / 1_000_000_000 &+ (nanoseconds % 1_000_000_000 > 0 ? 1 : 0) }

    /// The client's slot, or that of its group whose client owes least.
    private func find(_ client: UInt64) -> UnsafeMutablePointer<Slot> {
        // Within the table: the mask is that of its groups.
        let group = unsafe slots + Int((client >> 16) & groupMask) * Self.ways
        var least = unsafe group
        for way in 0..<Self.ways {
            let slot = unsafe group + way
            if unsafe slot.pointee.client == client { return unsafe slot }
            if unsafe slot.pointee.paidAt < least.pointee.paidAt { unsafe least = unsafe slot }
        }
        unsafe least.pointee = Slot(client: client)
        return unsafe least
    }

    /// The finaliser of splitmix64.
    private static func scramble(_ number: UInt64) -> UInt64 {
        var mixed = number &+ 0x9e37_79b9_7f4a_7c15
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
