// The option table, continued: what stands between a route's match and its answer. As ConfigSchema+Options.swift: a row changes validation,
// `uringd schema` and docs/operators/configuration.md.

private let ms: UInt64 = 1_000_000
private let second: UInt64 = 1_000_000_000
private let minute: UInt64 = 60 * second
private let hour: UInt64 = 3600 * second
private let day: UInt64 = 86_400 * second
private let mib: UInt64 = 1 << 20
private let percent: UInt64 = 100

extension ConfigSchema {
    /// The rows of a route besides its match and its answer.
    static let filterOptions: [ConfigOption] = [
        ConfigOption("client-cert", .group(clientCertificate), "Demands a client certificate of certain subjects. The listener needs `tls.client-auth`.", example: "{ subjects: [\"DNS:orders.internal\"] }"),
        ConfigOption("basic", .group(basic), "Demands a user and a password (RFC 7617).", example: "{ file: users.htpasswd }"),
        ConfigOption("api-keys", .group(apiKeys), "Demands a key in a header.", example: "{ file: keys.txt }"),
        ConfigOption("jwt", .group(jwt), "Demands a signed token (RFC 7519) in the Authorization header.", example: "{ keys: jwks.json, algorithms: [RS256] }"),
        ConfigOption(
            "auth-request", .group(authRequest), "Asks another server whether the request may pass: 2xx lets it through, another answer goes to the client.",
            example: "{ upstream: auth, path: /check }"),
        ConfigOption(
            "rate-limit", .oneOrMany(.group(rateLimit), counts: 1...8), "Bounds how often a client may ask; with a list all of them hold.",
            example: "{ key: address, rate: 100/s, burst: 200 }"),
        ConfigOption("breaker", .group(breaker), "Answers in place of an upstream that fails, for a while.", example: "{ error-rate: 5%, over: 2m }"),
        ConfigOption("cors", .group(cors), "Lets scripts of other origins read responses, and answers their preflights (Fetch standard).", example: "{ origins: [\"https://app.example.com\"] }"),
        ConfigOption("compression", .group(compression), "Compresses responses for clients that accept it.", example: "{ algorithms: [zstd, br, gzip] }"),
        ConfigOption(
            "timeout", .unit(.duration, ConfigRange(ms, day, zeroIsOff: true)), default: "0",
            "The time that a request of the route has as a whole, retries and waiting included. Then 504, or an abort when the response has begun. What remains of it travels upstream, see `deadline`.",
            example: "10s"),
        ConfigOption("headers", .group(responseEdits), default: "{}", "Changes to the header fields of the route's responses, whatever answers.", example: "{ set: { x-frame-options: DENY } }"),
        ConfigOption("access-log", .choice(["on", "off"]), default: "\"on\"", "Whether its requests are in the access log.", example: "off"),
        ConfigOption(
            "server-timing", .choice(["on", "off"]), default: "\"off\"",
            "Whether responses have `Server-Timing`: `wait` before the request was taken up, and `app` until its response was there, in ms. It tells clients how the server is doing.", example: "on"),
        ConfigOption("degradable", .boolean, default: "false", "Whether surge control may answer 503 in its place.", example: "true"),
    ]

    private static let forward = "Header of the request to the upstream that carries it. What clients send under this name is removed."

    static let clientCertificate = ConfigGroup([
        ConfigOption(
            "subjects", .list(.text(.certificateSubject), counts: 1...100), required: true,
            "One of them must be in the certificate: `CN=NAME` in its subject, or `DNS:NAME`, `URI:TEXT` or `EMAIL:TEXT` among its alternative names. A `*` at the end takes any rest.",
            example: "[\"URI:spiffe://mesh/orders/*\"]"),
        ConfigOption("forward", .text(.headerName), forward, example: "x-client-subject"),
    ])

    static let basic = ConfigGroup([
        ConfigOption("file", .text(.path), required: true, "Lines of `USER:HASH` as htpasswd writes them. Only its owner and group may be able to read it.", example: "users.htpasswd"),
        ConfigOption("realm", .text(.realm), default: "restricted", "What browsers show.", example: "staff"),
        ConfigOption("forward", .text(.headerName), forward, example: "x-user"),
    ])

    static let apiKeys = ConfigGroup([
        ConfigOption("file", .text(.path), required: true, "Lines of `NAME:KEY`. Only its owner and group may be able to read it.", example: "keys.txt"),
        ConfigOption("header", .text(.headerName), default: "x-api-key", "Where the key is.", example: "authorization"),
        ConfigOption("forward", .text(.headerName), forward, example: "x-api-client"),
    ])

    static let jwt = ConfigGroup(
        [
            ConfigOption(
                "keys", .text(.pathOrURL), "The keys that sign (JWKS, RFC 7517): a file, or a URL from which they are fetched and kept fresh.", example: "\"https://issuer.example/jwks.json\""),
            ConfigOption("secret", .secret, "The one key of HS256, HS384 or HS512, in place of `keys`.", example: "{ file: jwt.secret }"),
            ConfigOption("issuer", .oneOrMany(.text(.line), counts: 1...16), "The accepted values of `iss`. Missing: any.", example: "\"https://issuer.example\""),
            ConfigOption("audience", .oneOrMany(.text(.line), counts: 1...16), "The accepted values of `aud`. Missing: any.", example: "orders"),
            ConfigOption(
                "algorithms", .list(.choice(jwtAlgorithms), counts: 1...jwtAlgorithms.count),
                "The accepted signatures. Missing: whatever a key is for.", example: "[RS256, ES256]"),
            ConfigOption("clock-skew", .unit(.duration, ConfigRange(second, 10 * minute, zeroIsOff: true)), default: "60s", "How far the issuer's clock may be off.", example: "30s"),
            ConfigOption(
                "claims", .map(.claimName, .oneOrMany(.text(.line), counts: 1...64), counts: 0...16), default: "{}",
                "Claims that must be there with one of the values; of a list, or of words with spaces between as in `scope`, one must be it.", example: "{ scope: orders.read }"),
            ConfigOption(
                "forward-claims", .map(.claimName, .text(.headerName), counts: 0...16), default: "{}",
                "Claims that go upstream, each in a header. What clients send under these names is removed.", example: "{ sub: x-user-id }"),
            ConfigOption("forward-token", .boolean, default: "true", "Whether the Authorization header goes upstream.", example: "false"),
            ConfigOption("refresh", .unit(.duration, ConfigRange(10 * second, 7 * day)), default: "5m", "For keys from a URL: how often they are fetched. A response's Cache-Control may make it sooner.", example: "1h"),
            ConfigOption("refresh-min", .unit(.duration, ConfigRange(second, hour)), default: "10s", "How soon again, when a token names a key that is not known.", example: "30s"),
            ConfigOption("stale", .unit(.duration, ConfigRange(second, 30 * day, zeroIsOff: true)), default: "24h", "How long the last keys serve while the URL does not answer.", example: "1h"),
            ConfigOption("fetch-timeout", .unit(.duration, ConfigRange(100 * ms, minute)), default: "5s", "How long an answer may take.", example: "2s"),
        ],
        rules: [.exactlyOne(["keys", "secret"])])

    static let jwtAlgorithms = ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]

    static let authRequest = ConfigGroup([
        ConfigOption("upstream", .text(.name), required: true, "A name below `upstreams`.", example: "auth"),
        ConfigOption("path", .text(.requestTarget), required: true, "What is asked for. X-Forwarded-Method, -Proto, -Host, -Uri and -For say about which request.", example: "/check"),
        ConfigOption("method", .choice(["GET", "HEAD", "POST"]), default: "GET", "How it is asked; without a body.", example: "POST"),
        ConfigOption(
            "forward-headers", .list(.text(.headerName), counts: 0...ConfigLimits.headersMax), default: "[authorization, cookie]",
            "Fields of the request that go along.", example: "[authorization]"),
        ConfigOption(
            "copy-headers", .list(.text(.headerName), counts: 0...ConfigLimits.headersMax), default: "[]",
            "Fields of a good answer that are set on the request to the upstream. What clients send under these names is removed.", example: "[x-user-id]"),
        ConfigOption("timeout", .unit(.duration, ConfigRange(10 * ms, minute)), default: "5s", "How long the answer may take.", example: "500ms"),
        ConfigOption(
            "fail", .choice(["open", "closed"]), default: "closed", "Without an answer in time, or with a 5xx, `closed` answers 503 and `open` lets the request through.", example: "open"),
        ConfigOption(
            "cache", .unit(.duration, ConfigRange(100 * ms, hour, zeroIsOff: true)), default: "0",
            "How long a 2xx holds for requests of which the same would be asked. The answer's Cache-Control may make it shorter.", example: "5s"),
        ConfigOption("cache-entries", .integer(ConfigRange(2, 1_000_000)), default: "10000", "Answers that each loop remembers at most.", example: "1000"),
    ])

    static let rateLimit = ConfigGroup([
        ConfigOption(
            "key", .text(.rateKey), required: true,
            "Who counts as one: `address` (of IPv6 the /64 that a site has), `address/V4LEN` or `address/V4LEN/V6LEN` for prefixes, `jwt.CLAIM` for a claim of the token, `header:NAME` for a header.",
            example: "jwt.sub"),
        ConfigOption("rate", .text(.requestRate), required: true, "So many requests per second (`s`), minute (`m`), hour (`h`) or day (`d`), evenly.", example: "100/s"),
        ConfigOption("burst", .integer(ConfigRange(1, RequestRate.countMax)), "Requests that may come at once. Missing: the count of `rate`.", example: "200"),
        ConfigOption("redis", .text(.name), "A name below `redis`, where a fleet counts together. Missing: each process counts for itself.", example: "main"),
        ConfigOption("fail", .choice(["open", "closed"]), default: "open", "While Redis does not answer, `open` lets requests through, `closed` answers 503.", example: "closed"),
        ConfigOption("status", .integer(ConfigRange(400, 599)), default: "429", "The answer beyond the limit, with Retry-After.", example: "503"),
        ConfigOption("headers", .boolean, default: "true", "Whether responses carry RateLimit and RateLimit-Policy.", example: "false"),
        ConfigOption("dry-run", .boolean, default: "false", "Counts and reports, but lets everything through.", example: "true"),
    ])

    static let breaker = ConfigGroup(
        [
            ConfigOption("error-rate", .unit(.percent, ConfigRange(1, 100 * percent)), "The share of requests with 5xx or without an answer that trips it.", example: "5%"),
            ConfigOption("over", .unit(.duration, ConfigRange(second, hour)), default: "2m", "The time over which `error-rate` is taken.", example: "30s"),
            ConfigOption("latency-p95", .unit(.duration, ConfigRange(ms, 10 * minute)), "The 95th percentile of latency that trips it when it is exceeded for `periods`.", example: "800ms"),
            ConfigOption("periods", .integer(ConfigRange(1, 100)), default: "3", "Periods in a row.", example: "3"),
            ConfigOption("period", .unit(.duration, ConfigRange(second, hour)), default: "30s", "The length of one.", example: "10s"),
            ConfigOption("consecutive-failures", .integer(ConfigRange(1, 100_000)), "Failures in a row that trip it.", example: "20"),
            ConfigOption("minimum-requests", .integer(ConfigRange(1, 1_000_000)), default: "20", "With fewer in the window or period, neither error rate nor latency trips it.", example: "100"),
            ConfigOption("open-for", .unit(.duration, ConfigRange(100 * ms, day)), default: "30s", "How long it stays open before requests are tried again.", example: "10s"),
            ConfigOption("half-open-requests", .integer(ConfigRange(1, 1000)), default: "3", "Requests that are tried then; when all are good it closes.", example: "5"),
            ConfigOption("answer", .group(breakerAnswer), default: "{}", "What clients get while it is open.", example: "{ status: 503, json: { error: unavailable } }"),
            ConfigOption("dry-run", .boolean, default: "false", "Reports when it would have tripped, and lets everything through.", example: "true"),
            ConfigOption(
                "group", .text(.name),
                "Routes with the same name have one breaker. One of them says when it trips; others give the name alone, or the same. Missing: the route has its own.", example: "orders"),
        ])

    static let breakerAnswer = ConfigGroup(
        [
            ConfigOption("status", .integer(ConfigRange(200, 599)), "The status code. Missing: 503.", example: "503"),
            ConfigOption("headers", .headers(.response), "Header fields of the answer.", example: "{ retry-after: \"10\" }"),
            ConfigOption("body", .text(.body), "The body as text.", example: "\"come back soon\\n\""),
            ConfigOption("json", .json, "The body as a value, sent as compact JSON.", example: "{ error: unavailable }"),
            ConfigOption("fallback-route", .text(.name), "A route that answers instead, whatever it matches; its filters do not act.", example: "orders-cached"),
        ],
        rules: [.atMostOne(["body", "json", "fallback-route"]), .atMostOne(["status", "fallback-route"]), .atMostOne(["headers", "fallback-route"])])

    static let cors = ConfigGroup([
        ConfigOption(
            "origins", .list(.text(.origin), counts: 1...256), required: true,
            "Origins as browsers send them, `https://*.example.com` for any below, or `\"*\"` for all.", example: "[\"https://app.example.com\"]"),
        ConfigOption("methods", .list(.text(.method), counts: 1...MethodSet.countMax), default: "[GET, HEAD, POST]", "Methods that scripts may use.", example: "[GET, PUT, DELETE]"),
        ConfigOption("headers", .list(.text(.headerName), counts: 0...ConfigLimits.headersMax), default: "[]", "Header fields that scripts may send. `[]`: those that they ask for.", example: "[content-type, authorization]"),
        ConfigOption("expose-headers", .list(.text(.headerName), counts: 0...ConfigLimits.headersMax), default: "[]", "Header fields of responses that scripts may read.", example: "[x-request-id]"),
        ConfigOption("credentials", .boolean, default: "false", "Whether cookies and the like go along.", example: "true"),
        ConfigOption("max-age", .unit(.duration, ConfigRange(second, day, zeroIsOff: true)), default: "1h", "How long browsers remember the answer to a preflight.", example: "10m"),
    ])

    static let compression = ConfigGroup([
        ConfigOption("algorithms", .list(.choice(["zstd", "br", "gzip"]), counts: 1...3), default: "[zstd, br, gzip]", "Codings, in order of preference among those that the client likes equally.", example: "[gzip]"),
        ConfigOption("min-bytes", .unit(.size, ConfigRange(0, 16 * mib)), default: "1KiB", "Shorter bodies are sent as they are.", example: "256"),
        ConfigOption("types", .list(.text(.mediaType), counts: 0...64), default: "[]", "Media types besides text, JSON, XML, JavaScript, SVG, wasm and fonts.", example: "[application/x-ours]"),
        ConfigOption("proxied", .boolean, default: "true", "Whether responses of upstreams are compressed too, when they are not already.", example: "false"),
    ])
}
