// What /metrics tells of where the time goes: layers, waits, what connections are doing, and who has held loops up.

internal import UringPolicy
internal import UringServer

extension MetricsPage {
    mutating func writePhases(_ sink: inout ByteSink) {
        writer.begin("uringd_loop_phase_seconds", .counter, unit: "seconds", help: "CPU time by layer, of the turns that are sampled.", to: &sink)
        for loop in figures.loops {
            for (phase, nanoseconds) in zip(LoopPhase.allCases, loop.phases.nanoseconds) {
                writer.sample([Self.label(loop), Label("phase", "\(phase)")], nanoseconds: nanoseconds, to: &sink)
            }
        }
        writer.begin("uringd_loop_phase_requests", .counter, help: "Requests that were handled in sampled turns.", to: &sink)
        for loop in figures.loops { writer.sample([Self.label(loop)], loop.phases.requests, to: &sink) }
        writer.begin(
            "uringd_request_wait_seconds", .histogram, unit: "seconds", help: "From the kernel's delivery until a sampled request was parsed: its wait for those before it.", to: &sink)
        for loop in figures.loops { write(loop.phases.queue, loop, Self.phaseBounds, isTime: true, &sink) }
        writer.begin("uringd_request_handler_seconds", .histogram, unit: "seconds", help: "Calls of handlers, filters included, of sampled requests.", to: &sink)
        for loop in figures.loops { write(loop.phases.handler, loop, Self.phaseBounds, isTime: true, &sink) }
        writer.begin(
            "uringd_request_ready_seconds", .histogram, unit: "seconds",
            help: "How long a sampled request may have lain in its socket before the loop took it, at most: since the loop last looked.", to: &sink)
        for loop in figures.loops { write(loop.phases.ready, loop, Self.phaseBounds, isTime: true, &sink) }
        writer.begin(
            "uringd_request_send_seconds", .histogram, unit: "seconds", help: "From the end of a sampled request's handler until the kernel had what its turn wrote.", to: &sink)
        for loop in figures.loops { write(loop.phases.send, loop, Self.phaseBounds, isTime: true, &sink) }
    }

    /// A handler of a gateway takes a microsecond or less.
    private static let phaseBounds: [UInt64] = [250, 500, 1000, 2500, 5000] + lagBounds

    mutating func writeActivities(_ sink: inout ByteSink) {
        writer.begin("uringd_connections_by_activity", .gauge, help: "Connections by what they are doing, estimated from a sample.", to: &sink)
        for loop in figures.loops {
            for (activity, count) in zip(ConnectionActivity.allCases, loop.census.counts) {
                let (scaled, overflow) = UInt64(count).multipliedReportingOverflow(by: UInt64(max(0, loop.connections)))
                let sample = UInt64(max(1, loop.census.sample))
                writer.sample([Self.label(loop), Label("activity", "\(activity)")], overflow ? .max : (scaled + sample / 2) / sample, to: &sink)
            }
        }
    }

    mutating func writeStalls(_ sink: inout ByteSink) {
        guard !figures.stalls.isEmpty else { return }
        writer.begin("uringd_route_stalls", .counter, help: "Handler calls that held a loop longer than the threshold, by route.", to: &sink)
        for row in figures.stalls { writer.sample([Label("route", row.route)], row.count, to: &sink) }
        writer.begin("uringd_route_stall_seconds", .counter, unit: "seconds", help: "Time that loops were held so, by route.", to: &sink)
        for row in figures.stalls { writer.sample([Label("route", row.route)], nanoseconds: row.sumNs, to: &sink) }
    }
}

extension MetricsPage {
    mutating func writeFlight(_ sink: inout ByteSink) {
        writer.begin("uringd_flight_recorder_events", .counter, help: "Events that loops have written to their flight recorders.", to: &sink)
        writer.sample([], figures.flightEvents, to: &sink)
        writer.begin("uringd_flight_recorder_dumps", .counter, help: "Files that the flight recorder has written, by reason.", to: &sink)
        for (reason, count) in zip(FlightRecorder.Reason.allCases, figures.flight.written) { writer.sample([Label("reason", reason.rawValue)], count, to: &sink) }
        writer.begin("uringd_flight_recorder_dumps_failed", .counter, help: "Files that the flight recorder could not write.", to: &sink)
        writer.sample([], figures.flight.failed, to: &sink)
        writer.begin("uringd_flight_recorder_dumps_skipped", .counter, help: "Files that were not written because another had been a moment ago.", to: &sink)
        writer.sample([], figures.flight.skipped, to: &sink)
    }
}
