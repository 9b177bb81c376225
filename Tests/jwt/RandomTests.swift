// Random claims are read as they were written; random changes are refused. Seeds are fixed: what fails, fails again.

import Testing
@testable import UringJWT

/// xorshift64*, so that a seed means the same everywhere.
private struct Random {
    var state: UInt64

    mutating func next(_ bound: Int) -> Int {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return Int((state &* 0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    mutating func string() -> String {
        let scalars: [Unicode.Scalar] = ["a", "b", "\"", "\\", "\n", "\u{0}", "é", "€", "😀", "/", "\u{7f}", " ", "z", "1"]
        return String(String.UnicodeScalarView((0..<next(12)).map { _ in scalars[next(scalars.count)] }))
    }
}

/// JSON by its meaning, to compare with what is read back.
private indirect enum Tree: Equatable {
    case null, flag(Bool), number(Int), string(String), array([Tree]), object([String: Tree])

    static func random(_ random: inout Random, depth: Int) -> Tree {
        switch random.next(depth > 0 ? 7 : 4) {
        case 0: return .null
        case 1: return .flag(random.next(2) == 0)
        case 2: return .number(random.next(1 << 30) - (1 << 29))
        case 3: return .string(random.string())
        case 4: return .array((0..<random.next(5)).map { _ in Tree.random(&random, depth: depth - 1) })
        default: return .object(Dictionary((0..<random.next(6)).map { _ in ("x" + random.string(), Tree.random(&random, depth: depth - 1)) }) { $1 })
        }
    }

    /// With white space and escapes where they may be.
    func text(_ random: inout Random) -> String {
        let space = ["", "", "", " ", "\n", "\t \r\n"][random.next(6)]
        switch self {
        case .null: return space + "null"
        case .flag(let flag): return (flag ? "true" : "false") + space
        case .number(let number): return space + String(number) + ["", "", ".0", "e0", "E+0", ".00e-0"][random.next(6)]
        case .string(let string): return space + Tree.quoted(string, &random) + space
        case .array(let items): return "[" + items.map { $0.text(&random) }.joined(separator: ",") + space + "]"
        case .object(let members):
            return "{" + members.map { Tree.quoted($0.key, &random) + space + ":" + $0.value.text(&random) }.joined(separator: ",") + space + "}"
        }
    }

    static func quoted(_ string: String, _ random: inout Random) -> String {
        "\"" + string.unicodeScalars.map { scalar in
            let mustEscape = scalar.value < 0x20 || scalar == "\"" || scalar == "\\"
            guard mustEscape || random.next(4) == 0 else { return String(scalar) }
            return String(scalar).utf16.map { unit in
                let digits = String(unit, radix: 16)
                return "\\u" + String(repeating: "0", count: 4 - digits.count) + (random.next(2) == 0 ? digits : digits.uppercased())
            }.joined()
        }.joined() + "\""
    }

    init(_ value: JSONValue) {
        switch value.kind {
        case .null: self = .null
        case .yes: self = .flag(true)
        case .no: self = .flag(false)
        case .string: self = .string(value.text)
        case .number: self = .number(Int(value.integer ?? .max))
        case .array: self = .array(Tree.values(value).map { Tree($0) })
        case .object: self = .object(Dictionary(Tree.values(value).map { (unsafe String(decoding: $0.name, as: UTF8.self), Tree($0)) }) { $1 })
        }
    }

    private static func values(_ container: JSONValue) -> [JSONValue] {
        var values: [JSONValue] = []
        var next = container.first
        while let value = next {
            values.append(value)
            next = value.next(in: container)
        }
        return values
    }
}

@Suite struct RandomTests {
    @Test(arguments: 1...40)
    func claimsAreReadAsTheyWereWritten(seed: UInt64) throws {
        var random = Random(state: seed &* 0x9e37_79b9_7f4a_7c15)
        let signer = Signer(secret: Keys.secret, .hs256)
        var rules = JWTRules(audience: .ignored)
        rules.requiredClaims = []
        rules.tokenBytesMax = JWTRules.tokenBytesLimit
        let verifier = try TestVerifier(try signer.keys(), rules)
        for _ in 0..<50 {
            let members = (0..<random.next(8)).map { _ in ("x" + random.string(), Tree.random(&random, depth: 4)) }
            let tree = Tree.object(Dictionary(members) { $1 })
            let text = tree.text(&random)
            let outcome = verifier.verify(signer.token(text))
            // Dictionary's strings are equal by canonical equivalence, which none of these characters have: names stay distinct.
            #expect(outcome == .accepted, "\(text)")
            if let claims = verifier.claims { #expect(Tree(claims.all) == tree) }
        }
    }

    @Test(arguments: 1...20)
    func mutationsAreRefused(seed: UInt64) throws {
        var random = Random(state: seed &* 0x9e37_79b9_7f4a_7c15)
        let signer = Signer(secret: Keys.secret, .hs256)
        let verifier = try TestVerifier(try signer.keys())
        let good = Array(signer.token(#"{"sub":"a","exp":1800000600}"#).utf8)
        for _ in 0..<500 {
            var token = good
            for _ in 0...random.next(3) {
                let at = random.next(max(token.count, 1))
                switch random.next(4) {
                case 0: if !token.isEmpty { token[at] = UInt8(random.next(256)) }
                case 1: token.insert(UInt8(random.next(256)), at: min(at, token.count))
                case 2: if !token.isEmpty { token.remove(at: at) }
                default: token = Array(token.prefix(at)) + Array(token.suffix(random.next(token.count + 1)))
                }
            }
            if token != good { #expect(verifier.verify(token) != .accepted) }
        }
    }

    @Test func noise() throws {
        var random = Random(state: 7)
        let verifier = try TestVerifier(try Signer(secret: Keys.secret, .hs256).keys())
        for _ in 0..<5000 {
            let token = (0..<random.next(300)).map { _ in random.next(10) == 0 ? UInt8(ascii: ".") : UInt8(random.next(256)) }
            #expect(verifier.verify(token) != .accepted)
        }
    }
}
