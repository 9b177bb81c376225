// The encoder: what it writes comes back from our decoder, repeated fields become a byte, and nothing that does not belong is sent.

import Testing
import UringHTTP
@testable import UringHPACK

@Suite struct HPACKEncoderTests {
    @Test func repeatedFieldsTakeAByte() {
        let (encoder, decoder) = (TestEncoder(), TestDecoder())
        let date = "Mon, 21 Oct 2013 20:13:21 GMT"
        let fields = [Field("Content-Type", "application/json"), Field("X-Own", "value"), Field("etag", "\"1\"")]
        let lower = [
            Field(":status", "200"), Field("date", date), Field("content-length", "15"), Field("content-type", "application/json"),
            Field("x-own", "value"), Field("etag", "\"1\""),
        ]
        var sizes: [Int] = []
        for _ in 0..<4 {
            let block = encoder.encode(status: 200, date: date, contentLength: 15, fields)
            #expect(decoder.decode(block) == .fields(lower))
            sizes.append(block.count)
        }
        // Status, date and the three fields take a byte each, the length 5.
        #expect(sizes[3] == 10 && sizes[2] == 10, "\(sizes)")
        #expect(sizes[0] > sizes[1] && sizes[1] > sizes[2])
    }

    /// Fields do not drive each other out of the index, and values that come once do not drive out those that repeat.
    @Test(arguments: 1...20 as ClosedRange<UInt64>) func whatRepeatsStays(_ seed: UInt64) {
        var random = SeededRandom(seed)
        let (encoder, decoder) = (TestEncoder(), TestDecoder())
        let fields = (0..<10).map { Field("x-\($0)", "\(UInt16.random(in: 0...999, using: &random))") } + [Field("server", "s"), Field("vary", "v")]
        for round in 0..<60 {
            let once = Field("x-request-id", "\(random.next())")
            let block = encoder.encode(status: 200, fields + [once])
            #expect(decoder.decode(block) == .fields([Field(":status", "200")] + fields + [once]))
            if round > 2 { #expect(block.count == 1 + fields.count + 3 + once.name.utf8.count + once.value.count) }
        }
    }

    @Test func datesFollowEachOther() {
        let (encoder, decoder) = (TestEncoder(), TestDecoder())
        for second in 0..<60 {
            let date = "Mon, 21 Oct 2013 20:13:\(second < 10 ? "0" : "")\(second) GMT"
            for _ in 0..<3 { #expect(decoder.decode(encoder.encode(status: 200, date: date, [])) == .fields([Field(":status", "200"), Field("date", date)])) }
            #expect(encoder.encode(status: 200, date: date, []).count == 2)
        }
    }

    @Test(arguments: [200, 204, 206, 304, 400, 404, 500, 100, 201, 418, 599] as [UInt16]) func statuses(_ status: UInt16) {
        let (encoder, decoder) = (TestEncoder(), TestDecoder())
        for _ in 0..<2 { #expect(decoder.decode(encoder.encode(status: status, [])) == .fields([Field(":status", "\(status)")])) }
        #expect(encoder.encode(status: status, []).count == 1)
    }

    @Test(arguments: [0, 9, 10, 12_345, UInt64.max]) func lengths(_ length: UInt64) {
        #expect(TestDecoder().decode(TestEncoder().encode(contentLength: length, [])) == .fields([Field("content-length", "\(length)")]))
    }

    @Test func connectionFieldsStayBehind() {
        let fields = ["Connection", "keep-alive", "Proxy-Connection", "transfer-encoding", "Upgrade"].map { Field($0, "x") } + [Field("x-a", "")]
        #expect(TestDecoder().decode(TestEncoder().encode(fields)) == .fields([Field("x-a", "")]))
    }

    @Test func secretsAreNeverIndexed() {
        let encoder = TestEncoder()
        for _ in 0..<3 {
            #expect(encoder.encode([Field("set-cookie", "a=b")]) == [0x1f, 0x28, 3, 0x61, 0x3d, 0x62])
            #expect(encoder.encode([Field("cookie", "short")]).first == 0x1f)
            #expect(encoder.encodeSingly([Field("server", "s")], isSensitive: true).first == 0x1f)
            #expect(encoder.encodeSingly([Field("x-key", "s")], isSensitive: true).first == 0x10)
        }
        #expect(encoder.tableBytes == 0)
    }

    @Test func spaceAroundValuesIsRemoved() {
        #expect(TestDecoder().decode(TestEncoder().encode([Field("a", " \t b \t"), Field("c", "  "), Field("d", "e\tf")])) == .fields([Field("a", "b"), Field("c", ""), Field("d", "e\tf")]))
    }

    /// The peer makes its table smaller and larger, down to none.
    @Test func tableSizes() {
        let (encoder, decoder) = (TestEncoder(), TestDecoder())
        let fields = (0..<8).map { Field("content-type", "type/number-\($0)") }
        for size in [4096, 100, 0, 60, 4096, 0, 1000, 70_000] {
            encoder.setPeerTableBytesMax(size)
            if size == 60 { encoder.setPeerTableBytesMax(50) }
            for _ in 0..<3 {
                #expect(decoder.decode(encoder.encode(fields)) == .fields(fields))
                #expect(decoder.tableBytes <= size && decoder.tableBytes == encoder.tableBytes)
            }
        }
    }

    @Test func bothUpdatesAreSent() {
        let encoder = TestEncoder()
        encoder.setPeerTableBytesMax(0)
        encoder.setPeerTableBytesMax(4096)
        #expect(encoder.encode(status: 200, []) == [0x20, 0x3f, 0xe1, 0x1f, 0x88])
        #expect(encoder.encode(status: 200, []) == [0x88])
        encoder.setPeerTableBytesMax(4096)
        #expect(encoder.encode(status: 200, []) == [0x88])
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>) func randomRoundTrips(_ seed: UInt64) {
        var random = SeededRandom(seed)
        let (encoder, decoder) = (TestEncoder(), TestDecoder(textCapacity: 1 << 18))
        for _ in 0..<60 {
            if Int.random(in: 0..<10, using: &random) == 0 { encoder.setPeerTableBytesMax(Int.random(in: 0...4500, using: &random)) }
            let fields = randomFields(&random)
            let block = Bool.random(using: &random) ? encoder.encode(fields) : encoder.encodeSingly(fields)
            #expect(decoder.decode(block) == .fields(fields))
            #expect(decoder.tableBytes == encoder.tableBytes)
        }
    }
}

/// Few different ones, so that many are repeated; values of bytes that Huffman codes briefly and at length.
func randomFields(_ random: inout SeededRandom) -> [Field] {
    let names = ["content-type", "server", "x-a", "x-long-name-of-a-field", "vary", "set-cookie", "etag", "link", "cache-control", "a", "cookie"]
    return (0..<Int.random(in: 0...8, using: &random)).map { _ in
        let length = [0, 1, 5, 20, 130, 300, 20_000][min(6, Int.random(in: 0...40, using: &random) / 6)]
        let base = UInt8.random(in: 0x21...0x7a, using: &random)
        return Field(names.randomElement(using: &random)!, bytes: (0..<length).map { UInt8(truncatingIfNeeded: Int(base) + $0 % 5) })
    }
}
