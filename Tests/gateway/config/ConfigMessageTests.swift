// Bad files: every message in full, since an operator reads it at three in the morning. Each case is a file and the lines
// that `uringd check` prints for it, without the file name.

import Testing

@testable import UringGateway

@Suite struct ConfigMessageTests {
    /// Unknown keys, with the near miss; a key that was probably meant is not called missing as well.
    @Test func unknownKeys() {
        expectMessages(
            withBase("timeout: {}"),
            ["1:1: unknown key `timeout`, did you mean `timeouts`? accepted: loops, listen, http2, admin, timeouts, limits, access-log, log, routes, upstreams, addresses, trusted-proxies, surge, redis, tracing, request-id, deadline, supervisor, include, lint, expectations"])
        expectMessages(
            withBase("xyzzy: 1"),
            ["1:1: unknown key `xyzzy`; accepted: loops, listen, http2, admin, timeouts, limits, access-log, log, routes, upstreams, addresses, trusted-proxies, surge, redis, tracing, request-id, deadline, supervisor, include, lint, expectations"])
        expectMessages(
            withBase("timeouts: { heder: 1s, Idle: 1s, foo: 2s }"),
            [
                "1:13: unknown key `heder` in `timeouts`, did you mean `header`? accepted: header, body, handler, write, idle, drain, linger, body-rate, write-rate, rate-grace",
                "1:24: unknown key `Idle` in `timeouts`, did you mean `idle`? accepted: header, body, handler, write, idle, drain, linger, body-rate, write-rate, rate-grace",
                "1:34: unknown key `foo` in `timeouts`; accepted: header, body, handler, write, idle, drain, linger, body-rate, write-rate, rate-grace",
            ])
        expectMessages(
            withBase("limits: { header_bytes: 1KiB, bodyBytes: 1 }"),
            [
                "1:11: unknown key `header_bytes` in `limits`, did you mean `header-bytes`? accepted: connections, connections-per-address, requests-per-connection, request-line-bytes, header-bytes, header-count, body-bytes",
                "1:31: unknown key `bodyBytes` in `limits`, did you mean `body-bytes`? accepted: connections, connections-per-address, requests-per-connection, request-line-bytes, header-bytes, header-count, body-bytes",
            ])
        expectMessages(
            "listn: []\nrotues: []",
            [
                "1:1: unknown key `listn`, did you mean `listen`? accepted: loops, listen, http2, admin, timeouts, limits, access-log, log, routes, upstreams, addresses, trusted-proxies, surge, redis, tracing, request-id, deadline, supervisor, include, lint, expectations",
                "2:1: unknown key `rotues`, did you mean `routes`? accepted: loops, listen, http2, admin, timeouts, limits, access-log, log, routes, upstreams, addresses, trusted-proxies, surge, redis, tracing, request-id, deadline, supervisor, include, lint, expectations",
            ])
        expectMessages(
            withRoute("match: {}\nrespnd: {}"),
            ["5:5: unknown key `respnd` in `routes[0]`, did you mean `respond`? accepted: name, match, respond, files, redirect, hsts, proxy, client-cert, basic, api-keys, jwt, auth-request, rate-limit, breaker, cors, compression, timeout, headers, access-log, server-timing, degradable"])
        expectMessages(
            withBase("\"a\\tb\\e[31m\": 1"),
            ["1:1: unknown key `a�b�[31m`; accepted: loops, listen, http2, admin, timeouts, limits, access-log, log, routes, upstreams, addresses, trusted-proxies, surge, redis, tracing, request-id, deadline, supervisor, include, lint, expectations"])
        expectMessages(
            withBase("access-log: { pth: x }"),
            ["1:15: unknown key `pth` in `access-log`, did you mean `path`? accepted: path, format, buffer, flush, sample"])
    }

    /// Files that are no configuration at all.
    @Test func wholeFile() {
        expectMessages(
            "",
            [
                "1:1: the key `listen` is missing; for example `listen: [{ address: 127.0.0.1:8080 }]`",
                "1:1: the key `routes` is missing; for example `routes: [{ name: health, match: { path: /healthz }, respond: { body: ok } }]`",
            ])
        expectMessages(
            "# nothing\n",
            [
                "1:1: the key `listen` is missing; for example `listen: [{ address: 127.0.0.1:8080 }]`",
                "1:1: the key `routes` is missing; for example `routes: [{ name: health, match: { path: /healthz }, respond: { body: ok } }]`",
            ])
        expectMessages(
            "[]",
            ["1:1: found an empty list, accepted: a mapping with the keys loops, listen, http2, admin, timeouts, limits, access-log, log, routes, upstreams, addresses, trusted-proxies, surge, redis, tracing, request-id, deadline, supervisor, include, lint, expectations"])
        expectMessages(
            "foo",
            ["1:1: found `foo`, accepted: a mapping with the keys loops, listen, http2, admin, timeouts, limits, access-log, log, routes, upstreams, addresses, trusted-proxies, surge, redis, tracing, request-id, deadline, supervisor, include, lint, expectations"])
        expectMessages(
            "~",
            [
                "1:1: the key `listen` is missing; for example `listen: [{ address: 127.0.0.1:8080 }]`",
                "1:1: the key `routes` is missing; for example `routes: [{ name: health, match: { path: /healthz }, respond: { body: ok } }]`",
            ])
        expectMessages(
            "{}",
            [
                "1:1: the key `listen` is missing; for example `listen: [{ address: 127.0.0.1:8080 }]`",
                "1:1: the key `routes` is missing; for example `routes: [{ name: health, match: { path: /healthz }, respond: { body: ok } }]`",
            ])
        expectMessages(
            "listen: []\nroutes: []",
            ["1:9: listen: found an empty list, accepted: 1 to 64 entries"])
    }

    /// A kind of value where another belongs.
    @Test func wrongTypes() {
        expectMessages(
            "listen: [127.0.0.1:80]\nroutes: []",
            ["1:10: listen[0]: found `127.0.0.1:80`, accepted: a mapping with the keys address, backlog, ipv6-only, mode, tls, http2, proxy-protocol; for example `{ address: 127.0.0.1:8080 }`"])
        expectMessages(
            "listen: 127.0.0.1:80\nroutes: {}",
            [
                "1:9: listen: found `127.0.0.1:80`, accepted: a list; each entry a mapping with the keys address, backlog, ipv6-only, mode, tls, http2, proxy-protocol",
                "2:9: routes: found an empty mapping, accepted: a list; each entry a mapping with the keys name, match, respond, files, redirect, hsts, proxy, client-cert, basic, api-keys, jwt, auth-request, rate-limit, breaker, cors, compression, timeout, headers, access-log, server-timing, degradable",
            ])
        expectMessages(
            withBase("limits:"),
            ["1:1: limits: found nothing, accepted: a mapping with the keys connections, connections-per-address, requests-per-connection, request-line-bytes, header-bytes, header-count, body-bytes"])
        expectMessages(
            withBase("limits: 3"),
            ["1:9: limits: found `3`, accepted: a mapping with the keys connections, connections-per-address, requests-per-connection, request-line-bytes, header-bytes, header-count, body-bytes"])
        expectMessages(
            withBase("admin: 127.0.0.1:9901"),
            ["1:8: admin: found `127.0.0.1:9901`, accepted: a mapping with the keys address, tokens, tcp-tracer, flight-recorder; for example `{ address: 127.0.0.1:9901 }`"])
        expectMessages(
            withBase("log: { level: [info] }"),
            ["1:15: log.level: found a list, accepted: trace, debug, info, notice, warning, error or critical"])
        expectMessages(
            withBase("access-log: { path: {}, format: 1, buffer: ~ }"),
            [
                "1:21: access-log.path: found an empty mapping, accepted: a path",
                "1:33: access-log.format: found `1`, accepted: json, combined or off",
                "1:36: access-log.buffer: found nothing (`~` is null), accepted: a size such as 4096, 32KiB, 10MiB or 1MB, from 16KiB to 16MiB",
            ])
        expectMessages(
            "listen: [{ address: '[::1]:1', ipv6-only: yes, backlog: '5', mode: 888 }]\nroutes: []",
            [
                "1:43: listen[0].ipv6-only: found `yes`, accepted: true or false",
                "1:57: listen[0].backlog: found the text \"5\", accepted: a number from 1 to 65535",
                "1:62: warning: listen: `mode` has no effect here: only a Unix socket has permissions",
                "1:68: listen[0].mode: found `888` (not an octal mode), accepted: an octal mode in quotes such as \"0660\"",
            ])
        expectMessages(
            withRoute("match: { path: {}, methods: GET }\nfiles: { root: [], precompressed: br, symlinks: follow }"),
            [
                "4:20: routes[0].match.path: found an empty mapping, accepted: a path such as /health, /v1/orders/* or /users/{id}, or a list of such",
                "4:33: routes[0].match.methods: found `GET`, accepted: a list; each entry a method such as GET, in capitals; did you mean `[GET]`?",
                "5:20: routes[0].files.root: found an empty list, accepted: a path",
                "5:39: routes[0].files.precompressed: found `br`, accepted: a list; each entry br, zstd or gzip; did you mean `[br]`?",
                "5:53: routes[0].files.symlinks: found `follow`, accepted: inside or deny",
            ])
        expectMessages(
            withRoute("match: /x\nrespond: hello"),
            [
                "4:12: routes[0].match: found `/x`, accepted: a mapping with the keys host, path, methods",
                "5:14: routes[0].respond: found `hello`, accepted: a mapping with the keys status, headers, body, json",
            ])
    }

    @Test func loops() {
        expectMessages(
            withBase("loops: 0"),
            ["1:8: loops: found `0`, accepted: auto, a number from 1 to 1024, or a list of cores such as [0, 2]"])
        expectMessages(
            withBase("loops: 1025"),
            ["1:8: loops: found `1025`, accepted: auto, a number from 1 to 1024, or a list of cores such as [0, 2]"])
        expectMessages(
            withBase("loops: many"),
            ["1:8: loops: found `many`, accepted: auto, a number from 1 to 1024, or a list of cores such as [0, 2]"])
        expectMessages(
            withBase("loops: []"),
            ["1:8: loops: found an empty list, accepted: auto, a number from 1 to 1024, or a list of cores such as [0, 2]"])
        expectMessages(
            withBase("loops: [0, 0]"),
            ["1:12: loops: the core 0 appears twice"])
        expectMessages(
            withBase("loops: [0, a, -1, 8192]"),
            [
                "1:12: loops: found `a`, accepted: the number of a core, from 0 to 8191",
                "1:15: loops: found `-1`, accepted: the number of a core, from 0 to 8191",
                "1:19: loops: found `8192`, accepted: the number of a core, from 0 to 8191",
            ])
        expectMessages(
            withBase("loops: {}"),
            ["1:8: loops: found an empty mapping, accepted: auto, a number from 1 to 1024, or a list of cores such as [0, 2]"])
        expectMessages(
            withBase("loops: \"2\""),
            ["1:8: loops: found the text \"2\", accepted: auto, a number from 1 to 1024, or a list of cores such as [0, 2]"])
    }

    /// Numbers with units.
    @Test func units() {
        expectMessages(
            withBase("timeouts: { header: 10, body: ten, handler: 10 s, write: 5 seconds, idle: 25h }"),
            [
                "1:21: timeouts.header: found `10`, accepted: a duration such as 500ms, 10s, 2m or 1h30m, from 10ms to 1d, or 0 for off; did you mean `10s` or `10ms`?",
                "1:31: timeouts.body: found `ten`, accepted: a duration such as 500ms, 10s, 2m or 1h30m, from 10ms to 1d, or 0 for off",
                "1:45: timeouts.handler: found `10 s`, accepted: a duration such as 500ms, 10s, 2m or 1h30m, from 10ms to 1d, or 0 for off; did you mean `10s`?",
                "1:58: timeouts.write: found `5 seconds`, accepted: a duration such as 500ms, 10s, 2m or 1h30m, from 10ms to 1d, or 0 for off; did you mean `5s`?",
                "1:75: timeouts.idle: found `25h`, accepted: a duration such as 500ms, 10s, 2m or 1h30m, from 10ms to 1d, or 0 for off",
            ])
        expectMessages(
            withBase("timeouts: { drain: 1ms, linger: [], body-rate: 240, write-rate: 1KB, rate-grace: 0, header: 5M, body: 30m1h, handler: 99999999999999999999s, write: -1s }"),
            [
                "1:20: timeouts.drain: found `1ms`, accepted: a duration such as 500ms, 10s, 2m or 1h30m, from 10ms to 1d, or 0 for off",
                "1:33: timeouts.linger: found an empty list, accepted: a duration such as 500ms, 10s, 2m or 1h30m, from 10ms to 1m, or 0 for off",
                "1:48: timeouts.body-rate: found `240`, accepted: a rate such as 240B/s or 10KiB/s, from 1B/s to 1GiB/s, or 0 for off; did you mean `240B/s`?",
                "1:65: timeouts.write-rate: found `1KB`, accepted: a rate such as 240B/s or 10KiB/s, from 1B/s to 1GiB/s, or 0 for off; did you mean `1KB/s`?",
                "1:82: timeouts.rate-grace: found `0`, accepted: a duration such as 500ms, 10s, 2m or 1h30m, from 10ms to 1h",
                "1:93: timeouts.header: found `5M`, accepted: a duration such as 500ms, 10s, 2m or 1h30m, from 10ms to 1d, or 0 for off; did you mean `5m`?",
                "1:103: timeouts.body: found `30m1h`, accepted: a duration such as 500ms, 10s, 2m or 1h30m, from 10ms to 1d, or 0 for off",
                "1:119: timeouts.handler: found `99999999999999999999s`, accepted: a duration such as 500ms, 10s, 2m or 1h30m, from 10ms to 1d, or 0 for off",
                "1:149: timeouts.write: found `-1s`, accepted: a duration such as 500ms, 10s, 2m or 1h30m, from 10ms to 1d, or 0 for off",
            ])
        expectMessages(
            withBase("limits: { connections: 0, connections-per-address: \"5\", requests-per-connection: -1, header-bytes: 32k, body-bytes: 10mb, header-count: 1e3, request-line-bytes: 1MiB }"),
            [
                "1:24: limits.connections: found `0`, accepted: a number from 1 to 10000000",
                "1:52: limits.connections-per-address: found the text \"5\", accepted: a number from 1 to 10000000, or 0 for off",
                "1:82: limits.requests-per-connection: found `-1`, accepted: a number from 1 to 1000000000, or 0 for off",
                "1:100: limits.header-bytes: found `32k`, accepted: a size such as 4096, 32KiB, 10MiB or 1MB, from 256B to 1MiB; did you mean `32KiB`?",
                "1:117: limits.body-bytes: found `10mb`, accepted: a size such as 4096, 32KiB, 10MiB or 1MB, from 1B to 1TiB, or 0 for off; did you mean `10MB`?",
                "1:137: limits.header-count: found `1e3`, accepted: a number from 8 to 1000",
                "1:162: limits.request-line-bytes: found `1MiB`, accepted: a size such as 4096, 32KiB, 10MiB or 1MB, from 64B to 64KiB",
            ])
        expectMessages(
            withBase("limits: { connections: 18446744073709551616, header-bytes: 1.5MiB, body-bytes: 10 M }"),
            [
                "1:24: limits.connections: found `18446744073709551616`, accepted: a number from 1 to 10000000",
                "1:60: limits.header-bytes: found `1.5MiB`, accepted: a size such as 4096, 32KiB, 10MiB or 1MB, from 256B to 1MiB",
                "1:80: limits.body-bytes: found `10 M`, accepted: a size such as 4096, 32KiB, 10MiB or 1MB, from 1B to 1TiB, or 0 for off; did you mean `10MiB`?",
            ])
        expectMessages(
            withBase("limits: { header-bytes: 4KiB }"),
            ["1:25: limits: request-line-bytes (8KiB) is larger than header-bytes (4KiB), which includes the request line"])
        expectMessages(
            withBase("limits: { header-bytes: 4KiB, request-line-bytes: 5KiB }"),
            ["1:51: limits: request-line-bytes (5KiB) is larger than header-bytes (4KiB), which includes the request line"])
        expectMessages(
            withBase("access-log: { buffer: 1, flush: 2m }"),
            [
                "1:23: access-log.buffer: found `1`, accepted: a size such as 4096, 32KiB, 10MiB or 1MB, from 16KiB to 16MiB",
                "1:33: access-log.flush: found `2m`, accepted: a duration such as 500ms, 10s, 2m or 1h30m, from 10ms to 1m",
            ])
    }

    @Test func choices() {
        expectMessages(
            withBase("log: { level: warn }"),
            ["1:15: log.level: found `warn`, accepted: trace, debug, info, notice, warning, error or critical; did you mean `warning`?"])
        expectMessages(
            withBase("log: { level: verbose }"),
            ["1:15: log.level: found `verbose`, accepted: trace, debug, info, notice, warning, error or critical"])
        expectMessages(
            withBase("access-log: { path: '', format: jsn }"),
            [
                "1:21: access-log.path: found empty text (no path), accepted: a path",
                "1:33: access-log.format: found `jsn`, accepted: json, combined or off; did you mean `json`?",
            ])
    }

    @Test func admin() {
        expectMessages(
            withBase("admin: {}"),
            ["1:8: the key `address` is missing in `admin`; for example `address: 127.0.0.1:9901`"])
        expectMessages(
            withBase("admin: { address: 0.0.0.0:9901 }"),
            ["1:19: warning: admin.address: 0.0.0.0:9901 can be reached from other machines, and the administration asks for no password; 127.0.0.1 or a Unix socket is safer [admin-exposed]"])
        expectMessages(
            withBase("admin: { address: example.com:9901 }"),
            ["1:19: warning: admin.address: example.com:9901 can be reached from other machines, and the administration asks for no password; 127.0.0.1 or a Unix socket is safer [admin-exposed]"])
        expectMessages(
            withBase("admin: { address: 127.0.0.1:8080 }"),
            ["1:19: admin.address: 127.0.0.1:8080 is in `listen` too; the administration needs an address of its own"])
    }

    /// What libyaml refuses, with a remedy where the usual cause is known.
    @Test func yamlSyntax() {
        expectMessages(
            "a: b: c",
            ["1:5: YAML syntax: a colon followed by a space is not allowed here; is the indentation right, or are quotes missing?"])
        expectMessages(
            "a: [1, 2",
            ["2:1: YAML syntax: while parsing a flow sequence begun in line 1, column 4: did not find expected ',' or ']'"])
        expectMessages(
            "a: 'x",
            ["1:6: YAML syntax: while scanning a quoted scalar begun in line 1, column 4: found unexpected end of stream"])
        expectMessages(
            "\ta: 1",
            ["1:1: YAML syntax: a tab stands where indentation is expected; YAML indents with spaces only"])
        expectMessages(
            "a:\n\t- b",
            ["2:1: YAML syntax: a tab stands where indentation is expected; YAML indents with spaces only"])
        expectMessages(
            "a: @x",
            ["1:4: YAML syntax: the character @ cannot start a value; put the text in quotes"])
        expectMessages(
            "a: `x`",
            ["1:4: YAML syntax: the character ` cannot start a value; put the text in quotes"])
        expectMessages(
            ": x",
            ["1:1: YAML syntax: while parsing a block mapping begun in line 1, column 1: did not find expected key; is the indentation right, or is a quote or bracket not closed before?"])
        expectMessages(
            "- a\nb: c",
            ["2:1: YAML syntax: while parsing a block collection begun in line 1, column 1: did not find expected '-' indicator"])
        expectMessages(
            "a: 1\n b: 2",
            ["2:3: YAML syntax: a colon followed by a space is not allowed here; is the indentation right, or are quotes missing?"])
        expectMessages(
            "%YAML 2.0\n---\na",
            ["1:1: YAML syntax: found incompatible YAML document"])
        expectMessages(
            "key\nfoo: 1",
            ["2:4: YAML syntax: a colon followed by a space is not allowed here; is the indentation right, or are quotes missing?"])
        expectMessages(
            "a: \"\\q\"",
            ["1:5: YAML syntax: while parsing a quoted scalar begun in line 1, column 4: found unknown escape character"])
        expectMessages(
            "a: |\n  x\n y",
            ["3:2: YAML syntax: while parsing a block mapping begun in line 1, column 1: did not find expected key; is the indentation right, or is a quote or bracket not closed before?"])
        expectMessages(
            "a: %x",
            ["1:4: YAML syntax: the character % cannot start a value; put the text in quotes"])
        expectMessages(
            "{a: 1",
            ["2:1: YAML syntax: while parsing a flow mapping begun in line 1, column 1: did not find expected ',' or '}'"])
        expectMessages(
            "é: [@]",
            ["1:5: YAML syntax: the character @ cannot start a value; put the text in quotes"])
    }

    /// What YAML allows and a configuration does not.
    @Test func yamlFeatures() {
        expectMessages(
            withBase("<<: {}"),
            ["1:1: merge keys (`<<`) are not supported: write the keys out, or alias a whole value"])
        expectMessages(
            "listen: []\nlisten: []\nroutes: []",
            [
                "1:9: listen: found an empty list, accepted: 1 to 64 entries",
                "2:1: the key `listen` appears twice; first in line 1, column 1",
            ])
        expectMessages(
            withBase("\"a\": &x 1\nb: *y"),
            ["2:4: the alias `*y` has no anchor `&y` before it"])
        expectMessages(
            withBase("loops: &x [*x]"),
            ["1:12: the alias `*x` stands inside its own anchor `&x`"])
        expectMessages(
            "? [a]\n: b",
            ["1:3: a list cannot be a key; a key is text. Is a quote missing around `{…}` or `[…]`?"])
        expectMessages(
            "a: {{x}}",
            ["1:5: a mapping cannot be a key; a key is text. Is a quote missing around `{…}` or `[…]`?"])
        expectMessages(
            "--- {}\n--- {}",
            ["2:1: a second YAML document starts here; the configuration is one document"])
        expectMessages(
            withBase("loops: !foo auto"),
            ["1:8: the tag `!foo` is not supported; the only one with a use here is `!!str`"])
        expectMessages(
            withBase("loops: !!int 4"),
            ["1:8: the tag `tag:yaml.org,2002:int` is not supported; the only one with a use here is `!!str`"])
        expectMessages(
            withBase("log: !bar {}"),
            ["1:6: the tag `!bar` is not supported; the only one with a use here is `!!str`"])
        expectMessages(
            "a: \u{7f}",
            ["1:4: a character that YAML does not allow (byte 0x7F)"])
        expectMessages(
            "*a : b",
            ["1:1: the alias `*a` cannot be a key; a key is text"])
        expectMessages(
            withBase("? \n: 3"),
            ["1:2: a key is missing before the colon"])
        expectMessages(
            "a: 1\n...\n%TAG ! tag:x\n--- b",
            ["3:1: a second YAML document starts here; the configuration is one document"])
    }
}
