// Strings in the Huffman code whose codes end at any place of the words that the decoder reads by.

import Testing
@testable import UringHPACK

@Suite struct HPACKHuffmanTests {
    private func roundTrip(_ value: [UInt8]) -> Bool {
        let fields = [Field("x", bytes: value)]
        // What a value may consist of is another question.
        guard case .fields(let decoded, _) = TestDecoder().decode(TestEncoder().encodeSingly(fields)) else { return false }
        return decoded == fields
    }

    /// Eight bytes without padding, met in practice: the last byte was not waited for.
    @Test func expectContinue() {
        // A literal without indexing, its name of one byte plain, its value of eight bytes coded.
        #expect(TestDecoder().decode(bytes(hex: "0001 7888 0800 b10f 524d 55a5")) == .fields([Field("x", "100-continue")]))
    }

    /// Every length of short codes, of 5 to 8 bits.
    @Test(arguments: ["0", "c", "-", "a/", "0b-", "100-continue", "&X", "z", "0123456789abcdefghijklmnopqrstuvwxyz", "-./=?_&*,;XZ"])
    func shortCodes(alphabet: String) {
        let letters = Array(alphabet.utf8)
        for length in 1...200 {
            for start in letters.indices {
                let value = (0..<length).map { letters[($0 &+ start) % letters.count] }
                #expect(roundTrip(value), "\(String(decoding: value, as: UTF8.self))")
            }
        }
    }

    /// A long code, of up to 30 bits, behind any number of short ones.
    @Test func longCodes() {
        for long in UInt8.min...255 where long != 10 && long != 13 {
            for before in 0...40 {
                let value = [UInt8](repeating: 0x65, count: before) + [long] + [UInt8](repeating: 0x30, count: 40)
                #expect(roundTrip(value), "\(long) behind \(before)")
            }
        }
    }
}
