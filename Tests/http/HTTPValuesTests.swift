// Method, status, byte sets, number writing, lists, percent-decoding, authorities: small things with exact answers.

import Testing
import UringHTTP

private func withBytes<Result>(_ text: String, _ body: (UnsafePointer<UInt8>, Int) -> Result) -> Result {
    // The array, with a byte behind it so that it is never empty, lives for the closure.
    unsafe (Array(text.utf8) + [0]).withUnsafeBufferPointer { unsafe body($0.baseAddress!, $0.count - 1) }
}

@Suite struct HTTPValuesTests {
    @Test func methodNamesRoundTrip() {
        for method in HTTPMethod.allCases where method != .other {
            #expect(unsafe withBytes("\(method.name)") { unsafe HTTPMethod(bytes: $0, count: $1) } == method)
            #expect("\(method)" == "\(method.name)")
            #expect(unsafe withBytes("\(method.name)".lowercased()) { unsafe HTTPMethod(bytes: $0, count: $1) } == .other)
            #expect(unsafe withBytes("\(method.name)S") { unsafe HTTPMethod(bytes: $0, count: $1) } == .other)
        }
        #expect(unsafe withBytes("") { unsafe HTTPMethod(bytes: $0, count: $1) } == .other)
        #expect(HTTPMethod.put.isIdempotent && !HTTPMethod.post.isIdempotent && HTTPMethod.get.isSafe && !HTTPMethod.put.isSafe)
    }

    @Test func statusStaysInRange() {
        for code in UInt16.min...UInt16.max {
            let status = HTTPStatus(code)
            #expect(status.code >= 100 && status.code <= 599)
            #expect((HTTPStatus(checked: Int(code)) != nil) == (code >= 100 && code <= 599))
        }
        #expect(HTTPStatus(checked: -1) == nil && HTTPStatus(checked: .max) == nil)
        #expect(HTTPStatus.notFound.description == "404 Not Found")
        #expect(HTTPStatus(499).reasonPhrase.description == "Client Error")
        #expect(HTTPStatus.noContent.forbidsContent && HTTPStatus.notModified.forbidsContent && HTTPStatus.continue.forbidsContent && !HTTPStatus.ok.forbidsContent)
    }

    @Test func byteSetsHoldTheirCharacters() {
        let alphanumerics = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
        let token = Set((alphanumerics + "!#$%&'*+-.^_`|~").utf8)
        let registeredName = Set((alphanumerics + "-._~!$&'()*+,;=").utf8)
        for byte in UInt8.min...UInt8.max {
            let isVisible = byte > 0x20 && byte < 0x7f
            let query = isVisible && !Set("\"#<>".utf8).contains(byte)
            #expect(ByteSet.token.contains(byte) == token.contains(byte))
            #expect(ByteSet.registeredName.contains(byte) == registeredName.contains(byte))
            #expect(ByteSet.fieldValue.contains(byte) == (byte == 9 || byte == 0x20 || isVisible || byte >= 0x80))
            #expect(ByteSet.query.contains(byte) == query)
            #expect(ByteSet.path.contains(byte) == (query && byte != 0x3f && byte != 0x5c))
            #expect(hexDigitValue(byte) == (byte < 0x80 ? UInt8(String(UnicodeScalar(byte)), radix: 16) : nil))
            #expect(lowercasedASCII(byte) == (byte >= 0x41 && byte <= 0x5a ? byte + 32 : byte))
        }
    }

    @Test(arguments: [0, 1, 9, 10, 99, 100, 12_345, 999_999_999, 4_294_967_296, .max] as [UInt64])
    func numbers(value: UInt64) {
        // The array lives for the closure.
        let decimal = unsafe [UInt8](unsafeUninitializedCapacity: 20) { buffer, count in unsafe count = ByteWriting.writeDecimal(value, to: buffer.baseAddress!) }
        #expect(String(decoding: decimal, as: UTF8.self) == String(value))
        #expect(ByteWriting.decimalLength(value) == decimal.count)
        let hex = unsafe [UInt8](unsafeUninitializedCapacity: 16) { buffer, count in unsafe count = ByteWriting.writeHex(value, to: buffer.baseAddress!) }
        #expect(String(decoding: hex, as: UTF8.self) == String(value, radix: 16))
    }

    @Test(arguments: [("", []), (",", []), ("a", ["a"]), (" a , b,,\tc d\t,", ["a", "b", "c d"]), (",,x", ["x"]), ("  ", [])])
    func lists(text: String, elements: [String]) {
        let found = unsafe withBytes(text) { bytes, count in
            var list = FieldListIterator(count: count)
            var found: [String] = []
            while let range = unsafe list.next(in: bytes) { found.append(String(Array(text.utf8)[range].map { Character(UnicodeScalar($0)) })) }
            return found
        }
        #expect(found == elements)
    }

    @Test(arguments: [
        ("", .decoded(0), ""), ("/a/b", .decoded(4), "/a/b"), ("%41%62", .decoded(2), "Ab"), ("/%2e%2E/", .decoded(4), "/../"), ("%2525", .decoded(3), "%25"), ("a+b", .decoded(3), "a+b"),
        ("%", .malformed, ""), ("%4", .malformed, ""), ("%4g", .malformed, ""), ("%g4", .malformed, ""), ("a%00b", .malformed, ""), ("\u{0}", .malformed, ""), ("%%41", .malformed, ""),
        ("123456789", .noRoom, ""), ("%31%32%33%34%35%36%37%38", .decoded(8), "12345678"),
    ] as [(String, PercentDecoder.Outcome, String)])
    func percentDecoding(text: String, outcome: PercentDecoder.Outcome, decoded: String) {
        var found: PercentDecoder.Outcome?
        // The array lives for the closure.
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 8) { buffer, count in
            found = unsafe withBytes(text) { unsafe PercentDecoder.decode($0, count: $1, into: buffer.baseAddress!, capacity: 8) }
            if case .decoded(let length) = found { count = length }
        }
        #expect(found == outcome)
        #expect(String(decoding: bytes, as: UTF8.self) == decoded)
    }

    @Test func percentDecodingInPlace() {
        var bytes = Array("/%61%2Fb%C3%A9".utf8)
        // The array lives for the closure; source and target are the same memory, as the function allows.
        let outcome = unsafe bytes.withUnsafeMutableBufferPointer {
            unsafe PercentDecoder.decode($0.baseAddress!, count: $0.count, into: $0.baseAddress!, capacity: $0.count)
        }
        #expect(outcome == .decoded(6))
        #expect(String(decoding: bytes[..<6], as: UTF8.self) == "/a/bé")
    }

    @Test(arguments: [("/a%2fb", true), ("/a%2Fb", true), ("/a%5cb", true), ("/a%5C", true), ("/a%2", false), ("/a/b%20", false), ("", false), ("%25%32f", false)])
    func encodedSeparators(text: String, expected: Bool) {
        #expect(unsafe withBytes(text) { unsafe PercentDecoder.containsEncodedSeparator($0, count: $1) } == expected)
    }

    @Test(arguments: [
        ("a", 1, nil), ("a:80", 1, 80), ("a:", 1, nil), ("[::1]:443", 5, 443), ("[::1]", 5, nil), ("a.b-c_d~:0", 8, 0), ("%41:1", 3, 1),
    ] as [(String, Int, UInt16?)])
    func authorities(text: String, hostLength: Int, port: UInt16?) {
        let parts = unsafe withBytes(text) { unsafe Authority.parse($0, count: $1) }
        #expect(parts?.hostLength == hostLength)
        #expect(parts?.port == port)
    }

    @Test(arguments: [
        ("::", true), ("::1", true), ("1::", true), ("1:2:3:4:5:6:7:8", true), ("1:2:3:4:5:6:7::", true), ("::2:3:4:5:6:7:8", true), ("1:2:3:4:5:6:1.2.3.4", true), ("::ffff:255.255.255.255", true),
        ("1::8", true), ("", false), (":", false), (":::", false), ("1", false), ("1:", false), (":1", false), ("1:2:3:4:5:6:7", false), ("1:2:3:4:5:6:7:8:9", false), ("1::2::3", false),
        ("::12345", false), ("::g", false), ("::1.2.3", false), ("::1.2.3.4.5", false), ("::01.2.3.4", false), ("::256.1.1.1", false), ("1.2.3.4", false), ("1:2:3:4:5:6:7:1.2.3.4", false), ("::1.2.3.4:5", false),
        ("1:2:3:4:5:6:7:8::", false), ("::1:", false), ("1:2:::3", false), ("::1.", false),
    ])
    func ipv6Addresses(text: String, expected: Bool) {
        #expect(unsafe withBytes(text) { unsafe Authority.isIPv6Address($0, count: $1) } == expected)
    }
}
