// SurgeControl: what is done while connections grow unusually fast: degradable routes answer 503, and a rate limit holds for all routes. One for all loops, kept over reloads where its
// configuration is the same; told the number of connections by SurgeWatch once a second, asked by the filters of every request.

internal import Synchronization
internal import UringBase
internal import UringHTTP
internal import UringPolicy
internal import UringServer

final class SurgeControl: Sendable {
    let configuration: SurgeConfiguration
    /// Nil: none begins.
    let limit: SharedLimit?
    private let detector: Locked<SurgeDetector>
    private let surging = Atomic<Bool>(false)
    private let log: LogReporter?

    init(_ configuration: SurgeConfiguration, log: LogReporter?) throws {
        (self.configuration, self.log) = (configuration, log)
        limit = try configuration.rateLimit.map { try SharedLimit($0, route: "surge", index: 0) }
        detector = Locked(SurgeDetector(SurgeSettings(configuration), now: 0))
    }

    /// A load of a line that is written when a surge begins or ends.
    var isSurging: Bool { surging.load(ordering: .relaxed) }

    /// Takes the number of open connections. Any thread but a loop's.
    /// - Parameter now: ns of a clock that never jumps.
    func sample(_ connections: Int, now: UInt64) {
        let (event, isSurging) = detector.withLock { detector in (detector.sample(UInt32(clamping: connections), now: now), detector.isSurging) }
        surging.store(isSurging, ordering: .relaxed)
        if let event { log?.note(Self.text(event), .surge) }
    }

    static func text(_ event: SurgeEvent) -> String {
        switch event {
        case .began(let connections, let base): "a surge began: \(connections) connections, where there were \(base)"
        case .ended(let connections, let lasted, let byTime):
            "the surge ended after \(lasted / 1_000_000_000) s with \(connections) connections\(byTime ? ": they have stayed so long that they are the new state of things" : "")"
        }
    }
}

extension SurgeSettings {
    init(_ configuration: SurgeConfiguration) {
        self.init()
        growthPercent = max(1, configuration.growth.hundredths / 100)
        windowNs = configuration.withinNs
        calmNs = configuration.holdNs
        // From the base on which growth is measured, the fewest connections of a surge are `connectionsMin`.
        baseMin = UInt32(clamping: max(1, configuration.connectionsMin * 100 / (100 + Int(growthPercent))))
    }
}

/// What a route does about a surge.
@safe
final class SurgeFilter: Sendable {
    private let control: SurgeControl
    private let refuses: Bool
    private let limit: RateLimitFilter?

    /// Nil: nothing.
    init?(_ control: SurgeControl, isDegradable: Bool, _ clients: ClientAddresses, _ bans: BanWatch?, _ log: LogReporter?) {
        self.control = control
        refuses = isDegradable && control.configuration.degrades
        limit = control.limit.map { RateLimitFilter($0, clients, bans, log) }
        if !refuses && limit == nil { return nil }
    }

    /// On a loop's thread.
    func admits(_ request: borrowing Request, _ response: inout Response, _ pass: FilterPass) -> Bool {
        guard control.isSurging else { return true }
        if refuses {
            response.problem(.serviceUnavailable, "too many connections came at once")
            response.headers["retry-after"] = "10"
            return false
        }
        return limit?.admits(request, &response, pass) ?? true
    }
}
