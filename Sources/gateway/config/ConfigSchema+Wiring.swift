// Which keys this version validates but does not act on yet. One list, which shrinks as features land: `serve` and `check` refuse these keys,
// so that nobody relies on what is not there; `explain`, `schema` and the reference page know them all the same.

extension ConfigSchema {
    /// Paths of keys, as in the headings of the reference page: `routes[].proxy`, `upstreams.NAME.health`.
    package static let unwired: Set<String> = [
        "addresses", "deadline", "listen[].proxy-protocol", "redis", "supervisor", "surge",
        "tracing",
        "upstreams.NAME.adaptive-concurrency", "upstreams.NAME.drain", "upstreams.NAME.health",
        "upstreams.NAME.protocol", "upstreams.NAME.proxy-protocol", "upstreams.NAME.resolve", "upstreams.NAME.tls",
        "routes[].access-log", "routes[].api-keys", "routes[].auth-request", "routes[].basic", "routes[].breaker", "routes[].client-cert",
        "routes[].compression", "routes[].cors", "routes[].degradable", "routes[].headers", "routes[].jwt", "routes[].rate-limit",
        "routes[].timeout",
        "routes[].proxy.body-bytes", "routes[].proxy.mirror", "routes[].proxy.websocket",
        "routes[].rate-limit.redis",
    ]
}
