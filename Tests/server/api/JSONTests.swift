// JSON as it comes over the wire: text compared exactly, strings and numbers against other readers and writers.

import Foundation
import TestSupport
import Testing
import UringHTTP
import UringServer

@Suite struct JSONTests {
    private func body(_ handler: @escaping Handler) throws -> String { try TestServer(handler).get("/").bodyText }

    @Test func members() throws {
        let (some, none): (Int?, String?) = (5, nil)
        let text = try body { request, response in
            response.json { json in
                json["text"] = "ok"
                json["path"] = request.path
                json["absent"] = request.headers["x-absent"]
                json["int"] = -1
                json["some"] = some
                json["none"] = none
                json["double"] = 1.5
                json["whole"] = 2.0
                json["true"] = true
                json["false"] = false
                json.null("null")
                json.set("literal", "static")
                json.set("wide", UInt64.max)
                json.set("byte", UInt8(7))
                json.set("huge", Int128.max)
                json["name \"quoted\"\n"] = 1
            }
        }
        #expect(text == #"{"text":"ok","path":"/","absent":null,"int":-1,"some":5,"none":null,"double":1.5,"whole":2.0,"true":true,"false":false,"#
            + #""null":null,"literal":"static","wide":18446744073709551615,"byte":7,"huge":170141183460469231731687303715884105727,"name \"quoted\"\n":1}"#)
    }

    @Test func nesting() throws {
        let text = try body { _, response in
            response.json { json in
                json.object("empty") { _ in }
                json.array("none") { _ in }
                json.object("a") { json in
                    json["b"] = 1
                    json.array("c") { items in
                        items.append(1)
                        items.append("two")
                        items.append(3.5)
                        items.append(false)
                        items.appendNull()
                        items.append(UInt32(6))
                        items.array { items in items.append(7) }
                        items.object { json in json["eight"] = 8 }
                        items.object { _ in }
                    }
                    json["d"] = 2
                }
            }
        }
        #expect(text == #"{"empty":{},"none":[],"a":{"b":1,"c":[1,"two",3.5,false,null,6,[7],{"eight":8},{}],"d":2}}"#)
    }

    @Test func arrays() throws {
        let server = try TestServer { request, response in
            response.jsonArray { items in
                for number in 0..<3 { items.append(number) }
                items.append(request.path)
            }
        }
        #expect(try server.get("/p").bodyText == #"[0,1,2,"/p"]"#)
    }

    @Test func contentType() throws {
        let server = try TestServer { request, response in
            if request.path == "/own" { response.headers["content-type"] = "application/vnd.own+json" }
            response.json { _ in }
            response.json { json in json["second"] = 2 }
        }
        let response = try server.get("/")
        #expect(response.values("content-type") == ["application/json"])
        #expect(response.bodyText == #"{}{"second":2}"#)
        #expect(try server.get("/own").values("content-type") == ["application/vnd.own+json"])
    }

    /// What a closure that throws has written is taken back, the rest is as it was.
    @Test func thrown() throws {
        let text = try body { _, response in
            response.write("before ")
            do {
                try response.json { json in
                    json["a"] = 1
                    try json.object("b") { json in
                        json["c"] = 2
                        throw SomeError()
                    }
                }
            } catch {
                response.write("caught")
            }
        }
        #expect(text == "before caught")
    }

    @Test func deep() throws {
        let text = try body { _, response in
            func fill(_ json: inout JSONObject, _ depth: Int) {
                if depth > 0 { json.object("x") { json in fill(&json, depth - 1) } }
            }
            response.json { json in fill(&json, 200) }
        }
        #expect(text == String(repeating: #"{"x":"#, count: 200) + "{}" + String(repeating: "}", count: 200))
    }

    // MARK: strings

    @Test func escapes() throws {
        let text = try body { _, response in
            response.json { json in
                json["a"] = "\" \\ / \u{8} \u{c} \n \r \t \u{0} \u{1} \u{f} \u{10} \u{1f} \u{7f}"
                json["b"] = "\u{2028}\u{2029} é 漢 🦊"
                json["c"] = ""
            }
        }
        #expect(text == "{\"a\":\"\\\" \\\\ / \\b \\f \\n \\r \\t \\u0000 \\u0001 \\u000f \\u0010 \\u001f \u{7f}\",\"b\":\"\u{2028}\u{2029} é 漢 🦊\",\"c\":\"\"}")
    }

    /// Specials at every place of a word, and alone: the eight-byte steps see each lane.
    @Test func everyByteAtEveryPlace() throws {
        let server = try TestServer { request, response in response.json { json in json["v"] = request.body } }
        let client = try server.client()
        for length in [1, 7, 8, 9, 16, 23] {
            for place in 0..<length {
                for special: UInt8 in [0, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x5b, 0x5c, 0x5d, 0x7f, 0x80, 0xff] {
                    var bytes = [UInt8](repeating: UInt8(ascii: "a"), count: length)
                    bytes[place] = special
                    #expect(try Self.echo(bytes, client) == String(decoding: bytes, as: UTF8.self), "\(bytes)")
                }
            }
        }
    }

    /// Random bytes, mostly not UTF-8: as Swift reads them, with one U+FFFD for each maximal subpart.
    @Test func invalidUTF8() throws {
        let server = try TestServer { request, response in response.json { json in json["v"] = request.body } }
        let client = try server.client()
        var state: UInt64 = 42
        func random() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 33
        }
        let interesting: [UInt8] = [0x22, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff]
        for _ in 0..<2000 {
            let bytes = (0..<Int(random() % 24)).map { _ in interesting[Int(random()) % interesting.count] }
            #expect(try Self.echo(bytes, client) == String(decoding: bytes, as: UTF8.self), "\(bytes)")
        }
    }

    private static func echo(_ bytes: [UInt8], _ client: RawClient) throws -> String {
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(bytes.count)\r\n\r\n")
        try client.send(bytes)
        let object = try JSONSerialization.jsonObject(with: Data(try client.readResponse().body)) as? [String: String]
        return try #require(object?["v"])
    }

    // MARK: numbers

    @Test func integers() throws {
        let text = try body { _, response in
            response.jsonArray { items in
                items.append(Int.min)
                items.append(Int.max)
                items.append(0)
                items.append(UInt64.max)
                items.append(Int8.min)
            }
        }
        #expect(text == "[-9223372036854775808,9223372036854775807,0,18446744073709551615,-128]")
    }

    @Test func doubles() throws {
        let values: [Double] = [
            0, -0.0, 1, 0.1, 1.0 / 3, 1e21, 1e-7, .leastNonzeroMagnitude, .greatestFiniteMagnitude, .leastNormalMagnitude, 123_456_789.125, -2.5e-10, 9_007_199_254_740_992,
        ]
        let text = try body { _, response in
            response.jsonArray { items in
                for value in values { items.append(value) }
                items.append(Double.nan)
                items.append(Double.infinity)
                items.append(-Double.infinity)
            }
        }
        let parts = text.dropFirst().dropLast().split(separator: ",")
        #expect(parts.dropLast(3).map { Double($0)! } == values)
        #expect(parts.suffix(3) == ["null", "null", "null"])
        // The grammar of RFC 8259 section 6.
        let number = /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/
        for part in parts.dropLast(3) { #expect(part.wholeMatch(of: number) != nil, "\(part)") }
    }
}
