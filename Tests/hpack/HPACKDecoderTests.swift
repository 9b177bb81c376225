// The decoder: every fault, flaws of messages, size updates, eviction, limits. What nghttp2 says of it is in HPACKDifferentialTests.

import Testing
import UringHTTP
@testable import UringHPACK

@Suite struct HPACKDecoderTests {
    @Test(arguments: [
        ("80", HPACKFault.indexZero), ("be", .indexBeyondTable), ("7e 00", .indexBeyondTable), ("ff80 8080 8000", .indexBeyondTable),
        ("ff80 8080 8010", .integerTooLarge), ("ff80 8080 8080 00", .integerTooLarge), ("ffff ffff ffff ffff ffff 7f", .integerTooLarge),
        ("ff", .truncated), ("ff80", .truncated), ("40", .truncated), ("4001", .stringBeyondBlock), ("4001 61", .truncated),
        ("4001 6101", .stringBeyondBlock), ("4001 6102 62", .stringBeyondBlock), ("0001 617f", .truncated), ("0001 61ff ffff ffff 07", .stringBeyondBlock),
        // The end of string; padding of zeros, of more than 7 bits, and nothing but padding.
        ("0001 6184 ffff ffff", .huffmanCode), ("0001 6185 1fff ffff ff", .huffmanCode), ("0001 6181 18", .huffmanPadding),
        ("0001 6182 1fff", .huffmanPadding), ("0001 6181 ff", .huffmanPadding), ("0001 6182 ffff", .huffmanPadding), ("0001 6181 00", .huffmanPadding),
        ("82 20", .sizeUpdateMisplaced), ("20 20 20 82", .sizeUpdateMisplaced), ("3fe2 1f", .sizeUpdateTooLarge), ("3f", .truncated),
    ]) func faults(_ block: String, _ fault: HPACKFault) {
        #expect(TestDecoder().decode(bytes(hex: block)) == .malformed(fault))
        // A sink that is full already finds the same.
        #expect(TestDecoder(textCapacity: 16).decode(bytes(hex: block)) == .malformed(fault))
    }

    @Test func everyFaultHasAReason() {
        #expect(Set(HPACKFault.allCases.map { "\($0.reason)" }).count == HPACKFault.allCases.count)
    }

    @Test func longIntegersThatFit() {
        // The 32 bits that an integer may have, as a size update; overlong zeros up to five octets.
        #expect(TestDecoder().decode(bytes(hex: "3f80 8080 8000 82")) == .fields([Field(":method", "GET")]))
        #expect(TestDecoder().decode(bytes(hex: "3fe0 ffff ff0f 82")) == .malformed(.sizeUpdateTooLarge))
    }

    @Test func emptyBlock() {
        #expect(TestDecoder().decode([]) == .fields([]))
    }

    /// Every byte, alone and in all positions against the word's boundaries.
    @Test func huffmanOfEveryByte() {
        for byte in 0...255 {
            for before in [0, 1, 3, 7, 8, 9, 20] {
                let symbols = [Int](repeating: 0x61, count: before) + [byte] + [Int](repeating: 0x58, count: before % 5)
                let text = HuffmanCode.encode(symbols)
                let expected = symbols.map { UInt8($0) }
                guard case .fields(let fields, _) = TestDecoder().decode([0x00, 0x01, 0x61, 0x80 | UInt8(text.count)] + text) else {
                    Issue.record("byte \(byte) behind \(before)")
                    continue
                }
                #expect(fields == [Field("a", bytes: expected)])
            }
        }
    }

    @Test(arguments: 1...10 as ClosedRange<UInt64>) func huffmanOfRandomText(_ seed: UInt64) {
        var random = SeededRandom(seed)
        for _ in 0..<40 {
            let isText = Bool.random(using: &random)
            let symbols = (0..<Int.random(in: 0...100, using: &random)).map { _ in Int.random(in: isText ? 0x20...0x7a : 0...255, using: &random) }
            let text = HuffmanCode.encode(symbols)
            let block = [0x00, 0x01, 0x61] + [text.count < 0x7f ? [0x80 | UInt8(text.count)] : [0xff, UInt8(truncatingIfNeeded: (text.count - 0x7f) & 0x7f) | 0x80, UInt8((text.count - 0x7f) >> 7)]].joined() + text
            for capacity in [1 << 12, 16 + 1 + symbols.count] {
                guard case .fields(let fields, _) = TestDecoder(textCapacity: capacity).decode(block) else {
                    Issue.record("refused \(symbols)")
                    continue
                }
                #expect(fields == [Field("a", bytes: symbols.map { UInt8($0) })])
            }
            #expect(TestDecoder(textCapacity: 16 + symbols.count).decode(block) == .tooLarge)
        }
    }

    @Test func flawsOfMessages() {
        func flaws(_ hex: String) -> FieldSectionFlaws? {
            if case .fields(_, let flaws) = TestDecoder().decode(bytes(hex: hex)) { return flaws }
            return nil
        }
        for hex in ["0001 6101 62", "0001 7e00", "0001 6103 6209 62", "0001 6103 6220 62", "0001 6102 c3bc", "0002 7465 0874 7261 696c 6572 73"] {
            #expect(flaws(hex) == [], "\(hex)")
        }
        for hex in ["0001 4101 62", "0001 2001 62", "0000 0162", "0002 613a 0162", "0001 0001 62", "0001 8001 62"] { #expect(flaws(hex) == .name, "\(hex)") }
        for hex in ["0001 6101 0a", "0001 6101 0d", "0001 6101 00", "0001 6102 2062", "0001 6102 6209", "0001 6101 7f", "0001 6101 20"] {
            #expect(flaws(hex) == .value, "\(hex)")
        }
        #expect(flaws("8283") == .repeatedPseudo)
        #expect(flaws("0003 3a78 7900") == .unknownPseudo)
        #expect(flaws("0007 3a6d 6574 686f 6500") == .unknownPseudo)
        #expect(flaws("0001 6101 62 82") == .latePseudo)
        #expect(flaws("0001 6101 62 82 83") == [.latePseudo, .repeatedPseudo])
        #expect(flaws("b9") == .connectionSpecific)
        #expect(flaws("0002 7465 0461 6263 64") == .connectionSpecific)
    }

    @Test(arguments: ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]) func connectionFields(_ name: String) {
        let block = [0x40, UInt8(name.utf8.count)] + Array(name.utf8) + [1, 0x62]
        let decoder = TestDecoder()
        #expect(decoder.decode(block) == .fields([Field(name, "b")], .connectionSpecific))
        #expect(decoder.decode([0xbe]) == .fields([Field(name, "b")], .connectionSpecific))
    }

    @Test(arguments: [":method", ":scheme", ":authority", ":path", ":status", ":protocol"]) func pseudoFieldsSpeltOut(_ name: String) {
        let decoder = TestDecoder()
        let block = [0x40, UInt8(name.utf8.count)] + Array(name.utf8) + [1, 0x62]
        // TestDecoder compares the slots with the names.
        for block in [block, [0xbe], [0x0f, 0x2f, 1, 0x62]] {
            #expect(decoder.decode(block) == .fields([Field(name, "b")]))
            #expect(decoder.staticIndexes.count == 1 && decoder.staticIndexes.values.first == 0)
        }
    }

    /// What was found of a literal holds for every use of its entry.
    @Test func flawsStayWithTheEntry() {
        let decoder = TestDecoder()
        #expect(decoder.decode(bytes(hex: "4001 4101 62")) == .fields([Field("A", "b")], .name))
        #expect(decoder.decode(bytes(hex: "be")) == .fields([Field("A", "b")], .name))
        // Its name again, with another value; and a good name whose value was bad.
        #expect(decoder.decode(bytes(hex: "0f2f 0163")) == .fields([Field("A", "c")], .name))
        #expect(decoder.decode(bytes(hex: "4001 6101 0a 0f2f 0163")) == .fields([Field("a", "\n"), Field("a", "c")], .value))
        #expect(decoder.decode(bytes(hex: "0f2f 0163")) == .fields([Field("a", "c")]))
    }

    @Test func loweredSettingNeedsAnUpdate() {
        let decoder = TestDecoder()
        _ = decoder.decode(bytes(hex: "4001 6101 62"))
        #expect(decoder.tableBytes == 34)
        decoder.setTableBytesMax(0)
        #expect(decoder.decode(bytes(hex: "82")) == .malformed(.sizeUpdateMissing))
        let other = TestDecoder()
        _ = other.decode(bytes(hex: "4001 6101 62"))
        other.setTableBytesMax(30)
        other.setTableBytesMax(4096)
        #expect(other.decode(bytes(hex: "3e 3fe1 1f 82")) == .fields([Field(":method", "GET")]))
        #expect(other.tableBytes == 0)
        #expect(other.decode(bytes(hex: "be")) == .malformed(.indexBeyondTable))
        let high = TestDecoder()
        high.setTableBytesMax(100)
        #expect(high.decode(bytes(hex: "3f46 82")) == .malformed(.sizeUpdateTooLarge))
    }

    /// An entry that is larger than the table empties it, and one that evicts the entry it takes its name from is whole.
    @Test func eviction() {
        let small = TestDecoder(tableBytesMax: 70)
        #expect(small.decode(bytes(hex: "3f27 4001 6101 62 4001 6301 64")) == .fields([Field("a", "b"), Field("c", "d")]))
        #expect(small.tableBytes == 68)
        #expect(small.decode(bytes(hex: "7f00 0165 bf be")) == .fields([Field("a", "e"), Field("c", "d"), Field("a", "e")]))
        let large = [UInt8(0x40), 1, 0x61, 40] + [UInt8](repeating: 0x62, count: 40)
        #expect(small.decode(large) == .fields([Field("a", String(repeating: "b", count: 40))]))
        #expect(small.tableBytes == 0)
    }

    @Test func limits() {
        // 35 bytes each: three fit 105.
        let block = bytes(hex: "0001 6102 6262 0001 6302 6464 0001 6502 6666")
        #expect(TestDecoder(listBytesMax: 105).decode(block) != .tooLarge)
        #expect(TestDecoder(listBytesMax: 104).decode(block) == .tooLarge)
        #expect(TestDecoder(slotCapacity: 3).decode(block) != .tooLarge)
        #expect(TestDecoder(slotCapacity: 2).decode(block) == .tooLarge)
        #expect(TestDecoder(textCapacity: 25).decode(block) != .tooLarge)
        #expect(TestDecoder(textCapacity: 24).decode(block) == .tooLarge)
        #expect(TestDecoder(textCapacity: 1).decode(block) == .tooLarge)
        // A list that was too large has changed the table as it says, with names from the table and Huffman text too.
        let decoder = TestDecoder(listBytesMax: 60)
        #expect(decoder.decode(bytes(hex: "4001 6101 62 4001 6301 64 7f00 811f 4081 1f81 1f")) == .tooLarge)
        #expect(decoder.tableBytes == 34 * 4)
        #expect(decoder.decode(bytes(hex: "c1")) == .fields([Field("a", "b")]))
        #expect(decoder.decode(bytes(hex: "c0")) == .fields([Field("c", "d")]))
        #expect(decoder.decode(bytes(hex: "bf")) == .fields([Field("a", "a")]))
        #expect(decoder.decode(bytes(hex: "be")) == .fields([Field("a", "a")]))
        // A field that fits no text empties the table as any entry that is too large for it.
        let tight = TestDecoder(tableBytesMax: 64, textCapacity: 64)
        #expect(tight.decode([0x3f, 0x21, 0x40, 1, 0x61, 1, 0x62]) == .fields([Field("a", "b")]))
        #expect(tight.decode([0x40, 1, 0x63, 100] + [UInt8](repeating: 0x64, count: 100)) == .tooLarge)
        #expect(tight.tableBytes == 0)
    }

    /// A name that is longer than a slot can say is a limit, not a crash.
    @Test func endlessName() {
        let decoder = TestDecoder(textCapacity: 1 << 18)
        let block = [0x40, 0x7f, 0x81 + 0x00, 0x80 | 0x7f, 0x03] + [UInt8](repeating: 0x61, count: 0x7f + 1 + 0x7f << 7 + 3 << 14) + [0]
        #expect(decoder.decode(block) == .tooLarge)
        #expect(decoder.decode([0x82]) == .fields([Field(":method", "GET")]))
    }

    /// A small block that unfolds to a large list ("HPACK bomb") ends at the limit.
    @Test func bomb() {
        let decoder = TestDecoder(listBytesMax: 32 * 1024)
        let block = [UInt8(0x40), 1, 0x61, 0x7f, 0xa1, 0x1e] + [UInt8](repeating: 0x62, count: 4000) + [UInt8](repeating: 0xbe, count: 16_000)
        #expect(decoder.decode(block) == .tooLarge)
        #expect(decoder.decode(bytes(hex: "82")) == .fields([Field(":method", "GET")]))
    }
}
