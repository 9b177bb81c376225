// Finds routes that no request reaches because an earlier one takes everything they match. Used at load time only.

/// Takes routes in their order. Exact paths are found by hash, so that thousands of them stay cheap; the few patterns that
/// take several paths or a range of hosts are compared one by one.
struct RouteShadows {
    private struct Alternative: Hashable {
        let host: HostPattern?
        let path: PathPattern?

        /// One path, and one host or all of them.
        var isExact: Bool { host?.isWildcard != true && path?.isExact == true }
        var withoutHost: Alternative { Alternative(host: nil, path: path) }

        func covers(_ other: Alternative) -> Bool {
            let takesHost = host.map { host in other.host.map(host.covers) ?? false } ?? true
            let takesPath = path.map { path in other.path.map(path.covers) ?? false } ?? true
            return takesHost && takesPath
        }
    }

    private struct Earlier {
        let name: String
        let methods: MethodSet
        let isClearOnly: Bool

        /// As far as methods and TLS go.
        func covers(_ other: Earlier) -> Bool { methods.covers(other.methods) && (!isClearOnly || other.isClearOnly) }
    }

    private var exact: [Alternative: [Earlier]] = [:]
    private var wide: [(alternative: Alternative, route: Earlier)] = []

    /// Remembers the route; returns the name of an earlier route when all of this one's alternatives are taken already.
    mutating func add(_ rule: RouteMatchRule, name: String) -> String? {
        let alternatives = Self.alternatives(rule)
        let route = Earlier(name: name, methods: rule.methods, isClearOnly: rule.isClearOnly)
        let takers = alternatives.map { taker(of: $0, route) }
        for alternative in alternatives {
            if alternative.isExact { exact[alternative, default: []].append(route) } else { wide.append((alternative, route)) }
        }
        return takers.contains(where: { $0 == nil }) ? nil : takers.first ?? nil
    }

    private func taker(of alternative: Alternative, _ route: Earlier) -> String? {
        let candidates = exact[alternative, default: []] + (alternative.host == nil ? [] : exact[alternative.withoutHost, default: []])
        if let hit = candidates.first(where: { $0.covers(route) }) { return hit.name }
        return wide.first { $0.route.covers(route) && $0.alternative.covers(alternative) }?.route.name
    }

    private static func alternatives(_ rule: RouteMatchRule) -> [Alternative] {
        let hosts: [HostPattern?] = rule.hosts.isEmpty ? [nil] : rule.hosts
        let paths: [PathPattern?] = rule.paths.isEmpty ? [nil] : rule.paths
        return hosts.flatMap { host in paths.map { Alternative(host: host, path: $0) } }
    }
}
