// The option table as docs/operators/configuration.md. The committed page is compared with this text by a test;
// `UPDATE_REFERENCE=1 swift test --filter ConfigReferenceTests` writes it anew.

extension ConfigSchema {
    /// The whole page, in Markdown.
    static var referencePage: String {
        var page = introduction
        page += section("Top level", "", root, level: 2)
        for (title, path, group) in sections { page += section(title, path, group, level: 2) }
        page += reserved
        return page
    }

    /// Groups in the order of the page. Every group of the table is here; a test walks the table and looks.
    static let sections: [(title: String, path: String, group: ConfigGroup)] = [
        ("listen", "listen[]", listener), ("tls", "listen[].tls", tls), ("certificates", "listen[].tls.certificates[]", certificate),
        ("client-auth", "listen[].tls.client-auth", clientAuth), ("session-tickets", "listen[].tls.session-tickets", sessionTickets),
        ("session-cache", "listen[].tls.session-cache", sessionCache), ("http2", "http2", http2), ("admin", "admin", admin), ("timeouts", "timeouts", timeouts), ("limits", "limits", limits),
        ("access-log", "access-log", accessLog), ("log", "log", log), ("routes", "routes[]", route),
        ("match", "routes[].match", match), ("respond", "routes[].respond", respond), ("files", "routes[].files", files),
        ("redirect", "routes[].redirect", redirect), ("hsts", "routes[].hsts", hsts),
    ]

    private static let introduction = """
        # Configuration

        `uringd serve --config uringd.yaml` reads one YAML file. `uringd check --config uringd.yaml` judges it and prints every
        problem at once, one per line, as `FILE:LINE:COL: message`; lines with `warning:` do not keep the server from starting.
        `uringd schema` prints a JSON Schema (draft 2020-12) for editors. SIGHUP reads the file again; a file with errors leaves
        the running configuration as it is.

        This page is generated from the table that the server validates with.

        ```yaml
        \(example)```

        ## How values are written

        | kind | written as |
        |---|---|
        | duration | a number and a unit: `ns`, `us`, `ms`, `s`, `m`, `h`, `d`; parts may follow each other from large to small: `1h30m` |
        | size | bytes as a plain number, or with `B`, `KB`, `MB`, `GB`, `TB` (powers of 1000), `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024) |
        | rate | a size per second: `240B/s`, `10KiB/s` |
        | address | `HOST:PORT`, `[V6]:PORT` or `unix:PATH` |
        | boolean | `true` or `false` |

        - `0` switches a timeout or limit off where its range says so.
        - Relative paths, those of Unix sockets included, start at the directory of the configuration file.
        - Unknown keys, keys given twice and values out of range are errors. Nothing is ignored.
        - YAML is read by the rules of YAML 1.2: `yes`, `on` and `12:30` are text. Aliases (`&name`, `*name`) work; merge keys
          (`<<`), tags other than `!!str` and several documents in one file do not.
        - The file is UTF-8 and has at most \(ConfigUnit.size.format(UInt64(YAMLDocument.fileBytesMax))).


        """

    /// Shown at the top of the page and loaded by a test.
    static let example = """
        loops: auto
        listen:
          - address: 127.0.0.1:8080
          - address: "[::1]:8443"
            tls: { certificates: [{ cert: server.pem, key: server.key }] }
        admin: { address: 127.0.0.1:9901 }
        timeouts: { header: 10s, body: 30s, handler: 30s, write: 30s, idle: 75s }
        limits: { connections: 100000, header-bytes: 32KiB, body-bytes: 10MiB }
        access-log: { path: /dev/stdout, format: json }
        routes:
          - name: health
            match: { path: /healthz, methods: [GET] }
            respond: { json: { status: ok } }
          - name: to-https
            match: {}
            redirect: { to: https, port: 8443 }
          - name: site
            match: { host: [example.com, "*.example.com"], path: /* }
            files: { root: ./public, cache-control: max-age=60 }
            hsts: { max-age: 365d }

        """

    private static func section(_ title: String, _ path: String, _ group: ConfigGroup, level: Int) -> String {
        var text = String(repeating: "#", count: level) + " \(path.isEmpty ? title : "`\(path)`")\n\n"
        text += "| key | accepted | default | meaning | example |\n|---|---|---|---|---|\n"
        for option in group.supported { text += row(option) }
        for rule in group.rules { text += "\n\(sentence(rule, group))\n" }
        return text + "\n"
    }

    private static func row(_ option: ConfigOption) -> String {
        let standard = option.isRequired ? "required" : option.defaultText.map(code) ?? "none"
        let cells = ["`\(option.key)`", accepted(option.type), standard, option.meaning, code(option.example)]
        return "| " + cells.map { $0.replacing("|", with: "\\|") }.joined(separator: " | ") + " |\n"
    }

    private static func code(_ yaml: String) -> String { "`\(yaml)`" }

    /// Groups have tables of their own: the cell points there.
    private static func accepted(_ type: ConfigType) -> String {
        switch type {
        case .group: return "a mapping, see below"
        case .wordOrGroup(let words, _): return "\(words.map(code).joined(separator: ", ")), or a mapping, see below"
        case .list(.group, _): return "a list of mappings, see below"
        case .booleanOr(let word): return "true, false or \(code(word))"
        case .choice(let names): return names.map(code).joinedWithOr
        case .list(.choice(let names), _): return "a list of \(names.map(code).joined(separator: ", "))"
        case .unit(let unit, let range):
            let name =
                switch unit {
                case .duration: "duration"
                case .size: "size"
                case .rate: "rate"
                }
            let off = range.zeroIsOff ? ", or `0` for off" : ""
            return "\(name) from `\(unit.format(range.min))` to `\(unit.format(range.max))`\(off)"
        default: return type.accepted
        }
    }

    private static func sentence(_ rule: ConfigGroup.Rule, _ group: ConfigGroup) -> String {
        func names(_ keys: [String]) -> String { keys.filter { group.option($0)?.later == nil }.map(code).joinedWithOr }
        switch rule {
        case .exactlyOne(let keys): return "Exactly one of \(names(keys)) is given."
        case .atMostOne(let keys): return "At most one of \(names(keys)) is given."
        }
    }

    private static var reserved: String {
        var text = """
            ## How a route is chosen

            Routes are tried in the order of the file, and the first whose `match` holds answers; put the special before the
            general. `uringd check` warns about a route that an earlier one hides completely.

            Paths are compared after normalisation: dot segments are removed and percent-encoding is decoded, except `%2F`, which
            stays as it is because a decoded slash would make another path. So neither `/a/../admin` nor `/%61dmin` walks around a
            route for `/admin`. The query takes no part. Comparison is byte for byte, with regard to case.

            Hosts are compared without port, without regard to case, and without the final dot of a rooted name. A request
            without a host matches only routes without `host`.

            A route with `redirect: { to: https }` matches requests that came in clear; over TLS the routes behind it are tried.

            When routes match by host and path but none by method, the answer is 405 with the methods of all of them in `Allow`;
            when none matches at all, it is 404.

            ## Names reserved for later versions

            These keys are part of the configuration's contract, but this version does not have the feature. Giving one is an error
            that says so.

            | key | feature |
            |---|---|

            """
        for (path, group) in [("", root)] + sections.map({ ($0.path + ".", $0.group) }) {
            for option in group.options {
                if let feature = option.later { text += "| `\(path)\(option.key)` | \(feature) |\n" }
            }
        }
        return text
    }
}
