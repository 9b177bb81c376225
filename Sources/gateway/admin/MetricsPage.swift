// MetricsPage: the answer to /metrics: figures as Prometheus reads them. docs/operators/metrics.md lists the names; a test compares. Any thread but a serving loop's.

internal import UringBase
internal import UringHTTP
internal import UringPolicy
internal import UringServer

package struct MetricsPage {
    typealias Label = MetricsWriter.Label

    var writer: MetricsWriter
    let figures: GatewayFigures

    private init(_ figures: GatewayFigures, _ format: MetricsWriter.Format) { (self.figures, writer) = (figures, MetricsWriter(format)) }

    /// The page and its Content-Type.
    static func make(_ figures: GatewayFigures, _ format: MetricsWriter.Format) -> (bytes: [UInt8], contentType: String) {
        var room = bytesFirst
        while true {
            var page = MetricsPage(figures, format)
            var isWhole = false
            let bytes = unsafe [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
                guard let base = buffer.baseAddress else { return }
                // SAFETY: the array's own memory, during this call.
                var sink = unsafe ByteSink(base, capacity: room)
                page.write(to: &sink)
                (count, isWhole) = (sink.count, !sink.isTruncated)
            }
            if isWhole { return (bytes, "\(page.writer.contentType)") }
            room *= 2
        }
    }

    private static let bytesFirst = 128 * 1024

    private mutating func write(to sink: inout ByteSink) {
        writeGateway(&sink)
        writeRoutes(&sink)
        for figure in Self.loopFigures { writeLoops(figure, &sink) }
        writeProxyRefusals(&sink)
        writeTimeouts(&sink)
        writeHandshakes(&sink)
        writeGoAways(&sink)
        writeLoopHistograms(&sink)
        writePhases(&sink)
        writeActivities(&sink)
        writeStalls(&sink)
        writeFlight(&sink)
        writeTCP(&sink)
        writeFilters(&sink)
        writeKeySources(&sink)
        writeUpstreams(&sink)
        writeBreakers(&sink)
        writeRefusals(&sink)
        writeBans(&sink)
        writeRedis(&sink)
        writeAccessLog(&sink)
        writeSpans(&sink)
        writeProcess(&sink)
        writer.finish(to: &sink)
    }

    private mutating func writeSpans(_ sink: inout ByteSink) {
        guard let spans = figures.spans else { return }
        writer.begin("uringd_spans_exported", .counter, help: "Spans that the collector has taken.", to: &sink)
        writer.sample([], spans.exported, to: &sink)
        writer.begin("uringd_spans_dropped", .counter, help: "Spans that the collector has not got, by reason.", to: &sink)
        for (reason, count) in spans.dropped { writer.sample([Label("reason", reason)], count, to: &sink) }
        writer.begin("uringd_span_exports_failed", .counter, help: "Requests to the collector that failed, those that were repeated included.", to: &sink)
        writer.sample([], spans.exportsFailed, to: &sink)
        gauge("uringd_spans_waiting", spans.waiting, "Spans that wait to be sent, or are being sent.", &sink)
    }

    // MARK: the gateway

    mutating func gauge(_ name: StaticString, _ labels: [Label] = [], _ value: UInt64, _ help: StaticString, _ sink: inout ByteSink) {
        writer.begin(name, .gauge, help: help, to: &sink)
        writer.sample(labels, value, to: &sink)
    }

    private mutating func writeGateway(_ sink: inout ByteSink) {
        gauge("uringd_build_info", [Label("version", GatewayVersion.current)], 1, "The version; the value is always 1.", &sink)
        gauge("uringd_backend_info", [Label("backend", figures.backend)], 1, "What loops wait with, uring or epoll; the value is always 1.", &sink)
        gauge("uringd_ready", figures.isReady ? 1 : 0, "Whether /readyz says yes.", &sink)
        gauge("uringd_connections_limit", UInt64(figures.connectionsMax), "Connections that may be open at once, over all loops.", &sink)
        writer.begin("uringd_config_reloads", .counter, help: "Reloads of the configuration, by result.", to: &sink)
        writer.sample([Label("result", "success")], figures.reloads.succeeded, to: &sink)
        writer.sample([Label("result", "failure")], figures.reloads.failed, to: &sink)
        gauge("uringd_config_last_reload_successful", figures.reloads.wasLastGood ? 1 : 0, "Whether the last reload took effect; 1 before the first.", &sink)
        writer.begin("uringd_config_loaded_timestamp_seconds", .gauge, unit: "seconds", help: "When the configuration in use was taken up, Unix time.", to: &sink)
        writer.sample(nanoseconds: figures.reloads.loadedNs, to: &sink)
    }

    private mutating func gauge(_ name: StaticString, _ value: UInt64, _ help: StaticString, _ sink: inout ByteSink) { gauge(name, [], value, help, &sink) }

    // MARK: routes

    private static let classNames = ["1xx", "2xx", "3xx", "4xx", "5xx"]

    private mutating func writeRoutes(_ sink: inout ByteSink) {
        writer.begin("uringd_http_requests", .counter, help: "Answered requests, by route and class of the status.", to: &sink)
        for (label, row) in figures.routes {
            // A class that never came has no sample, but for the two that alerts divide.
            for number in 1...5 where row.requests(class: number) > 0 || number == 2 || number == 5 {
                writer.sample([Label("route", label), Label("code", Self.classNames[number - 1])], row.requests(class: number), to: &sink)
            }
        }
        writer.begin("uringd_http_request_duration_seconds", .histogram, unit: "seconds", help: "From the handler's call to the end of the response, by route.", to: &sink)
        for (label, row) in figures.routes {
            writer.histogram([Label("route", label)], counts: row.counts, bounds: RouteRow.bounds, sum: row.sumNs, isTime: true, native: row.native, to: &sink)
        }
        writer.begin("uringd_http_response_bytes", .counter, unit: "bytes", help: "Bytes of responses, heads included, by route.", to: &sink)
        for (label, row) in figures.routes { writer.sample([Label("route", label)], row.bytes, to: &sink) }
        writer.begin("uringd_grpc_responses", .counter, help: "Calls of gRPC that were answered, by route and grpc-status.", to: &sink)
        for (label, row) in figures.routes {
            for (number, count) in row.grpcCounts.enumerated() where count > 0 { writer.sample([Label("route", label), Label("code", "\(GRPC.statusNames[number])")], count, to: &sink) }
        }
    }

    // MARK: loops

    private mutating func writeLoops(_ figure: LoopFigure, _ sink: inout ByteSink) {
        writer.begin(figure.name, figure.isGauge ? .gauge : .counter, unit: figure.unit, help: figure.help, to: &sink)
        for loop in figures.loops { writer.sample([Self.label(loop)], figure.value(loop), to: &sink) }
    }

    static func label(_ loop: LoopSnapshot) -> Label { Label("loop", "\(loop.loop)") }

    private mutating func writeProxyRefusals(_ sink: inout ByteSink) {
        writer.begin("uringd_proxy_protocol_refused", .counter, help: "Connections of listeners with proxy-protocol that were closed for what they began with, by reason.", to: &sink)
        for (reason, count) in figures.proxyRefusals { writer.sample([Label("reason", reason)], count, to: &sink) }
    }

    private mutating func writeTimeouts(_ sink: inout ByteSink) {
        writer.begin("uringd_timeouts", .counter, help: "Connections that a time limit has ended, by limit.", to: &sink)
        for loop in figures.loops {
            for (name, count) in loop.timeouts { writer.sample([Self.label(loop), Label("clock", name)], count, to: &sink) }
        }
    }

    private mutating func writeHandshakes(_ sink: inout ByteSink) {
        writer.begin("uringd_tls_handshakes", .counter, help: "TLS handshakes that have ended, by kind: each is counted once.", to: &sink)
        for loop in figures.loops {
            let kinds = loop.handshakes
            let counts: [(String, UInt64)] = [
                // The fall-backs are among the full ones.
                ("full", kinds.full - min(kinds.full, kinds.fallback)), ("fallback", kinds.fallback), ("ticket", kinds.ticket), ("session_id", kinds.sessionID),
                ("psk", kinds.preSharedKey), ("failed", kinds.failed), ("abandoned", kinds.abandoned),
            ]
            for (kind, count) in counts { writer.sample([Self.label(loop), Label("kind", kind)], count, to: &sink) }
        }
        writer.begin("uringd_tls_handshake_failures", .counter, help: "TLS handshakes that have failed, by reason.", to: &sink)
        for loop in figures.loops {
            for (reason, count) in loop.handshakes.failures { writer.sample([Self.label(loop), Label("reason", reason)], count, to: &sink) }
        }
        writer.begin("uringd_tls_sessions", .counter, help: "Complete TLS handshakes, by version.", to: &sink)
        for loop in figures.loops {
            writer.sample([Self.label(loop), Label("version", "1.2")], loop.handshakes.tls12, to: &sink)
            writer.sample([Self.label(loop), Label("version", "1.3")], loop.handshakes.tls13, to: &sink)
        }
    }

    private mutating func writeGoAways(_ sink: inout ByteSink) {
        writer.begin("uringd_http2_goaways_sent", .counter, help: "GOAWAY frames that were sent, by error code.", to: &sink)
        for loop in figures.loops {
            for (code, count) in loop.http2GoAwaysSent { writer.sample([Self.label(loop), Label("code", code)], count, to: &sink) }
        }
    }

    // MARK: histograms of loops

    /// Turns of 10 µs are usual, and 10 ms is the stall threshold's order.
    static let lagBounds: [UInt64] = [
        10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000, 1_000_000_000,
    ]
    private static let sizeBounds: [UInt64] = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]

    private mutating func writeLoopHistograms(_ sink: inout ByteSink) {
        writer.begin("uringd_loop_queue_depth", .histogram, help: "Completions that one turn of a loop found.", to: &sink)
        for loop in figures.loops { write(loop.queueDepth, loop, Self.sizeBounds, isTime: false, &sink) }
        writer.begin("uringd_loop_batch_size", .histogram, help: "Requests that one turn of a loop handled.", to: &sink)
        for loop in figures.loops { write(loop.batchSize, loop, Self.sizeBounds, isTime: false, &sink) }
        writer.begin("uringd_loop_lag_seconds", .histogram, unit: "seconds", help: "Work of one turn of a loop: how long whoever comes meanwhile waits.", to: &sink)
        for loop in figures.loops { write(loop.lagNs, loop, Self.lagBounds, isTime: true, &sink) }
    }

    mutating func write(_ distribution: LoopDistribution, _ loop: LoopSnapshot, _ bounds: [UInt64], isTime: Bool, _ sink: inout ByteSink) {
        var counts = [UInt64](repeating: 0, count: bounds.count + 1)
        for bucket in distribution.buckets {
            // The recorder's buckets are 3 % wide: one that reaches over a bound counts above it.
            counts[bounds.firstIndex { bucket.range.upperBound <= $0 } ?? bounds.count] += bucket.count
        }
        let native = isTime && writer.format == .protobuf ? Self.native(distribution) : nil
        writer.histogram([Self.label(loop)], counts: counts, bounds: bounds, sum: distribution.sum, isTime: isTime, native: native, to: &sink)
    }

    /// The recorder's buckets are narrower than the scale's: each counts where its upper bound lies.
    private static func native(_ distribution: LoopDistribution) -> NativeBuckets {
        var counts = [UInt64](repeating: 0, count: NativeScale.places)
        for bucket in distribution.buckets { counts[NativeScale.place(nanoseconds: bucket.range.upperBound)] += bucket.count }
        return NativeBuckets(schema: NativeScale.schema, counts: counts.enumerated().filter { $0.element > 0 }.map { (NativeScale.index(place: $0.offset), $0.element) })
    }

    // MARK: log and process

    private mutating func writeAccessLog(_ sink: inout ByteSink) {
        guard !figures.accessLog.isEmpty else { return }
        var total = AccessLogCounters()
        for counters in figures.accessLog {
            total.linesWritten &+= counters.linesWritten
            total.linesDropped &+= counters.linesDropped
            total.writeFailures &+= counters.writeFailures
        }
        counter("uringd_access_log_lines", total.linesWritten, "Lines that the access log's file has taken.", &sink)
        counter("uringd_access_log_lines_dropped", total.linesDropped, "Lines that were given up because the file took no more.", &sink)
        counter("uringd_access_log_failures", total.writeFailures, "Writes of the access log that have failed.", &sink)
    }

    mutating func counter(_ name: StaticString, _ value: UInt64, _ help: StaticString, _ sink: inout ByteSink) {
        writer.begin(name, .counter, help: help, to: &sink)
        writer.sample([], value, to: &sink)
    }

    /// The names that every exporter has.
    private mutating func writeProcess(_ sink: inout ByteSink) {
        let process = figures.process
        writer.begin("process_cpu_seconds", .counter, unit: "seconds", help: "User and system time.", to: &sink)
        writer.sample(nanoseconds: process.cpuNs, to: &sink)
        writer.begin("process_start_time_seconds", .gauge, unit: "seconds", help: "When the process began, Unix time.", to: &sink)
        writer.sample(nanoseconds: process.startNs, to: &sink)
        writer.begin("process_resident_memory_bytes", .gauge, unit: "bytes", help: "Memory that is resident.", to: &sink)
        writer.sample([], process.residentBytes, to: &sink)
        writer.begin("process_virtual_memory_bytes", .gauge, unit: "bytes", help: "Address space in use.", to: &sink)
        writer.sample([], process.virtualBytes, to: &sink)
        gauge("process_open_fds", process.openDescriptors, "Open file descriptors.", &sink)
        gauge("process_max_fds", process.descriptorsMax, "The limit of open file descriptors.", &sink)
        gauge("process_threads", process.threads, "Threads.", &sink)
    }
}
