// The option table, continued: what concerns the gateway as a whole. As ConfigSchema+Options.swift: a row changes validation,
// `uringd schema` and docs/operators/configuration.md.

private let ms: UInt64 = 1_000_000
private let second: UInt64 = 1_000_000_000
private let minute: UInt64 = 60 * second
private let hour: UInt64 = 3600 * second
private let day: UInt64 = 86_400 * second
private let percent: UInt64 = 100

extension ConfigSchema {
    static let gatewayOptions: [ConfigOption] = [
        ConfigOption(
            "upstreams", .map(.name, .group(upstream), counts: 0...ConfigLimits.upstreamsMax), default: "{}",
            "Groups of servers by name, for `proxy`, `mirror` and `auth-request` of routes.", example: "{ orders: { servers: [\"127.0.0.1:9001\"] } }"),
        ConfigOption("addresses", .group(addresses), default: "{}", "Who may connect. Changed at run time through the administration too.", example: "{ deny: [192.0.2.0/24] }"),
        ConfigOption(
            "trusted-proxies", .list(.text(.addressPrefix), counts: 0...10_000), default: "[]",
            "Prefixes of proxies before this one. Only from them X-Forwarded-For, Forwarded and the PROXY protocol say who the client is.", example: "[10.0.0.0/8]"),
        ConfigOption("surge", .group(surge), "What happens while connections grow unusually fast. Without the key nothing.", example: "{ connections-growth: 200%, within: 1m, then: { degrade: true } }"),
        ConfigOption("redis", .map(.name, .group(redis), counts: 0...16), default: "{}", "Redis servers by name, for limits and bans of a fleet.", example: "{ main: { address: \"127.0.0.1:6379\" } }"),
        ConfigOption("tracing", .group(tracing), "Sends spans by OTLP over HTTP. Without the key trace headers only pass through.", example: "{ endpoint: \"http://127.0.0.1:4318/v1/traces\" }"),
        ConfigOption("request-id", .group(requestID), "Gives every request an id, for logs and upstreams. Without the key there is none.", example: "{ header: x-request-id }"),
        ConfigOption("deadline", .group(deadline), default: "{}", "How the remaining time of a request travels: milliseconds in a header.", example: "{ trust: trusted }"),
        ConfigOption(
            "supervisor", .boolean, default: "false",
            "Whether a process of its own holds the listeners and starts the server again when it dies. Takes effect at start.", example: "true"),
        ConfigOption(
            "include", .oneOrMany(.text(.path), counts: 1...64),
            "Files whose keys are added: their routes and listeners come before those of this file, in the order of the list; `*` and `?` stand for names, taken in alphabetical order. They are found, and paths in them start, at the directory of this file. They include nothing themselves.",
            example: "[routes/*.yaml]"),
        ConfigOption("lint", .group(lint), default: "{}", "Which warnings are not given.", example: "{ allow: [admin-exposed] }"),
        ConfigOption(
            "expectations", .list(.group(expectation), counts: 0...10_000), default: "[]",
            "Requests and what must become of them, tried by `uringd check` and when the configuration is loaded, without a server.",
            example: "[{ request: \"GET https://example.com/healthz\", route: health }]"),
    ]

    static let addresses = ConfigGroup([
        ConfigOption("deny", .list(.text(.addressPrefix), counts: 0...100_000), default: "[]", "Prefixes whose connections are closed at once. Wins over `allow`.", example: "[192.0.2.0/24]"),
        ConfigOption("allow", .list(.text(.addressPrefix), counts: 0...100_000), default: "[]", "When there are any, nobody else may connect.", example: "[10.0.0.0/8, \"fd00::/8\"]"),
        ConfigOption(
            "file", .text(.path),
            "A prefix per line, `#` begins a comment; banned. `deny PREFIX until=TIME reason=TEXT` for a time, `allow PREFIX` for who is never banned. Read again when it changes, and on reloads; while it is wrong, what was read before goes on.",
            example: "banned.txt"),
        ConfigOption("redis", .text(.name), "A name below `redis`, through which a fleet shares its bans.", example: "main"),
        ConfigOption("ban", .list(.group(banRule), counts: 0...32), default: "[]", "Rules by which addresses are banned for a time.", example: "[{ name: guessing, on: [\"401\"], count: 20, within: 1m, for: 10m }]"),
    ])

    static let banRule = ConfigGroup([
        ConfigOption("name", .text(.name), required: true, "The name in logs and metrics.", example: "guessing"),
        ConfigOption(
            "on", .list(.text(.banReason), counts: 1...16), required: true,
            "What counts: a status as in `\"401\"` or `5xx`, `rate-limit` (refused by one), `malformed` (not HTTP), `handshake` (failed TLS).", example: "[\"401\", \"403\"]"),
        ConfigOption("count", .integer(ConfigRange(1, 1_000_000)), required: true, "How many of them. They wear off evenly: one in `within` divided by `count`.", example: "20"),
        ConfigOption("within", .unit(.duration, ConfigRange(second, day)), required: true, "In which time.", example: "1m"),
        ConfigOption("for", .unit(.duration, ConfigRange(second, 365 * day)), required: true, "How long the ban lasts.", example: "10m"),
        ConfigOption("prefix", .integer(ConfigRange(8, 32)), default: "32", "Length of the IPv4 prefix that counts, and is banned, as one.", example: "24"),
        ConfigOption("prefix-v6", .integer(ConfigRange(16, 128)), default: "64", "The same for IPv6.", example: "48"),
        ConfigOption("growth", .integer(ConfigRange(1, 100)), default: "1", "How many times as long as the last the next ban of the same client is.", example: "2"),
        ConfigOption("longest", .unit(.duration, ConfigRange(second, 365 * day)), default: "1d", "The longest that a ban grows to; at least `for`.", example: "7d"),
        ConfigOption("forget-after", .unit(.duration, ConfigRange(second, 365 * day)), default: "1d", "Whose last ban ended so long ago begins with `for` anew.", example: "1h"),
    ])

    static let surge = ConfigGroup([
        ConfigOption("connections-growth", .unit(.percent, ConfigRange(10 * percent, 100_000 * percent)), required: true, "Growth of open connections that begins it; with 200% there are three times as many.", example: "200%"),
        ConfigOption("within", .unit(.duration, ConfigRange(second, hour)), required: true, "The time in which they grow.", example: "1m"),
        ConfigOption("minimum-connections", .integer(ConfigRange(1, 10_000_000)), default: "100", "With fewer open there is no surge.", example: "1000"),
        ConfigOption("hold", .unit(.duration, ConfigRange(second, day)), default: "1m", "How long growth must have been below it before the measures end.", example: "5m"),
        ConfigOption("then", .group(surgeMeasures), required: true, "What is done meanwhile.", example: "{ rate-limit: { key: address, rate: 10/s } }"),
    ])

    static let surgeMeasures = ConfigGroup([
        ConfigOption("rate-limit", .group(rateLimit), "A limit on all routes, besides their own. A key `jwt.CLAIM` is not possible.", example: "{ key: address, rate: 10/s }"),
        ConfigOption("degrade", .boolean, default: "true", "Whether routes with `degradable: true` answer 503.", example: "false"),
    ])

    static let redis = ConfigGroup([
        ConfigOption("address", .text(.upstreamAddress), required: true, "HOST:PORT, [V6]:PORT or unix:PATH.", example: "\"127.0.0.1:6379\""),
        ConfigOption("username", .text(.line), "For AUTH, with `password`.", example: "uringd"),
        ConfigOption("password", .secret, "For AUTH.", example: "{ file: redis.password }"),
        ConfigOption("database", .integer(ConfigRange(0, 1_000_000)), default: "0", "The number for SELECT.", example: "1"),
        ConfigOption("timeout", .unit(.duration, ConfigRange(ms, minute)), default: "100ms", "For connecting, and for each answer. Beyond it the server counts as down.", example: "50ms"),
        ConfigOption("tls", .wordOrGroup(["on", "off"], upstreamTLS), default: "\"off\"", "Speaks TLS.", example: "{ ca: internal-ca.pem }"),
        ConfigOption("prefix", .text(.line), default: "\"uringd:\"", "Stands before every key; 31 bytes at most. The same for all instances that count together.", example: "\"edge:\""),
    ])

    static let tracing = ConfigGroup([
        ConfigOption("endpoint", .text(.url), required: true, "Where spans are posted.", example: "\"http://127.0.0.1:4318/v1/traces\""),
        ConfigOption("sample", .unit(.percent, ConfigRange(1, 100 * percent, zeroIsOff: true)), default: "1%", "The share of traces that begin here and are sent. A trace that comes in keeps its own decision.", example: "10%"),
        ConfigOption("service-name", .text(.line), default: "uringd", "The resource's `service.name`.", example: "edge"),
        ConfigOption("trust", .choice(["all", "trusted", "none"]), default: "all", "Whose `traceparent` is continued: everybody's, that of `trusted-proxies`, or nobody's.", example: "trusted"),
        ConfigOption("queue", .integer(ConfigRange(64, 1_000_000)), default: "2048", "Spans that wait to be sent; beyond it they are dropped and counted. Requests never wait.", example: "8192"),
        ConfigOption("batch", .integer(ConfigRange(1, 10_000)), default: "512", "Spans in one request.", example: "256"),
        ConfigOption("flush", .unit(.duration, ConfigRange(100 * ms, 10 * minute)), default: "5s", "The longest time that a span waits.", example: "1s"),
        ConfigOption("timeout", .unit(.duration, ConfigRange(100 * ms, minute)), default: "10s", "How long the collector may take.", example: "2s"),
        ConfigOption("headers", .map(.headerName, .secret, counts: 0...16), default: "{}", "Header fields of these requests. Their values are never printed.", example: "{ authorization: { file: otlp.token } }"),
    ])

    static let requestID = ConfigGroup([
        ConfigOption("header", .text(.headerName), default: "x-request-id", "Its name, in requests to upstreams and in responses.", example: "x-correlation-id"),
        ConfigOption("trust", .choice(["all", "trusted", "none"]), default: "trusted", "Whose id is kept: everybody's, that of `trusted-proxies`, or nobody's.", example: "none"),
        ConfigOption("respond", .boolean, default: "true", "Whether responses carry it.", example: "false"),
    ])

    static let deadline = ConfigGroup([
        ConfigOption("header", .text(.headerName), default: "x-timeout-ms", "Its name, in requests that come and in those to upstreams.", example: "x-request-timeout-ms"),
        ConfigOption("trust", .choice(["all", "trusted", "none"]), default: "trusted", "Who may shorten the time of a request by it; nobody can lengthen it.", example: "none"),
    ])

    static let lint = ConfigGroup([
        ConfigOption("allow", .list(.choice(ConfigLint.allCases.map(\.rawValue)), counts: 0...ConfigLint.allCases.count), default: "[]", "Names of warnings, as they stand in brackets behind them.", example: "[admin-exposed, no-timeout]")
    ])

    static let expectation = ConfigGroup([
        ConfigOption("request", .text(.requestLine), required: true, "A method and a URL.", example: "\"GET https://api.example.com/v1/orders/1\""),
        ConfigOption("headers", .headers(.expected), default: "{}", "Header fields of the request.", example: "{ authorization: \"Bearer x\" }"),
        ConfigOption("route", .text(.name), "The route that must take it; `none` when none must.", example: "orders"),
        ConfigOption("status", .integer(ConfigRange(100, 599)), "The status that the client must see, where it does not depend on an upstream or a file.", example: "401"),
        ConfigOption("response", .headers(.expected), default: "{}", "Header fields that the response must have, where they come from the configuration.", example: "{ cache-control: no-store }"),
    ])
}
