// StallTable: which routes have held loops up. Written by loops when a handler took longer than the threshold, which is rare; read by /metrics and the dashboard. Any thread.

internal import UringBase

final class StallTable: Sendable {
    /// Names are the configuration's, or targets of requests where a route has none: bounded.
    static let routesMax = 64

    struct Row: Sendable {
        var route: String
        var count: UInt64 = 0
        var sumNs: UInt64 = 0
        var maxNs: UInt64 = 0
        /// When the last one was, ms since 1970.
        var lastMs: UInt64 = 0
    }

    private let rows = Locked<[Row]>([])

    func add(_ route: String, nanoseconds: UInt64, nowMs: UInt64) {
        rows.withLock { rows in
            let place: Int
            if let known = rows.firstIndex(where: { $0.route == route }) {
                place = known
            } else if rows.count < Self.routesMax - 1 {
                place = rows.count
                rows.append(Row(route: route))
            } else {
                if rows.count < Self.routesMax { rows.append(Row(route: "other")) }
                place = Self.routesMax - 1
            }
            rows[place].count &+= 1
            rows[place].sumNs &+= nanoseconds
            rows[place].maxNs = max(rows[place].maxNs, nanoseconds)
            rows[place].lastMs = nowMs
        }
    }

    /// In the order of their first stall.
    var all: [Row] { rows.withLock { $0 } }
}
