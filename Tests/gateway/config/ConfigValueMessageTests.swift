// Bad files: every message in full, since an operator reads it at three in the morning. Each case is a file and the lines
// that `uringd check` prints for it, without the file name.

import Testing

@testable import UringGateway

@Suite struct ConfigValueMessageTests {
    @Test func addresses() {
        expectMessages(
            withAddress("8080"),
            ["1:21: listen[0].address: found `8080` (no port), accepted: HOST:PORT, [V6]:PORT or unix:PATH"])
        expectMessages(
            withAddress("127.0.0.1"),
            ["1:21: listen[0].address: found `127.0.0.1` (no port), accepted: HOST:PORT, [V6]:PORT or unix:PATH"])
        expectMessages(
            withAddress("':80'"),
            ["1:21: listen[0].address: found the text \":80\" (no host; write 0.0.0.0:80 or [::]:80 for every address), accepted: HOST:PORT, [V6]:PORT or unix:PATH"])
        expectMessages(
            withAddress("'*:80'"),
            ["1:21: listen[0].address: found the text \"*:80\" (no host; write 0.0.0.0:80 or [::]:80 for every address), accepted: HOST:PORT, [V6]:PORT or unix:PATH"])
        expectMessages(
            withAddress("'::1:80'"),
            ["1:21: listen[0].address: found the text \"::1:80\" (an IPv6 address stands in brackets before its port), accepted: HOST:PORT, [V6]:PORT or unix:PATH"])
        expectMessages(
            withAddress("'[::1]'"),
            ["1:21: listen[0].address: found the text \"[::1]\" (an IPv6 address stands in brackets before its port), accepted: HOST:PORT, [V6]:PORT or unix:PATH"])
        expectMessages(
            withAddress("'[::1]:x'"),
            ["1:21: listen[0].address: found the text \"[::1]:x\" (the port is not a number from 0 to 65535), accepted: HOST:PORT, [V6]:PORT or unix:PATH"])
        expectMessages(
            withAddress("'[zz]:1'"),
            ["1:21: listen[0].address: found the text \"[zz]:1\" (not an IPv6 address in the brackets), accepted: HOST:PORT, [V6]:PORT or unix:PATH"])
        expectMessages(
            withAddress("'[::1%]:1'"),
            ["1:21: listen[0].address: found the text \"[::1%]:1\" (not an IPv6 address in the brackets), accepted: HOST:PORT, [V6]:PORT or unix:PATH"])
        expectMessages(
            withAddress("1.2.3:80"),
            ["1:21: listen[0].address: found `1.2.3:80` (not an IPv4 address), accepted: HOST:PORT, [V6]:PORT or unix:PATH"])
        expectMessages(
            withAddress("300.0.0.1:1"),
            ["1:21: listen[0].address: found `300.0.0.1:1` (not an IPv4 address), accepted: HOST:PORT, [V6]:PORT or unix:PATH"])
        expectMessages(
            withAddress("h:99999"),
            ["1:21: listen[0].address: found `h:99999` (the port is not a number from 0 to 65535), accepted: HOST:PORT, [V6]:PORT or unix:PATH"])
        expectMessages(
            withAddress("h:"),
            ["1:22: YAML syntax: while parsing a flow mapping begun in line 1, column 10: did not find expected ',' or '}'"])
        expectMessages(
            withAddress("h:-1"),
            ["1:21: listen[0].address: found `h:-1` (the port is not a number from 0 to 65535), accepted: HOST:PORT, [V6]:PORT or unix:PATH"])
        expectMessages(
            withAddress("'unix:'"),
            ["1:21: listen[0].address: found the text \"unix:\" (no path after `unix:`), accepted: HOST:PORT, [V6]:PORT or unix:PATH"])
        expectMessages(
            withAddress("'-a:1'"),
            ["1:21: listen[0].address: found the text \"-a:1\" (not an address or a host name), accepted: HOST:PORT, [V6]:PORT or unix:PATH"])
        expectMessages(
            withAddress("''"),
            ["1:21: listen[0].address: found empty text (no port), accepted: HOST:PORT, [V6]:PORT or unix:PATH"])
        expectMessages(
            withAddress("'unix:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'"),
            ["1:21: listen[0].address: found the text \"unix:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…\" (the path has 108 bytes, the kernel takes 107), accepted: HOST:PORT, [V6]:PORT or unix:PATH"])
        expectMessages(
            "listen: [{ address: 127.0.0.1:80 }, { address: 127.0.0.1:80 }, { address: '[::1]:80' }, { address: '[0:0::1]:80' }, { address: LOCALHOST:1 }, { address: localhost:1 }]\nroutes: []",
            [
                "1:48: listen: the address 127.0.0.1:80 appears twice; first in line 1",
                "1:100: listen: the address [::1]:80 appears twice; first in line 1",
                "1:154: listen: the address localhost:1 appears twice; first in line 1",
            ])
        expectMessages(
            "listen: [{ address: 127.0.0.1:80, mode: '0666' }, { address: 'unix:x', ipv6-only: true }]\nroutes: []",
            [
                "1:35: warning: listen: `mode` has no effect here: only a Unix socket has permissions",
                "1:72: warning: listen: `ipv6-only` has no effect here: the address is not an IPv6 address",
            ])
    }

    @Test func paths() {
        expectMessages(
            withRoute("match: { path: 'healthz' }\nrespond: {}"),
            ["4:20: routes[0].match.path: found the text \"healthz\" (a path begins with a slash), accepted: a path such as /health, /v1/orders/* or /users/{id}"])
        expectMessages(
            withRoute("match: { path: '' }\nrespond: {}"),
            ["4:20: routes[0].match.path: found empty text (a path begins with a slash), accepted: a path such as /health, /v1/orders/* or /users/{id}"])
        expectMessages(
            withRoute("match: { path: '/a*' }\nrespond: {}"),
            ["4:20: routes[0].match.path: found the text \"/a*\" (`*` may only be the last segment, as in /docs/*), accepted: a path such as /health, /v1/orders/* or /users/{id}"])
        expectMessages(
            withRoute("match: { path: '/a/*/b' }\nrespond: {}"),
            ["4:20: routes[0].match.path: found the text \"/a/*/b\" (`*` may only be the last segment, as in /docs/*), accepted: a path such as /health, /v1/orders/* or /users/{id}"])
        expectMessages(
            withRoute("match: { path: '/a?x' }\nrespond: {}"),
            ["4:20: routes[0].match.path: found the text \"/a?x\" (the query is not part of the path), accepted: a path such as /health, /v1/orders/* or /users/{id}"])
        expectMessages(
            withRoute("match: { path: '/a#x' }\nrespond: {}"),
            ["4:20: routes[0].match.path: found the text \"/a#x\" (the query is not part of the path), accepted: a path such as /health, /v1/orders/* or /users/{id}"])
        expectMessages(
            withRoute("match: { path: '/../a' }\nrespond: {}"),
            ["4:20: routes[0].match.path: found the text \"/../a\" (dot segments are removed from requests, so this would never match), accepted: a path such as /health, /v1/orders/* or /users/{id}"])
        expectMessages(
            withRoute("match: { path: '/a/.' }\nrespond: {}"),
            ["4:20: routes[0].match.path: found the text \"/a/.\" (dot segments are removed from requests, so this would never match), accepted: a path such as /health, /v1/orders/* or /users/{id}"])
        expectMessages(
            withRoute("match: { path: '/a//b' }\nrespond: {}"),
            ["4:20: routes[0].match.path: found the text \"/a//b\" (two slashes in a row), accepted: a path such as /health, /v1/orders/* or /users/{id}"])
        expectMessages(
            withRoute("match: { path: '/{a}/{a}' }\nrespond: {}"),
            ["4:20: routes[0].match.path: found the text \"/{a}/{a}\" (`{a}` appears twice), accepted: a path such as /health, /v1/orders/* or /users/{id}"])
        expectMessages(
            withRoute("match: { path: '/{a-b}' }\nrespond: {}"),
            ["4:20: routes[0].match.path: found the text \"/{a-b}\" (`{name}` takes a whole segment, its name has letters, digits and `_`), accepted: a path such as /health, /v1/orders/* or /users/{id}"])
        expectMessages(
            withRoute("match: { path: '/a{b}' }\nrespond: {}"),
            ["4:20: routes[0].match.path: found the text \"/a{b}\" (`{name}` takes a whole segment, its name has letters, digits and `_`), accepted: a path such as /health, /v1/orders/* or /users/{id}"])
        expectMessages(
            withRoute("match: { path: '/{}' }\nrespond: {}"),
            ["4:20: routes[0].match.path: found the text \"/{}\" (`{name}` takes a whole segment, its name has letters, digits and `_`), accepted: a path such as /health, /v1/orders/* or /users/{id}"])
        expectMessages(
            withRoute("match: { path: '/%41' }\nrespond: {}"),
            ["4:20: routes[0].match.path: found the text \"/%41\" (write the character itself; only %2F stays encoded), accepted: a path such as /health, /v1/orders/* or /users/{id}"])
        expectMessages(
            withRoute("match: { path: '/%2f' }\nrespond: {}"),
            ["4:20: routes[0].match.path: found the text \"/%2f\" (write the character itself; only %2F stays encoded), accepted: a path such as /health, /v1/orders/* or /users/{id}"])
        expectMessages(
            withRoute("match: { path: '/a%' }\nrespond: {}"),
            ["4:20: routes[0].match.path: found the text \"/a%\" (write the character itself; only %2F stays encoded), accepted: a path such as /health, /v1/orders/* or /users/{id}"])
        expectMessages(
            withRoute("match: { path: \"/a\\n\" }\nrespond: {}"),
            ["4:20: routes[0].match.path: found the text \"/a�\" (a control character), accepted: a path such as /health, /v1/orders/* or /users/{id}"])
    }

    @Test func hostsAndMethods() {
        expectMessages(
            withRoute("match: { methods: [get, GET, GET, 'A B', ''], host: ['*.a', 'a.*', 'x y', 'a:80', '*', ''] }\nrespond: {}"),
            [
                "4:24: routes[0].match.methods[0]: found `get` (methods are case-sensitive), accepted: a method such as GET, in capitals",
                "4:34: routes[0].match.methods: `GET` appears twice",
                "4:39: routes[0].match.methods[3]: found the text \"A B\" (not a token), accepted: a method such as GET, in capitals",
                "4:46: routes[0].match.methods[4]: found empty text (no method), accepted: a method such as GET, in capitals",
                "4:65: routes[0].match.host[1]: found the text \"a.*\" (`*` may only stand at the start, before a dot), accepted: a host name such as api.example.com, or *.example.com",
                "4:72: routes[0].match.host[2]: found the text \"x y\" (not a host name), accepted: a host name such as api.example.com, or *.example.com",
                "4:79: routes[0].match.host[3]: found the text \"a:80\" (a host is matched without its port), accepted: a host name such as api.example.com, or *.example.com",
                "4:87: routes[0].match.host[4]: found the text \"*\" (`*` may only stand at the start, before a dot), accepted: a host name such as api.example.com, or *.example.com",
                "4:92: routes[0].match.host[5]: found empty text (not a host name), accepted: a host name such as api.example.com, or *.example.com",
            ])
        expectMessages(
            withRoute("match: { methods: [], path: [] }\nrespond: {}"),
            [
                "4:23: routes[0].match.methods: found an empty list, accepted: 1 to 16 entries",
                "4:33: routes[0].match.path: found an empty list, accepted: 1 to 256 entries",
            ])
        expectMessages(
            withRoute("match: { methods: [ABCDEFGHIJKLMNOPQ] }\nrespond: {}"),
            ["4:24: routes[0].match.methods[0]: found `ABCDEFGHIJKLMNOPQ` (longer than 16 bytes), accepted: a method such as GET, in capitals"])
    }

    @Test func actions() {
        expectMessages(
            withRoute("match: {}"),
            ["3:5: nothing says how to answer in `routes[0]`; accepted: `respond`, `files`, `redirect` or `proxy`"])
        expectMessages(
            withRoute("match: {}\nrespond: { status: 99, body: x, json: {} }\nfiles: {}"),
            [
                "5:24: routes[0].respond.status: found `99`, accepted: a number from 200 to 599",
                "5:37: `json` stands beside `body` in `routes[0].respond`; only one of them is possible",
                "6:5: `files` stands beside `respond` in `routes[0]`; only one of them is possible",
                "6:12: the key `root` is missing in `routes[0].files`; for example `root: ./public`",
            ])
        expectMessages(
            withRoute("match: {}\nrespond: { status: 600 }"),
            ["5:24: routes[0].respond.status: found `600`, accepted: a number from 200 to 599"])
        expectMessages(
            withRoute("match: {}\nrespond: { status: 204, body: x }"),
            ["5:35: a response with status 204 has no body; remove the body or choose another status"])
        expectMessages(
            withRoute("match: {}\nrespond: { status: 304, json: 1 }"),
            ["5:35: a response with status 304 has no body; remove the body or choose another status"])
        expectMessages(
            withRoute("match: {}\nrespond: { json: [.inf, { a: -.INF }, .nan] }"),
            [
                "5:23: routes[0].respond.json: found `.inf`, which JSON cannot say; put it in quotes if it is text",
                "5:34: routes[0].respond.json: found `-.INF`, which JSON cannot say; put it in quotes if it is text",
                "5:43: routes[0].respond.json: found `.nan`, which JSON cannot say; put it in quotes if it is text",
            ])
        expectMessages(
            withRoute("match: {}\nfiles: { root: /srv, index: a/b, cache-control: \"a\\nb\", precompressed: [br, deflate, br] }"),
            [
                "5:33: routes[0].files.index: found `a/b` (a slash or a zero byte), accepted: a file name without a slash",
                "5:53: routes[0].files.cache-control: found the text \"a�b\" (a line break would start another header), accepted: a header value: text on one line",
                "5:81: routes[0].files.precompressed[1]: found `deflate`, accepted: br, zstd or gzip",
                "5:90: routes[0].files.precompressed: `br` appears twice",
            ])
        expectMessages(
            withRoute("match: {}\nfiles: { root: /srv, index: ['..', ''] }"),
            [
                "5:34: routes[0].files.index[0]: found the text \"..\" (not a file name), accepted: a file name without a slash",
                "5:40: routes[0].files.index[1]: found empty text (not a file name), accepted: a file name without a slash",
            ])
    }

    @Test func headers() {
        expectMessages(
            withRoute("match: {}\nrespond: { headers: { Content-Length: 3, 'a b': c, '': d, Transfer-Encoding: chunked } }"),
            [
                "5:27: routes[0].respond.headers: found the header name `Content-Length` (the server itself writes this header)",
                "5:46: routes[0].respond.headers: found the header name `a b` (a header name has letters, digits and hyphens, no colon and no space)",
                "5:56: routes[0].respond.headers: found the header name `` (empty)",
                "5:63: routes[0].respond.headers: found the header name `Transfer-Encoding` (the server itself writes this header)",
            ])
        expectMessages(
            withRoute("match: {}\nrespond: { headers: { x: \"a\\r\\nb\", Y: ' a', y: b, z: [], q: {}, n: , m: \"\\e\" } }"),
            [
                "5:30: routes[0].respond.headers.x: found the text \"a��b\" (a line break would start another header), accepted: a header value: text on one line",
                "5:43: routes[0].respond.headers.Y: found the text \" a\" (white space at the ends), accepted: a header value: text on one line",
                "5:49: routes[0].respond.headers: `y` is the same header as `Y`; give one of them a list of values",
                "5:58: routes[0].respond.headers.z: found an empty list, accepted: 1 to 64 entries",
                "5:65: routes[0].respond.headers.q: found an empty mapping, accepted: a header value: text on one line, or a list of such",
                "5:69: routes[0].respond.headers.n: found nothing, accepted: a header value: text on one line, or a list of such",
                "5:77: routes[0].respond.headers.m: found the text \"�\" (a control character), accepted: a header value: text on one line",
            ])
        expectMessages(
            withRoute("match: {}\nrespond: { headers: [a] }"),
            ["5:25: routes[0].respond.headers: found a list, accepted: a mapping of header names to values"])
    }

    /// Names and order.
    @Test func routes() {
        expectMessages(
            "listen: [{ address: 127.0.0.1:80 }]\nroutes:\n  - name: a b\n    match: {}\n    respond: {}\n  - respond: {}",
            [
                "3:11: routes[0].name: found `a b` (other characters), accepted: 1 to 64 letters, digits, `.`, `_` or `-`",
                "6:5: the key `name` is missing in `routes[1]`; for example `name: health`",
                "6:5: the key `match` is missing in `routes[1]`; for example `match: { path: /v1/*, methods: [GET] }`",
            ])
        expectMessages(
            "listen: [{ address: 127.0.0.1:80 }]\nroutes:\n  - { name: x, match: { path: /a }, respond: {} }\n  - { name: x, match: { path: /b }, respond: {} }\n  - { name: '', match: {}, respond: {} }\n  - { name: nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn, match: {}, respond: {} }",
            [
                "4:13: routes: the name `x` appears twice; first in line 3",
                "5:13: routes[2].name: found empty text (no name), accepted: 1 to 64 letters, digits, `.`, `_` or `-`",
                "6:13: routes[3].name: found `nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…` (too long), accepted: 1 to 64 letters, digits, `.`, `_` or `-`",
            ])
        expectMessages(
            "listen: [{ address: 127.0.0.1:80 }]\nroutes:\n  - { name: a, match: { path: /a/* }, respond: {} }\n  - { name: b, match: { path: /a/b }, respond: {} }\n  - { name: c, match: { path: [/a, /a/x] }, respond: {} }\n  - { name: d, match: { path: /a, methods: [GET] }, respond: {} }\n  - { name: e, match: {}, respond: {} }\n  - { name: f, match: { host: x }, respond: {} }",
            [
                "4:13: warning: routes: `b` is never reached: the earlier route `a` takes everything that it matches [route-unreachable]",
                "6:13: warning: routes: `d` is never reached: the earlier route `c` takes everything that it matches [route-unreachable]",
                "8:13: warning: routes: `f` is never reached: the earlier route `e` takes everything that it matches [route-unreachable]",
            ])
    }
}
