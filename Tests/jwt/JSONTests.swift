// The JSON reader: what it accepts, what it refuses and for which reason, and how values are found.

import Testing
@testable import UringJWT

@Suite struct JSONTests {
    private func fault(_ text: String) -> JSONFault? { fault(Array(text.utf8)) }

    private func fault(_ bytes: [UInt8]) -> JSONFault? {
        do throws(JSONFault) {
            _ = try ReadJSON(bytes)
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: [
        "{}", "[]", "0", "-0", "-1.5e+10", "1E5", "1e-5", "0.0", "null", "true", "false", #""""#, " { } ", "\r\n\t[ 1 , 2 ] ",
        #"{"a":1,"b":{"a":1},"c":[{"a":2}]}"#, #"{"":0}"#, #"["\"\\\/\b\f\n\r\tA"]"#, "\"\u{7f}\"", "\"é€😀\"", #""\u0000""#,
    ])
    func accepts(text: String) {
        #expect(fault(text) == nil)
    }

    @Test(arguments: [
        "", " ", "{", "}", "[", "]", "{]", "[}", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{,}", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, #"{"a" 1}"#,
        #"{a:1}"#, #"{'a':1}"#, #"{1:1}"#, #"{"a":1 "b":2}"#, "01", "-01", "00", "+1", ".5", "5.", "-", "-.5", "1e", "1e+", "1.e5", "0x10", "1_0",
        "Infinity", "NaN", "nul", "nulll", "True", "tru", "TRUE", #"""#, #""a"#, #""\"#, #""\a""#, #""\x41""#, #""\u12G4""#, "\"\n\"", "\"\t\"", "\"\u{1f}\"",
        "1 1", "{} {}", "[]x", "// c\n1", "\u{feff}{}", "{}\0", "\0",
    ])
    func refusesSyntax(text: String) {
        #expect(fault(text) == .syntax)
    }

    @Test(arguments: [
        [0x80], [0xc0, 0x80], [0xc1, 0xbf], [0xc3], [0xc3, 0x28], [0xe0, 0x9f, 0xbf], [0xe2, 0x82], [0xe2, 0x28, 0xa1], [0xed, 0xa0, 0x80], [0xed, 0xbf, 0xbf],
        [0xf0, 0x8f, 0xbf, 0xbf], [0xf0, 0x9f, 0x98], [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xff], [0xfe],
    ] as [[UInt8]])
    func refusesWhatIsNotUTF8(bytes: [UInt8]) {
        #expect(fault([0x22] + bytes + [0x22]) == .encoding)
        // Cut off by the end of the text.
        #expect(fault([0x22] + bytes) != nil)
        // Behind an escape, which takes another way.
        #expect(fault([0x22, 0x5c, 0x6e] + bytes + [0x22]) == .encoding)
    }

    @Test func acceptsEveryScalarAndNoOtherSequence() {
        for code in stride(from: UInt32(0x80), through: 0x10ffff, by: 97) where Unicode.Scalar(code) != nil {
            #expect(fault("\"\(Unicode.Scalar(code)!)\"") == nil)
        }
    }

    @Test(arguments: [#""\ud800""#, #""\udc00""#, #""\ud800\u0041""#, #""\ud800\ud800""#, #""\udc00\ud800""#, #""\ud83d""#, #""\ud83dx""#])
    func refusesHalfAPair(text: String) {
        #expect(fault(text) == .encoding)
    }

    @Test func decodesEscapesInPlace() throws {
        let json = try ReadJSON(#"{"a\u0062":"x\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00é y","c":"d"}"#)
        #expect(json.value.at("ab")?.text == "x\"\\/\u{8}\u{c}\n\r\tAé€😀é y")
        #expect(json.value.at("c")?.text == "d")
    }

    @Test(arguments: [
        #"{"a":1,"a":2}"#, #"{"a":1,"b":2,"a":3}"#, #"{"a":1,"\u0061":2}"#, #"{"x":{"a":1,"a":1}}"#, #"[{"a":{"b":1},"c":[{"d":1}],"a":1}]"#,
        #"{"":1,"":2}"#, #"{"é":1,"\u00e9":2}"#,
    ])
    func refusesANameTwice(text: String) {
        #expect(fault(text) == .duplicateName)
    }

    /// Names with the same hash are still told apart.
    @Test func namesOfEqualHash() throws {
        let json = try ReadJSON(#"{"aXb":1,"aYb":2,"aZb":{"aXb":3}}"#)
        #expect(json.value.at("aYb")?.integer == 2)
        #expect(json.value.at("aZb.aXb")?.integer == 3)
    }

    @Test func depthIsBounded() {
        let depth = JSONScanner.depthMax
        func nested(_ count: Int) -> String { String(repeating: "[", count: count) + String(repeating: "]", count: count) }
        #expect(fault(nested(depth)) == nil)
        #expect(fault(nested(depth + 1)) == .tooDeep)
        #expect(fault(String(repeating: #"{"a":"#, count: 100_000)) == .tooDeep)
    }

    @Test func valuesAreBounded() throws {
        #expect(try ReadJSON(Array("[1,2,3]".utf8), capacity: 4).count == 4)
        #expect(throws: JSONFault.tooLong) { try ReadJSON(Array("[1,2,3,4]".utf8), capacity: 4) }
    }

    @Test func findsByPath() throws {
        let json = try ReadJSON(#"{"realm_access":{"roles":["a","b"]},"https://example.com/x":{"y.z":7},"a.b":{"c":1},"a":{"b.c":2,"b":{"d":3}}}"#)
        #expect(json.value.at("realm_access.roles")?.count == 2)
        #expect(json.value.at("https://example.com/x.y.z")?.integer == 7)
        #expect(json.value.at("a.b.c")?.integer == 2)
        #expect(json.value.at("a.b.d")?.integer == 3)
        #expect(json.value.at("a.b.e") == nil)
        #expect(json.value.at("") == nil)
        #expect(json.value.at("realm_access.roles.0") == nil)
        #expect(json.value.at("..") == nil)
    }

    @Test func walksInOrder() throws {
        let json = try ReadJSON(#"[1,[2,[3]],{"a":4},"5",[]]"#)
        var kinds: [JSONKind] = []
        var next = json.value.first
        while let value = next {
            kinds.append(value.kind)
            next = value.next(in: json.value)
        }
        #expect(kinds == [.number, .array, .object, .string, .array])
    }

    @Test func wordsOfALine() throws {
        func has(_ json: String, _ word: String) throws -> Bool {
            let read = try ReadJSON(json)
            let bytes = Array(word.utf8)
            return unsafe bytes.withUnsafeBufferPointer { unsafe read.value.hasWord($0) }
        }
        #expect(try has(#""read write""#, "read") && has(#""read write""#, "write") && has(#"["read","write"]"#, "write"))
        #expect(try has(#"" read  write ""#, "write"))
        #expect(try !has(#""readwrite""#, "read") && !has(#""read:all""#, "read") && !has(#""""#, "read") && !has(#""a b""#, "") && !has("7", "7"))
        #expect(try !has(#"["read write"]"#, "read"))
    }

    @Test(arguments: [
        ("0", 0), ("-0", 0), ("1", 1), ("-1", -1), ("1.0", 1), ("1.1", 2), ("1.000000000000000000001", 2), ("-1.1", -1), ("-0.5", 0), ("0.5", 1), ("1e3", 1000),
        ("1.5e3", 1500), ("1.2345e3", 1235), ("15e-1", 2), ("1500e-3", 2), ("2000e-3", 2), ("0.001e3", 1), ("0e999999999999", 0), ("1e-999999999999", 1),
        ("1300819380", 1_300_819_380), ("1300819380.25", 1_300_819_381), ("9223372036854775807", Int64.max), ("9223372036854775807.0", Int64.max),
        ("9223372036854775806.5", Int64.max), ("-9223372036854775807", -Int64.max), ("0.0000001e20", 10_000_000_000_000),
        ("9223372036854775808", nil), ("9223372036854775807.1", nil), ("1e19", nil), ("1e400", nil), ("1e99999999999999999999", nil), ("18446744073709551616", nil),
        ("-1e30", nil), ("99999999999999999999999999", nil),
    ] as [(String, Int64?)])
    func datesAreExact(text: String, seconds: Int64?) throws {
        #expect(try ReadJSON(text).value.dateSeconds == seconds)
    }

    @Test func integersHaveNoFraction() throws {
        #expect(try ReadJSON("1.5").value.integer == nil)
        #expect(try ReadJSON("1.50e1").value.integer == 15)
        #expect(try ReadJSON("\"1\"").value.integer == nil)
        #expect(try ReadJSON("true").value.dateSeconds == nil)
    }
}
