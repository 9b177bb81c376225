// The lookup tables against the names they are made from. When a name was added, the failure prints the new tables.

import Testing
import UringHTTP

private func lookup(_ name: String) -> KnownField {
    // The array lives for the closure.
    unsafe Array(name.utf8).withUnsafeBufferPointer { unsafe KnownField.lookup($0.baseAddress!, count: $0.count) }
}

private func bytes(_ literal: StaticString) -> [UInt8] {
    // A literal lives as long as the program.
    unsafe Array(UnsafeBufferPointer(start: literal.utf8Start, count: literal.utf8CodeUnitCount))
}

private func source(_ bytes: [UInt8]) -> String {
    bytes.map { $0 >= 0x20 && $0 != 0x22 && $0 != 0x5c ? String(UnicodeScalar($0)) : "\\u{\(String($0, radix: 16, uppercase: true))}" }.joined()
}

@Suite struct KnownFieldTests {
    private static let known = KnownField.allCases.filter { $0 != .other }

    @Test func tablesAreWhatTheNamesGive() {
        var index = [UInt8](repeating: 0, count: 512)
        var lengths: [UInt8] = [0]
        var names: [UInt8] = []
        for field in Self.known {
            let name = bytes(field.name)
            #expect(name.count >= 2 && name.count <= 32)
            let hash = unsafe name.withUnsafeBufferPointer { unsafe KnownField.hash($0.baseAddress!, count: $0.count) }
            #expect(index[hash] == 0, "\(field) collides in the hash: change its multipliers")
            index[hash] = field.rawValue
            lengths.append(UInt8(name.count))
            names += name + [UInt8](repeating: 0x20, count: 32 - name.count)
        }
        #expect(bytes(KnownField.indexLiteral) == index, "indexLiteral should be: \(source(index))")
        #expect(bytes(KnownField.lengthLiteral) == lengths, "lengthLiteral should be: \(source(lengths))")
        #expect(bytes(KnownField.nameLiteral) == names, "nameLiteral should be: \(source(names))")
    }

    @Test func everyNameIsFoundInAnyCase() {
        for field in Self.known {
            let name = "\(field.name)"
            #expect(lookup(name) == field)
            #expect(lookup(name.uppercased()) == field)
            #expect(lookup(name.split(separator: "-").map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined(separator: "-")) == field)
        }
    }

    @Test func nearMissesAreNotFound() {
        for field in Self.known {
            let name = Array("\(field.name)".utf8)
            for position in name.indices {
                for replacement in Array("!#$%&'*+-.^_`|~0123456789abcxyzQ".utf8) where replacement | 0x20 != name[position] | 0x20 {
                    var changed = name
                    changed[position] = replacement
                    let found = lookup(String(decoding: changed, as: UTF8.self))
                    #expect(found == .other || bytes(found.name) == changed.map(lowercasedASCII))
                }
            }
            let shorter = lookup(String(decoding: name.dropLast(), as: UTF8.self))
            #expect(shorter != field)
            #expect(lookup(String(decoding: name, as: UTF8.self) + "x") != field)
        }
        for name in ["x", "hos", "hostt", "H", String(repeating: "a", count: 33), String(repeating: "a", count: 300)] { #expect(lookup(name) == .other) }
    }
}
