// Figures of filters (FilterCounts), and of keys that are fetched (KeySource), for /metrics. Nothing without filters that count, and without `jwt.keys` of a URL. Any thread but a serving loop's.

internal import UringBase
internal import UringPolicy

extension MetricsPage {
    mutating func writeFilters(_ sink: inout ByteSink) {
        guard !figures.filters.isEmpty else { return }
        writer.begin("uringd_filter_results", .counter, help: "What filters of routes decided, by route, filter and result.", to: &sink)
        for figure in figures.filters {
            for (name, count) in figure.results { writer.sample([Label("route", figure.route), Label("filter", figure.filter), Label("result", name)], count, to: &sink) }
        }
    }

    mutating func writeKeySources(_ sink: inout ByteSink) {
        guard !figures.keySources.isEmpty else { return }
        writer.begin("uringd_jwt_keys", .gauge, help: "Keys from a URL that tokens are verified with, by URL; 0: requests that need one get 503.", to: &sink)
        for source in figures.keySources { writer.sample([Label("url", source.url)], UInt64(source.keys), to: &sink) }
        writer.begin("uringd_jwt_keys_age_seconds", .gauge, unit: "seconds", help: "Since keys were last fetched, by URL; no sample before the first time.", to: &sink)
        for source in figures.keySources { if let age = source.ageNs { writer.sample([Label("url", source.url)], nanoseconds: age, to: &sink) } }
        writer.begin("uringd_jwt_keys_fetches", .counter, help: "Fetches of keys that were begun, by URL.", to: &sink)
        for source in figures.keySources { writer.sample([Label("url", source.url)], source.fetches, to: &sink) }
        writer.begin("uringd_jwt_keys_fetch_failures", .counter, help: "Fetches of keys that failed, by URL.", to: &sink)
        for source in figures.keySources { writer.sample([Label("url", source.url)], source.failures, to: &sink) }
        writer.begin("uringd_jwt_keys_missing", .counter, help: "Requests that got 503 because there were no keys, by URL.", to: &sink)
        for source in figures.keySources { writer.sample([Label("url", source.url)], source.unavailable, to: &sink) }
    }
}
