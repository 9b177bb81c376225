// Encoding of field blocks (RFC 7541): one for each connection, for what we send. Owns our side of the peer's table. Used on the loop's
// thread; lies behind a pointer in the connection. No I/O; allocates the table and its index at the first insertion, nothing else.
//
// Strings go out as plain literals. Huffman coding would save about a quarter of the bytes of what is not in the table, for work on each
// of them; what repeats is in the table and is one byte. Whether it pays on slow links has not been measured.

internal import UringHTTP

/// One block is `begin`, then the fields, pseudo-header fields first, then `end`. The memory given to `begin` must hold `bound` bytes.
@safe package struct HPACKEncoder: ~Copyable {
    /// Peers that offer more get no more use of it: what a server repeats fits many times.
    package static let tableBytesMax = 4096
    /// Size updates (10), :status (5), Date (37), Content-Length (24), and what copies in blocks write along.
    private static let fixedBytes = 128

    var table = HPACKDynamicTable(bytesMax: HPACKEncoder.tableBytesMax)
    /// Finds entries by a hash of name and value. Owned, freed by `deinit`; nil before the first field that may be indexed.
    var index: UnsafeMutablePointer<IndexLine>?
    /// Counts the lines that were given up (`victim`).
    var victimTurn: UInt8 = 0
    /// The memory given to `begin`, until `end`.
    var out: UnsafeMutablePointer<UInt8>
    private var start: UnsafeMutablePointer<UInt8>
    var limit: UnsafeMutablePointer<UInt8>
    /// Number of the entry with the last Date; the table says whether it is still there.
    var dateNumber: UInt32 = 0
    /// Size updates that are due: the smallest size since the last block, and the last; -1 when none is (RFC 7541 4.2).
    private var dueSmallest = -1
    private var dueLast = -1

    package init() {
        unsafe index = nil
        // Never written before `begin`.
        unsafe out = UnsafeMutablePointer(bitPattern: 1)!
        unsafe start = out
        unsafe limit = out
    }

    deinit { unsafe index?.deallocate() }

    /// Most bytes of a block with a status, a Date, a Content-Length and the fields that `textBytes` of "name: value\r\n" lines hold, or, for
    /// fields given one by one, name, value and 4 each. The four bytes of a line that are not name and value cover the literal's first byte
    /// and both lengths; a value from 16 KiB on has one byte more in its length.
    @inlinable package static func bound(textBytes: Int) -> Int { 128 &+ textBytes &+ textBytes &>> 7 }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE. The next block tells the peer what became of it.
    package mutating func setPeerTableBytesMax(_ bytes: Int) {
        let size = min(max(bytes, 0), Self.tableBytesMax)
        guard size != table.bytesMax || dueLast >= 0 else { return }
        dueSmallest = dueSmallest < 0 ? size : min(dueSmallest, size)
        dueLast = size
        table.setBytesMax(size)
    }

    /// For tests and for a connection's description.
    package var tableBytes: Int { table.bytes }
    package var tableCount: Int { table.count }
    package var tableBytesNow: Int { table.bytesMax }

    /// Begins a block in memory of the caller, which must stay until `end`.
    package mutating func begin(_ memory: UnsafeMutablePointer<UInt8>, capacity: Int) {
        precondition(capacity >= Self.fixedBytes, "BUG: no room for a field block")
        // Caller's memory: `memory[..<capacity]` is writable until `end`.
        unsafe out = memory
        unsafe start = memory
        unsafe limit = memory + capacity
        if dueLast >= 0 { writeSizeUpdates() }
    }

    /// Ends the block; answers its length.
    package mutating func end() -> Int { unsafe out - start }

    private mutating func writeSizeUpdates() {
        if dueSmallest < dueLast { writeInteger(dueSmallest, mask: 0x1f, bits: 0x20) }
        writeInteger(dueLast, mask: 0x1f, bits: 0x20)
        dueSmallest = -1
        dueLast = -1
    }

    /// Traps when the caller's memory is too small for `bytes` more: it promised `bound`.
    @inline(__always)
    func reserve(_ bytes: Int) {
        unsafe precondition(bytes <= limit - out, "BUG: a field block is larger than its bound")
    }

    // MARK: what a block consists of. The caller of each has reserved the room.

    @inline(__always)
    mutating func writeByte(_ byte: UInt8) {
        unsafe out[0] = byte
        unsafe out += 1
    }

    /// An integer behind the bits of a representation (RFC 7541 5.1): at most 6 bytes.
    @inline(__always)
    mutating func writeInteger(_ value: Int, mask: UInt8, bits: UInt8) {
        if value < Int(mask) { return writeByte(bits | UInt8(truncatingIfNeeded: value)) }
        writeLongInteger(value, mask: mask, bits: bits)
    }

    @inline(never)
    private mutating func writeLongInteger(_ value: Int, mask: UInt8, bits: UInt8) {
        writeByte(bits | mask)
        var rest = value &- Int(mask)
        while rest >= 0x80 {
            writeByte(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest &>>= 7
        }
        writeByte(UInt8(truncatingIfNeeded: rest))
    }

    @inline(__always)
    mutating func writeString(_ bytes: UnsafePointer<UInt8>, count: Int) {
        // Caller's memory: `bytes[..<count]` is readable for this call.
        writeInteger(count, mask: 0x7f, bits: 0)
        unsafe out.update(from: bytes, count: count)
        unsafe out += count
    }
}
