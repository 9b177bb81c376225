// TestBytes: content as tests write and compare it. Plain value; any thread.

/// Bytes that can be written as a text literal and print as text: `response.body == "hello"`, `body: [0, 255]`.
///
/// A collection of bytes, so that `[UInt8](response.body)` and Foundation's `Data(response.body)` work.
public struct TestBytes: Sendable, Hashable, RandomAccessCollection, ExpressibleByStringInterpolation, ExpressibleByArrayLiteral, CustomStringConvertible {
    /// The bytes themselves.
    public var bytes: [UInt8]

    /// No bytes.
    public init() { bytes = [] }
    /// A copy of the bytes.
    public init(_ bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }
    /// The text's UTF-8.
    public init(_ text: String) { bytes = Array(text.utf8) }
    /// The UTF-8 of a literal.
    public init(stringLiteral text: String) { self.init(text) }
    /// The bytes of a literal, `[0, 255]`.
    public init(arrayLiteral bytes: UInt8...) { self.bytes = bytes }

    /// Always 0.
    public var startIndex: Int { 0 }
    /// Number of bytes.
    public var endIndex: Int { bytes.count }
    /// One byte. Traps outside `0..<count`.
    public subscript(index: Int) -> UInt8 { bytes[index] }

    /// As text; nil when the bytes are no UTF-8.
    public var text: String? { String(validating: bytes, as: UTF8.self) }

    /// The text, or a few bytes in hexadecimal when it is none.
    public var description: String {
        if let text { return text }
        let first = bytes.prefix(64).map { byte in byte < 16 ? "0" + String(byte, radix: 16) : String(byte, radix: 16) }
        return "<\(bytes.count) bytes: \(first.joined(separator: " "))\(bytes.count > 64 ? " …" : "")>"
    }

    /// Appends bytes or text.
    public static func += (left: inout TestBytes, right: TestBytes) { left.bytes += right.bytes }
    /// One behind the other.
    public static func + (left: TestBytes, right: TestBytes) -> TestBytes { TestBytes(left.bytes + right.bytes) }
}
