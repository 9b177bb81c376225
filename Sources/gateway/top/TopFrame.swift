// TopFrame: what `uringd top` shows: two samples of the dashboard's stream as lines of text. Pure: samples and a size in, lines out.

internal import UringServer

package struct TopFrame {
    /// What does not change while a server runs: the stream's first event.
    private let hello: JSONValue
    private let old: JSONValue
    private let new: JSONValue
    private let seconds: Double

    /// - Parameters:
    ///   - old: a sample, and `new` a later one.
    package init(hello: JSONValue, from old: JSONValue, to new: JSONValue) {
        (self.hello, self.old, self.new) = (hello, old, new)
        seconds = max(0.001, (new.number("t") - old.number("t")) / 1000)
    }

    /// Lines of at most `width` characters, at most `height` of them. The most important come first.
    package func lines(width: Int, height: Int) -> [String] {
        let parts = [routes(width), loops(), upstreams(width), handshakes()].filter { !$0.isEmpty }
        var lines = head()
        // Tables of routes are long: what is behind them gets its place first.
        let behind = parts.dropFirst().reduce(0) { $0 + $1.count + 1 }
        let room = max(3, height - lines.count - 1 - behind)
        for (index, part) in parts.enumerated() {
            lines.append("")
            lines += index == 0 && part.count > room ? Array(part.prefix(room - 1)) + ["… \(part.count - room + 1) more routes"] : part
        }
        return lines.prefix(height).map { Self.cut($0, width) }
    }

    // MARK: parts

    private func head() -> [String] {
        let name = "uringd \(hello.string("version"))"
        let state = new["ready"] == .boolean(true) ? "serving" : "not ready"
        let up = Self.duration((new.number("t") - hello.number("start")) / 1000)
        let process = new["process"] ?? .null
        let cpu = difference("process", "cpu") / 10 / seconds
        let requests = sum("loops") { $0.number("requests") } / seconds
        let connections = new.items("loops").reduce(0) { $0 + $1.number("conn") }
        return [
            "\(name)  pid \(hello.count("pid"))  \(hello.string("backend"))  \(hello.count("loops")) loops  up \(up)  \(state)" + (new["surge"] == .boolean(true) ? "  SURGE" : ""),
            "\(Self.short(requests)) requests/s  \(Self.short(connections)) of \(Self.short(new.number("limit"))) connections  CPU \(Self.fixed(cpu, 1)) %  memory \(Self.bytes(process.number("rss")))  "
                + "descriptors \(process.count("fds"))/\(process.count("fdsMax"))  threads \(process.count("threads"))",
        ]
    }

    private func routes(_ width: Int) -> [String] {
        let before = Dictionary(old.items("routes").map { ($0.string("name"), $0) }, uniquingKeysWith: { first, _ in first })
        let bounds = hello.items("bounds").map(\.numeric)
        let rows = new.items("routes").map { route -> (rate: Double, total: Double, cells: [String]) in
            let earlier = before[route.string("name")] ?? .null
            let classes = Self.differences(route.items("c"), earlier.items("c"))
            let counts = Self.differences(route.items("b"), earlier.items("b"))
            let rate = classes.reduce(0, +) / seconds
            let errors = classes.count == 5 ? (classes[3], classes[4]) : (0, 0)
            let share = rate > 0 ? Self.fixed(errors.1 / (rate * seconds) * 100, 1) + " %" : "-"
            return (
                rate, route.items("c").reduce(0) { $0 + $1.numeric },
                [
                    route.string("name"), Self.short(rate), Self.short(errors.0 / seconds), Self.short(errors.1 / seconds), share, Self.quantile(0.5, counts, bounds),
                    Self.quantile(0.99, counts, bounds), Self.bytes((route.number("bytes") - earlier.number("bytes")) / seconds) + "/s",
                ]
            )
        }
        // By what happens now; what is silent by what it has had.
        let sorted = rows.sorted { ($0.rate, $0.total, $1.cells[0]) > ($1.rate, $1.total, $0.cells[0]) }
        return Self.table(["ROUTE", "REQ/S", "4XX/S", "5XX/S", "ERRORS", "P50", "P99", "SENT"], sorted.map(\.cells), nameMax: max(8, width - 64))
    }

    private func loops() -> [String] {
        let rows = new.items("loops").enumerated().map { index, loop -> [String] in
            let earlier = old.items("loops").dropFirst(index).first ?? .null
            let phases = Self.differences(loop["phases"]?.items("ns") ?? [], earlier["phases"]?.items("ns") ?? [])
            let cpu = phases.reduce(0, +) * Double(LoopPhases.period) / (seconds * 1e9) * 100
            func mean(_ name: String) -> Double? {
                let (now, then) = (loop[name] ?? .null, earlier[name] ?? .null)
                let count = now.number("n") - then.number("n")
                return count > 0 ? (now.number("sum") - then.number("sum")) / count : nil
            }
            return [
                loop.count("n"), Self.short(loop.number("conn")), Self.short((loop.number("requests") - earlier.number("requests")) / seconds),
                Self.short((loop.number("accepted") - earlier.number("accepted")) / seconds), "\(Self.fixed(cpu, 0)) %", mean("lag").map(Self.time) ?? "-",
                Self.time((loop["lag"] ?? .null).number("p99")), mean("batch").map { Self.fixed($0, 1) } ?? "-", mean("depth").map { Self.fixed($0, 1) } ?? "-", loop.count("stalls"),
            ]
        }
        return Self.table(["LOOP", "CONN", "REQ/S", "ACCEPT/S", "CPU≈", "LAG", "P99 EVER", "BATCH", "DEPTH", "STALLS"], rows, nameMax: 8)
    }

    private func upstreams(_ width: Int) -> [String] {
        let before = Dictionary(old.items("upstreams").map { ($0.string("name"), $0) }, uniquingKeysWith: { first, _ in first })
        var rows: [[String]] = []
        for upstream in new.items("upstreams") {
            let known = Dictionary((before[upstream.string("name")]?.items("servers") ?? []).map { ($0.string("address"), $0) }, uniquingKeysWith: { first, _ in first })
            for server in upstream.items("servers") {
                let earlier = known[server.string("address")] ?? .null
                let requests = server.number("requests") - earlier.number("requests")
                let taken = server.number("ns") - earlier.number("ns")
                let bad = Self.differences(server.items("c"), earlier.items("c")).last ?? 0
                rows.append([
                    "\(upstream.string("name")) \(server.string("address"))", server.string("state"), server.count("active"), Self.short(requests / seconds), Self.short(bad / seconds),
                    Self.short((server.number("failures") - earlier.number("failures")) / seconds), requests > 0 ? Self.time(taken / requests) : "-",
                ])
            }
        }
        let breakers = new.items("breakers").filter { $0.string("state") != "closed" }.map { "breaker \($0.string("group")): \($0.string("state"))\($0["dry"] == .boolean(true) ? " (dry run)" : "")" }
        return Self.table(["UPSTREAM", "STATE", "ACTIVE", "REQ/S", "5XX/S", "FAILED/S", "TIME"], rows, nameMax: max(12, width - 56)) + breakers
    }

    private func handshakes() -> [String] {
        guard let tls = new["tls"], case .object(let members) = tls, members.contains(where: { $0.value.numeric > 0 }) else { return [] }
        let rates = members.map { ($0.name, max(0, $0.value.numeric - (old["tls"] ?? .null).number($0.name)) / seconds) }
        return ["TLS handshakes/s  " + rates.map { "\($0 == "sessionID" ? "session id" : $0) \(Self.short($1))" }.joined(separator: "  ")]
    }

    // MARK: numbers

    private func difference(_ group: String, _ name: String) -> Double { max(0, (new[group] ?? .null).number(name) - (old[group] ?? .null).number(name)) }

    private func sum(_ list: String, _ value: (JSONValue) -> Double) -> Double {
        max(0, new.items(list).reduce(0) { $0 + value($1) } - old.items(list).reduce(0) { $0 + value($1) })
    }

    /// Counters begin anew with a process: less than before counts as nothing.
    private static func differences(_ new: [JSONValue], _ old: [JSONValue]) -> [Double] {
        new.enumerated().map { index, value in max(0, value.numeric - (index < old.count ? old[index].numeric : 0)) }
    }

    /// From counts by bucket; within a bucket values are taken to be spread evenly.
    static func quantile(_ share: Double, _ counts: [Double], _ bounds: [Double]) -> String {
        let total = counts.reduce(0, +)
        guard total > 0 else { return "-" }
        var passed = 0.0
        for (index, count) in counts.enumerated() {
            if count > 0, passed + count >= total * share {
                guard index < bounds.count else { return ">\(time(bounds.last ?? 0))" }
                let low = index > 0 ? bounds[index - 1] : 0
                return time(low + (bounds[index] - low) * (total * share - passed) / count)
            }
            passed += count
        }
        return "-"
    }

    // MARK: text

    /// Nanoseconds.
    static func time(_ ns: Double) -> String {
        switch ns {
        case ..<1000: "\(fixed(ns, 0)) ns"
        case ..<1e6: "\(fixed(ns / 1000, ns < 1e4 ? 1 : 0)) µs"
        case ..<1e9: "\(fixed(ns / 1e6, ns < 1e7 ? 1 : 0)) ms"
        default: "\(fixed(ns / 1e9, 1)) s"
        }
    }

    static func short(_ value: Double) -> String {
        switch value {
        case ..<0: "0"
        case ..<10: value == value.rounded() ? fixed(value, 0) : fixed(value, 1)
        case ..<10_000: fixed(value, 0)
        case ..<1e7: "\(fixed(value / 1000, 1))k"
        default: "\(fixed(value / 1e6, 1))M"
        }
    }

    static func bytes(_ value: Double) -> String {
        switch value {
        case ..<1024: "\(fixed(max(0, value), 0)) B"
        case ..<1_048_576: "\(fixed(value / 1024, 1)) KiB"
        case ..<1_073_741_824: "\(fixed(value / 1_048_576, 1)) MiB"
        default: "\(fixed(value / 1_073_741_824, 1)) GiB"
        }
    }

    static func duration(_ seconds: Double) -> String {
        let all = Int(clamping: Int64(max(0, min(seconds, 1e12))))
        let (days, hours, minutes) = (all / 86_400, all / 3600 % 24, all / 60 % 60)
        return days > 0 ? "\(days) d \(hours) h" : hours > 0 ? "\(hours) h \(minutes) min" : minutes > 0 ? "\(minutes) min \(all % 60) s" : "\(all) s"
    }

    /// What comes from elsewhere may be anything: no number is too large to be written.
    static func fixed(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "?" }
        let scale = digits == 0 ? 1.0 : digits == 1 ? 10.0 : 100.0
        let scaled = Int64((abs(value) * scale).rounded())
        let sign = value < 0 && scaled > 0 ? "-" : ""
        let whole = scaled / Int64(scale)
        guard digits > 0 else { return "\(sign)\(whole)" }
        let rest = String(scaled % Int64(scale))
        return "\(sign)\(whole).\(String(repeating: "0", count: digits - rest.count))\(rest)"
    }

    /// The first column to the left, the others to the right.
    private static func table(_ head: [String], _ rows: [[String]], nameMax: Int) -> [String] {
        guard !rows.isEmpty else { return [] }
        let rows = ([head] + rows).map { row in row.enumerated().map { $0 == 0 ? cut($1, nameMax) : $1 } }
        let widths = head.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let space = String(repeating: " ", count: widths[column] - cell.count)
                line += column == 0 ? cell + space : "  " + space + cell
            }
            return line
        }
    }

    /// Names come from configurations: what would move the cursor becomes a mark.
    private static func cut(_ text: String, _ width: Int) -> String {
        let clean = String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 || (0x7f...0x9f).contains($0.value) ? "?" : $0 }))
        return clean.count <= width ? clean : String(clean.prefix(max(0, width - 1))) + "…"
    }
}

extension JSONValue {
    fileprivate var numeric: Double {
        if case .number(let digits) = self { Double(digits) ?? 0 } else { 0 }
    }

    fileprivate func number(_ name: String) -> Double { self[name]?.numeric ?? 0 }
    fileprivate func count(_ name: String) -> String { TopFrame.fixed(number(name), 0) }
    fileprivate func string(_ name: String) -> String { self[name]?.text ?? "?" }

    fileprivate func items(_ name: String) -> [JSONValue] {
        if case .array(let items)? = self[name] { items } else { [] }
    }
}
