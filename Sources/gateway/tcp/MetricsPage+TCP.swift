// What /metrics tells of TCP, as the tracer in the kernel has counted it.

internal import UringBase
internal import UringPolicy
internal import UringTCPTrace

extension MetricsPage {
    /// Others may share the cgroup, and upstreams may be many: ports beyond these are `other`.
    private static let portsMax = 32

    mutating func writeTCP(_ sink: inout ByteSink) {
        writer.begin("uringd_tcp_tracer", .gauge, help: "1 for where round trips come from: ebpf, tcp_info (a sample of connections) or off (the same, with the tracer not wanted).", to: &sink)
        for source in ["ebpf", "tcp_info", "off"] { writer.sample([Label("source", source)], figures.tcpSource == source ? 1 as UInt64 : 0, to: &sink) }
        guard let trace = figures.tcp else { return }
        let ports = trace.busiest(Self.portsMax, own: figures.listeningPorts)
        let counters: [(StaticString, StaticString, (TCPTrace.Port) -> UInt64)] = [
            ("uringd_tcp_connections_begun", "SYN segments that processes of the cgroup have sent, or received and answered, by the server's port.", { $0.begun }),
            ("uringd_tcp_connections_established", "Connections that were established, by the server's port.", { $0.established }),
            ("uringd_tcp_connections_closed", "Connections that have ended, by the server's port.", { $0.closed }),
            ("uringd_tcp_connections_failed", "Connections that were begun and refused, or not answered, by the server's port.", { $0.failed }),
            ("uringd_tcp_retransmits", "Segments that were sent again, by the server's port.", { $0.retransmits }),
        ]
        for (name, help, value) in counters {
            writer.begin(name, .counter, help: help, to: &sink)
            for port in ports { writer.sample(Self.labels(port), value(port), to: &sink) }
        }
        writer.begin("uringd_tcp_round_trip_seconds", .histogram, unit: "seconds", help: "Smoothed round trips of connections, one for each that the kernel measured, by the server's port.", to: &sink)
        for port in ports { write(port, &sink) }
        writer.begin("uringd_tcp_counts_lost", .counter, help: "Counts of the TCP tracer that found no room: there are too many ports.", to: &sink)
        writer.sample([], trace.lost, to: &sink)
    }

    private static func labels(_ port: TCPTrace.Port) -> [Label] { [Label("side", port.side.rawValue), Label("port", TCPTraceText.name(port))] }

    private static let roundTripBounds: [UInt64] = [
        250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000, 250_000_000, 500_000_000, 1_000_000_000,
    ]

    private mutating func write(_ port: TCPTrace.Port, _ sink: inout ByteSink) {
        var counts = [UInt64](repeating: 0, count: Self.roundTripBounds.count + 1)
        var sum: UInt64 = 0
        for (bucket, count) in port.roundTrips.enumerated() where count > 0 {
            // The last has no end.
            let end = bucket + 1 < RoundTripScale.buckets ? RoundTripScale.lowerBound(bucket + 1) : .max
            counts[Self.roundTripBounds.firstIndex { end <= $0 } ?? Self.roundTripBounds.count] &+= count
            let (product, overflow) = count.multipliedReportingOverflow(by: RoundTripScale.lowerBound(bucket))
            sum = overflow ? .max : sum.addingReportingOverflow(product).overflow ? .max : sum &+ product
        }
        writer.histogram(Self.labels(port), counts: counts, bounds: Self.roundTripBounds, sum: sum, isTime: true, to: &sink)
    }
}
