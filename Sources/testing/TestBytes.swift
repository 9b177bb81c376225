// TestBytes: content as tests write and compare it. Plain value; any thread.

/// Bytes that can be written as a text literal and print as text: `response.body == "hello"`, `body: [0, 255]`.
///
/// A collection of bytes, so that `[UInt8](response.body)` and Foundation's `Data(response.body)` work.
public struct TestBytes: Sendable, Hashable, RandomAccessCollection, ExpressibleByStringInterpolation, ExpressibleByArrayLiteral, CustomStringConvertible {
    public var bytes: [UInt8]

    public init() { bytes = [] }
    public init(_ bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }
    /// The text's UTF-8.
    public init(_ text: String) { bytes = Array(text.utf8) }
    public init(stringLiteral text: String) { self.init(text) }
    public init(arrayLiteral bytes: UInt8...) { self.bytes = bytes }

    public var startIndex: Int { 0 }
    public var endIndex: Int { bytes.count }
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
    public static func + (left: TestBytes, right: TestBytes) -> TestBytes { TestBytes(left.bytes + right.bytes) }
}
