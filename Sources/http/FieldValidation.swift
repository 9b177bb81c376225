// Guards against response splitting: what an application puts into a field must not be able to end the line.
// Any thread, no state.

@usableFromInline package enum FieldValidation {
    /// Whether the bytes are a field name: one or more token characters (RFC 9110 5.1).
    @inlinable package static func isName(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        // Caller's memory, readable for this call.
        guard !bytes.isEmpty else { return false }
        for index in bytes.indices where unsafe !ByteSet.token.contains(bytes[index]) { return false }
        return true
    }

    /// Whether the bytes may stand as a field value: no control characters but tab, so neither CR, LF nor NUL
    /// (RFC 9110 5.5). Spaces around the value are accepted: the recipient trims them.
    @inlinable package static func isValue(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        // Caller's memory, readable for this call.
        for index in bytes.indices where unsafe !ByteSet.fieldValue.contains(bytes[index]) { return false }
        return true
    }
}
