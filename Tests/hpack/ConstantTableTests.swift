// The constant tables against the appendices of RFC 7541: the code is canonical, so its lengths are all there is to know of it.

import CUringBase
import Testing
import UringHTTP
@testable import UringHPACK

enum HuffmanCode {
    /// Appendix B: bits of the code of each byte, then of EOS.
    static let lengths = [
        13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
        28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
        6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
        5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
        13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
        7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
        15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
        6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
        20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
        24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
        22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
        21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
        26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
        19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
        20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
        26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
        30,
    ]

    /// By length, then by symbol: the order in which canonical codes count up.
    static let order = (0...256).sorted { (lengths[$0], $0) < (lengths[$1], $1) }

    static let codes: [UInt32] = {
        var codes = [UInt32](repeating: 0, count: 257)
        var code: UInt32 = 0
        var length = 0
        for symbol in order {
            code <<= UInt32(lengths[symbol] - length)
            length = lengths[symbol]
            codes[symbol] = code
            code += 1
        }
        return codes
    }()

    static func encode(_ symbols: [Int], padding: Bool = true) -> [UInt8] {
        var out: [UInt8] = []
        var bits: UInt64 = 0
        var count = 0
        for symbol in symbols {
            bits = bits << UInt64(lengths[symbol]) | UInt64(codes[symbol])
            count += lengths[symbol]
            while count >= 8 {
                count -= 8
                out.append(UInt8(truncatingIfNeeded: bits >> UInt64(count)))
            }
        }
        if count > 0 && padding { out.append(UInt8(truncatingIfNeeded: bits << UInt64(8 - count)) | UInt8(0xff >> count)) }
        return out
    }
}

@Suite struct ConstantTableTests {
    private let bits = Int(CURING_HUFFMAN_BITS)

    private func symbol(_ value: Int, _ count: Int) -> Int? {
        HuffmanCode.order.first { HuffmanCode.lengths[$0] <= count && value >> (count - HuffmanCode.lengths[$0]) == Int(HuffmanCode.codes[$0]) }
    }

    @Test func pairsAreTheCode() {
        for index in 0..<1 << bits {
            // Within the table.
            let entry = unsafe curing_huffman_table()[index]
            guard let first = symbol(index, bits) else {
                #expect(entry == 0)
                continue
            }
            let length = HuffmanCode.lengths[first]
            let rest = bits - length
            let second = symbol(index & ((1 << rest) - 1), rest)
            let all = length + (second.map { HuffmanCode.lengths[$0] } ?? 0)
            #expect(entry == UInt32(first | (second ?? 0) << 8 | all << 16 | length << 24 | (second == nil ? 1 : 2) << 30))
        }
    }

    @Test func longCodesAreTheCode() {
        let long = HuffmanCode.order.filter { HuffmanCode.lengths[$0] > bits }
        #expect(long.count == Int(CURING_HUFFMAN_LONG_SYMBOLS))
        // Within the tables.
        for (place, symbol) in long.enumerated() { #expect(unsafe Int(curing_huffman_symbols()[place]) == symbol) }
        let lengths = Set(long.map { HuffmanCode.lengths[$0] }).sorted()
        #expect(lengths.count == Int(CURING_HUFFMAN_LENGTHS))
        for (place, length) in lengths.enumerated() {
            let row = unsafe curing_huffman_long_lengths()[place]
            let symbols = long.filter { HuffmanCode.lengths[$0] == length }
            let limit = UInt64(HuffmanCode.codes[symbols.last!] + 1) << UInt64(32 - length)
            #expect(Int(row.length) == length && row.first == HuffmanCode.codes[symbols[0]] << UInt32(32 - length))
            #expect(Int(row.symbol) == long.firstIndex(of: symbols[0])! && row.limit == UInt32(min(limit, 0xffff_ffff)))
        }
    }

    @Test func staticTableNumbersAreThoseOfTheNames() {
        var offset = 0
        for index in 1...61 {
            // Within the table and its text.
            let entry = unsafe curing_hpack_entries()[index]
            #expect(Int(entry.offset) == offset)
            let name = unsafe curing_hpack_text() + offset
            let text = unsafe String(decoding: UnsafeBufferPointer(start: name, count: Int(entry.name_length)), as: UTF8.self)
            #expect(unsafe KnownField.lookup(name, count: Int(entry.name_length)).rawValue == entry.known, "\(text)")
            let pseudo = unsafe text.hasPrefix(":") ? FieldText.pseudo(name, count: Int(entry.name_length)) : .none
            #expect(pseudo.rawValue == entry.pseudo && pseudo != .unknown, "\(text)")
            offset += Int(entry.name_length) + Int(entry.value_length)
        }
        #expect(offset == Int(CURING_HPACK_STATIC_TEXT_BYTES))
    }

    @Test func namesHaveTheirFirstIndex() {
        for known in KnownField.allCases {
            // Within the tables.
            let first = (1...61).first { unsafe curing_hpack_entries()[$0].known == known.rawValue && known != .other }
            #expect(unsafe Int(curing_hpack_names()[Int(known.rawValue)]) == first ?? 0, "\(known)")
            if known != .other { #expect(unsafe String(decoding: UnsafeBufferPointer(start: known.constantName.start, count: known.constantName.count), as: UTF8.self) == "\(known.name)") }
        }
    }
}
