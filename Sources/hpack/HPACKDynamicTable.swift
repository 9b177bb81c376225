// The dynamic table (RFC 7541 2.3.2, 4): one for each direction of a connection, in HPACKDecoder and HPACKEncoder. Loop's thread.
//
// Memory is allocated at the first insertion and grows with what is inserted, so a connection that indexes nothing holds none. Entries are
// records in a ring; their text lies in one run of bytes each, name and value behind each other, in a second ring that skips its end
// where an entry would not fit. Twice the table's size is always room enough for that: see `reserve`.

internal import UringHTTP

@safe struct HPACKDynamicTable: ~Copyable {
    /// What each entry costs beside its text (RFC 7541 4.1).
    static let entryOverhead = 32
    /// A size above this is not offered or used: a name's length is 16 bits wide, and a table is memory for each connection.
    static let bytesLimit = 65_536
    /// Read and written along by copies in blocks.
    static let slack = 16
    private static let recordsFirst = 16
    private static let textFirst = 512

    struct Entry {
        var offset: UInt32 = 0
        var valueLength: UInt32 = 0
        var nameLength: UInt16 = 0
        var known = KnownField.other
        var traits = FieldTraits(rawValue: 0)

        @inline(__always) var cost: Int { Int(nameLength) &+ Int(valueLength) &+ HPACKDynamicTable.entryOverhead }
    }

    /// Records first, then text. Owned, freed by `deinit`; nil before the first insertion.
    private var memory: UnsafeMutableRawPointer?
    private var records: UnsafeMutablePointer<Entry>
    private(set) var text: UnsafeMutablePointer<UInt8>
    private var textCapacity = 0
    private var recordCapacity = 0
    /// Where the next entry's text goes.
    private var textEnd = 0
    /// Insertions so far; the newest entry has number `inserted`.
    private(set) var inserted: UInt32 = 0
    private(set) var count = 0
    /// Size and bound as RFC 7541 4.1 counts them.
    private(set) var bytes = 0
    private(set) var bytesMax: Int

    init(bytesMax: Int) {
        self.bytesMax = min(max(bytesMax, 0), Self.bytesLimit)
        unsafe memory = nil
        // Never followed while `count` is 0.
        unsafe records = UnsafeMutablePointer(bitPattern: MemoryLayout<Entry>.alignment)!
        unsafe text = UnsafeMutablePointer(bitPattern: 1)!
    }

    deinit { unsafe memory?.deallocate() }

    /// The entry `place` insertions before the newest; `place` is in 0..<count.
    @inline(__always)
    func entry(_ place: Int) -> Entry {
        // The capacity is a power of two, and all `count` records were written.
        unsafe records[Int(inserted &- 1 &- UInt32(truncatingIfNeeded: place)) & (recordCapacity &- 1)]
    }

    mutating func setBytesMax(_ value: Int) {
        bytesMax = min(max(value, 0), Self.bytesLimit)
        evict(until: bytesMax)
    }

    mutating func clear() {
        count = 0
        bytes = 0
        textEnd = 0
    }

    /// Inserts an entry; one that is larger than the table empties it (RFC 7541 4.4). Neither string may lie in this table's memory.
    mutating func insert(
        name: UnsafePointer<UInt8>, nameLength: Int, value: UnsafePointer<UInt8>, valueLength: Int, known: KnownField, traits: FieldTraits
    ) {
        // Caller's memory: readable for this call, and at least as long as said.
        let length = nameLength &+ valueLength
        guard length &+ Self.entryOverhead <= bytesMax else { return clear() }
        evict(until: bytesMax &- length &- Self.entryOverhead)
        let offset = reserve(length)
        // `reserve` has made room for both behind each other.
        unsafe (text + offset).update(from: name, count: nameLength)
        unsafe (text + offset + nameLength).update(from: value, count: valueLength)
        let entry = Entry(
            offset: UInt32(truncatingIfNeeded: offset), valueLength: UInt32(truncatingIfNeeded: valueLength),
            nameLength: UInt16(truncatingIfNeeded: nameLength), known: known, traits: traits)
        unsafe (records + (Int(inserted) & (recordCapacity &- 1))).initialize(to: entry)
        inserted &+= 1
        count &+= 1
        bytes &+= entry.cost
        textEnd = offset &+ length
    }

    private mutating func evict(until bound: Int) {
        while bytes > bound {
            bytes &-= entry(count &- 1).cost
            count &-= 1
        }
        if count == 0 { textEnd = 0 }
    }

    /// The offset of `length` free bytes, with a free record. Eviction has made the table small enough for them.
    ///
    /// With text of twice the table's size this always ends without growing. All text there is, with the new, is at most `bytesMax`, M.
    /// Not wrapped, and no room at the end: the oldest begins behind 2M - length - (M - length) = M, so the start has room. Wrapped, with U
    /// bytes of entries before the gap at the end: the gap is smaller than the entry that left it, which now lies at the start, so the oldest
    /// begins behind 2M - M - U, and what lies at the start and the new one together are at most M - U.
    private mutating func reserve(_ length: Int) -> Int {
        while true {
            if count < recordCapacity, let offset = place(length) { return offset }
            grow(length)
        }
    }

    /// Wrapped, the end stays below the oldest entry's beginning, never at it: so the two states cannot be taken for each other, not even
    /// with entries of no bytes.
    private func place(_ length: Int) -> Int? {
        guard count > 0 else { return length <= textCapacity ? 0 : nil }
        let oldest = Int(entry(count &- 1).offset)
        guard textEnd >= oldest else { return length < oldest &- textEnd ? textEnd : nil }
        if length <= textCapacity &- textEnd { return textEnd }
        return length < oldest ? 0 : nil
    }

    /// Doubles the memory, or more if one entry needs it, and lays the entries out in order.
    @inline(never)
    private mutating func grow(_ length: Int) {
        let needsRecords = count >= recordCapacity && recordCapacity > 0
        let newRecords = max(needsRecords ? recordCapacity &* 2 : recordCapacity, Self.recordsFirst)
        let newText = max(needsRecords ? textCapacity : textCapacity &* 2, Self.textFirst, length)
        let recordBytes = newRecords &* MemoryLayout<Entry>.stride
        let block = UnsafeMutableRawPointer.allocate(byteCount: recordBytes &+ newText &+ Self.slack, alignment: 16)
        let newestRecords = unsafe block.bindMemory(to: Entry.self, capacity: newRecords)
        let newestText = unsafe (block + recordBytes).bindMemory(to: UInt8.self, capacity: newText &+ Self.slack)
        // Copies in blocks read the slack along: it must have been written once.
        unsafe newestText.update(repeating: 0, count: newText &+ Self.slack)
        var end = 0
        for place in stride(from: count &- 1, through: 0, by: -1) {
            var moved = entry(place)
            let bytes = Int(moved.nameLength) &+ Int(moved.valueLength)
            unsafe (newestText + end).update(from: text + Int(moved.offset), count: bytes)
            moved.offset = UInt32(truncatingIfNeeded: end)
            let number = Int(inserted &- 1 &- UInt32(truncatingIfNeeded: place))
            unsafe (newestRecords + (number & (newRecords &- 1))).initialize(to: moved)
            end &+= bytes
        }
        unsafe memory?.deallocate()
        unsafe memory = block
        unsafe records = newestRecords
        unsafe text = newestText
        recordCapacity = newRecords
        textCapacity = newText
        textEnd = end
    }
}
