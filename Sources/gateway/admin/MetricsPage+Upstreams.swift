// What /metrics tells of upstreams, breakers and surges.

internal import UringPolicy
internal import UringServer

extension MetricsPage {
    private typealias Server = UpstreamSnapshot.Server

    mutating func writeUpstreams(_ sink: inout ByteSink) {
        guard !figures.upstreams.isEmpty else { return }
        gauges("uringd_upstream_healthy", "Whether active checks find the server well; 1 without any.", &sink) { $0.isHealthy ? 1 : 0 }
        gauges("uringd_upstream_ejected", "Whether the outlier detector keeps the server out.", &sink) { $0.isEjected ? 1 : 0 }
        gauges("uringd_upstream_draining", "Whether the server gets no new requests because a reload removes it.", &sink) { $0.isDraining ? 1 : 0 }
        gauges("uringd_upstream_requests_active", "Attempts that are under way.", &sink) { $0.active }
        gauges("uringd_upstream_connections", "Connections that stand, idle ones among them.", &sink) { UInt64($0.pool.open) }
        gauges("uringd_upstream_connections_idle", "Connections on which nothing is under way.", &sink) { UInt64($0.pool.idle) }
        gauges("uringd_upstream_connections_pending", "Connections that are being made.", &sink) { UInt64($0.pool.connecting) }
        gauges("uringd_upstream_requests_pending", "Requests that wait for a connection.", &sink) { UInt64($0.pool.waiting) }
        counters("uringd_upstream_requests", "Attempts that were begun; a retry is one more.", &sink) { $0.requests }
        writer.begin("uringd_upstream_responses", .counter, help: "Responses of servers, by class of the status.", to: &sink)
        for upstream in figures.upstreams {
            for server in upstream.servers {
                // As with routes: a class that never came has no sample, but for the two that alerts divide.
                for (place, count) in server.responses.enumerated() where count > 0 || place == 1 || place == 4 {
                    writer.sample(Self.labels(upstream, server) + [Label("code", "\(place + 1)xx")], count, to: &sink)
                }
            }
        }
        writer.begin("uringd_upstream_head_seconds", .counter, unit: "seconds", help: "From the beginning of an attempt until the head of its response, of all responses together.", to: &sink)
        for upstream in figures.upstreams { for server in upstream.servers { writer.sample(Self.labels(upstream, server), nanoseconds: server.headNs, to: &sink) } }
        writer.begin("uringd_upstream_failures", .counter, help: "Attempts that failed, by reason.", to: &sink)
        for upstream in figures.upstreams {
            for server in upstream.servers {
                for failure in ProxyFailure.allCases { writer.sample(Self.labels(upstream, server) + [Label("reason", "\(failure.word)")], server.failures(failure), to: &sink) }
            }
        }
        counters("uringd_upstream_cancelled", "Attempts whose client left before the head of a response.", &sink) { $0.cancelled }
        counters("uringd_upstream_ejections", "Times that the outlier detector took the server out.", &sink) { $0.ejections }
        counters("uringd_upstream_ejections_spared", "Ejections that did not happen because too many servers were out already.", &sink) { $0.spared }
        counters("uringd_upstream_checks", "Active checks that have ended.", &sink) { $0.checks }
        counters("uringd_upstream_checks_failed", "Active checks that failed.", &sink) { $0.failedChecks }
        counters("uringd_upstream_health_changes", "Changes between healthy and unhealthy.", &sink) { $0.healthTransitions }
        counters("uringd_upstream_retries", "Attempts after a request's first.", &sink, of: \.retries)
        counters("uringd_upstream_retries_over_budget", "Retries that were wanted and that the budget did not allow.", &sink, of: \.retriesOverBudget)
        counters("uringd_upstream_unavailable", "Requests that were answered 503 because no server was available.", &sink, of: \.unavailable)
        counters("uringd_upstream_lookups", "Questions after the addresses of servers that are given by name.", &sink, of: \.lookups)
        counters("uringd_upstream_lookups_failed", "Those without an answer: the addresses stayed as they were.", &sink, of: \.failedLookups)
        counters("uringd_upstream_address_changes", "Answers by which there were other servers than before.", &sink, of: \.addressChanges)
        counters("uringd_upstream_busy", "Requests that were answered 503 because each server had as many as it may.", &sink, of: \.busy)
        counters("uringd_upstream_expired", "Requests that were answered 504 because their time was over before they were sent.", &sink, of: \.expired)
    }

    mutating func writeRefusals(_ sink: inout ByteSink) {
        writer.begin("uringd_filter_refusals", .counter, help: "Requests that a filter of their route did not let pass, by filter and reason.", to: &sink)
        for refusal in figures.refusals { writer.sample([Label("filter", refusal.filter), Label("reason", refusal.reason)], refusal.count, to: &sink) }
    }

    mutating func writeBreakers(_ sink: inout ByteSink) {
        if !figures.breakers.isEmpty {
            writer.begin("uringd_breaker_state", .gauge, help: "1 for the state that the breaker of a group is in: closed, open or half_open.", to: &sink)
            for breaker in figures.breakers {
                for state in BreakerState.allCases {
                    writer.sample([Label("group", breaker.group), Label("state", state.word)], breaker.state == state ? 1 : 0, to: &sink)
                }
            }
        }
        guard let isSurging = figures.isSurging else { return }
        writer.begin("uringd_surge", .gauge, help: "Whether connections grow so fast that the configuration's surge is on.", to: &sink)
        writer.sample([], isSurging ? 1 : 0, to: &sink)
    }

    private static func labels(_ upstream: UpstreamSnapshot, _ server: Server) -> [Label] { [Label("upstream", upstream.name), Label("server", server.address)] }

    private mutating func gauges(_ name: StaticString, _ help: StaticString, _ sink: inout ByteSink, _ value: (Server) -> UInt64) {
        writer.begin(name, .gauge, help: help, to: &sink)
        for upstream in figures.upstreams { for server in upstream.servers { writer.sample(Self.labels(upstream, server), value(server), to: &sink) } }
    }

    private mutating func counters(_ name: StaticString, _ help: StaticString, _ sink: inout ByteSink, _ value: (Server) -> UInt64) {
        writer.begin(name, .counter, help: help, to: &sink)
        for upstream in figures.upstreams { for server in upstream.servers { writer.sample(Self.labels(upstream, server), value(server), to: &sink) } }
    }

    private mutating func counters(_ name: StaticString, _ help: StaticString, _ sink: inout ByteSink, of value: KeyPath<UpstreamSnapshot, UInt64>) {
        writer.begin(name, .counter, help: help, to: &sink)
        for upstream in figures.upstreams { writer.sample([Label("upstream", upstream.name)], upstream[keyPath: value], to: &sink) }
    }
}

/// What a breaker is doing.
struct BreakerFigure: Sendable {
    let group: String
    let state: BreakerState
    let isDryRun: Bool
}

extension BreakerState {
    var word: String {
        switch self {
        case .closed: "closed"
        case .open: "open"
        case .halfOpen: "half_open"
        }
    }
}

extension UpstreamSnapshot {
    /// What `/upstreams` says of it.
    var page: JSONValue {
        .object([
            "name": .string(name),
            "servers": .array(servers.map(\.page)),
            "retries": .integer(retries), "retries-over-budget": .integer(retriesOverBudget), "unavailable": .integer(unavailable), "busy": .integer(busy), "expired": .integer(expired),
            "lookups": .integer(lookups), "lookups-failed": .integer(failedLookups), "address-changes": .integer(addressChanges),
        ])
    }
}

extension UpstreamSnapshot.Server {
    /// `draining` is told before `ejected` and `unhealthy`: it is for good.
    var state: String { isDraining ? "draining" : isEjected ? "ejected" : isHealthy ? "healthy" : "unhealthy" }

    fileprivate var page: JSONValue {
        .object([
            "address": .string(address), "name": name.map { .string($0) }, "weight": .integer(UInt64(max(0, weight))), "backup": .boolean(isBackup), "state": .string(state),
            "ejected-for-ms": isEjected ? .integer(ejectedForNs / 1_000_000) : nil,
            "connections": .object([
                "open": .integer(UInt64(pool.open)), "idle": .integer(UInt64(pool.idle)), "pending": .integer(UInt64(pool.connecting)),
            ]),
            "pending": .integer(UInt64(pool.waiting)),
            "active": .integer(active), "requests": .integer(requests),
            "responses": .object(responses.enumerated().map { .init(name: "\($0 + 1)xx", value: .integer($1)) }),
            "failures": .object(ProxyFailure.allCases.map { .init(name: "\($0.word)", value: .integer(failures($0))) }),
            "cancelled": .integer(cancelled), "ejections": .integer(ejections), "checks": .integer(checks), "checks-failed": .integer(failedChecks),
            // Nothing was measured yet: no member.
            "mean-head-ms": responses.reduce(0, &+) > 0 ? .number("\(Double(headNs / responses.reduce(0, &+)) / 1e6)") : nil,
        ])
    }
}
