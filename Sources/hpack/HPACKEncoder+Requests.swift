// The pseudo-header fields of a request (RFC 9113 8.3.1, RFC 8441 4), for clients. Part of HPACKEncoder; loop's thread. In front of all other
// fields of a block.

import CUringBase
internal import UringHTTP

extension HPACKEncoder {
    /// `:method`; at least one byte.
    package mutating func method(_ text: UnsafePointer<UInt8>, count: Int) {
        // Caller's memory: `text[..<count]` is readable for this call, as in all functions here.
        if unsafe isEqual(text, count, "GET") { return writeIndexed(2) }
        if unsafe isEqual(text, count, "POST") { return writeIndexed(3) }
        unsafe putPseudo(.method, staticName: 2, text, count: count, rule: .atOnce)
    }

    /// `:scheme`.
    package mutating func scheme(isSecure: Bool) { writeIndexed(isSecure ? 7 : 6) }

    /// `:authority`. Most connections have one.
    package mutating func authority(_ text: UnsafePointer<UInt8>, count: Int) {
        unsafe putPseudo(.authority, staticName: 1, text, count: count, rule: .atOnce)
    }

    /// `:path` with its query. Into the table when it comes a second time: the methods of an RPC service do, most other paths do not.
    package mutating func path(_ text: UnsafePointer<UInt8>, count: Int) {
        if unsafe isEqual(text, count, "/") { return writeIndexed(4) }
        if unsafe isEqual(text, count, "/index.html") { return writeIndexed(5) }
        unsafe putPseudo(.path, staticName: 4, text, count: count, rule: .secondTime)
    }

    /// `:protocol` of an extended CONNECT, which the static table does not know.
    package mutating func connectProtocol(_ text: UnsafePointer<UInt8>, count: Int) {
        let name: StaticString = ":protocol"
        // A literal lives as long as the program.
        unsafe put(
            EncodedField(
                name: name.utf8Start, nameLength: name.utf8CodeUnitCount, staticName: 0, known: .other, pseudo: .protocol, value: text,
                valueLength: count),
            rule: .atOnce)
    }

    /// A whole entry of the static table, below 127.
    private mutating func writeIndexed(_ index: UInt8) {
        reserve(1)
        writeByte(0x80 | index)
    }

    private mutating func putPseudo(_ pseudo: PseudoField, staticName: Int, _ text: UnsafePointer<UInt8>, count: Int, rule: IndexingRule) {
        // Entries 1…61 of the constant table.
        let entry = unsafe curing_hpack_entries()[staticName]
        unsafe put(
            EncodedField(
                name: curing_hpack_text() + Int(entry.offset), nameLength: Int(entry.name_length), staticName: staticName, known: .other,
                pseudo: pseudo, value: text, valueLength: count),
            rule: rule)
    }

    private func isEqual(_ text: UnsafePointer<UInt8>, _ count: Int, _ literal: StaticString) -> Bool {
        // A literal lives as long as the program; lengths agree.
        guard count == literal.utf8CodeUnitCount else { return false }
        return unsafe HPACKBytes.areEqual(text, literal.utf8Start, count: count)
    }
}
