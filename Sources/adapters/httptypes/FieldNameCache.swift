// FieldNameCache: names of fields that requests had before, so that they are checked and lowered once and not for every request. One per loop, its thread only.

#if HTTPTypes
package import HTTPTypes
internal import Glibc

/// Clients send the same few names over and over. A table without collision lists: a name that shares its place with another takes it over, so that what clients make up
/// costs them their place and us nothing.
package final class FieldNameCache {
    /// Real clients have about 30 names in all; this many places keep most of them apart.
    private static let places = 256
    /// Longer names are made each time; of the registered ones few are longer.
    private static let nameBytesMax = 32

    private struct Entry {
        var key: SIMD4<UInt64>
        var name: HTTPField.Name
    }
    private var entries = [Entry?](repeating: nil, count: places)

    package init() {}

    /// nil when it is no token.
    package func name(_ bytes: borrowing Span<UInt8>) -> HTTPField.Name? {
        let count = bytes.count
        guard count > 0, count <= Self.nameBytesMax else { return Self.make(bytes) }
        var key = SIMD4<UInt64>.zero
        // SAFETY: `key` has room for `nameBytesMax` bytes; a token has no zero byte, so the padding tells lengths apart.
        unsafe bytes.withUnsafeBufferPointer { bytes in unsafe withUnsafeMutableBytes(of: &key) { unsafe _ = memcpy($0.baseAddress!, bytes.baseAddress!, count) } }
        let mixed = (key[0] ^ key[1] &* 3 ^ key[2] &* 5 ^ key[3] &* 7) &* 0x9E37_79B9_7F4A_7C15
        let place = Int(truncatingIfNeeded: mixed &>> 56)
        if let entry = entries[place], entry.key == key { return entry.name }
        guard let name = Self.make(bytes) else { return nil }
        entries[place] = Entry(key: key, name: name)
        return name
    }

    private static func make(_ bytes: borrowing Span<UInt8>) -> HTTPField.Name? {
        // SAFETY: the span's memory is readable during this call; its bytes are copied.
        unsafe bytes.withUnsafeBufferPointer { unsafe HTTPField.Name(String(decoding: $0, as: UTF8.self)) }
    }
}
#endif
