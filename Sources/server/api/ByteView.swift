// ByteView: bytes of a request, seen where the kernel put them. Made by Request's accessors; used on the loop's thread, inside the handler.

internal import Glibc

/// A read-only view of bytes whose lifetime the compiler checks: it cannot be stored, returned from the handler, or captured by a
/// closure that outlives it. What has to live longer is copied: `String(view)` or `[UInt8](view)`.
///
/// HTTP does not promise text: a view holds whatever octets the peer sent (RFC 9110 section 5.5), so comparisons are by byte.
@frozen
public struct ByteView: ~Escapable {
    /// The bytes, without a copy.
    public let span: Span<UInt8>

    /// A view of the span's bytes, with its lifetime.
    @inlinable
    @_lifetime(copy span)
    public init(_ span: Span<UInt8>) { self.span = span }

    /// Number of bytes.
    @inlinable
    public var count: Int { span.count }
    /// Whether it has no bytes.
    @inlinable
    public var isEmpty: Bool { span.isEmpty }
    /// Traps when `index` is not in `0..<count`.
    @inlinable
    public subscript(index: Int) -> UInt8 { span[index] }

    /// Exact comparison with text known when the program was written.
    @inlinable
    public static func == (view: ByteView, text: StaticString) -> Bool {
        unsafe view.equals(text.utf8Start, text.utf8CodeUnitCount)
    }

    /// Whether the view differs from the text's UTF-8, byte for byte.
    @inlinable
    public static func != (view: ByteView, text: StaticString) -> Bool { !(view == text) }

    /// Exact comparison of bytes.
    @inlinable
    public static func == (a: ByteView, b: ByteView) -> Bool {
        // SAFETY: both spans' memory lives as long as their views; it is read during this call only.
        unsafe a.span.withUnsafeBufferPointer { bytes in unsafe bytes.isEmpty ? b.isEmpty : b.equals(bytes.baseAddress!, bytes.count) }
    }

    /// So that `switch request.path { case "/health": … }` works.
    @inlinable
    public static func ~= (text: StaticString, view: ByteView) -> Bool { view == text }

    /// Exact comparison with the text's UTF-8.
    @_disfavoredOverload
    @inlinable
    public static func == (view: ByteView, text: String) -> Bool { view.equals(text) }

    /// Exact comparison with the text's UTF-8.
    public func equals(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { unsafe $0.count == 0 ? isEmpty : equals($0.baseAddress!, $0.count) }
    }

    /// Whether it begins with these bytes; case counts.
    public func hasPrefix(_ text: StaticString) -> Bool {
        let length = text.utf8CodeUnitCount
        guard count >= length else { return false }
        // SAFETY: the span's memory lives as long as this view; the literal is immortal.
        return unsafe span.withUnsafeBufferPointer { unsafe length == 0 || memcmp($0.baseAddress!, text.utf8Start, length) == 0 }
    }

    /// ASCII case-insensitive comparison, as field names, schemes and most tokens are compared (RFC 9110 section 5.1).
    public func equalsIgnoringCase(_ text: StaticString) -> Bool {
        let length = text.utf8CodeUnitCount
        guard count == length else { return false }
        // SAFETY: as in hasPrefix.
        return unsafe span.withUnsafeBufferPointer { unsafe foldedEqual($0.baseAddress, text.utf8Start, length) }
    }

    /// The same, with bytes known at run time.
    package func equalsIgnoringCase(_ other: Span<UInt8>) -> Bool {
        guard count == other.count else { return false }
        for index in 0..<count where Self.folded(span[index]) != Self.folded(other[index]) { return false }
        return true
    }

    private static func folded(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte }

    /// The same, with bytes known at run time, of which it is the case of ASCII letters alone that does not count.
    package func equalsIgnoringCase(_ other: [UInt8]) -> Bool {
        guard count == other.count else { return false }
        // SAFETY: both memories are readable during this call.
        return unsafe span.withUnsafeBufferPointer { bytes in
            unsafe other.withUnsafeBufferPointer { other in
                guard let base = bytes.baseAddress, let start = other.baseAddress else { return true }
                return unsafe foldedEqual(base, start, bytes.count)
            }
        }
    }

    /// The value of a run of decimal digits; nil when empty, when anything else occurs, or beyond UInt64.
    public var decimal: UInt64? {
        guard count > 0, count <= 20 else { return nil }
        var value: UInt64 = 0
        for index in 0..<count {
            let digit = span[index] &- 48
            guard digit <= 9 else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carried) = product.addingReportingOverflow(UInt64(digit))
            guard !overflow, !carried else { return nil }
            value = sum
        }
        return value
    }

    @usableFromInline
    func equals(_ bytes: UnsafePointer<UInt8>, _ length: Int) -> Bool {
        guard count == length else { return false }
        // SAFETY: the span's memory lives as long as this view; `bytes` is read during this call only.
        return unsafe span.withUnsafeBufferPointer { unsafe length == 0 || memcmp($0.baseAddress!, bytes, length) == 0 }
    }
}

/// For a field or parameter that may be absent, which is equal to no text.
@inlinable
public func == (view: ByteView?, text: StaticString) -> Bool {
    guard let view else { return false }
    return view == text
}

/// For a field or parameter that may be absent, which is equal to no text.
@inlinable
public func != (view: ByteView?, text: StaticString) -> Bool { !(view == text) }

/// ASCII letters compare without case, other bytes exactly.
func foldedEqual(_ a: UnsafePointer<UInt8>?, _ b: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    guard count > 0, let a = unsafe a else { return count == 0 }
    for index in 0..<count {
        let (x, y) = unsafe (a[index], b[index])
        if x == y { continue }
        let folded = x | 0x20
        guard folded == y | 0x20, folded >= 97, folded <= 122 else { return false }
    }
    return true
}

extension String {
    /// Copies the bytes; what is not UTF-8 becomes U+FFFD.
    public init(_ view: ByteView) {
        // SAFETY: the span's memory lives as long as `view`; the bytes are copied here.
        self = unsafe view.span.withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) }
    }
}

extension [UInt8] {
    /// Copies the bytes.
    public init(_ view: ByteView) {
        // SAFETY: the span's memory lives as long as `view`; the bytes are copied here.
        self = unsafe view.span.withUnsafeBufferPointer { unsafe Array($0) }
    }
}
