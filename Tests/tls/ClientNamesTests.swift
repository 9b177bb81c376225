// The names in client certificates: what is read of them, and what is none.

import CUringTLS
import Testing
import UringTLS

@Suite struct ClientNamesTests {
    private let authority = TestIdentity("clients", isAuthority: true)

    private func names(_ client: TestIdentity?, version: CInt = TLS1_3_VERSION) throws -> TLSClientNames {
        let authorities = try TLSAuthorities.load(pem: Array(authority.certificatePEM.utf8), name: "ca")
        let context = try TLSContext.make { $0.clientAuthentication = .optional(authorities: authorities) }
        var options = ClientOptions()
        (options.minimumVersion, options.maximumVersion) = (version, version)
        options.certificate = client
        let pair = Pair(context, options)
        #expect(pair.handshake())
        return unsafe pair.session.clientNames
    }

    private func texts(_ names: String...) -> TLSClientNames { .texts(names.flatMap { Array($0.utf8) + [0] }) }

    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION]) func namesOfEachKind(version: CInt) throws {
        let names = "DNS:Orders.Internal,URI:spiffe://mesh/Orders,email:Ops@Example.com,IP:192.0.2.1,DNS:*.a"
        let client = TestIdentity("J\u{f6}rg", alternativeNames: names, issuer: authority)
        #expect(try self.names(client, version: version) == texts("CN=J\u{f6}rg", "DNS:orders.internal", "URI:spiffe://mesh/Orders", "EMAIL:Ops@example.com", "DNS:*.a"))
        #expect(try self.names(nil, version: version) == .none)
        #expect(try self.names(TestIdentity("a", issuer: authority), version: version) == texts("CN=a"))
    }

    @Test func severalCommonNamesAreNone() throws {
        #expect(try names(TestIdentity("a", second: "admin", alternativeNames: "DNS:b", issuer: authority)) == texts("DNS:b"))
    }

    @Test(arguments: ["a\nb", " a", "a ", "a\u{7f}"]) func commonNamesThatAreNone(_ name: String) throws {
        #expect(try names(TestIdentity(name, issuer: authority)) == .malformed)
    }

    /// A NUL, an empty name, a name that is not ASCII. What is no list at all OpenSSL does not verify.
    @Test(arguments: ["DER:30:05:82:03:61:00:62", "DER:30:02:82:00", "DER:30:03:86:01:ff", "DER:30:05:81:03:61:40:00"])
    func alternativeNamesThatAreNone(_ der: String) throws {
        #expect(try names(TestIdentity("a", alternativeNames: der, issuer: authority)) == .malformed)
    }

    @Test func tooManyAreNone() throws {
        let most = (0..<TLSClientNames.countMax).map { "DNS:a\($0)" }
        #expect(try names(TestIdentity("a", alternativeNames: most.joined(separator: ","), issuer: authority)) != .malformed)
        #expect(try names(TestIdentity("a", alternativeNames: (most + ["DNS:b"]).joined(separator: ","), issuer: authority)) == .malformed)
        let long = (0..<100).map { "URI:x:\($0)" + String(repeating: "a", count: 200) }
        #expect(try names(TestIdentity("a", alternativeNames: long.joined(separator: ","), issuer: authority)) == .malformed)
    }

    /// Bytes that end a text or a line, spaces, and bytes beyond ASCII make every kind of name none, wherever they stand.
    @Test func bytesThatNoNameHas() {
        let kinds: [(String, ([UInt8]) -> Bool, Bool)] = [
            ("a.example", { ClientNameText.host($0) != nil }, false), ("spiffe://mesh/a", { ClientNameText.uri($0) != nil }, false), ("a@b.example", { ClientNameText.email($0) != nil }, false),
            ("admin", { ClientNameText.isCommonName($0) }, true),
        ]
        for (name, isName, allowsSpace) in kinds {
            let bytes = Array(name.utf8)
            #expect(isName(bytes))
            #expect(!isName([]))
            for place in 0...bytes.count {
                for byte: UInt8 in [0, 9, 10, 13, 0x1f, 0x20, 0x7f, 0x80, 0xff] {
                    let isInside = place > 0 && place < bytes.count
                    #expect(isName(bytes[..<place] + [byte] + bytes[place...]) == (byte == 0x20 && allowsSpace && isInside), "\(name) \(place) \(byte)")
                }
            }
        }
    }

    @Test func shapes() {
        func host(_ text: String) -> String? { ClientNameText.host(Array(text.utf8)).map { String(decoding: $0, as: UTF8.self) } }
        #expect(host("A-b_1.C") == "a-b_1.c" && host("*.a") == "*.a")
        for none in ["a.", ".a", "a..b", "a.*", "*a.b", "a/b", String(repeating: "a", count: 64), String(repeating: "a.", count: 127) + "a"] { #expect(host(none) == nil, "\(none)") }
        func uri(_ text: String) -> Bool { ClientNameText.uri(Array(text.utf8)) != nil }
        #expect(uri("urn:a") && uri("https://a/b?c=..") && uri("a://b/...") && !uri(":a") && !uri("1:a") && !uri("a") && !uri("a://b/./c") && !uri("a://b/.."))
        func email(_ text: String) -> Bool { ClientNameText.email(Array(text.utf8)) != nil }
        #expect(email("a@b") && !email("@b") && !email("a@") && !email("a") && !email("a@b@c") && !email("a@*.b"))
    }
}
