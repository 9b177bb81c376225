// Lists in field values, such as those of Connection and Transfer-Encoding. No allocation: elements are ranges of the
// caller's bytes. Any thread, no state.

/// Walks the elements of a comma-separated list (RFC 9110 5.6.1), without the optional white space around them. Empty
/// elements are skipped, as a recipient must. Quoted strings are not understood: use it only for lists of tokens.
@frozen @usableFromInline package struct FieldListIterator {
    @usableFromInline var position: Int
    @usableFromInline let count: Int

    /// For a value of `count` bytes.
    @inlinable package init(count: Int) {
        self.position = 0
        self.count = count
    }

    /// The range of the next element in `value`, which is the same memory at every call; nil at the end.
    @inlinable package mutating func next(in value: UnsafePointer<UInt8>) -> Range<Int>? {
        // Caller's memory: `value[..<count]` is readable for this call.
        while position < count {
            while position < count, unsafe isListSpace(value[position]) || value[position] == 0x2c { position &+= 1 }
            let start = position
            while position < count, unsafe value[position] != 0x2c { position &+= 1 }
            var end = position
            while end > start, unsafe isListSpace(value[end &- 1]) { end &-= 1 }
            if start < end { return start..<end }
        }
        return nil
    }

    @inlinable func isListSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
}

/// Whether `bytes[..<count]` equals `literal`, which must be in lower case, without regard to ASCII case.
@inlinable package func equalsIgnoringCase(_ bytes: UnsafePointer<UInt8>, count: Int, _ literal: StaticString) -> Bool {
    // Caller's memory: `bytes[..<count]` is readable for this call. A literal lives as long as the program.
    guard count == literal.utf8CodeUnitCount else { return false }
    let expected = unsafe literal.utf8Start
    for index in 0..<count where unsafe lowercasedASCII(bytes[index]) != expected[index] { return false }
    return true
}
