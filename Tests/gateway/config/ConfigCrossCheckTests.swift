// What parts of a configuration mean together, and warnings with a name: every message in full.

import Testing

@testable import UringGateway

@Suite struct ConfigCrossCheckTests {
    private func lines(_ text: String) -> [String] { messages(text) }

    /// A route to an upstream; the lines are those of the upstream, from line 3 column 5 on.
    private func upstream(_ lines: String) -> String {
        "listen: [{ address: 127.0.0.1:8080 }]\nupstreams:\n  u:\n"
            + lines.split(separator: "\n").map { "    \($0)\n" }.joined() + "routes: [{ name: r, match: {}, proxy: { upstream: u } }]\n"
    }

    /// A route with filters; the first line is line 4, column 5.
    private func route(_ lines: String, tls: Bool = false) -> String {
        "listen: [{ address: 127.0.0.1:8080 }]\nupstreams: { u: { servers: [\"127.0.0.1:9001\"] } }\nroutes:\n  - name: r\n    match: { path: \"/a/{id}/*\" }\n"
            + lines.split(separator: "\n").map { "    \($0)\n" }.joined()
    }

    @Test func pairsOfHostsAndPathsAreBounded() {
        func text(_ routes: Int) -> String {
            let hosts = (0..<ConfigLimits.hostsPerRouteMax).map { "h\($0).example" }.joined(separator: ", ")
            let paths = (0..<ConfigLimits.pathsPerRouteMax).map { "/p\($0)" }.joined(separator: ", ")
            let lines = (0..<routes).map { "  - { name: r\($0), match: { host: [\(hosts)], path: [\(paths)] }, respond: {} }\n" }.joined()
            return "listen: [{ address: 127.0.0.1:8080 }]\nroutes:\n" + lines
        }
        let perRoute = ConfigLimits.hostsPerRouteMax * ConfigLimits.pathsPerRouteMax
        let problems = lines(text(RouteTable.pairsMax / perRoute + 1)).filter { $0.contains("pairs of a host and a path") }
        #expect(problems.count == 1 && problems[0].hasSuffix("routes: more than 1000000 pairs of a host and a path"), "\(problems)")
    }

    @Test func namesThatAreNotThere() {
        expectMessages(
            route("proxy: { upstream: uu, mirror: { upstream: other } }\nauth-request: { upstream: zzz, path: /x }\nrate-limit: { key: address, rate: 1/s, redis: main }"),
            [
                "2:14: warning: upstreams: no route uses `u` [upstream-unused]",
                "6:24: proxy.upstream: there is no upstream `uu`; there is `u`",
                "6:48: proxy.mirror.upstream: there is no upstream `other`; there is `u`",
                "7:31: auth-request.upstream: there is no upstream `zzz`; there is `u`",
                "8:51: rate-limit.redis: there is no server `main` below `redis`; `redis` has none",
            ])
        expectMessages(
            route("proxy: { upstream: u }\nbreaker: { error-rate: 5%, answer: { fallback-route: rr } }"),
            ["7:58: breaker.answer: there is no route `rr`; there is `r`"])
        expectMessages(
            route("proxy: { upstream: u }\nbreaker: { error-rate: 5%, answer: { fallback-route: r } }"),
            ["7:58: breaker.answer: `r` is the route itself"])
        expectMessages(withBase("redis: { a: { address: \"127.0.0.1:1\" } }"), ["1:10: warning: redis: nothing uses `a` [redis-unused]"])
    }

    @Test func names() {
        expectMessages(
            upstream("servers: [\"127.0.0.1:1\"]\nresolve: { interval: 5s, addresses: ipv4 }"),
            ["5:5: warning: upstreams.u: `resolve` has no effect: no server is given by a host name"])
        expectMessages(upstream("servers: [\"orders.internal:1\"]\nresolve: 0"), [])
        expectMessages(
            upstream("servers: [\"orders.internal:1\"]\nresolve: { addresses: some }"),
            ["5:27: upstreams.u.resolve.addresses: found `some`, accepted: all, ipv4, ipv6, both or first"])
    }

    @Test func upstreams() {
        expectMessages(
            upstream("servers: [\"a:1\", { address: \"A:1\" }]\nbalance: hash\nprotocol: h2\nproxy-protocol: v1\ntls: { cert: c, verify: false, ca: x }\nadaptive-concurrency: { min: 9, max: 5 }"),
            [
                "4:33: upstreams.u.servers: a:1 appears twice; first in line 4",
                "5:14: `balance: hash` needs `hash`, which says what it goes by; for example `hash: { key: address }`",
                "7:5: upstreams.u: `proxy-protocol` gives each client a connection of its own, which `protocol: h2` shares; remove one of them",
                "8:12: upstreams.u.tls: `cert` needs `key`",
                "8:29: warning: upstreams.u.tls: without verification anybody between here and the server can read and change what is sent; `ca` names an authority of your own [tls-unverified]",
                "8:36: warning: upstreams.u.tls: `ca` has no effect: `verify` is false",
                "9:27: upstreams.u.adaptive-concurrency: min (9), initial (50) and max (5) are not in this order",
            ])
        expectMessages(
            upstream("servers: [{ address: \"a:1\", backup: true }]\nhash: { key: path }\ntimeouts: { response: 0, body: 0s }\nretry: { non-idempotent: true, backoff: 1s }\noutlier: { eject: 1h }\nhealth: { path: /, interval: 1s, timeout: 2s }"),
            [
                "4:14: upstreams.u.servers: all of them are backups; one at least has to serve",
                "5:5: warning: `hash` has no effect: `balance` is round-robin",
                "6:27: warning: upstreams.u.timeouts.response: without a timeout a peer that hangs is waited for without end [no-timeout]",
                "6:36: warning: upstreams.u.timeouts.body: without a timeout a peer that hangs is waited for without end [no-timeout]",
                "7:12: upstreams.u.retry: backoff-max (250ms) is shorter than backoff (1s)",
                "7:30: warning: upstreams.u.retry: a POST that is sent again may be done twice; servers need to recognise repeats [retry-non-idempotent]",
                "8:14: upstreams.u.outlier: eject-max (10m) is shorter than eject (1h)",
                "9:47: warning: upstreams.u.health: `timeout` is longer than `interval`; the next check waits for it",
            ])
        expectMessages(
            upstream("servers: [\"http://a:1\", \"a:0\"]"),
            [
                "4:15: upstreams.u.servers[0]: found the text \"http://a:1\" (a URL; an address has no scheme, and `tls` says whether TLS is spoken), accepted: HOST:PORT, [V6]:PORT or unix:PATH",
                "4:29: upstreams.u.servers[1]: found the text \"a:0\" (nobody listens on port 0), accepted: HOST:PORT, [V6]:PORT or unix:PATH",
            ])
        expectMessages(withBase("upstreams: { \"a b\": { servers: [\"a:1\"] } }"), ["1:14: upstreams: found the name `a b` (other characters), accepted: 1 to 64 letters, digits, `.`, `_` or `-`"])
    }

    @Test func paths() {
        expectMessages(
            route("proxy: { upstream: u, path: \"/x/{idd}/{rest}\" }"),
            ["6:33: proxy.path.replace: `{idd}` is not in every path of the route's `match`, did you mean `{id}`?"])
        expectMessages(
            route("proxy: { upstream: u, path: { replace: /x, prefix: /y } }"),
            ["6:48: `prefix` stands beside `replace` in `routes[0].proxy.path`; only one of them is possible"])
        expectMessages(
            route("proxy: { upstream: u, path: {} }"),
            ["6:33: proxy.path: nothing says how it is changed; accepted: `strip-prefix`, `prefix` or `replace`"])
    }

    @Test func filters() {
        expectMessages(
            route("respond: {}\nrate-limit: { key: jwt.sub, rate: 100/s, fail: closed }"),
            [
                "2:14: warning: upstreams: no route uses `u` [upstream-unused]",
                "7:24: rate-limit.key: jwt.sub needs a `jwt` filter, whose token has the claim",
                "7:46: warning: rate-limit: `fail` has no effect without `redis`",
            ])
        expectMessages(
            route("proxy: { upstream: u }\nbasic: { file: f }\njwt: { keys: k.json, refresh: 1h }\nclient-cert: { subjects: [CN=a] }"),
            [
                "8:5: `jwt` and `basic` both read the header authorization; a request has one, so none would pass",
                "8:18: warning: jwt: without `algorithms` the keys alone say which signatures are good; name those that the issuer uses, for example `algorithms: [RS256]` [jwt-any-algorithm]",
                "8:18: warning: jwt: without `audience` a token that the issuer made for another service passes here [jwt-any-audience]",
                "8:26: warning: jwt: `refresh` has no effect: `keys` is a file, which is read when the configuration is",
                "9:5: client-cert: no listener asks for certificates; `tls: { client-auth: { mode: optional, ca: clients.pem } }` does",
            ])
        expectMessages(
            route("proxy: { upstream: u }\njwt: { secret: short, algorithms: [HS384, RS256], audience: a }"),
            [
                "7:20: warning: jwt.secret: a secret stands in the configuration; `{ file: PATH }` or `${NAME}` keep it apart [secret-in-file]",
                "7:20: warning: jwt.secret: it has 5 bytes; with fewer than 48 random ones it can be found by trying, from one token [jwt-short-secret]",
                "7:39: jwt.algorithms: `secret` is a key for HS256, HS384 and HS512; RS256 needs `keys`",
            ])
        expectMessages(
            route("proxy: { upstream: u }\njwt: { algorithms: [RS256], audience: a }\ncors: { origins: [\"*\"], credentials: true }\nbreaker: { over: 1m }"),
            [
                "7:10: a key is missing in `routes[0].jwt`; accepted: `keys` or `secret`",
                "8:42: warning: cors: with `origins: [\"*\"]` any page that a user visits reads here with the user's cookies; name the origins [cors-any-origin]",
                "9:14: breaker: nothing says when it trips; accepted: `error-rate`, `latency-p95` or `consecutive-failures`",
            ])
        expectMessages(
            route("proxy: { upstream: u, body-bytes: 0, timeout: 0, headers: { request: { set: { host: x, Content-Length: 3 } } } }"),
            [
                "6:39: warning: proxy.body-bytes: one client may send as much as it likes [body-unlimited]",
                "6:51: warning: proxy.timeout: without a timeout a peer that hangs is waited for without end [no-timeout]",
                "6:83: routes[0].proxy.headers.request.set: found the header name `host` (`proxy.host` says what is sent as the host)",
                "6:92: routes[0].proxy.headers.request.set: found the header name `Content-Length` (the proxy itself writes this header)",
            ])
    }

    @Test func breakerGroups() throws {
        let text = { (second: String) in
            """
            listen: [{ address: 127.0.0.1:8080 }]
            routes:
              - { name: a, match: { path: /a }, respond: {}, breaker: { group: g } }
              - { name: b, match: { path: /b }, respond: {}, breaker: { group: g, error-rate: 5% } }
              - { name: c, match: { path: /c }, respond: {}, breaker: { group: g\(second), answer: { status: 502 } } }
            """
        }
        expectMessages(
            text(", error-rate: 6%"), ["5:68: breaker.group: `g` trips differently in line 4; one route says when, the others give the name alone"])
        let good = try good(text(", error-rate: 5%"))
        #expect(good.routes.allSatisfy { $0.filters.breaker?.group == "g" && $0.filters.breaker?.policy.errorRate == Percentage(percent: 5) })
        #expect(good.routes[2].filters.breaker?.answer == .respond(RespondConfiguration(status: 502)))
    }

    @Test func theWholeGateway() {
        expectMessages(
            withBase("trusted-proxies: [0.0.0.0/0, 10.0.0.1/8]\naddresses: { deny: [10.0.0.0/8], allow: [10.1.0.0/16] }\nlimits: { body-bytes: 0 }\ntimeouts: { handler: 0 }"),
            [
                "1:19: warning: trusted-proxies: 0.0.0.0/0 lets every client say which address it has, and so walk around bans and limits [trusts-everybody]",
                "1:30: trusted-proxies[1]: found `10.0.0.1/8` (bits beyond the prefix; the prefix is 10.0.0.0/8), accepted: an address or a prefix such as 10.0.0.0/8 or 2001:db8::/32",
                "2:42: warning: addresses.allow: 10.1.0.0/16 has no effect: `deny` has 10.0.0.0/8",
                "3:23: warning: limits.body-bytes: one client may send as much as it likes [body-unlimited]",
                "4:22: warning: timeouts.handler: without a timeout a peer that hangs is waited for without end [no-timeout]",
            ])
        expectMessages(
            withBase("surge: { connections-growth: 5%, within: 1m, then: { degrade: false } }\ntracing: { endpoint: \"http://otel.example.com/v1\", headers: { a: { file: t } }, batch: 5000 }\nadmin: { address: 0.0.0.0:1, tokens: [{ file: a }, \"short\"] }"),
            [
                "1:30: surge.connections-growth: found `5%`, accepted: a share such as 5% or 0.5%, from 10% to 100000%",
                "2:22: warning: tracing.headers go to otel.example.com:80 in clear; write https:// [clear-credentials]",
                "2:88: warning: tracing: `batch` is larger than `queue`, which bounds it",
                "3:52: warning: admin.tokens[1]: a secret stands in the configuration; `{ file: PATH }` or `${NAME}` keep it apart [secret-in-file]",
                "3:52: admin.tokens[1]: it has 5 bytes, accepted: 16 at least",
            ])
    }

    @Test func credentialsInClear() {
        let text = { (server: String, proxy: String) in
            """
            listen: [{ address: 127.0.0.1:8080 }]
            upstreams: { u: { servers: ["\(server)"] } }
            routes: [{ name: a, match: {}, jwt: { keys: k, algorithms: [RS256], audience: a }, proxy: { upstream: u\(proxy) } }]
            """
        }
        expectMessages(
            text("api.example.com:80", ""),
            ["3:103: warning: proxy.upstream: the credentials of clients go to api.example.com:80 in clear; `upstreams.u.tls: on` hides them, or `forward-token: false` leaves them out [clear-credentials]"])
        for (server, proxy) in [("10.1.2.3:80", ""), ("orders.internal:80", ""), ("unix:x", ""), ("orders:80", ""), ("a.b:80", ", headers: { request: { remove: [Authorization] } }")] {
            expectMessages(text(server, proxy), [])
        }
    }

    @Test func aRouteForEverythingBeforeOthers() {
        expectMessages(
            "listen: [{ address: 127.0.0.1:8080 }]\nroutes:\n  - { name: all, match: { path: /*, methods: [GET] }, respond: {} }\n  - { name: api, match: { path: /api/* }, respond: {} }\n",
            ["3:13: warning: routes: `all` takes every path before `api` behind it is tried, for GET, HEAD; put it last [catch-all-first]"])
        expectMessages(
            "listen: [{ address: 127.0.0.1:8080 }]\nroutes:\n  - { name: all, match: { path: /*, methods: [GET] }, respond: {} }\n  - { name: api, match: { path: /api/*, methods: [PUT] }, respond: {} }\n", [])
    }

    @Test func warningsAreSilencedByName() {
        expectMessages(withBase("admin: { address: 0.0.0.0:1 }\nlint: { allow: [admin-exposed] }"), [])
        expectMessages(
            withBase("lint: { allow: [admin-expose, no-timeout, no-timeout] }"),
            [
                "1:17: lint.allow[0]: found `admin-expose`, accepted: \(ConfigLint.allCases.map(\.rawValue).joinedWithOr); did you mean `admin-exposed`?",
                "1:43: lint.allow: `no-timeout` appears twice",
            ])
    }
}
