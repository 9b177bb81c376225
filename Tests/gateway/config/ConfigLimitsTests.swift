// Every option of the table at its limits and beyond: read from the table, so that a new row is tested when it is written.

import Testing

@testable import UringGateway

@Suite struct ConfigLimitsTests {
    private struct Row {
        let path: String
        let option: ConfigOption
    }

    private var rows: [Row] {
        ([("", ConfigSchema.root)] + ConfigSchema.sections).flatMap { path, group in
            group.options.map { Row(path: path.isEmpty ? $0.key : "\(path).\($0.key)", option: $0) }
        }
    }

    private func isTaken(_ option: ConfigOption, _ yaml: String) -> Bool {
        var validator = ConfigValidator()
        guard let node = YAMLDocument.parse(Array("k: \(yaml)".utf8)).root, case .mapping(let entries) = node.content else { return false }
        return validator.value(entries[0].value, option.type, label: "k", at: .fileStart) != nil && !validator.diagnostics.hasErrors
    }

    /// Values that a type takes, and values that it refuses.
    private func cases(_ type: ConfigType) -> (good: [String], bad: [String]) {
        switch type {
        case .integer(let range): return numbers(range) { String($0) }
        case .unit(let unit, let range): return numbers(range, unit.format)
        case .boolean: return (["true", "false"], ["on", "1", "\"true\"", "[]"])
        case .booleanOr(let word): return (["true", "false", word], ["maybe", "1", "{}"])
        case .choice(let names): return (names.map { "\"\($0)\"" }, ["\"\(names[0])x\"", "\"\"", "[]", "{}"])
        case .text(let format):
            // A body may be anything that is text.
            if case .body = format { return ([], ["[]", "{}", "~"]) }
            // So may a header's value be empty, and the kernel takes paths with anything but a zero byte in them.
            if case .headerValue = format { return (["\"\""], ["[]", "{}", "~", "\"a\\n\""]) }
            switch format {
            case .path, .pathOrURL: return (["x"], ["\"\"", "[]", "{}", "~", "\"a\\0\""])
            default: break
            }
            return ([], ["\"\"", "[]", "{}", "~", "\"a\\u0001\""])
        case .loops: return (["auto", "1", "1024", "[0]", "[8191]"], ["0", "1025", "[]", "[8192]", "many"])
        case .secret: return (["x", "{ file: y }"], ["\"\"", "[]", "{}", "{ file: \"\" }", "{ file: a, b: c }"])
        case .headers: return (["{}", "{ x-a: b }", "{ x-a: [b, c] }"], ["[]", "x", "{ \"a b\": c }", "{ x-a: {} }"])
        case .list(_, let counts): return (counts.lowerBound == 0 ? ["[]"] : [], (counts.lowerBound > 0 ? ["[]"] : []) + ["{}", "~"])
        case .wordOr(let words, let inner):
            let (good, bad) = cases(inner)
            return (words + good, bad)
        case .wordOrGroup(let words, _): return (words.map { "\"\($0)\"" }, ["\"\(words[0])x\"", "[]", "3"])
        case .map: return ([], ["[]", "x", "~"])
        case .group: return ([], ["[]", "x", "~", "{ surely-unknown: 1 }"])
        case .oneOrMany, .shorthand: return ([], ["~", "[[]]"])
        case .json: return (["1", "[]", "{}", "~"], [])
        }
    }

    private func numbers(_ range: ConfigRange, _ format: (UInt64) -> String) -> (good: [String], bad: [String]) {
        var bad = [format(range.max + 1), "x", "[]", "-1", "~"]
        if range.min > 0 && !range.zeroIsOff { bad.append("0") }
        if range.min > 1 { bad.append(format(range.min - 1)) }
        return ([format(range.min), format(range.max)] + (range.zeroIsOff ? ["0"] : []), bad)
    }

    @Test func everyOptionAtItsLimitsAndBeyond() {
        var count = 0
        for row in rows {
            let (good, bad) = cases(row.option.type)
            for yaml in good { #expect(isTaken(row.option, yaml), "\(row.path): \(yaml) is good") }
            for yaml in bad { #expect(!isTaken(row.option, yaml), "\(row.path): \(yaml) is bad") }
            count += good.count + bad.count
        }
        #expect(count > 900, "the table is walked")
    }

    /// The most entries of short lists, and one more.
    @Test func listsHaveTheirCounts() {
        for row in rows {
            guard case .list(.text, let counts) = row.option.type, counts.upperBound <= 64 else { continue }
            // Entries of the example, told apart where they may be: repeated ones are refused in any case, so only "too many" is looked for.
            var validator = ConfigValidator()
            let many = "[" + (0...counts.upperBound).map { "x\($0)" }.joined(separator: ", ") + "]"
            guard let node = YAMLDocument.parse(Array("k: \(many)".utf8)).root, case .mapping(let entries) = node.content else { continue }
            _ = validator.value(entries[0].value, row.option.type, label: "k", at: .fileStart)
            #expect(validator.diagnostics.sorted().first?.message.contains("accepted: \(counts.lowerBound) to \(counts.upperBound) entries") == true, "\(row.path)")
        }
    }

    @Test(arguments: [
        (ConfigText.rateKey, ["address", "address/24", "address/24/48", "jwt.sub", "jwt.https://x/y", "header:x-tenant"], ["", "addres", "address/0", "address/33", "address/24/129", "address/1/2/3", "jwt.", "header:", "header:a b"]),
        (.requestRate, ["1/s", "10000000/d", "600/m", "5/h"], ["0/s", "10000001/s", "1", "1/w", "/s", "-1/s", "1.5/s", "1/s/s"]),
        (.statusRange, ["100", "599", "200-299", "5xx"], ["99", "600", "6xx", "0xx", "299-200", "2x", "200-", "abc"]),
        (.retryReason, ["connect-failure", "reset", "timeout", "refused-stream", "500", "599"], ["499", "600", "5xx", "conect-failure", ""]),
        (.banReason, ["rate-limit", "malformed", "handshake", "401", "4xx"], ["", "bad", "600"]),
        (.addressPrefix, ["10.0.0.0/8", "0.0.0.0/0", "::/0", "::1", "1.2.3.4", "2001:db8::/32", "1.2.3.4/32"], ["10.0.0.1/8", "10.0.0.0/33", "::/129", "x", "10.0.0.0/", "fe80::1%eth0", "", "1.2.3/8"]),
        (.hashKey, ["address", "path", "header:X-A", "cookie:s"], ["header:", "ip", "", "cookie:a b"]),
        (.certificateSubject, ["CN=a", "DNS:*", "URI:spiffe://x/*", "EMAIL:a@b"], ["a", "CN=", "DNS:*.a", "cn=a"]),
        (.origin, ["*", "https://a.example", "http://localhost:3000", "https://*.a.example"], ["null", "a.example", "https://a/", "https://A.example", "https://*", "https://a.*"]),
        (.mediaType, ["application/x-ours", "a/b+c"], ["a", "a/", "a/*", "a/b; c=d", "a/b/c"]),
        (.url, ["http://a", "https://a:1/x?y", "http://[::1]:80/"], ["a", "ftp://a", "http://", "http://a:0", "http://u:p@a", "http://a b", "http://a/#f", "http://unix:x"]),
        (.pathOrURL, ["jwks.json", "/a/b", "https://a/b"], ["", "https://", "http://u@a/"]),
        (.requestTarget, ["/", "/a?b=c"], ["a", "/a b", "/a#b", ""]),
        (.requestLine, ["GET http://a/b"], ["GET", "get http://a", "GET  http://a", "GET /a", "GET http://a b"]),
        (.pathPrefix, ["/v1", "/a/b"], ["/", "/a/", "a", "/*", "/{x}", "//a", ""]),
        (.pathTemplate, ["/", "/a/{id}", "{path}", "/x{path}", "/f/{rest}"], ["", "a", "/{", "/{}", "/}", "/{a-b}", "/a?b", "/a b", "{id}"]),
        (.hostRewrite, ["preserve", "upstream", "a.example", "a.example:8080"], ["", "a b", "a:0", "a:b", "http://a", "a:1:2"]),
        (.upstreamAddress, ["127.0.0.1:1", "[::1]:65535", "a.b:80", "unix:x"], ["127.0.0.1:0", "http://a", "a", "unix:"]),
        (.headerName, ["x-a", "authorization"], ["", "a b", "connection", "content-length", "a:"]),
        (.claimName, ["sub", "https://x/roles"], ["", "a\nb"]),
        (.realm, ["staff"], ["a\"b", "", "a\\b"]),
    ] as [(ConfigText, [String], [String])])
    func textsOfTheGateway(format: ConfigText, good: [String], bad: [String]) {
        for text in good { #expect(format.problem(in: text) == nil, "\(format): \(text)") }
        for text in bad { #expect(format.problem(in: text) != nil, "\(format): \(text)") }
    }

    @Test(arguments: [
        ("0", 0), ("5%", 500), ("0.5%", 50), ("0.05%", 5), ("12.25%", 1225), ("100%", 10_000), ("99999999999999999999%", UInt64.max),
    ] as [(String, UInt64)])
    func shares(text: String, hundredths: UInt64) {
        #expect(ConfigUnit.percent.parse(text) == .value(hundredths))
        if hundredths < .max { #expect(ConfigUnit.percent.parse(ConfigUnit.percent.format(hundredths)) == .value(hundredths)) }
    }

    @Test func sharesThatAreNone() {
        #expect(ConfigUnit.percent.parse("5") == .malformed(suggestion: "5%"))
        #expect(ConfigUnit.percent.parse("0.05") == .malformed(suggestion: "5%"))
        for text in ["", "%", "5.%", "5.125%", "5 %", "-5%", "5%%", ".5%"] {
            guard case .malformed = ConfigUnit.percent.parse(text) else {
                Issue.record("\(text) was taken")
                continue
            }
        }
    }

    @Test func prefixesContainAddresses() throws {
        func prefix(_ text: String) throws -> AddressPrefix { try AddressPrefix.parse(text).get() }
        #expect(try prefix("10.0.0.0/9").contains([10, 127, 255, 255]))
        #expect(try !prefix("10.0.0.0/9").contains([10, 128, 0, 0]))
        #expect(try prefix("0.0.0.0/0").contains([1, 2, 3, 4]) && !prefix("0.0.0.0/0").contains([UInt8](repeating: 0, count: 16)))
        // An IPv4 client of an IPv6 socket.
        #expect(try prefix("10.0.0.0/8").contains([UInt8](repeating: 0, count: 10) + [0xff, 0xff, 10, 1, 2, 3]))
        #expect(AddressPrefix.parse("10.0.0.1/8").problem == "bits beyond the prefix; the prefix is 10.0.0.0/8")
        #expect(AddressPrefix.privatePrefixes.count == 9)
    }
}
