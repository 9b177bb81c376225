// The option table, continued: TLS, HTTP/2, and what routes do about HTTPS. As ConfigSchema+Options.swift: a row changes validation,
// `uringd schema` and docs/operators/configuration.md.

private let ms: UInt64 = 1_000_000
private let second: UInt64 = 1_000_000_000
private let minute: UInt64 = 60 * second
private let day: UInt64 = 86_400 * second
private let kib: UInt64 = 1 << 10
private let mib: UInt64 = 1 << 20

extension ConfigSchema {
    static let tls = ConfigGroup([
        ConfigOption(
            "certificates", .list(.group(certificate), counts: 1...ConfigLimits.certificatesMax), required: true,
            "Certificates with their keys. The client's server name (SNI) chooses; the first answers clients that name none, or an unknown one. Two of different key kinds for the same name stand side by side.",
            example: "[{ cert: server.pem, key: server.key }]"),
        ConfigOption(
            "alpn", .list(.choice(["h2", "http/1.1"]), counts: 1...2), default: "[h2, http/1.1]",
            "The protocols offered by ALPN (RFC 7301), the preferred first. A client that offers none of them is refused; one without ALPN speaks HTTP/1.1.",
            example: "[http/1.1]"),
        ConfigOption(
            "client-auth", .group(clientAuth), default: "{}", "Whether clients show certificates.",
            example: "{ mode: required, ca: clients.pem }"),
        ConfigOption(
            "session-tickets", .wordOrGroup(["on", "off"], sessionTickets), default: "{}",
            "Tickets by which clients resume a session without a full handshake, in TLS 1.2 and 1.3.", example: "{ secret: fleet.secret }"),
        ConfigOption(
            "session-cache", .group(sessionCache), default: "{}",
            "Session ids, for TLS 1.2 clients that cannot do tickets; kept in memory for all loops.", example: "{ entries: 0 }"),
        ConfigOption(
            "min-version", .choice(["1.2", "1.3"]), default: "\"1.2\"", "The oldest TLS version that is accepted.", example: "\"1.3\""),
        ConfigOption(
            "handshake-timeout", .unit(.duration, ConfigRange(100 * ms, 10 * minute)), default: "10s",
            "From the acceptance of a connection to the end of its handshake. Then it is closed.", example: "5s"),
        ConfigOption(
            "handshakes", .integer(ConfigRange(1, 1_000_000)), default: "4096",
            "Handshakes that each loop has under way at most. Beyond it new connections are reset.", example: "1000"),
    ])

    static let certificate = ConfigGroup([
        ConfigOption(
            "cert", .text(.path), required: true,
            "PEM file with the server's certificate, then the intermediates that lead to an authority.", example: "server.pem"),
        ConfigOption(
            "key", .text(.path), required: true,
            "PEM file with the certificate's private key, without a passphrase. Only its owner and group may be able to read it.", example: "server.key"),
        ConfigOption(
            "ocsp", .text(.path),
            "DER file with an OCSP response, which is stapled when the client asks for it. Read again on SIGHUP: whoever fetches it sends the signal.",
            example: "server.ocsp"),
    ])

    static let clientAuth = ConfigGroup([
        ConfigOption(
            "mode", .choice(["none", "optional", "required"]), default: "none",
            "`none`: clients are not asked. `optional`: a certificate that is sent must verify. `required`: no connection without one.",
            example: "required"),
        ConfigOption(
            "ca", .text(.path), "PEM file with the authorities that client certificates must lead to. Needed unless `mode` is `none`.",
            example: "clients.pem"),
    ])

    static let sessionTickets = ConfigGroup(
        [
            ConfigOption("mode", .choice(["on", "off"]), default: "on", "Whether tickets are given out and taken.", example: "off"),
            ConfigOption(
                "keys", .list(.text(.path), counts: 1...ConfigLimits.ticketKeysMax),
                "Files with a ticket key each, 80 random bytes (AES-256) or 48 (AES-128), as nginx has them. The first seals, all open; rotate by a new first file and SIGHUP.",
                example: "[new.key, old.key]"),
            ConfigOption(
                "secret", .text(.path),
                "File with at least 32 random bytes, the same on every server of a fleet: ticket keys follow from it and the clock, so that each server takes the others' tickets. Without `keys` and `secret` the secret is random and this process's own.",
                example: "fleet.secret"),
            ConfigOption(
                "rotate", .unit(.duration, ConfigRange(minute, 7 * day)), default: "12h",
                "How long a key that follows from a secret seals, and how long a ticket may be used. The same on every server of a fleet.",
                example: "12h"),
        ],
        rules: [.atMostOne(["keys", "secret"])])

    static let sessionCache = ConfigGroup([
        ConfigOption(
            "entries", .integer(ConfigRange(1, 10_000_000, zeroIsOff: true)), default: "20000",
            "About how many sessions are kept, at some 420 bytes each; the oldest make room.", example: "0"),
        ConfigOption(
            "lifetime", .unit(.duration, ConfigRange(minute, day)), default: "1h", "How long a session may be resumed.", example: "1h"),
    ])

    static let http2 = ConfigGroup([
        ConfigOption(
            "streams", .integer(ConfigRange(1, 10_000)), default: "128",
            "Requests that a connection may have open at once (SETTINGS_MAX_CONCURRENT_STREAMS). RFC 9113 advises at least 100.", example: "128"),
        ConfigOption(
            "stream-window", .unit(.size, ConfigRange(16 * kib, 16 * mib)), default: "64KiB",
            "Bytes of one request body that a client may send ahead of its reader (SETTINGS_INITIAL_WINDOW_SIZE).", example: "256KiB"),
        ConfigOption(
            "connection-window", .unit(.size, ConfigRange(64 * kib, 64 * mib)), default: "256KiB",
            "The same for all request bodies of a connection together.", example: "1MiB"),
        ConfigOption(
            "ping-after", .unit(.duration, ConfigRange(second, 2 * 60 * minute, zeroIsOff: true)), default: "60s",
            "How long a client with requests under way may be silent before it is asked by PING whether it is there.", example: "30s"),
        ConfigOption(
            "ping-timeout", .unit(.duration, ConfigRange(100 * ms, 10 * minute)), default: "20s",
            "How long it may be silent after that before its connection is ended.", example: "10s"),
    ])

    static let redirect = ConfigGroup([
        ConfigOption(
            "to", .text(.redirectTarget), required: true,
            "`https`: the same host, path and query by HTTPS; over TLS such a route does not match, and the next one is tried. Or a URL, in which `{host}` stands for the host of the request without its port, `{path}` for its path as sent, and `{query}` for its query with the question mark, or nothing. A request whose host is missing or malformed gets 400 when the target needs it.",
            example: "https"),
        ConfigOption(
            "status", .choice(["301", "302", "307", "308"]), default: "308",
            "308 and 301 are permanent, 307 and 302 are not; with 308 and 307 a POST stays a POST.", example: "301"),
        ConfigOption(
            "port", .integer(ConfigRange(1, 65_535)), "The port of the HTTPS server, for `to: https`. Missing: 443.", example: "8443"),
    ])

    static let hsts = ConfigGroup([
        ConfigOption(
            "max-age", .unit(.duration, ConfigRange(second, 3650 * day, zeroIsOff: true)), default: "365d",
            "How long browsers remember, from each response on. 0 makes them forget.", example: "180d"),
        ConfigOption(
            "include-subdomains", .boolean, default: "true", "Whether it holds for every host below this one.", example: "false"),
        ConfigOption(
            "preload", .boolean, default: "false",
            "Consents to the lists that browsers ship, which are hard to leave; they ask for a year at least, and for `include-subdomains`.",
            example: "true"),
    ])
}
