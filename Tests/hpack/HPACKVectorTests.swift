// The examples of RFC 7541 appendix C, whole and cut at every byte.

import Testing
@testable import UringHPACK

@Suite struct HPACKVectorTests {
    private static let plainRequests = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ]
    private static let huffmanRequests = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", "8286 84be 5886 a8eb 1064 9cbf", "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]
    private static let requests: [[Field]] = [
        [Field(":method", "GET"), Field(":scheme", "http"), Field(":path", "/"), Field(":authority", "www.example.com")],
        [
            Field(":method", "GET"), Field(":scheme", "http"), Field(":path", "/"), Field(":authority", "www.example.com"),
            Field("cache-control", "no-cache"),
        ],
        [
            Field(":method", "GET"), Field(":scheme", "https"), Field(":path", "/index.html"), Field(":authority", "www.example.com"),
            Field("custom-key", "custom-value"),
        ],
    ]
    private static let plainResponses = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ]
    private static let huffmanResponses = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ]
    private static func head(_ status: String, _ second: Int) -> [Field] {
        [
            Field(":status", status), Field("cache-control", "private"), Field("date", "Mon, 21 Oct 2013 20:13:2\(second) GMT"),
            Field("location", "https://www.example.com"),
        ]
    }

    /// C.2.
    @Test func representations() {
        func decode(_ hex: String) -> Decoded { TestDecoder().decode(bytes(hex: hex)) }
        #expect(decode("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572") == .fields([Field("custom-key", "custom-header")]))
        #expect(decode("040c 2f73 616d 706c 652f 7061 7468") == .fields([Field(":path", "/sample/path")]))
        #expect(decode("1008 7061 7373 776f 7264 0673 6563 7265 74") == .fields([Field("password", "secret")]))
        #expect(decode("82") == .fields([Field(":method", "GET")]))
    }

    /// C.3 and C.4.
    @Test(arguments: [plainRequests, huffmanRequests]) func requestExamples(_ blocks: [String]) {
        let decoder = TestDecoder()
        var sizes: [Int] = []
        for (block, expected) in zip(blocks, Self.requests) {
            #expect(decoder.decode(bytes(hex: block)) == .fields(expected))
            sizes.append(decoder.tableBytes)
        }
        #expect(sizes == [57, 110, 164])
        #expect(decoder.staticIndexes == [.method: 2, .scheme: 7, .path: 5, .authority: 0])
    }

    /// C.5 and C.6: a table of 256 bytes that evicts.
    @Test(arguments: [plainResponses, huffmanResponses]) func responseExamples(_ blocks: [String]) {
        let decoder = TestDecoder(tableBytesMax: 256)
        #expect(decoder.decode(bytes(hex: blocks[0])) == .fields(Self.head("302", 1)))
        #expect(decoder.tableBytes == 222)
        #expect(decoder.decode(bytes(hex: blocks[1])) == .fields(Self.head("307", 1)))
        #expect(decoder.tableBytes == 222)
        let more = [Field("content-encoding", "gzip"), Field("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1")]
        let last = Self.head("200", 2) + more
        #expect(decoder.decode(bytes(hex: blocks[2])) == .fields(last))
        #expect(decoder.tableBytes == 215)
    }

    /// Every beginning of a block is a whole block of fewer fields, or malformed.
    @Test(arguments: [plainRequests, huffmanRequests]) func cutAnywhere(_ blocks: [String]) {
        for (number, block) in blocks.enumerated() {
            let whole = bytes(hex: block)
            for cut in 0..<whole.count {
                let decoder = TestDecoder()
                for earlier in blocks.prefix(number) { _ = decoder.decode(bytes(hex: earlier)) }
                switch decoder.decode(Array(whole.prefix(cut))) {
                case .fields(let fields, let flaws): #expect(flaws == [] && fields == Array(Self.requests[number].prefix(fields.count)))
                case .malformed(let fault): #expect(fault == .truncated || fault == .stringBeyondBlock)
                case .tooLarge: Issue.record("too large")
                }
            }
        }
    }
}
