// The YAML reader at its limits, and against bytes that nobody meant as YAML.

import Testing

@testable import UringGateway

@Suite struct YAMLDocumentTests {
    private func problems(_ bytes: [UInt8]) -> [String] {
        YAMLDocument.parse(bytes).diagnostics.map { $0.line(file: "f") }
    }

    @Test func placesCountCharactersFromOne() throws {
        let root = try #require(YAMLDocument.parse(Array("é: x\nb:\n  - \"y\"\n".utf8)).root)
        guard case .mapping(let entries) = root.content, case .sequence(let items) = entries[1].value.content else {
            Issue.record("not the shape")
            return
        }
        #expect(entries.map(\.key) == ["é", "b"])
        #expect(entries[0].value.position == SourcePosition(line: 1, column: 4))
        #expect(entries[1].keyPosition == SourcePosition(line: 2, column: 1))
        #expect(items[0].position == SourcePosition(line: 3, column: 5))
    }

    @Test func depthEndsAtItsLimit() {
        func nested(_ depth: Int) -> [UInt8] { Array((String(repeating: "[", count: depth) + String(repeating: "]", count: depth)).utf8) }
        #expect(problems(nested(YAMLDocument.depthMax - 1)) == [])
        #expect(problems(nested(YAMLDocument.depthMax)) == ["f:1:64: values are nested deeper than 64 levels"])
        #expect(problems(nested(100_000)) == ["f:1:64: values are nested deeper than 64 levels"])
    }

    @Test func depthCountsThroughAliases() {
        // Each level is a list of one alias to the level before.
        var text = "a0: &a0 [x]\n"
        for level in 1...70 { text += "a\(level): &a\(level) [*a\(level - 1)]\n" }
        #expect(problems(Array(text.utf8)) == ["f:63:12: values are nested deeper than 64 levels"])
    }

    @Test func aBillionLaughsEndEarly() {
        var text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"
        for level in 1...9 {
            text += "a\(level): &a\(level) [" + Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ") + "]\n"
        }
        #expect(problems(Array(text.utf8)) == ["f:6:5: aliases make this value larger than 33554432 bytes"])
    }

    @Test func sizeEndsAtItsLimit() {
        let fits = [UInt8](repeating: UInt8(ascii: "#"), count: YAMLDocument.fileBytesMax)
        #expect(problems(fits) == [])
        #expect(problems(fits + [UInt8(ascii: "#")]) == ["f:1:1: the file has 4194305 bytes, accepted: up to 4194304"])
    }

    @Test func bytesThatAreNotUTF8HaveAPlace() {
        #expect(problems(Array("a: é\nb: ".utf8) + [0xff]) == ["f:2:4: the file is not valid UTF-8 (byte 0xFF)"])
        #expect(problems([0x61, 0x3a, 0x20, 0xc3]) == ["f:1:4: the file is not valid UTF-8 (byte 0xC3)"])
        #expect(problems([0xff, 0xfe, 0x61, 0x00]) == ["f:1:1: the file is not valid UTF-8 (byte 0xFF)"])
        #expect(problems([0x61, 0x3a, 0x20, 0x00]) == ["f:1:4: a character that YAML does not allow (byte 0x00)"])
        #expect(problems([0x61, 0x3a, 0x20, 0x0b, 0x0a]) == ["f:1:4: a character that YAML does not allow (byte 0x0B)"])
    }

    @Test func aByteOrderMarkIsSkipped() throws {
        let document = YAMLDocument.parse([0xef, 0xbb, 0xbf] + Array("a: 1".utf8))
        #expect(document.diagnostics == [])
        #expect(document.root != nil)
    }

    @Test func aFileThatEndsAnywhereIsReportedOrRead() throws {
        let whole = Array(MutationCorpus.seeds[1].utf8)
        for count in 0...whole.count {
            let result = ConfigLoader.load(bytes: Array(whole.prefix(count)), file: "f", directory: "", .test)
            #expect((result.configuration == nil) == result.diagnostics.contains { $0.severity == .error }, "cut at \(count)")
        }
    }

    /// A million diagnostics would be no report.
    @Test func theReportHasABound() {
        let text = (0..<3000).map { "k\($0): 1" }.joined(separator: "\n")
        let lines = messages(text)
        #expect(lines.count == DiagnosticList.countMax + 1)
        #expect(lines.last == "999:1: 2002 more problems are not listed" || lines.last?.hasSuffix("2002 more problems are not listed") == true)
    }
}

/// Valid files that the mutation test starts from.
enum MutationCorpus {
    static let seeds = [
        GatewayExample.text,
        """
        loops: [0, 2]
        listen: [{ address: 127.0.0.1:8080, backlog: 12 }, { address: "[::1]:80" }, { address: "unix:a" }]
        admin: { address: 127.0.0.1:9901 }
        timeouts: &t { header: 10s, body: 1m30s, idle: 75s }
        limits: { connections: 100000, header-bytes: 32KiB, body-bytes: 10MiB }
        access-log: { path: /dev/stdout, format: json }
        routes:
          - name: health
            match: { path: [/healthz, /a/*, "/{x}/y"], host: "*.example.com", methods: [GET, POST] }
            respond: { status: 200, json: { status: ok, n: [1, 2.5e3, ~, true, 0x1f, "é"] } }
          - name: site
            match: {}
            files: { root: ./public, index: [index.html], precompressed: [br] }
        """,
        """
        %YAML 1.1
        ---
        listen:
        - address: >-
            localhost:80
        routes:
        - name: !!str 1
          match: &m
            path: /*
          respond:
            headers: {x: [a, b]}
            body: |
              text
               more
        - {name: b, match: *m, respond: {}}
        ...
        """,
    ]
}

@Suite struct ConfigMutationTests {
    /// Bytes that mean something to YAML or to this schema.
    private static let spice = Array("{}[]:,&*!|>'\"%@`#-? \t\n\r~0.x\\".utf8) + [0x00, 0x7f, 0x80, 0xc3, 0xff, 0xef]

    private static func mutate(_ bytes: [UInt8], _ random: inout SplitMix) -> [UInt8] {
        var result = bytes
        for _ in 0...random.below(4) {
            guard !result.isEmpty else { break }
            let at = random.below(result.count)
            let end = min(result.count, at + random.below(24))
            switch random.below(5) {
            case 0: result[at] = UInt8(truncatingIfNeeded: random.next())
            case 1: result.insert(spice[random.below(spice.count)], at: at)
            case 2: result.removeSubrange(at..<end)
            case 3: result.insert(contentsOf: result[at..<end], at: random.below(result.count))
            default: result[at] = spice[random.below(spice.count)]
            }
        }
        return result
    }

    /// Every mutant gives a configuration without errors or errors without a configuration, and never a trap.
    @Test(arguments: 0..<8 as Range<UInt64>)
    func mutantsAreJudged(seed: UInt64) {
        var random = SplitMix(seed: seed)
        var good = 0
        for round in 0..<300 {
            let start = Array(MutationCorpus.seeds[random.below(MutationCorpus.seeds.count)].utf8)
            let bytes = Self.mutate(start, &random)
            let result = ConfigLoader.load(bytes: bytes, file: "f", directory: "", .test)
            let hasErrors = result.diagnostics.contains { $0.severity == .error }
            #expect((result.configuration == nil) == hasErrors, "seed \(seed), round \(round)")
            let odd = result.diagnostics.filter {
                $0.position.line < 1 || $0.position.column < 1 || $0.message.utf8.contains { $0 < 0x20 }
            }
            #expect(odd == [], "seed \(seed), round \(round)")
            _ = result.render(excerpts: true)
            if let configuration = result.configuration {
                good += 1
                // What the loader lets pass compiles to a table.
                _ = RouteTable(configuration.routes.map(\.match))
            }
        }
        #expect(good > 0 && good < 300, "a corpus that is never or always broken tests nothing")
    }
}

/// Sebastiano Vigna's splitmix64 by its published constants: small, seeded, the same everywhere.
struct SplitMix {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}
