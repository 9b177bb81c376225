// Figures of bans (BanBook), for /metrics. Any thread but a serving loop's.

internal import UringBase
internal import UringPolicy

extension MetricsPage {
    mutating func writeBans(_ sink: inout ByteSink) {
        let bans = figures.bans
        writer.begin("uringd_bans", .gauge, help: "Addresses and prefixes that are banned, by who has banned them.", to: &sink)
        for (source, count) in bans.held { writer.sample([Label("source", source)], count, to: &sink) }
        writer.begin("uringd_bans_made", .counter, help: "Bans that came to be at run time, by who has made them; those of the file are not among them.", to: &sink)
        for (source, count) in bans.made { writer.sample([Label("source", source)], count, to: &sink) }
        counter("uringd_bans_overflows", bans.overflows, "Bans that were not made because there were as many as there may be.", &sink)
        counter("uringd_banned_connections", bans.connections, "Connections that were reset because their address is banned.", &sink)
        counter("uringd_banned_requests", bans.requests, "Requests that got 403 because their client is banned: behind a proxy, or on a connection that is older than the ban.", &sink)
        guard let file = bans.file else { return }
        writer.begin("uringd_address_file_reads", .counter, help: "Times that addresses.file was read, by result.", to: &sink)
        writer.sample([Label("result", "success")], bans.reads, to: &sink)
        writer.sample([Label("result", "failure")], bans.failures, to: &sink)
        gauge("uringd_address_file_current", [], file.problem == nil ? 1 : 0, "Whether addresses.file is in use as it is now; 0: it is wrong, and what was read before goes on.", &sink)
    }
}
