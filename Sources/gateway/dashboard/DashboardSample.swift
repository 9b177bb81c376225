// DashboardSample: what the dashboard is told each second: counters since the start, of which the page makes differences. Made on the sampler's thread. Plain values; the names of members
// are the page's (DashboardPage+Script.swift).

internal import UringBase
internal import UringServer
internal import UringTCPTrace

enum DashboardSample {
    /// Rows that a sample has at most: the routes with the most requests, the rest added up in one.
    static let routesMax = 50
    static let upstreamServersMax = 100

    /// - Parameter traced: what the TCP tracer has counted since the last sample, by port; nil without one.
    static func make(_ figures: GatewayFigures, now: UInt64, events: [OperationalLog.Line], traced: [TCPTrace.Port]? = nil) -> [UInt8] {
        JSONValue.object([
            "t": .integer(now / 1_000_000),
            "ready": .boolean(figures.isReady),
            "limit": .integer(UInt64(max(0, figures.connectionsMax))),
            "process": process(figures.process),
            "reloads": .object([
                "ok": .integer(figures.reloads.succeeded), "failed": .integer(figures.reloads.failed), "good": .boolean(figures.reloads.wasLastGood),
            ]),
            "routes": .array(routes(figures.routes)),
            "loops": .array(figures.loops.map(loop)),
            "tls": tls(figures.loops),
            "rtt": traced.map { pairs($0.filter { $0.side == .server && figures.listeningPorts.contains($0.number) }) } ?? roundTrips(figures.loops),
            "tcp": .object(["source": .string(figures.tcpSource), "ports": .array(tcp(figures.tcp?.busiest(portsMax, own: figures.listeningPorts) ?? [], traced ?? []))]),
            "stalls": .array(figures.stalls.map { .object(["route": .string($0.route), "n": .integer($0.count), "max": .integer($0.maxNs), "last": .integer($0.lastMs)]) }),
            "upstreams": .array(figures.upstreams.map(upstream)),
            "breakers": .array(figures.breakers.map { .object(["group": .string($0.group), "state": .string($0.state.word), "dry": .boolean($0.isDryRun)]) }),
            "surge": figures.isSurging.map { .boolean($0) },
            "events": .array(events.map { .object(["n": .integer($0.number), "t": .integer($0.unixMs), "level": .string($0.level), "text": .string($0.text)]) }),
        ]).compactBytes
    }

    /// What does not change while the process runs.
    static func hello(backend: String, loops: Int, pid: Int32, startNs: UInt64) -> [UInt8] {
        JSONValue.object([
            "version": .string(GatewayVersion.current), "backend": .string(backend), "loops": .integer(UInt64(loops)), "pid": .integer(UInt64(max(0, pid))),
            "start": .integer(startNs / 1_000_000),
            "bounds": .array(RouteRow.bounds.map { .integer($0) }),
            "phases": .array(LoopPhase.allCases.map { .string("\($0)") }),
            "activities": .array(ConnectionActivity.allCases.map { .string("\($0)") }),
            "rttFirstUs": .integer(RoundTripScale.firstUs), "rttLastUs": .integer(RoundTripScale.lastUs), "rttBuckets": .integer(UInt64(RoundTripScale.buckets)),
        ]).compactBytes
    }

    // MARK: parts

    private static func numbers(_ values: [UInt64]) -> JSONValue { .array(values.map { .integer($0) }) }

    private static func process(_ process: ProcessFigures) -> JSONValue {
        .object([
            "cpu": .integer(process.cpuNs / 1_000_000), "rss": .integer(process.residentBytes), "fds": .integer(process.openDescriptors),
            "fdsMax": .integer(process.descriptorsMax), "threads": .integer(process.threads),
        ])
    }

    private static func routes(_ routes: [(label: String, row: RouteRow)]) -> [JSONValue] {
        guard routes.count > routesMax else { return routes.map { route($0.label, $0.row) } }
        let sorted = routes.sorted { $0.row.requests > $1.row.requests }
        var rest = RouteRow(nil, isOther: true)
        for (_, row) in sorted.dropFirst(routesMax - 1) { rest.merge(row) }
        return sorted.prefix(routesMax - 1).map { route($0.label, $0.row) } + [route("\(sorted.count - routesMax + 1) more", rest)]
    }

    private static func route(_ label: String, _ row: RouteRow) -> JSONValue {
        .object([
            "name": .string(label), "c": numbers((1...5).map { row.requests(class: $0) }), "b": numbers(row.counts), "ns": .integer(row.sumNs), "bytes": .integer(row.bytes),
        ])
    }

    private static func loop(_ loop: LoopSnapshot) -> JSONValue {
        .object([
            "n": .integer(UInt64(loop.loop)), "conn": .integer(UInt64(max(0, loop.connections))), "accepted": .integer(loop.connectionsAccepted),
            "closed": .integer(loop.connectionsClosed), "refused": .integer(loop.connectionsRefused &+ loop.connectionsShed), "aborted": .integer(loop.connectionsAborted),
            "requests": .integer(loop.requests), "faults": .integer(loop.requestFaults), "errors": .integer(loop.handlerErrors), "stalls": .integer(loop.stalls),
            "streams": .integer(loop.http2Streams),
            "depth": distribution(loop.queueDepth), "batch": distribution(loop.batchSize), "lag": distribution(loop.lagNs),
            "timeouts": .object(loop.timeouts.filter { $0.count > 0 }.map { .init(name: $0.name, value: .integer($0.count)) }),
            "phases": .object([
                "turns": .integer(loop.phases.turns), "requests": .integer(loop.phases.requests), "ns": numbers(loop.phases.nanoseconds),
                "queue": distribution(loop.phases.queue), "handler": distribution(loop.phases.handler),
            ]),
            "census": .object(["sample": .integer(UInt64(loop.census.sample)), "counts": numbers(loop.census.counts.map { UInt64($0) })]),
        ])
    }

    /// Count and sum, of which the page makes the mean of a second; the percentiles are of all time.
    private static func distribution(_ values: LoopDistribution) -> JSONValue {
        .object(["n": .integer(values.count), "sum": .integer(values.sum), "p50": .integer(values.p50), "p99": .integer(values.p99), "max": .integer(values.max)])
    }

    private static func tls(_ loops: [LoopSnapshot]) -> JSONValue {
        func sum(_ value: (LoopHandshakes) -> UInt64) -> JSONValue { .integer(loops.reduce(0) { $0 &+ value($1.handshakes) }) }
        return .object([
            "full": sum { $0.full &- min($0.full, $0.fallback) }, "fallback": sum(\.fallback), "ticket": sum(\.ticket), "sessionID": sum(\.sessionID), "psk": sum(\.preSharedKey),
            "failed": sum(\.failed), "abandoned": sum(\.abandoned),
        ])
    }

    /// Pairs of a bucket and how many connections of the sample were in it: most of the 256 are empty.
    private static func roundTrips(_ loops: [LoopSnapshot]) -> JSONValue {
        var counts: [Int: UInt64] = [:]
        for loop in loops { for microseconds in loop.census.roundTripsUs { counts[RoundTripScale.bucket(microseconds: UInt64(microseconds)), default: 0] += 1 } }
        return .array(counts.sorted { $0.key < $1.key }.map { .array([.integer(UInt64($0.key)), .integer($0.value)]) })
    }

    /// The same of what the tracer counted.
    private static func pairs(_ ports: [TCPTrace.Port]) -> JSONValue {
        var counts = [UInt64](repeating: 0, count: RoundTripScale.buckets)
        for port in ports { for (bucket, count) in port.roundTrips.enumerated() { counts[bucket] &+= count } }
        return .array(counts.enumerated().filter { $0.element > 0 }.map { .array([.integer(UInt64($0.offset)), .integer($0.element)]) })
    }

    /// Ports that a sample has at most.
    private static let portsMax = 12

    private static func tcp(_ ports: [TCPTrace.Port], _ traced: [TCPTrace.Port]) -> [JSONValue] {
        ports.map { port in
            let recent = traced.first { $0.side == port.side && $0.number == port.number }
            return .object([
                "side": .string(port.side.rawValue), "port": .integer(UInt64(port.number)), "begun": .integer(port.begun), "established": .integer(port.established),
                "closed": .integer(port.closed), "failed": .integer(port.failed), "retransmits": .integer(port.retransmits), "samples": .integer(port.samples),
                "p50": port.roundTrip(permille: 500).map { .integer($0) }, "p99": port.roundTrip(permille: 990).map { .integer($0) }, "rtt": pairs(recent.map { [$0] } ?? []),
            ])
        }
    }

    private static func upstream(_ upstream: UpstreamSnapshot) -> JSONValue {
        .object([
            "name": .string(upstream.name), "retries": .integer(upstream.retries), "unavailable": .integer(upstream.unavailable), "busy": .integer(upstream.busy),
            "servers": .array(
                upstream.servers.prefix(upstreamServersMax).map { server in
                    .object([
                        "address": .string(server.address), "state": .string(server.state),
                        "open": .integer(UInt64(server.pool.open)), "waiting": .integer(UInt64(server.pool.waiting)),
                        "active": .integer(server.active), "requests": .integer(server.requests), "c": numbers(server.responses),
                        "failures": .integer(server.failures.reduce(0, &+)), "ns": .integer(server.headNs),
                    ])
                }),
        ])
    }
}
