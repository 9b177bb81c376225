// The option table, continued: upstreams, and what a route with `proxy` does. As ConfigSchema+Options.swift: a row changes validation,
// `uringd schema` and docs/operators/configuration.md.

private let ms: UInt64 = 1_000_000
private let second: UInt64 = 1_000_000_000
private let minute: UInt64 = 60 * second
private let hour: UInt64 = 3600 * second
private let day: UInt64 = 86_400 * second
private let kib: UInt64 = 1 << 10
private let mib: UInt64 = 1 << 20
private let tib: UInt64 = 1 << 40
private let percent: UInt64 = 100

extension ConfigSchema {
    static let upstream = ConfigGroup([
        ConfigOption(
            "servers", .list(.shorthand("address", upstreamServer), counts: 1...ConfigLimits.serversMax), required: true,
            "The servers that answer; an address alone stands for a mapping with nothing else.",
            example: "[\"127.0.0.1:9001\", { address: \"127.0.0.1:9002\", weight: 2 }]"),
        ConfigOption(
            "resolve", .shorthand("interval", upstreamResolve), default: "30s",
            "How host names of servers are looked up; every address of a name is a server. The interval alone stands for a mapping with nothing else.",
            example: "10s"),
        ConfigOption(
            "balance", .choice(["round-robin", "least-requests", "random-two", "hash"]), default: "round-robin",
            "Which server a request goes to. `round-robin`: in turn, by weight. `least-requests`: the one with the fewest requests for its weight. `random-two`: the better of two drawn at random. `hash`: the same for the same `hash.key`, and few change when a server comes or goes.",
            example: "least-requests"),
        ConfigOption("hash", .group(upstreamHash), "What `balance: hash` goes by.", example: "{ key: \"header:x-tenant\" }"),
        ConfigOption(
            "protocol", .choice(["http/1.1", "h2", "auto"]), default: "http/1.1",
            "What the servers speak. `h2`: HTTP/2, by ALPN over TLS and by prior knowledge in clear. `auto`: over TLS whichever ALPN agrees on, in clear HTTP/1.1.",
            example: "h2"),
        ConfigOption(
            "tls", .wordOrGroup(["on", "off"], upstreamTLS), default: "\"off\"", "Speaks TLS to the servers.", example: "{ ca: internal-ca.pem }"),
        ConfigOption(
            "connections", .group(upstreamConnections), default: "{}", "Connections to the servers of the upstream together.",
            example: "{ max: 1000, max-pending: 200 }"),
        ConfigOption("timeouts", .group(upstreamTimeouts), default: "{}", "How long servers may take.", example: "{ response: 10s }"),
        ConfigOption("retry", .group(retry), default: "{}", "When a request is sent again, to another server if there is one.", example: "{ attempts: 2, on: [connect-failure, \"503\"] }"),
        ConfigOption("health", .group(health), "Asks each server at intervals whether it is well. Without the key nobody asks.", example: "{ path: /healthz }"),
        ConfigOption(
            "outlier", .group(outlier), "Takes servers out for a while whose answers to real requests fail. Without the key none is.",
            example: "{ consecutive-5xx: 5, eject: 60s }"),
        ConfigOption(
            "slow-start", .unit(.duration, ConfigRange(second, hour, zeroIsOff: true)), default: "0",
            "How long the share of a server that is new or well again grows until it is whole.", example: "30s"),
        ConfigOption(
            "panic-threshold", .unit(.percent, ConfigRange(percent, 100 * percent, zeroIsOff: true)), default: "0",
            "When fewer servers than this share are well, the checks are not believed and all are used. With 0 they always are believed, and a request meets 503 when no server is well.",
            example: "30%"),
        ConfigOption(
            "proxy-protocol", .choice(["off", "v1", "v2"]), default: "\"off\"",
            "Begins each connection with a PROXY protocol header that names the client. Connections are then not shared between clients.", example: "v2"),
        ConfigOption(
            "adaptive-concurrency", .group(adaptiveConcurrency),
            "Finds out how many requests the upstream takes at once before it becomes slow, and lets no more through.", example: "{ max: 500 }"),
        ConfigOption(
            "drain", .unit(.duration, ConfigRange(10 * ms, day, zeroIsOff: true)), default: "30s",
            "How long requests may take that a server still has when a reload removes it; with 0 as long as they take.", example: "10s"),
    ])

    static let upstreamResolve = ConfigGroup([
        ConfigOption(
            "interval", .unit(.duration, ConfigRange(second, day, zeroIsOff: true)), default: "30s",
            "How often names are looked up again. With 0 they are looked up until there is an answer, which then stays. When the resolver fails, or says that there is no such name, the addresses stay as they were.",
            example: "10s"),
        ConfigOption(
            "addresses", .choice(["all", "ipv4", "ipv6", "both", "first"]), default: "all",
            "Which addresses of a name are servers, at most 64. `all`: those of the family that the system would try first (RFC 6724), so that no server counts twice; a name of this machine, such as `localhost`, stays one server. `ipv4`, `ipv6`, `both`: those of the family, or of both. `first`: the first alone.",
            example: "ipv4"),
    ])

    static let upstreamServer = ConfigGroup([
        ConfigOption(
            "address", .text(.upstreamAddress), required: true,
            "HOST:PORT, [V6]:PORT or unix:PATH.", example: "\"127.0.0.1:9001\""),
        ConfigOption("weight", .integer(ConfigRange(1, 1000)), default: "1", "Its share of the requests, against the weights of the others.", example: "2"),
        ConfigOption("backup", .boolean, default: "false", "Whether it is used only while no other server is well.", example: "true"),
    ])

    static let upstreamHash = ConfigGroup([
        ConfigOption(
            "key", .text(.hashKey), required: true,
            "`address`: the client's. `header:NAME`, `cookie:NAME`: the value, or the client's address when there is none. `path`: the normalised path.",
            example: "\"cookie:session\"")
    ])

    static let upstreamTLS = ConfigGroup([
        ConfigOption("ca", .text(.path), "PEM file with the authorities that the servers' certificates must lead to. Missing: the system's.", example: "internal-ca.pem"),
        ConfigOption("verify", .boolean, default: "true", "Whether the certificate is verified. Without, anybody in between can read and answer.", example: "false"),
        ConfigOption(
            "server-name", .text(.hostName), "The name in SNI and in the certificate. Missing: the host name of the server's address.", example: "orders.internal"),
        ConfigOption("cert", .text(.path), "PEM file with a client certificate; needs `key`.", example: "client.pem"),
        ConfigOption("key", .text(.path), "PEM file with its private key.", example: "client.key"),
        ConfigOption("min-version", .choice(["1.2", "1.3"]), default: "\"1.2\"", "The oldest TLS version that is spoken.", example: "\"1.3\""),
    ])

    static let upstreamConnections = ConfigGroup([
        ConfigOption(
            "max", .integer(ConfigRange(1, 1_000_000, zeroIsOff: true)), default: "1000",
            "Open connections, of all loops together. Beyond it requests wait.", example: "1000"),
        ConfigOption(
            "max-pending", .integer(ConfigRange(0, 1_000_000)), default: "200",
            "Requests that wait for a connection, of all loops together. Beyond it 503 at once.", example: "200"),
        ConfigOption(
            "max-requests-per-connection", .integer(ConfigRange(1, 1_000_000_000, zeroIsOff: true)), default: "0",
            "Requests after which a connection is not used again.", example: "100"),
        ConfigOption(
            "max-streams", .integer(ConfigRange(1, 10_000)), default: "100",
            "Requests at once on one HTTP/2 connection; the server may allow fewer.", example: "50"),
        ConfigOption(
            "connect-timeout", .unit(.duration, ConfigRange(ms, 10 * minute)), default: "1s",
            "How long a connection may take to stand, its TLS handshake included.", example: "250ms"),
        ConfigOption(
            "idle-timeout", .unit(.duration, ConfigRange(10 * ms, day, zeroIsOff: true)), default: "60s",
            "How long a connection is kept without a request. Below what the servers keep, so that none is used that they are closing.", example: "4s"),
    ])

    static let upstreamTimeouts = ConfigGroup([
        ConfigOption(
            "response", .unit(.duration, ConfigRange(ms, day, zeroIsOff: true)), default: "30s",
            "From the end of the request to the response's header section. Then 504.", example: "10s"),
        ConfigOption(
            "body", .unit(.duration, ConfigRange(ms, day, zeroIsOff: true)), default: "30s",
            "The longest pause between two pieces of a response body. Then the response to the client is broken off.", example: "10s"),
        ConfigOption(
            "write", .unit(.duration, ConfigRange(ms, day, zeroIsOff: true)), default: "30s",
            "The longest time in which a server takes no byte of a request. Then 504. `timeouts.write` of the whole is for clients alone.", example: "10s"),
    ])

    static let retry = retryGroup(hasDefaults: true)
    /// Of a route: what it does not say is as in the upstream.
    static let retryOverride = retryGroup(hasDefaults: false)

    private static func retryGroup(hasDefaults: Bool) -> ConfigGroup {
        func standard(_ text: String) -> String? { hasDefaults ? text : nil }
        return ConfigGroup([
            ConfigOption(
                "attempts", .integer(ConfigRange(0, 10)), default: standard("1"),
                "How often a request is sent again at most, besides the first time.", example: "2"),
            ConfigOption(
                "budget", .unit(.percent, ConfigRange(percent, 100 * percent, zeroIsOff: true)), default: standard("20%"),
                "Retries as a share of the requests of late; beyond it none is made, so that retries do not finish off what is overloaded.", example: "10%"),
            ConfigOption(
                "budget-min", .integer(ConfigRange(0, 10_000)), default: standard("10"),
                "Retries per second that the budget always allows, for upstreams with few requests.", example: "3"),
            ConfigOption(
                "on", .list(.text(.retryReason), counts: 1...20), default: standard("[connect-failure, refused-stream]"),
                "What is worth another try: `connect-failure`, `refused-stream` (HTTP/2 says that nothing was done), `reset` (no response began), `timeout`, or a status from 500 to 599.",
                example: "[connect-failure, \"502\", \"503\"]"),
            ConfigOption(
                "backoff", .unit(.duration, ConfigRange(ms, 10 * second, zeroIsOff: true)), default: standard("25ms"),
                "The wait before the first retry is drawn at random up to this, that before each further one up to twice as much.", example: "50ms"),
            ConfigOption(
                "backoff-max", .unit(.duration, ConfigRange(ms, minute)), default: standard("250ms"), "The longest wait.", example: "1s"),
            ConfigOption(
                "non-idempotent", .boolean, default: standard("false"),
                "Whether requests that are not idempotent, such as POST, are sent again after bytes of them reached a server. They may then be done twice.",
                example: "true"),
        ])
    }

    static let health = ConfigGroup([
        ConfigOption("path", .text(.requestTarget), required: true, "What is asked for; a query may follow.", example: "/healthz"),
        ConfigOption("method", .choice(["GET", "HEAD", "OPTIONS"]), default: "GET", "How it is asked.", example: "HEAD"),
        ConfigOption("host", .text(.hostName), "The value of Host. Missing: the server's address.", example: "orders.internal"),
        ConfigOption("port", .integer(ConfigRange(1, 65_535)), "Another port than that of the server.", example: "9090"),
        ConfigOption("interval", .unit(.duration, ConfigRange(100 * ms, hour)), default: "2s", "From one check to the next.", example: "5s"),
        ConfigOption("timeout", .unit(.duration, ConfigRange(10 * ms, 10 * minute)), default: "1s", "How long an answer may take.", example: "500ms"),
        ConfigOption("unhealthy-after", .integer(ConfigRange(1, 100)), default: "3", "Failed checks in a row after which a server gets no requests.", example: "2"),
        ConfigOption("healthy-after", .integer(ConfigRange(1, 100)), default: "2", "Good checks in a row after which it gets them again.", example: "1"),
        ConfigOption(
            "status", .oneOrMany(.text(.statusRange), counts: 1...16), default: "2xx", "The good answers: `204`, `200-399` or `2xx`.", example: "[\"200\", \"204\"]"),
    ])

    static let outlier = ConfigGroup([
        ConfigOption(
            "consecutive-5xx", .integer(ConfigRange(1, 10_000, zeroIsOff: true)), default: "5", "Responses with 5xx in a row that take a server out.", example: "5"),
        ConfigOption(
            "consecutive-failures", .integer(ConfigRange(1, 10_000, zeroIsOff: true)), default: "5",
            "Requests in a row without a response, by reset, timeout or refused connection, that take a server out.", example: "3"),
        ConfigOption("interval", .unit(.duration, ConfigRange(100 * ms, hour)), default: "30s", "How often it is judged who comes back.", example: "10s"),
        ConfigOption("eject", .unit(.duration, ConfigRange(100 * ms, day)), default: "60s", "How long a server is out, times the number of times it was.", example: "30s"),
        ConfigOption("eject-max", .unit(.duration, ConfigRange(100 * ms, day)), default: "10m", "The longest time.", example: "5m"),
        ConfigOption(
            "max-ejected", .unit(.percent, ConfigRange(percent, 100 * percent)), default: "50%",
            "The share of servers that may be out at a time; one always may.", example: "30%"),
    ])

    static let adaptiveConcurrency = ConfigGroup([
        ConfigOption("initial", .integer(ConfigRange(1, 1_000_000)), default: "50", "Requests at once to begin with.", example: "20"),
        ConfigOption("min", .integer(ConfigRange(1, 1_000_000)), default: "4", "The limit never falls below.", example: "8"),
        ConfigOption("max", .integer(ConfigRange(1, 1_000_000)), default: "1000", "The limit never rises above.", example: "500"),
        ConfigOption(
            "tolerance", .unit(.percent, ConfigRange(101 * percent, 1000 * percent)), default: "200%",
            "The limit falls while the latency is above this share of the best of late.", example: "150%"),
        ConfigOption("window", .unit(.duration, ConfigRange(10 * ms, minute)), default: "500ms", "How often the limit changes.", example: "1s"),
        ConfigOption("queue", .integer(ConfigRange(0, 1_000_000)), default: "0", "Requests that wait while the limit is reached; others get 503.", example: "100"),
    ])

    // MARK: proxy

    static let proxy = ConfigGroup([
        ConfigOption("upstream", .text(.name), required: true, "A name below `upstreams`.", example: "orders"),
        ConfigOption(
            "timeout", .unit(.duration, ConfigRange(ms, day, zeroIsOff: true)),
            "From the end of the request to the response's header section, in place of the upstream's `timeouts.response`.", example: "5s"),
        ConfigOption("path", .shorthand("replace", proxyPath), "What is sent as the path. Missing: the path as it came, or its normal form when it came in another. The query goes along unchanged.", example: "{ strip-prefix: /v1 }"),
        ConfigOption(
            "host", .text(.hostRewrite), default: "preserve",
            "What is sent as the host: `preserve`, the client's; `upstream`, that of the server's address; or a name.", example: "orders.internal"),
        ConfigOption("headers", .group(proxyHeaders), default: "{}", "Changes to header fields. Those that frame the message are the proxy's own.", example: "{ request: { set: { x-gateway: uringd } } }"),
        ConfigOption("retry", .group(retryOverride), "In place of the upstream's, key by key.", example: "{ attempts: 0 }"),
        ConfigOption("mirror", .group(mirror), "Sends a copy of requests elsewhere; its answers are thrown away.", example: "{ upstream: orders-next, share: 5% }"),
        ConfigOption(
            "forwarded", .choice(["x-forwarded", "forwarded", "both", "off"]), default: "x-forwarded",
            "How the server learns of the client: X-Forwarded-For, -Proto and -Host, Forwarded (RFC 7239), both or none. Values that come from `trusted-proxies` are continued, others replaced.",
            example: "both"),
        ConfigOption(
            "request-buffering", .wordOr(["off"], .unit(.size, ConfigRange(kib, 64 * mib))), default: "\"off\"",
            "Collects request bodies up to this size before the upstream is asked, so that slow clients do not hold its connections. Larger ones are streamed from there on.",
            example: "64KiB"),
        ConfigOption("websocket", .boolean, default: "true", "Whether connections may be upgraded to WebSocket.", example: "false"),
        ConfigOption("body-bytes", .unit(.size, ConfigRange(1, tib, zeroIsOff: true)), "The longest request body, in place of `limits.body-bytes`. Beyond it 413.", example: "1GiB"),
    ])

    static let proxyPath = ConfigGroup(
        [
            ConfigOption("strip-prefix", .text(.pathPrefix), "Whole segments that are taken off the front where the path begins with them.", example: "/v1"),
            ConfigOption("prefix", .text(.pathPrefix), "Whole segments that are put in front, after `strip-prefix`.", example: "/internal"),
            ConfigOption(
                "replace", .text(.pathTemplate),
                "The whole path, in which `{path}` stands for the path of the request, `{rest}` for what the `*` of the route took, and `{name}` for the segment that `{name}` in the route took.",
                example: "\"/users/{id}\""),
        ],
        rules: [.atMostOne(["replace", "strip-prefix"]), .atMostOne(["replace", "prefix"])])

    static let proxyHeaders = ConfigGroup([
        ConfigOption("request", .group(requestEdits), default: "{}", "On the request to the upstream.", example: "{ remove: [cookie] }"),
        ConfigOption("response", .group(responseEdits), default: "{}", "On the response of the upstream.", example: "{ remove: [server] }"),
    ])

    static let requestEdits = edits(.request)
    static let responseEdits = edits(.response)

    private static func edits(_ direction: HeaderDirection) -> ConfigGroup {
        ConfigGroup([
            ConfigOption("remove", .list(.text(.headerName), counts: 0...ConfigLimits.headersMax), default: "[]", "Fields that are taken out, first of all.", example: "[x-debug]"),
            ConfigOption("set", .headers(direction), default: "{}", "Fields that take the place of any of the name.", example: "{ x-gateway: uringd }"),
            ConfigOption("add", .headers(direction), default: "{}", "Fields that are added to those of the name.", example: "{ vary: origin }"),
        ])
    }

    static let mirror = ConfigGroup([
        ConfigOption("upstream", .text(.name), required: true, "A name below `upstreams`.", example: "orders-next"),
        ConfigOption("share", .unit(.percent, ConfigRange(1, 100 * percent)), default: "100%", "The share of requests, drawn at random.", example: "5%"),
    ])
}
