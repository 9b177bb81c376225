// TestHeaders: field lines in order. Plain value; any thread.

/// The fields of a request or response, line by line in their order: `["content-type": "text/plain", "accept": "a", "accept": "b"]`. Names compare without case.
public struct TestHeaders: Sendable, Equatable, RandomAccessCollection, ExpressibleByDictionaryLiteral, CustomStringConvertible {
    /// One line.
    public struct Field: Sendable, Equatable {
        /// As written.
        public var name: String
        /// Without white space around it.
        public var value: String
        /// A line.
        public init(name: String, value: String) { (self.name, self.value) = (name, value) }
    }

    var fields: [Field] = []

    /// No lines.
    public init() {}
    /// The lines of a literal, in order; names may be repeated.
    public init(dictionaryLiteral lines: (String, String)...) { fields = lines.map { Field(name: $0.0, value: $0.1) } }

    /// Always 0.
    public var startIndex: Int { 0 }
    /// Number of lines.
    public var endIndex: Int { fields.count }
    /// One line. Traps outside `0..<count`.
    public subscript(index: Int) -> Field { fields[index] }

    /// The value of the first line of that name. Setting replaces all lines of the name; nil removes them.
    public subscript(name: String) -> String? {
        get { fields.first { Self.isSame($0.name, name) }?.value }
        set {
            fields.removeAll { Self.isSame($0.name, name) }
            if let newValue { fields.append(Field(name: name, value: newValue)) }
        }
    }

    /// The values of all lines of that name, in order.
    public func values(_ name: String) -> [String] { fields.filter { Self.isSame($0.name, name) }.map(\.value) }

    /// Adds a line behind the others.
    public mutating func add(_ name: String, _ value: String) { fields.append(Field(name: name, value: value)) }

    /// A line each, as on the wire.
    public var description: String { fields.map { "\($0.name): \($0.value)" }.joined(separator: "\n") }

    private static func isSame(_ a: String, _ b: String) -> Bool { a.utf8.count == b.utf8.count && a.lowercased() == b.lowercased() }
}
