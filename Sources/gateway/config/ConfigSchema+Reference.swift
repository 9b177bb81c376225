// The option table as docs/operators/configuration.md. The committed page is compared with this text by a test;
// `UPDATE_REFERENCE=1 swift test --filter ConfigReferenceTests` writes it anew.

extension ConfigSchema {
    /// The whole page, in Markdown.
    static var referencePage: String {
        var page = introduction
        page += section("Top level", "", root, level: 2)
        for (path, group) in sections { page += section("", path, group, level: 2) }
        page += routing + unwiredKeys
        return page
    }

    /// Every group of the table below the root, in its order, with the path that stands for it.
    static let sections = walk(root, "")

    private static func walk(_ group: ConfigGroup, _ path: String) -> [(path: String, group: ConfigGroup)] {
        group.options.flatMap { option -> [(path: String, group: ConfigGroup)] in
            guard let inner = option.type.inner else { return [] }
            let path = (path.isEmpty ? "" : path + ".") + option.key + inner.step
            return [(path, inner.group)] + walk(inner.group, path)
        }
    }

    /// A group that stands in several places is written once.
    private static let firstPlaces: [String: String] = Dictionary(
        sections.map { (fingerprint($0.group), $0.path) }, uniquingKeysWith: { first, _ in first })

    private static func fingerprint(_ group: ConfigGroup) -> String {
        group.options.map { "\($0.key) \($0.type.accepted) \($0.defaultText ?? "") \($0.meaning)" }.joined(separator: "\n")
    }

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
        | share | a percentage with up to two decimals: `5%`, `0.25%` |
        | request rate | a count per second, minute, hour or day: `100/s`, `600/m`, `1000/h`, `10000/d` |
        | address | `HOST:PORT`, `[V6]:PORT` or `unix:PATH` |
        | boolean | `true` or `false` |
        | secret | text, better `${NAME}` from the environment, or `{ file: PATH }`: the file without the line break at its end |

        - `0` switches a timeout or limit off where its range says so.
        - Relative paths, those of Unix sockets included, start at the directory of the configuration file.
        - `${NAME}` in a value stands for the environment variable, `${NAME:-text}` for the text when it is missing or empty; `$${` is a plain `${`. The
          value is put in after the YAML was read, so it is always one value; it is never printed. A variable that is missing is an error. Inside
          `{ … }` and `[ … ]` it needs quotes, `"${PORT}"`, which do not make a text of a number then.
        - `include` adds the keys of other files. Lists (`routes`, `listen`, `expectations`) are put together, mappings of names (`upstreams`, `redis`)
          too; any other key may stand in one file only.
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
        if let first = firstPlaces[fingerprint(group)], first != path, !path.isEmpty { return text + "As `\(first)`.\n\n" }
        text += "| key | accepted | default | meaning | example |\n|---|---|---|---|---|\n"
        for option in group.options { text += row(option) }
        for rule in group.rules { text += "\n\(sentence(rule, group))\n" }
        return text + "\n"
    }

    private static func row(_ option: ConfigOption) -> String {
        let standard = option.isRequired ? "required" : option.defaultText.map(code) ?? "none"
        let cells = ["`\(option.key)`", accepted(option.type), standard, option.meaning, code(option.example)]
        return "| " + cells.map { $0.replacing("|", with: "\\|") }.joined(separator: " | ") + " |\n"
    }

    private static func code(_ yaml: String) -> String { "`\(yaml)`" }

    /// Groups have tables of their own: the cell points there. Patterns are not nested in each other: the compiler of Swift 6.3 ends in an
    /// ownership error over that.
    private static func accepted(_ type: ConfigType) -> String {
        switch type {
        case .group: "a mapping, see below"
        case .wordOrGroup(let words, _): "\(words.map(code).joined(separator: ", ")), or a mapping, see below"
        case .shorthand(let key, let group): "\(group.option(key).map { accepted($0.type) } ?? ""), or a mapping, see below"
        case .booleanOr(let word): "true, false or \(code(word))"
        case .choice(let names): names.map(code).joinedWithOr
        case .list(let element, _): acceptedList(element)
        case .oneOrMany(let element, _): "\(element.inner == nil ? accepted(element) : "a mapping, see below"), or a list of such"
        case .map(let key, let value, _): "a mapping; each key \(key.accepted); each value \(accepted(value))"
        case .wordOr(let words, let type): "\(words.map(code).joined(separator: ", ")), or \(accepted(type))"
        case .unit(let unit, let range): acceptedUnit(unit, range)
        case .integer, .boolean, .text, .loops, .headers, .secret, .json: type.accepted
        }
    }

    private static func acceptedList(_ element: ConfigType) -> String {
        switch element {
        case .choice(let names): "a list of \(names.map(code).joined(separator: ", "))"
        case .group: "a list of mappings, see below"
        default: "a list; each entry \(accepted(element))"
        }
    }

    private static func acceptedUnit(_ unit: ConfigUnit, _ range: ConfigRange) -> String {
        let name =
            switch unit {
            case .duration: "duration"
            case .size: "size"
            case .rate: "rate"
            case .percent: "share"
            }
        return "\(name) from `\(unit.format(range.min))` to `\(unit.format(range.max))`\(range.zeroIsOff ? ", or `0` for off" : "")"
    }

    private static func sentence(_ rule: ConfigGroup.Rule, _ group: ConfigGroup) -> String {
        func names(_ keys: [String]) -> String { keys.map(code).joinedWithOr }
        switch rule {
        case .exactlyOne(let keys): return "Exactly one of \(names(keys)) is given."
        case .atMostOne(let keys): return "At most one of \(names(keys)) is given."
        }
    }

    private static var routing: String {
        """
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
        """
    }

    private static var unwiredKeys: String {
        guard !unwired.isEmpty else { return "" }
        return """


            ## Keys that this version does not act on yet

            They are part of the configuration's contract and of this page, and `uringd explain` knows them; `serve` and `check` refuse them, so that
            nobody relies on what is not there.

            \(unwired.sorted().map { "`\($0)`" }.joined(separator: ", "))

            """
    }
}
