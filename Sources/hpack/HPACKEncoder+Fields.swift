// The fields of a response, one by one: which go into the table, and how one that is there is found. Part of HPACKEncoder; loop's thread.

import CUringBase
package import UringHTTP

/// Where an entry with a certain hash of name and value may be found. A hash selects a set of lines.
struct IndexLine {
    /// The upper half of the hash's bits; a field that comes again is known by it even before it has an entry.
    var tag: UInt32
    /// Number of the entry; 0 when it has none.
    var number: UInt32
}

/// What a field with this name is worth to the table.
enum IndexingRule {
    /// Repeated by most servers: inserted at first sight.
    case atOnce
    /// Inserted when the same value comes a second time: then it is likely to come a third.
    case secondTime
    /// Different each time.
    case never
    /// Never in anybody's table, so that nobody can try values until the size tells that one was right (RFC 7541 7.1.3).
    case sensitive

    @inline(__always) init(_ known: KnownField) {
        switch known {
        case .acceptRanges, .accessControlAllowCredentials, .accessControlAllowHeaders, .accessControlAllowMethods,
            .accessControlAllowOrigin, .accessControlExposeHeaders, .accessControlMaxAge, .allow, .altSvc, .cacheControl,
            .contentEncoding, .contentLanguage, .contentSecurityPolicy, .contentType, .date, .referrerPolicy, .server,
            .strictTransportSecurity, .vary, .via, .xContentTypeOptions:
            self = .atOnce
        case .authorization, .proxyAuthorization, .setCookie: self = .sensitive
        case .age, .contentLength, .contentRange: self = .never
        default: self = .secondTime
        }
    }
}

extension HPACKEncoder {
    /// Powers of two. Some ten fields are repeated, over a few kinds of response. With one line for each hash, two of them would share one on
    /// every fifth connection and drive each other out for ever; more than eight hardly ever share a set. Lines fill from the first, so
    /// looking one up compares one or two tags. 512 bytes.
    private static let indexSets = 8
    private static let indexWays = 8
    /// A cookie that is shorter could be guessed byte by byte.
    private static let cookieBytesSafe = 20

    /// `:status` (RFC 9113 8.3.2), 100…999.
    package mutating func status(_ code: UInt16) {
        let whole: UInt8
        switch code {
        case 200: whole = 8
        case 204: whole = 9
        case 206: whole = 10
        case 304: whole = 11
        case 400: whole = 12
        case 404: whole = 13
        case 500: whole = 14
        default: return rareStatus(code)
        }
        reserve(1)
        writeByte(0x80 | whole)
    }

    @inline(never)
    private mutating func rareStatus(_ code: UInt16) {
        var digits: (UInt8, UInt8, UInt8) = (0, 0, 0)
        unsafe withUnsafeMutableBytes(of: &digits) { buffer in
            // Three bytes, for this call.
            let text = unsafe buffer.baseAddress!.assumingMemoryBound(to: UInt8.self)
            unsafe ByteWriting.writeDecimal(UInt32(code), digits: 3, to: text)
            let name = unsafe curing_hpack_text() + Int(curing_hpack_entries()[8].offset)
            unsafe put(
                EncodedField(name: name, nameLength: 7, staticName: 8, known: .other, pseudo: .status, value: text, valueLength: 3), rule: .atOnce)
        }
    }

    /// Date, 29 bytes of `HTTPDate`. The same as in the last block costs a comparison and a byte.
    package mutating func date(_ text: UnsafePointer<UInt8>) {
        // Caller's memory: 29 bytes are readable for this call.
        let place = Int(truncatingIfNeeded: table.inserted &- dateNumber)
        if dateNumber != 0 && place < table.count {
            let entry = table.entry(place)
            if entry.known == .date, Int(entry.valueLength) == HTTPDate.bytes,
                unsafe HPACKBytes.areEqual(table.text + Int(entry.offset) + Int(entry.nameLength), text, count: HTTPDate.bytes)
            {
                reserve(6)
                return writeInteger(place &+ 62, mask: 0x7f, bits: 0x80)
            }
        }
        let field = unsafe EncodedField(known: .date, value: text, valueLength: HTTPDate.bytes)
        unsafe reserve(field.bytesMax)
        if unsafe 2 &* field.cost <= table.bytesMax {
            unsafe insert(field)
            dateNumber = table.inserted
        } else {
            unsafe writeLiteral(field, mask: 0x0f, bits: 0)
        }
    }

    /// Content-Length. Not indexed: most responses have another one, and it is six bytes.
    package mutating func contentLength(_ length: UInt64) {
        reserve(4 &+ ByteWriting.decimalBytesMax)
        // A literal without indexing, name 28: 15 and 13 more (RFC 7541 6.2.2).
        writeByte(0x0f)
        writeByte(28 &- 15)
        // Room for all digits was reserved.
        let digits = unsafe ByteWriting.writeDecimal(length, to: out + 1)
        writeByte(UInt8(truncatingIfNeeded: digits))
        unsafe out += digits
    }

    /// A field whose name is known.
    package mutating func field(_ known: KnownField, value: UnsafePointer<UInt8>, count: Int) {
        guard known != .other else { return }
        // Caller's memory: `value[..<count]` is readable for this call.
        unsafe put(EncodedField(known: known, value: value, valueLength: count), rule: rule(known, valueLength: count))
    }

    /// Any field. The name must consist of token characters and goes out in lower case.
    ///
    /// - Parameter isSensitive: the value is a secret, whatever the name: no intermediary may put it into a table.
    package mutating func field(
        name: UnsafePointer<UInt8>, nameCount: Int, value: UnsafePointer<UInt8>, count: Int, isSensitive: Bool = false
    ) {
        // Caller's memory: name and value are readable for this call.
        guard nameCount > 0 else { return }
        let known = unsafe KnownField.lookup(name, count: nameCount)
        let rule = isSensitive ? .sensitive : self.rule(known, valueLength: count)
        if known != .other {
            return unsafe put(EncodedField(known: known, value: value, valueLength: count), rule: rule)
        }
        unsafe putUnknown(name, nameCount: nameCount, value: value, count: count, rule: rule)
    }

    /// The fields of "name: value\r\n" lines, in the order of the lines, without those that HTTP/2 does not know (RFC 9113 8.2.2). What is
    /// no such line ends the block of text: the text is ours.
    package mutating func fields(text: UnsafePointer<UInt8>, count: Int) {
        // Caller's memory: `text[..<count]` is readable for this call.
        let end = unsafe text + count
        var line = unsafe text
        while unsafe line < end {
            var colon = unsafe curing_scan_name(line, end, text)
            while unsafe colon < end && colon[0] != 0x3a && colon[0] > 0x20 { unsafe colon += 1 }
            guard unsafe colon < end && colon > line && colon[0] == 0x3a else { return }
            var stop = unsafe curing_scan_value(colon + 1, end, text)
            while unsafe stop < end && stop[0] == 0x09 { unsafe stop = curing_scan_value(stop + 1, end, text) }
            guard unsafe stop == end || stop[0] == 0x0d || stop[0] == 0x0a else { return }
            unsafe textField(line, colon: colon, stop: stop)
            while unsafe stop < end && (stop[0] == 0x0d || stop[0] == 0x0a) { unsafe stop += 1 }
            unsafe line = stop
        }
    }

    @inline(__always)
    private mutating func textField(_ line: UnsafePointer<UInt8>, colon: UnsafePointer<UInt8>, stop: UnsafePointer<UInt8>) {
        // Within the caller's text.
        var value = unsafe colon + 1
        var end = unsafe stop
        while unsafe value < end && (value[0] == 0x20 || value[0] == 0x09) { unsafe value += 1 }
        while unsafe end > value && (end[-1] == 0x20 || end[-1] == 0x09) { unsafe end -= 1 }
        let nameCount = unsafe colon - line
        let known = unsafe KnownField.lookup(line, count: nameCount)
        switch known {
        case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade: return
        case .te where unsafe !equalsIgnoringCase(value, count: end - value, "trailers"): return
        case .other: unsafe putUnknown(line, nameCount: nameCount, value: value, count: end - value, rule: .secondTime)
        default: unsafe put(EncodedField(known: known, value: value, valueLength: end - value), rule: rule(known, valueLength: end - value))
        }
    }

    @inline(__always)
    private func rule(_ known: KnownField, valueLength: Int) -> IndexingRule {
        known == .cookie && valueLength < Self.cookieBytesSafe ? .sensitive : IndexingRule(known)
    }

    /// A name that has no number: written in lower case to where a literal's name stands, and compared from there.
    private mutating func putUnknown(
        _ name: UnsafePointer<UInt8>, nameCount: Int, value: UnsafePointer<UInt8>, count: Int, rule: IndexingRule
    ) {
        // The literal: its first byte, two lengths of at most 6, both strings.
        reserve(1 &+ Self.integerBytes(nameCount) &+ Self.integerBytes(count) &+ nameCount &+ count)
        let lower = unsafe out + 1 + Self.integerBytes(nameCount)
        for at in 0..<nameCount { unsafe lower[at] = lowercasedASCII(name[at]) }
        unsafe put(
            EncodedField(
                name: UnsafePointer(lower), nameLength: nameCount, staticName: 0, known: .other, pseudo: .none, value: value, valueLength: count),
            rule: rule)
    }

    static func integerBytes(_ value: Int) -> Int {
        value < 0x7f ? 1 : 2 &+ (63 &- (value &- 0x7f | 1).leadingZeroBitCount) / 7
    }

    // MARK: the table

    @inline(__always)
    mutating func put(_ field: EncodedField, rule: IndexingRule) {
        unsafe reserve(field.bytesMax)
        switch rule {
        case .sensitive: return unsafe writeLiteral(field, mask: 0x0f, bits: 0x10)
        case .never: return unsafe writeLiteral(field, mask: 0x0f, bits: 0)
        case .atOnce, .secondTime: break
        }
        // One entry may not drive most others out.
        guard unsafe 2 &* field.cost <= table.bytesMax else { return unsafe writeLiteral(field, mask: 0x0f, bits: 0) }
        if unsafe index == nil { makeIndex() }
        let hash = unsafe field.hash
        let tag = UInt32(truncatingIfNeeded: hash &>> 32) | 1
        // Allocated just now or before, and the set lies within its lines.
        let set = unsafe index! + (Int(truncatingIfNeeded: hash &>> 26) & (Self.indexSets &- 1)) &* Self.indexWays
        for way in 0..<Self.indexWays where unsafe set[way].tag == tag {
            let number = unsafe set[way].number
            let place = Int(truncatingIfNeeded: table.inserted &- number)
            if number != 0 && place < table.count, unsafe isEqual(table.entry(place), field) {
                return writeInteger(place &+ 62, mask: 0x7f, bits: 0x80)
            }
            unsafe insert(field)
            return unsafe set[way].number = table.inserted
        }
        unsafe putNew(field, rule: rule, tag: tag, set: set)
    }

    /// A field that no line knows.
    @inline(never)
    private mutating func putNew(_ field: EncodedField, rule: IndexingRule, tag: UInt32, set: UnsafeMutablePointer<IndexLine>) {
        // A set of the index, which stays until `deinit`.
        let way = unsafe victim(set)
        if rule == .secondTime {
            unsafe set[way] = IndexLine(tag: tag, number: 0)
            return unsafe writeLiteral(field, mask: 0x0f, bits: 0)
        }
        unsafe insert(field)
        unsafe set[way] = IndexLine(tag: tag, number: table.inserted)
    }

    /// The line to give up: an unused one; else one without an entry that is still in the table, so that values that come once do not push
    /// out what repeats, in turn, so that two new fields do not push out each other; else that of the oldest entry.
    private mutating func victim(_ set: UnsafeMutablePointer<IndexLine>) -> Int {
        var oldest = 0
        var age = -1
        victimTurn &+= 1
        for way in 0..<Self.indexWays where unsafe set[way].tag == 0 { return way }
        for step in 0..<Self.indexWays {
            let way = Int(victimTurn &+ UInt8(truncatingIfNeeded: step)) & (Self.indexWays &- 1)
            let number = unsafe set[way].number
            let place = Int(truncatingIfNeeded: table.inserted &- number)
            if number == 0 || place >= table.count { return way }
            if place > age { (oldest, age) = (way, place) }
        }
        return oldest
    }

    @inline(never)
    private mutating func makeIndex() {
        let lines = UnsafeMutablePointer<IndexLine>.allocate(capacity: Self.indexSets &* Self.indexWays)
        unsafe lines.initialize(repeating: IndexLine(tag: 0, number: 0), count: Self.indexSets &* Self.indexWays)
        unsafe index = lines
    }

    @inline(__always)
    private func isEqual(_ entry: HPACKDynamicTable.Entry, _ field: EncodedField) -> Bool {
        guard unsafe entry.known == field.known && entry.traits.rawValue == field.pseudo.rawValue
            && Int(entry.valueLength) == field.valueLength && Int(entry.nameLength) == field.nameLength
        else { return false }
        // Within the table's text; lengths agree.
        let text = unsafe UnsafePointer(table.text) + Int(entry.offset)
        if unsafe field.staticName == 0 && field.known == .other, unsafe !HPACKBytes.areEqual(text, field.name, count: field.nameLength) {
            return false
        }
        return unsafe HPACKBytes.areEqual(text + field.nameLength, field.value, count: field.valueLength)
    }

    /// A literal that both sides insert (RFC 7541 6.2.1).
    @inline(never)
    private mutating func insert(_ field: EncodedField) {
        // The table copies before the name, which may stand in the output, is written over by itself.
        unsafe table.insert(
            name: field.name, nameLength: field.nameLength, value: field.value, valueLength: field.valueLength, known: field.known,
            traits: FieldTraits(field.pseudo))
        unsafe writeLiteral(field, mask: 0x3f, bits: 0x40)
    }

    private mutating func writeLiteral(_ field: EncodedField, mask: UInt8, bits: UInt8) {
        unsafe writeInteger(field.staticName, mask: mask, bits: bits)
        // `update(from:)` allows that both are the same bytes, as for a name that was put into lower case here.
        if unsafe field.staticName == 0 { unsafe writeString(field.name, count: field.nameLength) }
        unsafe writeString(field.value, count: field.valueLength)
    }
}

/// A field on its way out. Its strings are the caller's, constants, or lie where the literal's name will stand; for one call.
@unsafe struct EncodedField {
    let name: UnsafePointer<UInt8>
    let nameLength: Int
    /// Index of the name in the static table, or 0.
    let staticName: Int
    let known: KnownField
    let pseudo: PseudoField
    let value: UnsafePointer<UInt8>
    let valueLength: Int

    @inline(__always)
    init(
        name: UnsafePointer<UInt8>, nameLength: Int, staticName: Int, known: KnownField, pseudo: PseudoField, value: UnsafePointer<UInt8>,
        valueLength: Int
    ) {
        unsafe self.name = name
        unsafe self.nameLength = nameLength
        unsafe self.staticName = staticName
        unsafe self.known = known
        unsafe self.pseudo = pseudo
        unsafe self.value = value
        unsafe self.valueLength = valueLength
    }

    @inline(__always)
    init(known: KnownField, value: UnsafePointer<UInt8>, valueLength: Int) {
        // A literal lives as long as the program.
        let text = unsafe known.constantName
        unsafe self.init(
            name: text.start, nameLength: text.count, staticName: Int(curing_hpack_names()[Int(known.rawValue)]), known: known, pseudo: .none,
            value: value, valueLength: valueLength)
    }

    /// Most bytes of its literal.
    @inline(__always) var bytesMax: Int {
        unsafe staticName != 0
            ? 2 &+ HPACKEncoder.integerBytes(valueLength) &+ valueLength
            : 1 &+ HPACKEncoder.integerBytes(nameLength) &+ nameLength &+ HPACKEncoder.integerBytes(valueLength) &+ valueLength
    }

    /// What an entry of it costs (RFC 7541 4.1).
    @inline(__always) var cost: Int { unsafe nameLength &+ valueLength &+ HPACKDynamicTable.entryOverhead }

    @inline(__always) var hash: UInt64 {
        var seed = unsafe UInt64(known.rawValue) | UInt64(pseudo.rawValue) &<< 8
        if unsafe known == .other && staticName == 0 { seed = unsafe HPACKBytes.hash(name, count: nameLength, seed: seed) }
        return unsafe HPACKBytes.hash(value, count: valueLength, seed: seed &* 0x9e37_79b9_7f4a_7c15)
    }
}

extension KnownField {
    /// The name as bytes, by one load instead of a long switch.
    @inline(__always) var constantName: (start: UnsafePointer<UInt8>, count: Int) {
        // Rows of the constant tables, for a raw value of at least 1.
        unsafe (
            KnownField.nameLiteral.utf8Start + (Int(rawValue) &- 1) &* 32, Int(KnownField.lengthLiteral.utf8Start[Int(rawValue)])
        )
    }
}
