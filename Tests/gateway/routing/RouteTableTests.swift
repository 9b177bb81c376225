// The route table: the rules one by one, and against a slow reading of the same rules.

import Testing

@testable import UringGateway

@Suite struct RouteTableTests {
    private func rule(_ hosts: [String] = [], _ paths: [String] = [], _ methods: [String] = []) -> RouteMatchRule {
        RouteMatchRule(
            hosts: hosts.map { try! HostPattern.parse($0).get() }, paths: paths.map { try! PathPattern.parse($0).get() },
            methods: MethodSet(methods))
    }

    private func match(_ table: RouteTable, _ method: String, _ host: String, _ path: String) -> RouteMatch {
        let (method, host, path) = (Array(method.utf8), Array(host.utf8), Array(path.utf8))
        return table.match(method: method.span, host: host.span, path: path.span)
    }

    private func allow(_ table: RouteTable, _ match: RouteMatch) -> String? {
        guard case .methodNotAllowed(let methods) = match else { return nil }
        var buffer = [UInt8](repeating: 0, count: table.allowBytesMax)
        // `buffer` lives through the closure.
        let count = unsafe buffer.withUnsafeMutableBytes { unsafe table.writeAllow(methods, into: $0) }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }

    @Test func theFirstMatchWins() {
        let table = RouteTable([rule([], ["/a/*"]), rule([], ["/a/b"]), rule([], ["/c"]), rule([], ["/*"]), rule([], ["/d"])])
        #expect(match(table, "GET", "", "/a/b") == .route(0))
        #expect(match(table, "GET", "", "/c") == .route(2))
        #expect(match(table, "GET", "", "/d") == .route(3))
        #expect(match(table, "GET", "", "/") == .route(3))
        #expect(match(table, "GET", "", "*") == .notFound)
        #expect(match(table, "GET", "", "") == .notFound)
    }

    @Test func aPrefixTakesWhatIsBelowIt() {
        let table = RouteTable([rule([], ["/docs/*"])])
        for path in ["/docs/", "/docs/a", "/docs/a/b/", "/docs//"] { #expect(match(table, "GET", "", path) == .route(0)) }
        for path in ["/docs", "/doc/", "/docsx/", "/", "/Docs/a", "docs/a"] { #expect(match(table, "GET", "", path) == .notFound) }
    }

    @Test func parametersTakeOneSegment() {
        let table = RouteTable([rule([], ["/users/{id}"]), rule([], ["/users/{id}/files/*"])])
        #expect(match(table, "GET", "", "/users/7") == .route(0))
        #expect(match(table, "GET", "", "/users/a%2Fb") == .route(0))
        #expect(match(table, "GET", "", "/users/") == .notFound)
        #expect(match(table, "GET", "", "/users/7/") == .notFound)
        #expect(match(table, "GET", "", "/users/7/files/") == .route(1))
        #expect(match(table, "GET", "", "/users/7/files/x/y") == .route(1))
        #expect(match(table, "GET", "", "/users/7/files") == .notFound)
        #expect(match(table, "GET", "", "/users//files/x") == .notFound)
    }

    @Test func noPathTakesTheAsteriskToo() {
        let table = RouteTable([rule()])
        for path in ["*", "", "/", "/x"] { #expect(match(table, "OPTIONS", "", path) == .route(0)) }
    }

    @Test func hostsIgnoreCasePortAndFinalDot() {
        let table = RouteTable([rule(["API.example.com"]), rule(["*.example.com"]), rule(["10.0.0.1"])])
        for host in ["api.example.com", "API.EXAMPLE.COM:8080", "api.example.com.", "api.example.com.:443"] {
            #expect(match(table, "GET", host, "/") == .route(0), "\(host)")
        }
        for host in ["a.example.com", "a.b.Example.com:1"] { #expect(match(table, "GET", host, "/") == .route(1), "\(host)") }
        #expect(match(table, "GET", "10.0.0.1:80", "/") == .route(2))
        for host in ["", ":", ".", "example.com", ".example.com", "xexample.com", "[::1]:80", "[::1]", "10.0.0.11", "example.com:80"] {
            #expect(match(table, "GET", host, "/") == .notFound, "\(host)")
        }
    }

    @Test func methodsGive405WithTheirUnion() {
        let table = RouteTable([
            rule([], ["/a"], ["GET"]), rule([], ["/*"], ["POST", "GET"]), rule(["x"], ["/a"], ["PUT"]), rule([], ["/free"], []),
        ])
        #expect(match(table, "GET", "", "/a") == .route(0))
        #expect(match(table, "HEAD", "", "/a") == .route(0))
        #expect(match(table, "POST", "", "/a") == .route(1))
        #expect(match(table, "PUT", "x", "/a") == .route(2))
        #expect(allow(table, match(table, "PUT", "y", "/a")) == "GET, HEAD, POST")
        #expect(allow(table, match(table, "DELETE", "x", "/a")) == "GET, HEAD, POST, PUT")
        #expect(allow(table, match(table, "get", "", "/b")) == "GET, HEAD, POST")
        #expect(allow(table, match(table, "", "", "/b")) == "GET, HEAD, POST")
        #expect(match(table, "PATCHPATCHPATCHPATCH", "", "/free") == .route(3))
        #expect(match(table, "DELETE", "", "*") == .notFound)
    }

    @Test func methodsMayHaveSixteenBytesAndSixtyFourNames() {
        let names = (0..<63).map { String(("METHOD-OF-ROUTE" + String(UnicodeScalar(UInt8(48 + $0)))).prefix(16)) }
        let table = RouteTable(names.map { rule([], ["/"], [$0]) })
        for (index, name) in names.enumerated() { #expect(match(table, name, "", "/") == .route(index)) }
        #expect(match(table, "METHOD-OF-ROUTE", "", "/") != .route(0))
    }

    @Test func noRulesMatchNothing() {
        let table = RouteTable([])
        #expect(match(table, "GET", "a", "/") == .notFound)
        #expect(table.allowBytesMax == 0)
    }

    /// The same answer as a reading of the rules that anyone can follow, over many random tables.
    @Test(arguments: 0..<6 as Range<UInt64>)
    func agreesWithTheSlowReading(seed: UInt64) {
        var random = SplitMix(seed: seed)
        let hosts = ["a.com", "b.a.com", "*.a.com", "*.b.a.com", "c"]
        let paths = ["/", "/*", "/a", "/a/", "/a/*", "/a/b", "/{x}", "/{x}/b", "/a/{x}/*", "/{x}/*", "/abcdefgh/i", "/abcdefgh/*", "/abcdef/*", "/abcde/*", "/bbcdefgh/*"]
        let methods = ["GET", "POST", "PUT", "DELETE"]
        let askHosts = ["", "a.com", "b.a.com", "c.b.a.com:80", "C", "com"]
        let askPaths = ["*", "/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c", "/b", "/b/b", "//", "//b", "/abcdefgh/i", "/abcdefgh/", "/abcdefgh", "/abcdef/", "/abcdefg/", "/abcde/", "/bbcdefgh/x"]
        func some(_ items: [String], _ max: Int) -> [String] { (0..<random.below(max + 1)).map { _ in items[random.below(items.count)] } }
        for round in 0..<20 {
            let rules = (0..<(1 + random.below(12))).map { _ in rule(some(hosts, 2), some(paths, 3), some(methods, 2)) }
            let table = RouteTable(rules)
            for host in askHosts {
                for path in askPaths {
                    for method in methods + ["HEAD"] {
                        // A plain comparison: #expect costs more than the match, and this runs 47,000 times.
                        let (got, wanted) = (describe(table, match(table, method, host, path)), slow(rules, method, host, path))
                        if got != wanted { Issue.record("seed \(seed), round \(round): \(method) \(host) \(path): \(got), not \(wanted)") }
                    }
                }
            }
            checkShadows(rules, askHosts, askPaths, methods + ["HEAD", "OTHER"])
        }
    }

    /// The same over deeper and larger tables: shared prefixes, segments that only a hash tells apart, wildcards at every place, many hosts, routes for clear requests alone.
    @Test(arguments: 0..<8 as Range<UInt64>)
    func theIndexAgreesWithTheSlowReading(seed: UInt64) {
        var random = SplitMix(seed: seed &+ 1000)
        let words = ["a", "b", "v1", "orders", "abcdefgh", "abcdefgi", "long-segment-0", "long-segment-1"]
        func pattern() -> String {
            let parts = (0..<random.below(5)).map { index in random.below(3) == 0 ? "{p\(index)}" : words[random.below(words.count)] }
            let path = "/" + parts.joined(separator: "/")
            switch random.below(4) {
            case 0: return parts.isEmpty ? "/*" : path + "/*"
            case 1: return parts.isEmpty ? "/" : path + "/"
            default: return path
            }
        }
        func name() -> String { (0...random.below(3)).map { _ in ["a", "b", "com", "x1"][random.below(4)] }.joined(separator: ".") }
        func hostPattern() -> String { (random.below(3) == 0 ? "*." : "") + name() }
        let methods = ["GET", "POST", "PUT"]
        for round in 0..<4 {
            let rules = (0..<(1 + random.below(120))).map { _ in
                var made = rule((0..<random.below(4)).map { _ in hostPattern() }, (0..<random.below(4)).map { _ in pattern() }, random.below(2) == 0 ? [] : [methods[random.below(3)]])
                made.isClearOnly = random.below(8) == 0
                return made
            }
            let table = RouteTable(rules)
            for _ in 0..<400 {
                // Some near a pattern, some not; host names with capitals, ports and final dots.
                var path = "/" + (0..<random.below(6)).map { _ in random.below(8) == 0 ? "" : words[random.below(words.count)] }.joined(separator: "/")
                if random.below(20) == 0 { path = ["*", "", "//", "/a//b"][random.below(4)] }
                let host = [name(), name().uppercased() + ":8080", name() + ".", "", ".com"][random.below(5)]
                let (method, isSecure) = (methods[random.below(3)], random.below(2) == 0)
                let (bytes, hostBytes, pathBytes) = (Array(method.utf8), Array(host.utf8), Array(path.utf8))
                let got = describe(table, table.match(method: bytes.span, host: hostBytes.span, path: pathBytes.span, isSecure: isSecure))
                let plain = String(host.split(separator: ":", omittingEmptySubsequences: false)[0])
                let wanted = slow(isSecure ? rules.map { $0.isClearOnly ? RouteMatchRule(hosts: [HostPattern(text: "never", isWildcard: false)]) : $0 } : rules, method, plain.hasSuffix(".") ? String(plain.dropLast()) : plain, path)
                if got != wanted { Issue.record("seed \(seed), round \(round): \(method) \(host) \(path) \(isSecure): \(got), not \(wanted)") }
            }
        }
    }

    @Test func tenThousandRoutesOfOneShape() {
        let rules = (0..<10_000).map { rule(["h\($0 % 100).example.com"], ["/v1/service\($0)/{id}/*", "/exact/\($0)"]) }
        let table = RouteTable(rules)
        for index in stride(from: 0, to: 10_000, by: 7) {
            let host = "h\(index % 100).example.com"
            #expect(match(table, "GET", host, "/v1/service\(index)/x/y") == .route(index))
            #expect(match(table, "GET", host, "/exact/\(index)") == .route(index))
            #expect(match(table, "GET", "h\((index + 1) % 100).example.com", "/exact/\(index)") == .notFound)
        }
    }

    @Test func patternsHaveAsManySegmentsAsACallMayFollow() throws {
        let most = (0..<PathPattern.segmentsMax).map { "/{p\($0)}" }.joined()
        let table = RouteTable([rule([], [most])])
        let path = String(repeating: "/x", count: PathPattern.segmentsMax)
        #expect(match(table, "GET", "", path) == .route(0))
        #expect(match(table, "GET", "", path + "/x") == .notFound)
        #expect(throws: TextProblem.self) { try PathPattern.parse(most + "/x").get() }
    }

    private func describe(_ table: RouteTable, _ result: RouteMatch) -> String {
        switch result {
        case .route(let index): "\(index)"
        case .notFound: "404"
        case .methodNotAllowed: "405 " + (allow(table, result) ?? "").split(separator: ", ").sorted().joined(separator: ",")
        }
    }

    private func slow(_ rules: [RouteMatchRule], _ method: String, _ host: String, _ path: String) -> String {
        var allowed: Set<String> = []
        for (index, rule) in rules.enumerated() where takes(rule, host, path) {
            if rule.methods.isAny || rule.methods.names.contains(method) { return "\(index)" }
            allowed.formUnion(rule.methods.names)
        }
        return allowed.isEmpty ? "404" : "405 " + allowed.sorted().joined(separator: ",")
    }

    private func takes(_ rule: RouteMatchRule, _ host: String, _ path: String) -> Bool {
        let name = String(host.split(separator: ":", omittingEmptySubsequences: false)[0]).lowercased()
        let hostOK = rule.hosts.isEmpty || rule.hosts.contains { $0.isWildcard ? name.hasSuffix($0.text) && name != $0.text : name == $0.text }
        return hostOK && (rule.paths.isEmpty || rule.paths.contains { takes($0, path) })
    }

    private func takes(_ pattern: PathPattern, _ path: String) -> Bool {
        guard path.hasPrefix("/") else { return false }
        let parts = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        guard pattern.hasTail ? parts.count > pattern.segments.count : parts.count == pattern.segments.count else { return false }
        return zip(pattern.segments, parts).allSatisfy { segment, part in
            switch segment {
            case .literal(let text): text == part
            case .parameter: !part.isEmpty
            }
        }
    }

    /// A route called unreachable is the answer to no request.
    private func checkShadows(_ rules: [RouteMatchRule], _ hosts: [String], _ paths: [String], _ methods: [String]) {
        var shadows = RouteShadows()
        for (index, rule) in rules.enumerated() where shadows.add(rule, name: "\(index)") != nil {
            for host in hosts {
                for path in paths {
                    for method in methods where slow(rules, method, host, path) == "\(index)" { Issue.record("\(index) of \(rules)") }
                }
            }
        }
    }
}

@Suite struct RouteShadowTests {
    private func shadow(_ rules: [(hosts: [String], paths: [String], methods: [String])]) -> [String?] {
        var shadows = RouteShadows()
        return rules.enumerated().map { index, rule in
            shadows.add(
                RouteMatchRule(
                    hosts: rule.hosts.map { try! HostPattern.parse($0).get() },
                    paths: rule.paths.map { try! PathPattern.parse($0).get() }, methods: MethodSet(rule.methods)),
                name: "\(index)")
        }
    }

    @Test func coveredRoutesAreNamed() {
        #expect(shadow([([], ["/*"], []), ([], ["/a"], [])]) == [nil, "0"])
        #expect(shadow([([], ["/a"], []), (["x"], ["/a"], ["GET"])]) == [nil, "0"])
        #expect(shadow([(["*.x"], [], []), (["a.x"], ["/a"], [])]) == [nil, "0"])
        #expect(shadow([(["*.x"], [], []), (["*.a.x"], ["/{p}"], [])]) == [nil, "0"])
        #expect(shadow([([], ["/{a}"], []), ([], ["/x"], []), ([], ["/{b}"], [])]) == [nil, "0", "0"])
        #expect(shadow([([], ["/a"], []), ([], ["/b"], []), ([], ["/a", "/b"], [])]) == [nil, nil, "0"])
        #expect(shadow([([], ["/a"], ["GET", "POST"]), ([], ["/a"], ["HEAD"])]) == [nil, "0"])
    }

    @Test func whatCanBeReachedIsNot() {
        #expect(shadow([([], ["/a/*"], []), ([], ["/a"], []), ([], ["/*"], [])]) == [nil, nil, nil])
        #expect(shadow([([], ["/*"], []), ([], [], [])]) == [nil, nil])
        #expect(shadow([([], ["/a"], ["GET"]), ([], ["/a"], [])]) == [nil, nil])
        #expect(shadow([(["x"], ["/a"], []), ([], ["/a"], [])]) == [nil, nil])
        #expect(shadow([(["*.x"], [], []), (["x"], [], [])]) == [nil, nil])
        #expect(shadow([([], ["/{a}"], []), ([], ["/"], [])]) == [nil, nil])
        #expect(shadow([([], ["/a"], []), ([], ["/a", "/b"], [])]) == [nil, nil])
    }
}

@Suite struct ClearOnlyRouteTests {
    /// The numbers of routes that take a request to `path`: in clear, and over TLS.
    private func matches(_ table: RouteTable, _ path: String, _ method: String = "GET") -> [RouteMatch] {
        let (method, path, host) = (Array(method.utf8), Array(path.utf8), Array("a".utf8))
        return [false, true].map { table.match(method: method.span, host: host.span, path: path.span, isSecure: $0) }
    }

    @Test func overTLSTheNextRouteIsTried() throws {
        let exact = try PathPattern.parse("/a").get()
        let wide = try PathPattern.parse("/b/*").get()
        let table = RouteTable([
            RouteMatchRule(paths: [exact], methods: MethodSet(["GET"]), isClearOnly: true), RouteMatchRule(paths: [wide], isClearOnly: true),
            RouteMatchRule(paths: [exact, wide], methods: MethodSet(["GET"])),
        ])
        #expect(matches(table, "/a") == [.route(0), .route(2)])
        #expect(matches(table, "/b/x") == [.route(1), .route(2)])
        let onlyClear = RouteTable([RouteMatchRule(paths: [exact, wide], methods: MethodSet(["GET"]), isClearOnly: true)])
        #expect(matches(onlyClear, "/a") == [.route(0), .notFound])
        #expect(matches(onlyClear, "/b/x") == [.route(0), .notFound])
        // What does not match says nothing about methods either.
        #expect(matches(onlyClear, "/a", "PUT")[1] == .notFound)
    }
}
