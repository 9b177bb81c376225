// Literal fields (RFC 7541 6.2): reading, checking and inserting them. Part of HPACKDecoder; loop's thread.

import CUringBase
internal import UringHTTP

extension HPACKDecoder {
    /// A literal field whose first byte, `first`, was read.
    mutating func literal(_ first: UInt8, _ reader: inout HPACKReader, _ sink: inout HPACKFieldSink) -> HPACKFault? {
        let isInserted = first & 0x40 != 0
        let index = unsafe reader.integer(first, mask: isInserted ? 0x3f : 0x0f)
        guard index >= 0 else { return reader.fault(index) }
        var field = unsafe PendingField(name: reader.string(named: index), isInserted: isInserted)
        if index == 0 {
            // Unknown until its bytes are there.
        } else if index <= Self.staticCount {
            // Entries 1…61 of the constant table.
            let entry = unsafe curing_hpack_entries()[index]
            unsafe field.name.start = curing_hpack_text() + Int(entry.offset)
            unsafe field.name.count = Int(entry.name_length)
            unsafe field.known = KnownField(tableValue: entry.known)
            unsafe field.traits = FieldTraits(rawValue: entry.pseudo)
            unsafe field.isNameChecked = true
        } else {
            let place = index &- Self.staticCount &- 1
            guard place < table.count else { return .indexBeyondTable }
            let entry = table.entry(place)
            unsafe field.name.start = UnsafePointer(table.text + Int(entry.offset))
            unsafe field.name.count = Int(entry.nameLength)
            unsafe field.known = entry.known
            unsafe field.traits = entry.traits.ofName
            unsafe field.isNameChecked = true
        }
        guard unsafe field.name.count >= 0 else { return unsafe reader.stringFault(field.name.count) }
        unsafe field.value = reader.string()
        guard unsafe field.value.count >= 0 else { return unsafe reader.stringFault(field.value.count) }
        // Overflow is impossible: both are below 2^33.
        let fits = unsafe field.name.lengthMax &+ field.value.lengthMax <= sink.textUsable &- sink.textCount && !sink.isTooLarge
        return unsafe fits ? store(&field, &sink) : storeCarefully(&field, &sink)
    }

    /// Writes the field behind the others and, where the sink admits it, makes it one of them.
    @inline(__always)
    private mutating func store(_ field: inout PendingField, _ sink: inout HPACKFieldSink) -> HPACKFault? {
        // The sink has room for the most bytes both can have.
        let out = unsafe sink.text + sink.textCount
        let nameLength = unsafe field.name.write(to: out)
        guard nameLength >= 0 else { return HPACKFault(huffman: nameLength) }
        let valueLength = unsafe field.value.write(to: out + nameLength)
        guard valueLength >= 0 else { return HPACKFault(huffman: valueLength) }
        unsafe field.check(out, nameLength: nameLength, valueLength: valueLength)
        if unsafe sink.admits(nameLength: nameLength, valueLength: valueLength) {
            unsafe sink.append(
                nameLength: nameLength, valueLength: valueLength, known: field.known, traits: field.traits, staticIndex: 0)
        }
        if unsafe field.isInserted {
            unsafe table.insert(
                name: out, nameLength: nameLength, value: out + nameLength, valueLength: valueLength, known: field.known, traits: field.traits)
        }
        return nil
    }

    /// A field that may not fit the sink: measured first. If it does not, only the table gets it, by memory of its own.
    @inline(never)
    private mutating func storeCarefully(_ field: inout PendingField, _ sink: inout HPACKFieldSink) -> HPACKFault? {
        let nameLength = unsafe field.name.length()
        guard nameLength >= 0 else { return HPACKFault(huffman: nameLength) }
        let valueLength = unsafe field.value.length()
        guard valueLength >= 0 else { return HPACKFault(huffman: valueLength) }
        let length = nameLength &+ valueLength
        if unsafe !sink.isTooLarge && length <= sink.textUsable &- sink.textCount { return unsafe store(&field, &sink) }
        _ = unsafe sink.admits(nameLength: nameLength, valueLength: valueLength)
        guard unsafe field.isInserted else { return nil }
        guard length &+ HPACKDynamicTable.entryOverhead <= table.bytesMax else {
            table.clear()
            return nil
        }
        // At most the table's size. The name may lie in the table, which insertion moves: so it is copied too.
        let out = UnsafeMutablePointer<UInt8>.allocate(capacity: length &+ HPACKDynamicTable.slack)
        defer { unsafe out.deallocate() }
        _ = unsafe field.name.write(to: out)
        _ = unsafe field.value.write(to: out + nameLength)
        unsafe field.check(out, nameLength: nameLength, valueLength: valueLength)
        unsafe table.insert(
            name: out, nameLength: nameLength, value: out + nameLength, valueLength: valueLength, known: field.known, traits: field.traits)
        return nil
    }
}

/// A literal field between being read and being stored. Its strings point into the block or a table, for one call.
@unsafe struct PendingField {
    var name: HPACKString
    var value: HPACKString
    var known = KnownField.other
    var traits = FieldTraits(.none)
    let isInserted: Bool
    /// The name came from a table, and with it what is known of it.
    var isNameChecked = false

    init(name: HPACKString, isInserted: Bool) {
        unsafe self.name = name
        unsafe self.value = name
        unsafe self.isInserted = isInserted
    }

    /// Fills in `known` and `traits` from the decoded bytes at `text`, name and value behind each other.
    @inline(__always)
    mutating func check(_ text: UnsafePointer<UInt8>, nameLength: Int, valueLength: Int) {
        // The caller has just written both.
        if unsafe !isNameChecked { unsafe checkName(text, count: nameLength) }
        let value = unsafe text + nameLength
        if valueLength > 0, unsafe !FieldText.isValue(value, count: valueLength, floor: text) { unsafe traits.insert(.value) }
        if unsafe FieldText.isConnectionSpecific(known, value: value, count: valueLength) { unsafe traits.insert(.connectionSpecific) }
    }

    private mutating func checkName(_ text: UnsafePointer<UInt8>, count: Int) {
        guard count > 0 else { return unsafe traits.insert(.name) }
        if unsafe text[0] == 0x3a {
            unsafe traits = FieldTraits(FieldText.pseudo(text, count: count))
        } else if unsafe FieldText.isName(text, count: count) {
            unsafe known = KnownField.lookup(text, count: count)
        } else {
            unsafe traits.insert(.name)
        }
    }
}

extension FieldTraits {
    /// What an entry's name alone says, for a field that takes only the name from it.
    @inline(__always) var ofName: FieldTraits { FieldTraits(rawValue: rawValue & (7 | FieldSectionFlaws.name.rawValue)) }
}

extension HPACKReader {
    /// The name of a literal field: a string when it has no index.
    @inline(__always) mutating func string(named index: Int) -> HPACKString {
        unsafe index == 0 ? string() : HPACKString(start: at, count: 0, isHuffman: false)
    }

    @safe func stringFault(_ count: Int) -> HPACKFault { unsafe count == HPACKString.beyondBlock ? .stringBeyondBlock : fault(count) }
}
