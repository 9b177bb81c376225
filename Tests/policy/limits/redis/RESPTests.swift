import Testing

@testable import UringPolicy

/// A reply as a tree.
indirect enum RESPValue: Equatable {
    case simple(String), error(String), integer(Int64), bulk([UInt8]), null, boolean(Bool), double(String), big(String), verbatim(String)
    case array([RESPValue]), set([RESPValue]), map([RESPValue]), push([RESPValue]), attribute([RESPValue])
}

/// The tokens of all replies in `bytes`, which come `step` at a time; strings are copied out, so that where they lay does not matter.
struct RESPRun: Equatable {
    var tokens: [String] = []
    var fault: RESPParser.Fault?
    var left = 0

    init(_ bytes: [UInt8], step: Int, bulkBytesMax: Int = 16_384) {
        var parser = RESPParser(bulkBytesMax: bulkBytesMax)
        var (from, available) = (0, 0)
        while true {
            let result = exactly(bytes[from..<available]) { input -> RESPParser.Step in
                let step = parser.next(input)
                if case .token(let token, let isLast, _) = step { tokens.append(Self.describe(token, input) + (isLast ? "." : "")) }
                return step
            }
            switch result {
            case .token(_, _, let consumed): from += consumed
            case .needMore:
                left = bytes.count - from
                if available == bytes.count { return }
                available = min(bytes.count, available + step)
            case .malformed(let fault):
                (self.fault, left) = (fault, 0)
                return
            }
        }
    }

    private static func describe(_ token: RESPParser.Token, _ input: Span<UInt8>) -> String {
        func text(_ range: Range<Int>) -> String { String(decoding: range.map { input[$0] }, as: UTF8.self) }
        return switch token {
        case .simple(let range): "+" + text(range)
        case .error(let range): "-" + text(range)
        case .integer(let number): ":\(number)"
        case .bulk(let range): "$" + text(range)
        case .null: "_"
        case .boolean(let value): "#\(value)"
        case .double(let range): "," + text(range)
        case .bigNumber(let range): "(" + text(range)
        case .verbatim(let range): "=" + text(range)
        case .array(let count): "*\(count)"
        case .set(let count): "~\(count)"
        case .map(let count): "%\(count)"
        case .push(let count): ">\(count)"
        case .attribute(let count): "|\(count)"
        }
    }
}

@Suite("Replies of Redis")
struct RESPTests {
    @Test("are read, however they arrive", arguments: [
        ("+OK\r\n", ["+OK."]), ("+\r\n", ["+."]), ("-ERR no\r\n", ["-ERR no."]), (":0\r\n:-7\r\n:+7\r\n", [":0.", ":-7.", ":7."]),
        (":9223372036854775807\r\n:-9223372036854775808\r\n", [":9223372036854775807.", ":-9223372036854775808."]),
        ("$0\r\n\r\n$5\r\nab\r\nc\r\n", ["$.", "$ab\r\nc."]), ("$-1\r\n*-1\r\n_\r\n", ["_.", "_.", "_."]),
        ("*0\r\n*2\r\n:1\r\n*1\r\n$1\r\nx\r\n", ["*0.", "*2", ":1", "*1", "$x."]), ("*1\r\n*1\r\n*0\r\n:5\r\n", ["*1", "*1", "*0.", ":5."]),
        ("#t\r\n#f\r\n,1.5e3\r\n,inf\r\n,nan\r\n(123456789012345678901234567890\r\n", ["#true.", "#false.", ",1.5e3.", ",inf.", ",nan.", "(123456789012345678901234567890."]),
        ("!5\r\nERR x\r\n=7\r\ntxt:abc\r\n", ["-ERR x.", "=txt:abc."]),
        ("%1\r\n+a\r\n:1\r\n~2\r\n:1\r\n:2\r\n>2\r\n+m\r\n:3\r\n", ["%1", "+a", ":1.", "~2", ":1", ":2.", ">2", "+m", ":3."]),
        ("|1\r\n+ttl\r\n:5\r\n*2\r\n|1\r\n+a\r\n*1\r\n:0\r\n:1\r\n:2\r\n:9\r\n", ["|1", "+ttl", ":5", "*2", "|1", "+a", "*1", ":0", ":1", ":2.", ":9."]),
        ("|0\r\n:1\r\n", ["|0", ":1."]),
    ])
    func split(_ text: String, _ tokens: [String]) {
        let bytes = Array(text.utf8)
        for step in 1...max(1, bytes.count) {
            let run = RESPRun(bytes, step: step)
            #expect(run.tokens == tokens && run.fault == nil && run.left == 0, "in steps of \(step): \(run)")
        }
        // Every beginning needs more, or is a number of whole replies.
        for end in 0..<bytes.count {
            let run = RESPRun(Array(bytes[..<end]), step: .max / 2)
            #expect(run.fault == nil)
            #expect(tokens.starts(with: run.tokens))
        }
    }

    @Test("are refused", arguments: [
        ("x", .unknownType), ("\r\n", .unknownType), ("+a\nb\r\n", .badLine), ("+a\rb", .badLine), (":\r\n", .badNumber), (":1a\r\n", .badNumber), (":-\r\n", .badNumber), (": 1\r\n", .badNumber),
        (":9223372036854775808\r\n", .badNumber), ("$x\r\n", .badLength), ("$-2\r\n", .badLength), ("*-2\r\n", .badLength), ("!-1\r\n", .badLength), ("~-1\r\n", .badLength), ("$?\r\n", .badLength),
        ("$1\r\nabc", .badLine), ("$1\r\na\rx", .badLine), ("$99999\r\n", .bulkTooLong), ("*1025\r\n", .tooManyElements), ("%9223372036854775807\r\n", .tooManyElements),
        ("#x\r\n", .badLine), ("#\r\n", .badLine), ("_x\r\n", .badLine), (",\r\n", .badNumber), (",1,5\r\n", .badNumber), ("(1.5\r\n", .badNumber), ("=3\r\ntxt\r\n", .badLine),
        ("*1\r\n>1\r\n", .unknownType), ("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", .tooDeep),
    ] as [(String, RESPParser.Fault)])
    func refused(_ text: String, _ fault: RESPParser.Fault) {
        let bytes = Array(text.utf8)
        for step in 1...bytes.count { #expect(RESPRun(bytes, step: step).fault == fault, "in steps of \(step)") }
    }

    @Test("have limits")
    func limits() {
        let longest = [0x2b] + [UInt8](repeating: 0x61, count: RESPParser.lineBytesMax - 2) + [0x0d, 0x0a]
        #expect(RESPRun(longest, step: 999).fault == nil)
        #expect(RESPRun([0x2b] + [UInt8](repeating: 0x61, count: RESPParser.lineBytesMax), step: 999).fault == .lineTooLong)
        #expect(RESPRun(Array("$4\r\nabcd\r\n".utf8), step: 3, bulkBytesMax: 4).fault == nil)
        #expect(RESPRun(Array("$5\r\nabcde\r\n".utf8), step: 3, bulkBytesMax: 4).fault == .bulkTooLong)
        #expect(RESPRun(Array("*1024\r\n".utf8), step: 3).fault == nil)
        #expect(RESPRun(Array("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n".utf8), step: 3).fault == nil)
    }

    @Test("never trap and do not depend on how they arrive", arguments: 0..<10)
    func random(seed: UInt64) {
        var random = PolicyRandom(seed: seed)
        let pieces = ["+OK\r\n", ":12\r\n", "$3\r\nabc\r\n", "*2\r\n", "*4\r\n", "%1\r\n", "|1\r\n", ">1\r\n", "_\r\n", "$-1\r\n", "-NOSCRIPT x\r\n", "#t\r\n", "!1\r\n\n\r\n", "\r\n", "*", "1"]
        for _ in 0..<300 {
            var bytes = (0..<random.below(12)).flatMap { _ in Array(pieces[Int(random.below(UInt64(pieces.count)))].utf8) }
            if random.below(3) == 0, !bytes.isEmpty { bytes[Int(random.below(UInt64(bytes.count)))] = UInt8(truncatingIfNeeded: random.next()) }
            let whole = RESPRun(bytes, step: max(bytes.count, 1))
            for step in 1...5 { #expect(RESPRun(bytes, step: step) == whole) }
        }
    }

    @Test("requests are arrays of strings")
    func encoder() {
        let request = text {
            RESPEncoder.begin(parts: 3, to: &$0)
            RESPEncoder.part("SET", to: &$0)
            RESPEncoder.part(Array("k\r\n".utf8).span, to: &$0)
            RESPEncoder.part(UInt64.max, to: &$0)
        }
        #expect(request == "*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$20\r\n18446744073709551615\r\n")
    }
}
