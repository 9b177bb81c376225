import Foundation
import Testing
import UringBase

@testable import UringPolicy

@Suite("Metrics")
struct MetricsWriterTests {
    private func everything(_ format: MetricsWriter.Format) -> String? {
        var histogram = Histogram()
        for value in [50_000, 100_000, 2_000_000, 3_000_000_000, 60_000_000_000] as [UInt64] { histogram.record(value) }
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 16_384)
        defer { unsafe memory.deallocate() }
        var sink = unsafe ByteSink(memory, capacity: 16_384)
        var writer = MetricsWriter(format)
        writer.begin("uring_requests", .counter, help: "Requests that were \"answered\",\nby C:\\status.", to: &sink)
        writer.sample([.init("route", "a\"b\\c\nd"), .init("status", "200")], UInt64.max, to: &sink)
        writer.sample([.init("route", "ü"), .init("status", "404")], UInt64(0), to: &sink)
        writer.begin("uring_temperature_celsius", .gauge, unit: "celsius", help: "A gauge.", to: &sink)
        writer.sample(signed: -5, to: &sink)
        writer.begin("uring_handler_seconds", .histogram, unit: "seconds", help: "Handlers.", to: &sink)
        writer.histogram([.init("loop", "0")], histogram, bounds: [100_000, 2_500_000, 10_000_000_000], to: &sink)
        writer.histogram([.init("loop", "1")], Histogram(), bounds: [100_000], to: &sink)
        writer.finish(to: &sink)
        return sink.isTruncated ? nil : sink.withBytes { bytes in String(decoding: (0..<bytes.count).map { bytes[$0] }, as: UTF8.self) }
    }

    @Test("in text format 0.0.4")
    func text() {
        #expect(everything(.text) == #"""
            # HELP uring_requests_total Requests that were "answered",\nby C:\\status.
            # TYPE uring_requests_total counter
            uring_requests_total{route="a\"b\\c\nd",status="200"} 18446744073709551615
            uring_requests_total{route="ü",status="404"} 0
            # HELP uring_temperature_celsius A gauge.
            # TYPE uring_temperature_celsius gauge
            uring_temperature_celsius -5
            # HELP uring_handler_seconds Handlers.
            # TYPE uring_handler_seconds histogram
            uring_handler_seconds_bucket{loop="0",le="0.0001"} 1
            uring_handler_seconds_bucket{loop="0",le="0.0025"} 3
            uring_handler_seconds_bucket{loop="0",le="10.0"} 4
            uring_handler_seconds_bucket{loop="0",le="+Inf"} 5
            uring_handler_seconds_sum{loop="0"} 63.00215
            uring_handler_seconds_count{loop="0"} 5
            uring_handler_seconds_bucket{loop="1",le="0.0001"} 0
            uring_handler_seconds_bucket{loop="1",le="+Inf"} 0
            uring_handler_seconds_sum{loop="1"} 0.0
            uring_handler_seconds_count{loop="1"} 0

            """#)
    }

    @Test("in OpenMetrics 1.0")
    func openMetrics() throws {
        let text = try #require(everything(.openMetrics))
        #expect(text.hasPrefix("# HELP uring_requests Requests that were \\\"answered\\\",\\nby C:\\\\status.\n# TYPE uring_requests counter\nuring_requests_total{"))
        #expect(text.contains("# UNIT uring_handler_seconds seconds\n") && text.hasSuffix("\n# EOF\n"))
    }

    @Test("promtool has nothing to say", .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/promtool"), "promtool is not installed (apt-get install prometheus)"))
    func promtool() throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("metrics-\(UInt32.random(in: 0 ... .max))")
        try #require(everything(.text)).write(to: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: file) }
        // By the shell, which waits: Process needs a run loop.
        let status = unsafe system("/usr/bin/promtool check metrics < \(file.path) > \(file.path).out 2>&1")
        let said = try? String(contentsOf: URL(fileURLWithPath: file.path + ".out"), encoding: .utf8)
        try? FileManager.default.removeItem(atPath: file.path + ".out")
        #expect(status == 0 && said == "", "\(said ?? "")")
    }
}
