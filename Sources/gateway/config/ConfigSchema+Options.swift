// The option table: every key of the configuration with type, range, default, meaning and example, once.
// Changing a row changes validation, `uringd schema` and docs/operators/configuration.md; a test compares the page.

internal import UringBase

private let ms: UInt64 = 1_000_000
private let second: UInt64 = 1_000_000_000
private let day: UInt64 = 86_400 * second
private let kib: UInt64 = 1 << 10
private let mib: UInt64 = 1 << 20
private let gib: UInt64 = 1 << 30
private let tib: UInt64 = 1 << 40

extension ConfigSchema {
    static let root = ConfigGroup(serverOptions + gatewayOptions)

    static let serverOptions: [ConfigOption] = [
        ConfigOption(
            "loops", .loops, default: "auto",
            "How many event loops, each a thread pinned to one core. `auto` follows the affinity mask and the CPU quota of the control group; a list names the cores.",
            example: "[0, 2]"),
        ConfigOption(
            "listen", .list(.group(listener), counts: 1...ConfigLimits.listenersMax), required: true,
            "The addresses that clients connect to.", example: "[{ address: 127.0.0.1:8080 }]"),
        ConfigOption(
            "http2", .group(http2), default: "{}", "What HTTP/2 connections may use. Header sections are bounded by `limits`, as with HTTP/1.1.",
            example: "{ streams: 128 }"),
        ConfigOption(
            "admin", .group(admin), "The administration listener: `/livez`, `/readyz`, `/metrics`, `/config`, `/upstreams`, `/bans`, `/version`, `/reload`. Without the key there is none.",
            example: "{ address: 127.0.0.1:9901 }"),
        ConfigOption(
            "timeouts", .group(timeouts), default: "{}", "How long each phase of a connection may take.",
            example: "{ header: 10s, idle: 75s }"),
        ConfigOption(
            "limits", .group(limits), default: "{}", "How much clients may use.",
            example: "{ connections: 100000, body-bytes: 10MiB }"),
        ConfigOption(
            "access-log", .group(accessLog), "One line per request. Without the key there is no access log.",
            example: "{ path: /var/log/uringd/access.log, format: json }"),
        ConfigOption("log", .group(log), default: "{}", "The server's own messages, on standard error.", example: "{ level: info }"),
        ConfigOption(
            "routes", .list(.group(route), counts: 0...ConfigLimits.routesMax), required: true,
            "What answers which request. The first route that matches wins; a request that none matches gets 404, or 405 when only the method was wrong.",
            example: "[{ name: health, match: { path: /healthz }, respond: { body: ok } }]"),
    ]

    static let listener = ConfigGroup([
        ConfigOption(
            "address", .text(.address), required: true,
            "Where to listen: an IPv4 address or host name with a port, an IPv6 address in brackets with a port, or the path of a Unix socket. Port 0 lets the kernel choose.",
            example: "127.0.0.1:8080"),
        ConfigOption(
            "backlog", .integer(ConfigRange(1, 65_535)), default: "4096",
            "Connections that the kernel completes before a loop accepts them, for each loop. The kernel caps it at net.core.somaxconn.",
            example: "1024"),
        ConfigOption(
            "ipv6-only", .boolean, default: "true",
            "Whether an IPv6 listener leaves IPv4 clients alone. With false, `[::]:80` takes both.", example: "false"),
        ConfigOption(
            "mode", .text(.fileMode), default: "\"0660\"",
            "Permissions of a Unix socket, in octal and in quotes.", example: "\"0666\""),
        ConfigOption(
            "tls", .group(tls), "Makes it an HTTPS listener. Without the key it speaks in clear.",
            example: "{ certificates: [{ cert: server.pem, key: server.key }] }"),
        ConfigOption(
            "http2", .booleanOr("only"), default: "true",
            "Whether the listener speaks HTTP/2: chosen by ALPN over TLS, by prior knowledge in clear. With false `alpn` is `[http/1.1]`. With `only` nothing else is spoken: `alpn` is `[h2]`, a client that does not offer it is refused, and in clear a connection that does not begin with the HTTP/2 preface gets GOAWAY.",
            example: "only"),
        ConfigOption(
            "proxy-protocol", .boolean, default: "false",
            "Whether connections begin with a PROXY protocol header (version 1 or 2) that says who the client is; one without is closed. When there are `trusted-proxies`, only they may connect.",
            example: "true"),
    ])

    static let admin = ConfigGroup([
        ConfigOption(
            "address", .text(.address), required: true,
            "Where to listen, written as in `listen`. Without `tokens` whoever reaches it needs no password: keep it on a loopback address or a Unix socket.",
            example: "127.0.0.1:9901"),
        ConfigOption(
            "tokens", .list(.secret, counts: 1...16),
            "Requests must carry one of these, as `Authorization: Bearer TOKEN`; `/livez` and `/readyz` need none. 16 bytes at least.", example: "[{ file: admin.token }]"),
        ConfigOption(
            "tcp-tracer", .choice(["on", "off"]), default: "\"off\"",
            "Whether a program in the kernel (eBPF) counts connections, retransmits and every round trip by port, of this process's cgroup. It needs CAP_BPF, CAP_NET_ADMIN and a cgroup2; without them round trips come from TCP_INFO of a sample of connections, and the log says so.",
            example: "on"),
        ConfigOption(
            "flight-recorder", .group(flightRecorder), default: "{}",
            "What each loop keeps of what it did last, for `/flight-recorder` and for files that are written on SIGQUIT, on a stall, when a breaker opens and when a server is ejected.",
            example: "{ events: 131072, within: 1m, directory: /var/log/uringd }"),
    ])

    static let flightRecorder = ConfigGroup([
        ConfigOption(
            "events", .integer(ConfigRange(64, UInt64(FlightRing.eventsMax), zeroIsOff: true)), default: "32768",
            "Events that a loop keeps, 32 bytes each, rounded up to a power of two. With 0 there is no recorder. Takes effect at start.", example: "131072"),
        ConfigOption("within", .unit(.duration, ConfigRange(second, day)), default: "30s", "Older events are left out of dumps.", example: "1m"),
        ConfigOption(
            "directory", .text(.path),
            "An existing directory for the files. Without the key the first of `LogsDirectory=` or `StateDirectory=` of systemd, otherwise `uringd-UID` below `$TMPDIR` or `/tmp`, which is made and must be of this user alone.",
            example: "/var/log/uringd"),
        ConfigOption("files", .integer(ConfigRange(1, 1000)), default: "8", "Files that are kept; the oldest go.", example: "20"),
    ])

    static let timeouts = ConfigGroup([
        ConfigOption(
            "header", .unit(.duration, ConfigRange(10 * ms, day, zeroIsOff: true)), default: "10s",
            "From the first byte of a request to the end of its header section; for a new connection, from its acceptance. Then 408.",
            example: "10s"),
        ConfigOption(
            "body", .unit(.duration, ConfigRange(10 * ms, day, zeroIsOff: true)), default: "30s",
            "The longest pause between two pieces of a request body. Then 408.", example: "30s"),
        ConfigOption(
            "handler", .unit(.duration, ConfigRange(10 * ms, day, zeroIsOff: true)), default: "30s",
            "How long a request may wait for its handler: up to the response, and between two pieces of a streamed one. Then 503, or an abort when the response has begun.", example: "30s"),
        ConfigOption(
            "write", .unit(.duration, ConfigRange(10 * ms, day, zeroIsOff: true)), default: "30s",
            "The longest time in which a client takes no byte of a response. Then the connection is reset.", example: "30s"),
        ConfigOption(
            "idle", .unit(.duration, ConfigRange(10 * ms, day, zeroIsOff: true)), default: "75s",
            "How long a connection may wait for its next request.", example: "75s"),
        ConfigOption(
            "drain", .unit(.duration, ConfigRange(10 * ms, day, zeroIsOff: true)), default: "30s",
            "How long a stopping server waits for requests in progress before it closes their connections; with 0 it waits as long as they take.",
            example: "30s"),
        ConfigOption(
            "linger", .unit(.duration, ConfigRange(10 * ms, 60 * second, zeroIsOff: true)), default: "5s",
            "How long a closing connection still reads and throws away input, so that the client sees an early answer such as 413 and not a reset; with 0 it closes at once.",
            example: "5s"),
        ConfigOption(
            "body-rate", .unit(.rate, ConfigRange(1, gib, zeroIsOff: true)), default: "240B/s",
            "A request body that arrives slower than this, on average since `rate-grace` passed, ends with 408.", example: "240B/s"),
        ConfigOption(
            "write-rate", .unit(.rate, ConfigRange(1, gib, zeroIsOff: true)), default: "240B/s",
            "A client that takes a response slower than this, on average since `rate-grace` passed, is reset.", example: "240B/s"),
        ConfigOption(
            "rate-grace", .unit(.duration, ConfigRange(10 * ms, 3600 * second)), default: "5s",
            "The time at the start of a body or response in which the two rates do not count.", example: "5s"),
    ])

    static let limits = ConfigGroup([
        ConfigOption(
            "connections", .integer(ConfigRange(1, 10_000_000)), default: "100000",
            "Open connections of all loops together. Beyond it new ones wait in the kernel's backlog.", example: "100000"),
        ConfigOption(
            "connections-per-address", .integer(ConfigRange(1, 10_000_000, zeroIsOff: true)), default: "1000",
            "Open connections of one client address. Beyond it new ones are closed at once.", example: "1000"),
        ConfigOption(
            "requests-per-connection", .integer(ConfigRange(1, 1_000_000_000, zeroIsOff: true)), default: "0",
            "Requests after which a connection is closed.", example: "10000"),
        ConfigOption(
            "request-line-bytes", .unit(.size, ConfigRange(64, 64 * kib)), default: "8KiB",
            "The longest request line. Beyond it 414.", example: "8KiB"),
        ConfigOption(
            "header-bytes", .unit(.size, ConfigRange(256, mib)), default: "32KiB",
            "The longest header section, the request line included. Beyond it 431.",
            example: "32KiB"),
        ConfigOption(
            "header-count", .integer(ConfigRange(8, 1000)), default: "100",
            "The most header fields of a request. Beyond it 431.", example: "100"),
        ConfigOption(
            "body-bytes", .unit(.size, ConfigRange(1, tib, zeroIsOff: true)), default: "10MiB",
            "The longest request body. Beyond it 413.", example: "10MiB"),
    ])

    static let accessLog = ConfigGroup([
        ConfigOption(
            "path", .text(.path), default: "/dev/stdout",
            "The file that lines are appended to; it is made when missing, and opened anew on SIGHUP and SIGUSR1 for log rotation.",
            example: "/var/log/uringd/access.log"),
        ConfigOption(
            "format", .choice(["json", "combined", "off"]), default: "json",
            "`json`: one object per line. `combined`: the line of Apache and nginx. `off`: no access log.", example: "combined"),
        ConfigOption(
            "buffer", .unit(.size, ConfigRange(16 * kib, 16 * mib)), default: "64KiB",
            "Lines that each loop collects before it writes. When the file takes no more, lines beyond the buffer are dropped and counted; requests never wait.",
            example: "256KiB"),
        ConfigOption(
            "flush", .unit(.duration, ConfigRange(10 * ms, 60 * second)), default: "1s",
            "The longest time a line waits in the buffer.", example: "100ms"),
        ConfigOption(
            "sample", .unit(.percent, ConfigRange(1, 10_000)), default: "100%",
            "The share of requests that are written, drawn at random. Those answered with 5xx always are.", example: "10%"),
    ])

    static let log = ConfigGroup([
        ConfigOption(
            "level", .choice(["trace", "debug", "info", "notice", "warning", "error", "critical"]), default: "info",
            "The least important message that is written.", example: "warning")
    ])

    static let route = ConfigGroup(
        [
            ConfigOption(
                "name", .text(.name), required: true,
                "The name in logs and metrics. Each name occurs once.", example: "health"),
            ConfigOption(
                "match", .group(match), required: true,
                "Which requests the route takes: all given conditions must hold. `{}` takes every request.",
                example: "{ path: /v1/*, methods: [GET] }"),
            ConfigOption(
                "respond", .group(respond), "Answers with a fixed response.", example: "{ status: 200, json: { status: ok } }"),
            ConfigOption("files", .group(files), "Answers with files of a directory.", example: "{ root: ./public }"),
            ConfigOption("redirect", .group(redirect), "Sends the client elsewhere.", example: "{ to: https }"),
            ConfigOption(
                "hsts", .group(hsts),
                "Adds Strict-Transport-Security (RFC 6797) to the route's responses over TLS, so that browsers come by HTTPS from then on. Never sent in clear.",
                example: "{ max-age: 365d }"),
            ConfigOption("proxy", .group(proxy), "Lets an upstream answer.", example: "{ upstream: orders }"),
        ] + filterOptions,
        rules: [.exactlyOne(["respond", "files", "redirect", "proxy"])])

    static let match = ConfigGroup([
        ConfigOption(
            "host", .oneOrMany(.text(.hostPattern), counts: 1...ConfigLimits.hostsPerRouteMax),
            "Host names without a port, compared without regard to case. `*.example.com` takes every name below example.com, at any depth, and not example.com itself. Missing: any host.",
            example: "[example.com, \"*.example.com\"]"),
        ConfigOption(
            "path", .oneOrMany(.text(.pathPattern), counts: 1...ConfigLimits.pathsPerRouteMax),
            "Paths, compared byte for byte with the normalised path of the request. `/docs/*` takes `/docs/` and everything below, not `/docs`; `{name}` takes one segment that is not empty. Missing: any path, and the `*` of `OPTIONS *`.",
            example: "/v1/orders/*"),
        ConfigOption(
            "methods", .list(.text(.method), counts: 1...MethodSet.countMax),
            "Methods. GET includes HEAD. Missing: any method.", example: "[GET, POST]"),
    ])

    static let respond = ConfigGroup(
        [
            ConfigOption("status", .integer(ConfigRange(200, 599)), default: "200", "The status code.", example: "404"),
            ConfigOption(
                "headers", .headers(.response),
                "Header fields of the response; a list gives the same field several times. The server writes those that frame the message.",
                example: "{ cache-control: no-store }"),
            ConfigOption(
                "body", .text(.body), "The body as text. Its type is text/plain in UTF-8 unless `headers` has a content-type.",
                example: "\"hello\\n\""),
            ConfigOption(
                "json", .json,
                "The body as a value, sent as compact JSON. Its type is application/json unless `headers` has a content-type. Quoted values are strings; plain ones may be numbers, true, false or null.",
                example: "{ status: ok }"),
        ],
        rules: [.atMostOne(["body", "json"])])

    static let files = ConfigGroup([
        ConfigOption(
            "root", .text(.path), required: true,
            "The directory. The path of the request is looked up below it; nothing outside can be reached.", example: "./public"),
        ConfigOption(
            "index", .oneOrMany(.text(.fileName), counts: 0...8), default: "index.html",
            "The file that answers for a directory; of a list, the first that exists. `[]` for none.", example: "[index.html, index.htm]"),
        ConfigOption(
            "cache-control", .text(.headerValue), "The value of the Cache-Control header on files.", example: "max-age=60"),
        ConfigOption(
            "precompressed", .list(.choice(["br", "zstd", "gzip"]), counts: 0...3), default: "[]",
            "Codings to look for beside a file, in order of preference, as FILE.br, FILE.zst and FILE.gz. Sent to clients that accept them.",
            example: "[br, zstd, gzip]"),
        ConfigOption(
            "symlinks", .choice(["inside", "deny"]), default: "inside",
            "`inside`: symbolic links are followed as long as they stay below `root`. `deny`: none is followed.", example: "deny"),
    ])
}
