// Which keys this version validates but does not act on yet. One list, which shrinks as features land: `serve` and `check` refuse these keys,
// so that nobody relies on what is not there; `explain`, `schema` and the reference page know them all the same.

extension ConfigSchema {
    /// Paths of keys, as in the headings of the reference page: `routes[].proxy`, `upstreams.NAME.health`.
    package static let unwired: Set<String> = [
        "upstreams.NAME.adaptive-concurrency", "upstreams.NAME.proxy-protocol",
        "routes[].proxy.mirror",
    ]
}
