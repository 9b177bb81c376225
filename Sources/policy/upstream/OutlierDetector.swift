// OutlierDetector: passive checks: a server whose answers fail in a row is ejected for a time. A value in the upstream's configuration that every loop copies; counts and decisions are in
// SharedServers. `record` is called for every response by the loop that got it, `sweep` by any loop's timer. The terms and semantics are Envoy's.

internal import Synchronization

package struct OutlierSettings: Sendable, Equatable {
    /// Failures in a row of whatever kind (`UpstreamOutcome.isFailure`); 0: off.
    package var consecutive5xx: UInt32 = 5
    /// Gateway failures in a row (`UpstreamOutcome.isGatewayFailure`); 0: off.
    package var consecutiveGatewayFailures: UInt32 = 5
    /// How often a server without an ejection is forgiven one, ns.
    package var intervalNs: UInt64 = 30_000_000_000
    /// The first ejection, ns; the n-th lasts n times as long.
    package var ejectNs: UInt64 = 60_000_000_000
    /// No ejection is longer, ns.
    package var ejectMaxNs: UInt64 = 300_000_000_000
    /// Most ejected servers, per cent of those that are not draining, rounded down, but one at least, and all of them only with 100. 0: none.
    package var maxEjectedPercent: UInt32 = 50

    package init() {}
}

/// How a request to a server went, for detectors and breakers.
package enum UpstreamOutcome: Sendable, Equatable, BitwiseCopyable {
    case status(UInt16)
    /// No connection.
    case connectFailure
    /// Reset, closed early, or not HTTP.
    case reset
    case timeout
    /// It says nothing about the server: the client left, or the request was refused before.
    case unknown

    @inlinable package var isFailure: Bool {
        switch self {
        case .status(let status): status >= 500
        case .connectFailure, .reset, .timeout: true
        case .unknown: false
        }
    }

    /// The server was not reached, or says of another that it was not.
    @inlinable package var isGatewayFailure: Bool {
        switch self {
        case .status(let status): 502...504 ~= status
        case .connectFailure, .reset, .timeout: true
        case .unknown: false
        }
    }
}

/// What happened to a server, for log and metrics, with the figures that led there.
package enum OutlierEvent: Sendable, Equatable {
    package enum Cause: UInt8, Sendable { case consecutive5xx, consecutiveGatewayFailures }

    /// `failures` in a row; it is used again from `until` on, ns. `ejections` in close succession, this one included.
    case ejected(server: Int, Cause, failures: UInt32, until: UInt64, ejections: UInt32)
    /// It would have been, but `ejected` servers are already, and no more may be.
    case spared(server: Int, Cause, failures: UInt32, ejected: Int)
    case returned(server: Int)
}

/// Ejects servers for all loops at once.
///
/// Exactness: failures in a row are counted over all loops, in the order in which their counts reach memory: a success that another core has just seen may come one response early or late. The share of
/// ejected servers is never exceeded. A success costs one relaxed load of the server's line, a failure one or two relaxed additions. A server returns by itself when its time is over, in every loop at the same
/// `now`; Envoy waits for its next interval.
package struct OutlierDetector: Sendable {
    package let settings: OutlierSettings

    package init(_ settings: OutlierSettings) {
        precondition(settings.maxEjectedPercent <= 100, "BUG: a share of servers is at most 100 %")
        self.settings = settings
    }

    /// Takes a response, or its absence, into account.
    package func record(_ server: Int, _ outcome: UpstreamOutcome, shared: SharedServers, now: UInt64) -> OutlierEvent? {
        guard outcome.isFailure else {
            if outcome != .unknown { forget(server, shared) }
            return nil
        }
        // What was on its way when the server was ejected says nothing new.
        guard !shared.word(server).isEjected(at: now) else { return nil }
        let failures = shared.withCell(server) { $0.consecutive5xx.wrappingAdd(1, ordering: .relaxed).newValue }
        let gatewayFailures = countGatewayFailure(server, outcome, shared)
        if settings.consecutiveGatewayFailures > 0 && gatewayFailures >= settings.consecutiveGatewayFailures {
            return eject(server, .consecutiveGatewayFailures, gatewayFailures, shared, now)
        }
        if settings.consecutive5xx > 0 && failures >= settings.consecutive5xx { return eject(server, .consecutive5xx, failures, shared, now) }
        return nil
    }

    private func forget(_ server: Int, _ shared: SharedServers) {
        shared.withCell(server) { cell in
            if cell.consecutive5xx.load(ordering: .relaxed) != 0 { cell.consecutive5xx.store(0, ordering: .relaxed) }
            if cell.consecutiveGateway.load(ordering: .relaxed) != 0 { cell.consecutiveGateway.store(0, ordering: .relaxed) }
        }
    }

    private func countGatewayFailure(_ server: Int, _ outcome: UpstreamOutcome, _ shared: SharedServers) -> UInt32 {
        shared.withCell(server) { cell in
            guard !outcome.isGatewayFailure else { return cell.consecutiveGateway.wrappingAdd(1, ordering: .relaxed).newValue }
            // A 500 comes from the server itself: the row of gateway failures ends.
            if cell.consecutiveGateway.load(ordering: .relaxed) != 0 { cell.consecutiveGateway.store(0, ordering: .relaxed) }
            return 0
        }
    }

    // MARK: Ejecting

    private func eject(_ server: Int, _ cause: OutlierEvent.Cause, _ failures: UInt32, _ shared: SharedServers, _ now: UInt64) -> OutlierEvent? {
        guard shared.ejectionClaim.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged else { return nil }
        defer { shared.ejectionClaim.store(false, ordering: .releasing) }
        // Another loop may have done it since.
        guard !shared.word(server).isEjected(at: now) else { return nil }
        let (ejected, candidates) = count(shared, now)
        forget(server, shared)
        guard ejected < allowed(of: candidates) else {
            return settings.maxEjectedPercent == 0 ? nil : .spared(server: server, cause, failures: failures, ejected: ejected)
        }
        let ejections = shared.withCell(server) { $0.ejections.wrappingAdd(1, ordering: .relaxed).newValue }
        let length = min(settings.ejectNs.saturatingProduct(UInt64(ejections)), max(settings.ejectMaxNs, settings.ejectNs))
        var until = ServerWord(bits: 0)
        // The slow start begins with the return.
        until.eject(until: now.saturatingSum(length))
        shared.setSince(server, until.ejectedUntil)
        shared.update(server) { $0.eject(until: until.ejectedUntil) }
        return .ejected(server: server, cause, failures: failures, until: until.ejectedUntil, ejections: ejections)
    }

    private func count(_ shared: SharedServers, _ now: UInt64) -> (ejected: Int, candidates: Int) {
        var ejected = 0
        var candidates = 0
        for server in 0..<shared.count {
            let word = shared.word(server)
            // A draining server takes up no place of the share, ejected or not.
            guard !word.isDraining else { continue }
            candidates += 1
            ejected += word.isEjected(at: now) ? 1 : 0
        }
        return (ejected, candidates)
    }

    /// Most servers that may be ejected of so many.
    package func allowed(of candidates: Int) -> Int {
        guard settings.maxEjectedPercent > 0 else { return 0 }
        if settings.maxEjectedPercent == 100 { return candidates }
        return min(max(candidates * Int(settings.maxEjectedPercent) / 100, 1), max(candidates - 1, 0))
    }

    // MARK: Time passing

    /// When `sweep` has something to do at the latest, ns.
    package func nextSweep(_ shared: SharedServers) -> UInt64 { shared.nextSweep.load(ordering: .relaxed) }

    /// Once per interval, whichever loop asks first: forgives an ejection to each server that is not ejected, and says which have returned.
    ///
    /// - Parameter onEvent: called for each server that has returned.
    package func sweep(_ shared: SharedServers, now: UInt64, onEvent: (OutlierEvent) -> Void) {
        let due = shared.nextSweep.load(ordering: .relaxed)
        guard now >= due else { return }
        guard shared.nextSweep.compareExchange(expected: due, desired: now.saturatingSum(settings.intervalNs), ordering: .acquiringAndReleasing).exchanged else { return }
        // The first call begins the first interval.
        guard due > 0 else { return }
        for server in 0..<shared.count where !shared.word(server).isEjected(at: now) {
            forgive(server, shared)
            let hasReturned = shared.update(server) { word in
                if word.ejectedUntil > 0 && !word.isEjected(at: now) { word.eject(until: 0) }
            }
            if hasReturned { onEvent(.returned(server: server)) }
        }
    }

    private func forgive(_ server: Int, _ shared: SharedServers) {
        shared.withCell(server) { cell in
            let ejections = cell.ejections.load(ordering: .relaxed)
            // An ejection meanwhile wins: its count stays.
            if ejections > 0 { _ = cell.ejections.compareExchange(expected: ejections, desired: ejections - 1, ordering: .relaxed) }
        }
    }
}
