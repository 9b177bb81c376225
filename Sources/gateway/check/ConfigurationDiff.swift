// What a reload would change, by name: listeners, routes, upstreams, and the other keys of the top level. For `reload --plan` and the log of a
// reload. Says which keys differ and from what to what; of secrets only that they do.

package struct ConfigurationDiff: Sendable, Equatable {
    package enum Kind: String, Sendable { case listener, route, upstream, redis, key }

    package enum Change: Sendable, Equatable {
        case added
        case removed
        /// `timeouts.response: 30s → 10s`; empty when what differs must not be shown, or comes from another key (a route retries as its upstream says).
        case changed([String])
    }

    package struct Entry: Sendable, Equatable {
        package let kind: Kind
        package let name: String
        package let change: Change
    }

    /// Of one kind, what stays as it is, in the order of the new configuration.
    package struct Untouched: Sendable, Equatable {
        package let kind: Kind
        package let names: [String]
    }

    package private(set) var entries: [Entry] = []
    package private(set) var untouched: [Untouched] = []
    /// Routes that stay are tried in another order.
    package private(set) var isRouteOrderChanged = false

    package var isEmpty: Bool { entries.isEmpty && !isRouteOrderChanged }

    package init(from old: Configuration, to new: Configuration) {
        let (before, after) = (old.redacted, new.redacted)
        compare(.listener, old.listeners, new.listeners, \.address.description, Self.list(before, "listen", "address"), Self.list(after, "listen", "address"))
        compare(.route, old.routes, new.routes, \.name, Self.list(before, "routes", "name"), Self.list(after, "routes", "name"))
        compare(.upstream, old.upstreams, new.upstreams, \.name, Self.map(before, "upstreams"), Self.map(after, "upstreams"))
        compare(.redis, old.redis, new.redis, \.name, Self.map(before, "redis"), Self.map(after, "redis"))
        for (key, isEqual) in Self.keys(old, new) where !isEqual {
            entries.append(Entry(kind: .key, name: key, change: .changed(Self.differences(before[key], after[key]))))
        }
        let kept = Set(old.routes.map(\.name)).intersection(new.routes.map(\.name))
        isRouteOrderChanged = old.routes.map(\.name).filter(kept.contains) != new.routes.map(\.name).filter(kept.contains)
    }

    private static func keys(_ old: Configuration, _ new: Configuration) -> [(String, Bool)] {
        [
            ("loops", old.loops == new.loops), ("http2", old.http2 == new.http2), ("admin", old.admin == new.admin),
            ("timeouts", old.timeouts == new.timeouts), ("limits", old.limits == new.limits), ("access-log", old.accessLog == new.accessLog),
            ("log", old.logLevel == new.logLevel), ("addresses", old.addresses == new.addresses),
            ("trusted-proxies", old.trustedProxies == new.trustedProxies), ("surge", old.surge == new.surge), ("tracing", old.tracing == new.tracing),
            ("request-id", old.requestID == new.requestID), ("deadline", old.deadline == new.deadline),
            ("supervisor", old.hasSupervisor == new.hasSupervisor),
        ]
    }

    private mutating func compare<Item: Equatable>(
        _ kind: Kind, _ old: [Item], _ new: [Item], _ name: (Item) -> String, _ before: [String: JSONValue], _ after: [String: JSONValue]
    ) {
        let known = Dictionary(old.map { (name($0), $0) }, uniquingKeysWith: { first, _ in first })
        let wanted = Set(new.map(name))
        for item in old where !wanted.contains(name(item)) { entries.append(Entry(kind: kind, name: name(item), change: .removed)) }
        var equal: [String] = []
        for item in new {
            let name = name(item)
            guard let earlier = known[name] else {
                entries.append(Entry(kind: kind, name: name, change: .added))
                continue
            }
            if earlier == item {
                equal.append(name)
            } else {
                entries.append(Entry(kind: kind, name: name, change: .changed(Self.differences(before[name], after[name]))))
            }
        }
        if !equal.isEmpty { untouched.append(Untouched(kind: kind, names: equal)) }
    }

    // MARK: What differs

    private static func list(_ root: JSONValue, _ key: String, _ name: String) -> [String: JSONValue] {
        guard case .array(let items)? = root[key] else { return [:] }
        let named = items.compactMap { item -> (String, JSONValue)? in
            guard case .string(let text)? = item[name] else { return nil }
            // Addresses are listed in their one spelling.
            return (name == "address" ? (try? ListenAddress.parse(text).get())?.description ?? text : text, item)
        }
        return Dictionary(named, uniquingKeysWith: { first, _ in first })
    }

    private static func map(_ root: JSONValue, _ key: String) -> [String: JSONValue] {
        guard case .object(let members)? = root[key] else { return [:] }
        return Dictionary(members.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
    }

    /// More are not read by anybody.
    private static let differencesMax = 20

    private static func differences(_ old: JSONValue?, _ new: JSONValue?) -> [String] {
        var found: [String] = []
        collect(old, new, "", &found)
        return found.count > differencesMax ? found.prefix(differencesMax) + ["… and \(found.count - differencesMax) more"] : found
    }

    private static func collect(_ old: JSONValue?, _ new: JSONValue?, _ path: String, _ found: inout [String]) {
        guard old != new else { return }
        guard case .object(let before)? = old, case .object(let after)? = new else {
            found.append("\(path.isEmpty ? "" : path + ": ")\(text(old)) → \(text(new))")
            return
        }
        for name in (before.map(\.name) + after.map(\.name)).uniqued {
            collect(old?[name], new?[name], path.isEmpty ? name : "\(path).\(name)", &found)
        }
    }

    private static func text(_ value: JSONValue?) -> String {
        guard let value else { return "none" }
        if case .string(let text) = value { return YAMLScalar.shown(text) }
        return YAMLScalar.shown(String(decoding: value.compactBytes, as: UTF8.self))
    }
}

extension ConfigurationDiff {
    /// A line per change; "nothing changes" when there is none.
    package var text: String {
        if isEmpty { return "nothing changes\n" }
        var lines = entries.flatMap { entry -> [String] in
            switch entry.change {
            case .added: ["+ \(entry.kind.rawValue) \(entry.name)"]
            case .removed: ["- \(entry.kind.rawValue) \(entry.name)"]
            case .changed(let what):
                ["~ \(entry.kind.rawValue) \(entry.name)"] + (what.isEmpty ? ["    a secret, or what it has from another key"] : what.map { "    " + $0 })
            }
        }
        if isRouteOrderChanged { lines.append("~ the order of routes") }
        return lines.map { $0 + "\n" }.joined()
    }

    /// Names that a line lists; nobody reads more.
    private static let namesMax = 10

    /// A line per kind: `2 routes stay as they are: a, b`.
    package var untouchedText: String {
        untouched.map { same in
            let more = same.names.count - Self.namesMax
            let names = same.names.prefix(Self.namesMax).joined(separator: ", ") + (more > 0 ? " and \(more) more" : "")
            let kind = same.kind.rawValue
            return same.names.count == 1 ? "1 \(kind) stays as it is: \(names)\n" : "\(same.names.count) \(kind)\(same.kind == .redis ? "" : "s") stay as they are: \(names)\n"
        }.joined()
    }

    package var json: JSONValue {
        .object([
            "changes": .array(
                entries.map { entry in
                    var (change, what): (String, [String]?)
                    switch entry.change {
                    case .added: (change, what) = ("added", nil)
                    case .removed: (change, what) = ("removed", nil)
                    case .changed(let all): (change, what) = ("changed", all)
                    }
                    return .object([
                        "kind": .string(entry.kind.rawValue), "name": .string(entry.name), "change": .string(change),
                        "what": what.map { .array($0.map { .string($0) }) },
                    ])
                }),
            "route-order": .boolean(isRouteOrderChanged),
            "untouched": .object(untouched.map { .init(name: $0.kind.rawValue, value: .array($0.names.map { .string($0) })) }),
        ])
    }
}

extension JSONValue {
    /// The value of a member; nil when there is none, or this is no object.
    package subscript(name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }
}
