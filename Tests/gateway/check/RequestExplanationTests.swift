// `uringd explain` and expectations: the way of requests through a configuration, without a server.

import Testing

@testable import UringGateway

@Suite struct RequestExplanationTests {
    private func explain(_ line: String, _ headers: [String] = [], _ text: String = GatewayExample.text) throws -> RequestExplanation {
        let words = line.split(separator: " ").map(String.init)
        let request = try ExplainedRequest.parse(method: words[0], url: words[1], headers: headers).get()
        return RequestExplanation(request, try #require(load(text).configuration))
    }

    @Test func theWholePath() throws {
        let explanation = try explain(
            "POST https://127.0.0.1:8443/v1/orders/./7%41?x=1", ["Host: API.example.com:8443", "Authorization: Bearer x", "Origin: https://a.example.org"])
        #expect(
            explanation.text == """
                POST https://127.0.0.1:8443/v1/orders/./7%41?x=1
                listener   https://127.0.0.1:8443 (HTTP/1.1 and HTTP/2)
                note       the path in its normal form is /v1/orders/7A
                route      health  no: the path /v1/orders/7A is not /healthz
                route      orders  yes
                filter     surge: 503 during a surge
                             degradable
                filter     cors: the origin may read the response
                             origins: https://app.example.com, https://*.example.org
                             methods: GET, HEAD, POST
                filter     jwt: cannot be judged offline
                             keys: jwks.json
                             issuer: https://issuer.example
                             audience: orders
                             algorithms: RS256, ES256
                             claim scope: orders.read or orders.write
                filter     rate-limit
                             key: jwt.sub
                             rate: 100/s, burst 200
                             beyond: 429
                             counted in redis main, fails closed
                filter     breaker
                             group: orders
                             error rate: 5% over 2m
                             p95: 800ms for 3 periods of 30s
                             open for 30s, then 3 tries
                             answer: the route health
                filter     headers
                             remove server
                             set x-frame-options: DENY
                filter     compression
                             gzip from 256 bytes
                answer     the upstream orders
                server     127.0.0.1:9001
                server     b.internal:9002, weight 2
                server     unix:backup.sock, backup
                             balance: least-requests, protocol: auto, TLS, verified
                             connections: 1000, waiting 200, connect 1s
                             timeouts: response 5s, body 12s, write 13s
                             retry: never
                             names: every address of the preferred family is a server, looked up every 10s
                             health: GET /healthz every 2s
                             outliers are ejected
                             mirrored to next, 0.5%
                sent       POST /internal/orders/7A?x=1
                             host: orders.internal:8080
                             x-forwarded-for: CLIENT
                             x-forwarded-proto: https
                             x-forwarded-host: API.example.com:8443
                             forwarded: for=CLIENT;host="API.example.com:8443";proto=https
                             x-correlation-id: ID
                             traceparent: 00-TRACE-SPAN-FLAGS
                             x-left-ms: up to 20000
                             x-user-id: jwt.sub
                             x-gateway: uringd
                             without cookie
                             without authorization
                limits     header 10s, body 30s, handler 30s, write 30s, idle 75s
                limits     header section 32KiB, body 1MiB
                limits     banned for 10m by the rule guessing: 20 of 401, 403-404, rate-limit within 1m
                limits     the whole request 20s
                response   vary: origin
                response   x-frame-options: DENY

                """)
        #expect(JSONSyntax.isValid(explanation.json.compactBytes))
    }

    @Test func requestsThatEndEarly() throws {
        let none = try explain("GET http://other:81/%zz")
        #expect(none.status == 400 && none.route == nil)
        #expect(none.notes[0].hasPrefix("no listener speaks http on port 81; there are http://127.0.0.1:8080 (HTTP/1.1 and HTTP/2), https://127.0.0.1:8443"))
        let missing = try explain("GET https://api.example.com:8443/v1/orders/7")
        #expect(missing.status == 401 && missing.route == "orders" && missing.answer[0] == "it ends at a filter with 401; without that, next:")
        #expect(try explain("GET https://api.example.com:8443/v1/orders/7", ["Authorization: Basic x"]).status == 401)
        #expect(try explain("GET http://127.0.0.1:8080/staff/x").status == 403)
        #expect(try explain("OPTIONS http://127.0.0.1:8080/healthz").status == 200)
        let preflight = """
            listen: [{ address: 127.0.0.1:8080 }]
            routes: [{ name: a, match: { path: /a, methods: [OPTIONS, GET] }, respond: {}, cors: { origins: ["https://x"] } }]
            """
        #expect(try explain("OPTIONS http://127.0.0.1:8080/a", ["Origin: https://x", "Access-Control-Request-Method: GET"], preflight).status == 204)
        let wrong = try explain("PUT http://127.0.0.1:8080/a", [], preflight)
        #expect(wrong.status == 405 && wrong.trials == [.init(route: "a", reason: "the method PUT is not OPTIONS, GET or HEAD")])
        #expect(try explain("CONNECT http://127.0.0.1:8080/a", [], preflight).status == 501)
        #expect(try explain("GET http://127.0.0.1:8080/b", [], preflight).status == 404)
    }

    @Test func rewrittenPaths() throws {
        #expect(try explain("GET http://127.0.0.1:8080/users/7?q", ["Authorization: Basic x"]).upstream?.target == "/u/7?q")
        #expect(try explain("GET https://127.0.0.1:8443/staff/a/b", ["X-Key: k"]).upstream?.target == "/s/a/b")
        let text = { (path: String) in
            "listen: [{ address: 127.0.0.1:8080 }]\nupstreams: { u: { servers: [\"h:80\"] } }\nroutes: [{ name: a, match: {}, proxy: { upstream: u, host: upstream, path: \(path) } }]\n"
        }
        for (path, request, target) in [
            ("{ strip-prefix: /v1 }", "/v1", "/"), ("{ strip-prefix: /v1 }", "/v1/", "/"), ("{ strip-prefix: /v1 }", "/v10/x", "/v10/x"),
            ("{ strip-prefix: /v1, prefix: /x }", "/v1/a", "/x/a"), ("{ strip-prefix: /v1, prefix: /x }", "/v1", "/x"), ("{ prefix: /x }", "/", "/x/"),
            ("\"/y{path}\"", "/a", "/y/a"),
        ] {
            let upstream = try #require(try explain("GET http://127.0.0.1:8080\(request)", [], text(path)).upstream)
            #expect(upstream.target == target, "\(path) \(request)")
            #expect(upstream.host == "h")
        }
    }

    /// The reasons that are given agree with the table that serves: for random rules and requests, the first route without a reason is the one taken.
    @Test(arguments: 0..<4 as Range<UInt64>)
    func reasonsAgreeWithTheTable(seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        let paths = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/*", "/a/*", "/{x}", "/a/{x}", "/{x}/b", "/{x}/*", "/a/{x}/c", "/b/"]
        let hosts = ["a.example", "*.example", "b.a.example", "*.a.example"]
        let methods = ["GET", "POST", "HEAD", "PUT"]
        for _ in 0..<200 {
            let rules = try (0..<(1 + random.below(6))).map { _ in
                RouteMatchRule(
                    hosts: try (0..<random.below(3)).map { _ in try HostPattern.parse(hosts[random.below(hosts.count)]).get() },
                    paths: try (0..<random.below(3)).map { _ in try PathPattern.parse(paths[random.below(paths.count)]).get() },
                    methods: MethodSet((0..<random.below(3)).map { _ in methods[random.below(methods.count)] }), isClearOnly: random.below(6) == 0)
            }
            let configuration = Configuration(
                listeners: [], routes: rules.enumerated().map { RouteConfiguration(name: "r\($0.offset)", match: $0.element, action: .respond(.init())) })
            let explainer = Explainer(configuration, RouteTable(rules))
            for _ in 0..<20 {
                let path = (0..<(1 + random.below(3))).map { _ in "/" + ["", "a", "b", "c"][random.below(4)] }.joined()
                let host = ["a.example", "B.A.Example.:81", "example", "127.0.0.1", "[::1]:8080", "x.example", "x.a.example."][random.below(7)]
                let url = "\(["http", "https"][random.below(2)])://h\(path)"
                let request = try ExplainedRequest.parse(method: methods[random.below(methods.count)], url: url, headers: ["Host: \(host)"]).get()
                let found = explainer.explain(request)
                guard let normal = request.normalPath else { continue }
                let reasons = rules.map { Explainer.reason($0, request, normal) }
                #expect(found.route == reasons.firstIndex { $0 == nil }.map { "r\($0)" }, "\(url) \(host) \(rules)")
                #expect((found.status == 405) == (found.route == nil && reasons.contains { $0?.hasPrefix("the method") ?? false }), "\(url)")
            }
        }
    }

    @Test func argumentsThatAreWrong() {
        for (method, url, header, reason) in [
            ("get", "http://a", "", "the method `get`: methods are case-sensitive"), ("GET", "/a", "", "the URL `/a`: a URL begins with https:// or http://"),
            ("GET", "http://a", "x", "the header `x`: NAME: VALUE is expected, with a colon"),
            ("GET", "http://a", "a b: c", "the header `a b`: a header name has letters, digits and hyphens, no colon and no space"),
        ] {
            #expect(ExplainedRequest.parse(method: method, url: url, headers: header.isEmpty ? [] : [header]).problem == reason)
        }
    }

    // MARK: expectations

    @Test func expectationsThatDoNotHold() {
        let text = { (expectation: String) in
            """
            listen: [{ address: 127.0.0.1:8080 }]
            routes:
              - { name: a, match: { path: /a, methods: [GET] }, respond: { status: 204, headers: { x: y } } }
              - { name: b, match: { path: /b/* }, files: { root: /srv } }
              - { name: c, match: { path: /c }, redirect: { to: "https://x.example{path}", status: "301" } }
            expectations:
              - \(expectation)
            """
        }
        for (expectation, problem) in [
            ("{ request: \"GET http://h/a\", route: a, status: 204, response: { X: y } }", nil),
            ("{ request: \"GET http://h/c?x\", route: c, status: 301, response: { location: \"https://x.example/c\" } }", nil),
            ("{ request: \"GET http://h/zz\", route: none, status: 404 }", nil), ("{ request: \"GET http://h/b/x\", route: b }", nil),
            ("{ request: \"GET http://h/a\", route: b }", "the route `a` takes it, not `b`: the path /a is not /b/*"),
            ("{ request: \"POST http://h/a\", route: a }", "no route takes it, not `a`: the method POST is not GET or HEAD"),
            ("{ request: \"GET http://h/a\", route: aa }", "the route `a` takes it; there is no route `aa`; there are `a`, `b`, `c`"),
            ("{ request: \"GET http://h/a\", route: none }", "the route `a` takes it, not none"),
            ("{ request: \"GET http://h/a\", status: 200 }", "the status is 204, not 200"),
            ("{ request: \"GET http://h/b/x\", status: 200 }", "the status is not known offline: files below /srv decides it"),
            ("{ request: \"GET http://h/a\", response: { x: z } }", "the header x is not what is expected"),
            ("{ request: \"GET http://h/a\", response: { y: z } }", "the configuration gives the response no header y"),
        ] as [(String, String?)] {
            let found = load(text(expectation))
            let url = expectation.split(separator: "\"")[1]
            #expect(found.render() == (problem.map { "test.yaml:7:5: expectations: \(url): \($0)\n" } ?? ""), "\(expectation)")
            #expect((found.configuration == nil) == (problem != nil))
        }
        #expect(load(text("{ request: \"GET http://h/a\" }")).render() == "test.yaml:7:5: expectations: nothing is expected; accepted: `route`, `status` or `response`\n")
    }
}
