// MetricsAccept: which of the formats of /metrics a scraper prefers (RFC 9110 section 12.5.1). Stateless.

internal import UringPolicy

enum MetricsAccept {
    /// The one that is wanted most; of equals OpenMetrics, then text. Who says nothing gets text, and protobuf only who names it: Prometheus does when native histograms are switched on.
    static func format(_ accept: String) -> MetricsWriter.Format {
        var (open, text, protobuf) = (0, 0, 0)
        for item in accept.split(separator: ",") {
            let parts = item.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" }.lowercased() }
            guard let type = parts.first else { continue }
            let quality = parts.dropFirst().first { $0.hasPrefix("q=") }.map { thousandths($0.dropFirst(2)) } ?? 1000
            switch type {
            case "application/openmetrics-text":
                // Without a version any will do.
                let version = parts.first { $0.hasPrefix("version=") }
                if version == nil || version == "version=1.0.0" { open = max(open, quality) }
            case "application/vnd.google.protobuf":
                let encoding = parts.first { $0.hasPrefix("encoding=") }
                guard parts.contains("proto=io.prometheus.client.metricfamily"), encoding == nil || encoding == "encoding=delimited" else { continue }
                protobuf = max(protobuf, quality)
            case "text/plain", "text/*", "*/*": text = max(text, quality)
            default: break
            }
        }
        if protobuf > open && protobuf > text { return .protobuf }
        return open > 0 && open >= text ? .openMetrics : .text
    }

    static func isOpenMetrics(_ accept: String) -> Bool { format(accept) == .openMetrics }

    /// `0.75` as 750; what is no quality is none.
    private static func thousandths(_ text: Substring) -> Int {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = Int(parts[0]), (0...1).contains(whole) else { return 0 }
        guard parts.count == 2 else { return whole * 1000 }
        let digits = parts[1].prefix(3)
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return 0 }
        return min(1000, whole * 1000 + (Int(digits + String(repeating: "0", count: 3 - digits.count)) ?? 0))
    }
}
