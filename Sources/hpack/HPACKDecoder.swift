// Decoding of field blocks (RFC 7541): one for each connection, for what its peer sends. Owns the peer's dynamic table. Used on the
// loop's thread; lies behind a pointer in the connection. No I/O, no allocation but the table's.

import CUringBase
internal import UringHTTP

@safe package struct HPACKDecoder: ~Copyable {
    /// Entries of the static table; the dynamic one begins behind it (RFC 7541 2.3.3).
    static let staticCount = 61
    /// A peer that lowers and raises its table needs two updates in a block (RFC 7541 4.2).
    private static let sizeUpdatesMax = 2

    var table: HPACKDynamicTable
    /// Our SETTINGS_HEADER_TABLE_SIZE, once the peer has acknowledged it.
    private var settingBytesMax: Int
    /// The peer must begin its next block with an update to at most this; -1 when it need not.
    private var requiredBytesMax = -1

    /// - Parameter tableBytesMax: SETTINGS_HEADER_TABLE_SIZE that is in force from the beginning; at most 65,536.
    package init(tableBytesMax: Int = 4096) {
        table = HPACKDynamicTable(bytesMax: tableBytesMax)
        settingBytesMax = min(max(tableBytesMax, 0), HPACKDynamicTable.bytesLimit)
    }

    /// To be called when the peer has acknowledged another SETTINGS_HEADER_TABLE_SIZE of ours. After it was lowered below the table's
    /// bound, the peer's next block must begin with a size update (RFC 9113 4.3.1); what is in the table stays until then.
    package mutating func setTableBytesMax(_ bytes: Int) {
        settingBytesMax = min(max(bytes, 0), HPACKDynamicTable.bytesLimit)
        guard settingBytesMax < table.bytesMax else { return }
        requiredBytesMax = requiredBytesMax < 0 ? settingBytesMax : min(requiredBytesMax, settingBytesMax)
    }

    /// The dynamic table's size and entries, for tests and for a connection's description.
    package var tableBytes: Int { table.bytes }
    package var tableCount: Int { table.count }
    package var tableBytesMax: Int { table.bytesMax }

    /// Decodes one whole field block (HEADERS with its CONTINUATIONs) behind what the sink already holds. After `malformed` the connection
    /// must end, and what the sink and the table hold has no meaning, though decoding on is harmless.
    package mutating func decode(_ block: UnsafePointer<UInt8>, count: Int, into sink: inout HPACKFieldSink) -> HPACKDecodeOutcome {
        // Caller's memory: `block[..<count]` readable and the sink's memory writable, not overlapping, for this call.
        var reader = unsafe HPACKReader(at: block, end: block + count)
        if unsafe count > 0 && (requiredBytesMax >= 0 || block[0] & 0xe0 == 0x20) {
            if let fault = unsafe sizeUpdates(&reader) { return .malformed(fault) }
        }
        while unsafe reader.at < reader.end {
            let first = unsafe reader.at[0]
            unsafe reader.at += 1
            if first & 0x80 != 0 {
                var index = Int(first & 0x7f)
                if index == 0x7f {
                    index = unsafe reader.continued(0x7f)
                    if index < 0 { return .malformed(reader.fault(index)) }
                }
                if let fault = unsafe indexed(index, &sink) { return .malformed(fault) }
            } else if first & 0xe0 == 0x20 {
                return .malformed(.sizeUpdateMisplaced)
            } else if let fault = unsafe literal(first, &reader, &sink) {
                return .malformed(fault)
            }
        }
        return unsafe sink.isTooLarge ? .tooLarge : .complete
    }

    /// The size updates at the beginning of a block (RFC 7541 4.2, 6.3).
    @inline(never)
    private mutating func sizeUpdates(_ reader: inout HPACKReader) -> HPACKFault? {
        var updates = 0
        while unsafe reader.at < reader.end && reader.at[0] & 0xe0 == 0x20 {
            let first = unsafe reader.at[0]
            unsafe reader.at += 1
            let size = unsafe reader.integer(first, mask: 0x1f)
            if size < 0 { return reader.fault(size) }
            updates &+= 1
            guard updates <= Self.sizeUpdatesMax else { return .sizeUpdateMisplaced }
            guard size <= settingBytesMax || size <= requiredBytesMax else { return .sizeUpdateTooLarge }
            if requiredBytesMax >= 0 {
                guard size <= requiredBytesMax else { return .sizeUpdateTooLarge }
                requiredBytesMax = -1
            }
            table.setBytesMax(size)
        }
        return requiredBytesMax >= 0 ? .sizeUpdateMissing : nil
    }

    /// An indexed field (RFC 7541 6.1).
    @inline(__always)
    private mutating func indexed(_ index: Int, _ sink: inout HPACKFieldSink) -> HPACKFault? {
        if index <= Self.staticCount {
            guard index > 0 else { return .indexZero }
            // Entries 1…61 of the constant table.
            let entry = unsafe curing_hpack_entries()[index]
            let nameLength = Int(entry.name_length)
            let valueLength = Int(entry.value_length)
            guard unsafe sink.admits(nameLength: nameLength, valueLength: valueLength) else { return nil }
            // Both texts have the slack that copying in blocks needs.
            unsafe HPACKBytes.copyBlocks(
                curing_hpack_text() + Int(entry.offset), to: sink.text + sink.textCount, count: nameLength &+ valueLength)
            unsafe sink.append(
                nameLength: nameLength, valueLength: valueLength, known: KnownField(tableValue: entry.known),
                traits: FieldTraits(entry), staticIndex: index)
            return nil
        }
        let place = index &- Self.staticCount &- 1
        guard place < table.count else { return .indexBeyondTable }
        let entry = table.entry(place)
        let nameLength = Int(entry.nameLength)
        let valueLength = Int(entry.valueLength)
        guard unsafe sink.admits(nameLength: nameLength, valueLength: valueLength) else { return nil }
        // Both texts have the slack that copying in blocks needs; the table's memory is apart from the sink's.
        unsafe HPACKBytes.copyBlocks(table.text + Int(entry.offset), to: sink.text + sink.textCount, count: nameLength &+ valueLength)
        unsafe sink.append(nameLength: nameLength, valueLength: valueLength, known: entry.known, traits: entry.traits, staticIndex: 0)
        return nil
    }
}

extension KnownField {
    /// From the constant table, whose numbers a test compares with the names.
    @inline(__always) init(tableValue: UInt8) {
        // Raw values count up from 0 without gaps, and the table holds no others.
        self = unsafe unsafeBitCast(tableValue, to: KnownField.self)
    }
}

extension FieldTraits {
    /// Of a whole entry of the static table: only Transfer-Encoding is not for HTTP/2.
    @inline(__always) init(_ entry: curing_hpack_static) {
        self.init(rawValue: entry.pseudo)
        if entry.known == KnownField.transferEncoding.rawValue { insert(.connectionSpecific) }
    }
}
