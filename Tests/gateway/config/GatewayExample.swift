// A configuration with every part of the gateway, for tests of the loader, of explanations and for mutation.

enum GatewayExample {
    /// The contract's example (design.md) with what else has a key; line numbers are relied on nowhere.
    static let text = """
        loops: auto
        listen:
          - address: 127.0.0.1:8080
          - address: 127.0.0.1:8443
            proxy-protocol: false
            tls:
              certificates:
                - { cert: server.pem, key: server.key }
              alpn: [h2, http/1.1]
              client-auth: { mode: optional, ca: clients.pem }
              session-tickets: { keys: [tickets.key], rotate: 12h }
        admin: { address: 127.0.0.1:9901, tokens: [{ file: admin.token }] }
        timeouts: { header: 10s, body: 30s, handler: 30s, write: 30s, idle: 75s }
        limits:
          { connections: 100000, connections-per-address: 1000, requests-per-connection: 0, header-bytes: 32KiB, body-bytes: 10MiB }
        access-log: { path: /dev/stdout, format: json, sample: 50% }
        addresses: { deny: [192.0.2.0/24], allow: [], redis: main, ban: [{ name: guessing, on: ["401", 403-404, rate-limit], count: 20, within: 1m, for: 10m, prefix: 24 }] }
        trusted-proxies: [10.0.0.0/8, "fd00::/8"]
        upstreams:
          orders:
            servers: [ "127.0.0.1:9001", { address: "b.internal:9002", weight: 2 }, { address: "unix:backup.sock", backup: true } ]
            resolve: 10s
            balance: least-requests
            protocol: auto
            tls: { ca: ca.pem, server-name: orders.internal, cert: c.pem, key: c.key, min-version: "1.3" }
            connections: { max: 1000, max-pending: 200, max-requests-per-connection: 100, max-streams: 50, connect-timeout: 1s, idle-timeout: 4s }
            timeouts: { response: 11s, body: 12s, write: 13s }
            retry: { attempts: 2, budget: 20%, budget-min: 3, on: [connect-failure, "502", "503"], backoff: 10ms, backoff-max: 1s }
            health: { path: /healthz, host: orders.internal, port: 9000, interval: 2s, timeout: 1s, unhealthy-after: 3, healthy-after: 2, status: ["200", "204"] }
            outlier: { consecutive-5xx: 5, consecutive-failures: 3, interval: 30s, eject: 60s, eject-max: 5m, max-ejected: 50% }
            slow-start: 30s
            panic-threshold: 30%
            adaptive-concurrency: { initial: 20, min: 5, max: 200, tolerance: 150%, window: 1s, queue: 7 }
            drain: 10s
          next: { servers: ["127.0.0.1:9003"], balance: hash, hash: { key: "cookie:Session" }, proxy-protocol: v2, tls: "on" }
          auth: { servers: ["127.0.0.1:9004"] }
        redis: { main: { address: "127.0.0.1:6379", username: u, password: { file: redis.password }, database: 1, timeout: 50ms, tls: "off", prefix: "edge:" } }
        surge: { connections-growth: 200%, within: 1m, then: { rate-limit: { key: address, rate: 10/s } } }
        tracing: { endpoint: "http://127.0.0.1:4318/v1/traces", sample: 10%, service-name: edge, headers: { authorization: { file: otlp.token } } }
        request-id: { header: x-correlation-id, trust: none }
        deadline: { header: x-left-ms, trust: all }
        supervisor: true
        routes:
          - name: health
            match: { path: /healthz }
            respond: { status: 200, json: { status: ok } }
          - name: orders
            match: { host: api.example.com, path: /v1/orders/*, methods: [GET, POST] }
            jwt: { keys: jwks.json, issuer: "https://issuer.example", audience: orders, algorithms: [RS256, ES256], claims: { scope: [orders.read, orders.write] }, forward-claims: { sub: x-user-id }, forward-token: false }
            rate-limit: { key: jwt.sub, rate: 100/s, burst: 200, redis: main, fail: closed }
            breaker: { error-rate: 5%, over: 2m, latency-p95: 800ms, periods: 3, open-for: 30s, minimum-requests: 20, answer: { fallback-route: health } }
            cors: { origins: ["https://app.example.com", "https://*.example.org"], credentials: true }
            compression: { algorithms: [gzip], min-bytes: 256, types: [application/x-ours] }
            timeout: 20s
            degradable: true
            access-log: off
            headers: { set: { x-frame-options: DENY }, remove: [Server] }
            proxy:
              upstream: orders
              timeout: 5s
              path: { strip-prefix: /v1, prefix: /internal }
              host: orders.internal:8080
              headers: { request: { set: { x-gateway: uringd }, remove: [Cookie] }, response: { add: { vary: origin } } }
              retry: { attempts: 0 }
              mirror: { upstream: next, share: 0.5% }
              forwarded: both
              request-buffering: 64KiB
              websocket: false
              body-bytes: 1MiB
          - name: users
            match: { path: "/users/{id}" }
            basic: { file: users.htpasswd, realm: staff, forward: x-user }
            auth-request: { upstream: auth, path: /check, copy-headers: [X-Role] }
            rate-limit: [{ key: address/24, rate: 600/m }, { key: "header:X-Tenant", rate: 1000/h, status: 503, headers: false, dry-run: true }]
            proxy: { upstream: next, path: "/u/{id}" }
          - name: staff
            match: { path: /staff/* }
            client-cert: { subjects: ["URI:spiffe://mesh/*", CN=admin], forward: x-subject }
            api-keys: { file: keys.txt, header: X-Key }
            proxy: { upstream: auth, path: "/s/{rest}", host: upstream }
          - name: site
            match: { path: /* }
            files: { root: ./public, index: index.html, cache-control: "max-age=60" }
        expectations:
          - { request: "GET http://127.0.0.1:8080/healthz", route: health, status: 200, response: { content-type: application/json } }
          - { request: "GET https://api.example.com:8443/v1/orders/7", route: orders, status: 401 }
        """
}
