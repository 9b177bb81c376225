// Where one header or trailer field lies in the caller's bytes. Plain data in the caller's storage.

/// One field line: offsets count from the first byte that was given to the parser. 16 bytes.
@frozen @usableFromInline package struct FieldSlot: Equatable, Sendable {
    @usableFromInline package var nameOffset: UInt32
    /// First byte of the value, without the white space around it.
    @usableFromInline package var valueOffset: UInt32
    /// May be 0.
    @usableFromInline package var valueLength: UInt32
    /// At least 1.
    @usableFromInline package var nameLength: UInt16
    @usableFromInline package var known: KnownField

    @inlinable @inline(__always)
    package init(nameOffset: UInt32, valueOffset: UInt32, valueLength: UInt32, nameLength: UInt16, known: KnownField) {
        self.nameOffset = nameOffset
        self.valueOffset = valueOffset
        self.valueLength = valueLength
        self.nameLength = nameLength
        self.known = known
    }
}
