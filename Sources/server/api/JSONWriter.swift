// JSONWriter: JSON straight into a response's bytes. Objects and arrays are closures, so that they nest and close by construction.
// Made by Response and ResponseWriter; the loop's thread.

/// Writes the members of one JSON object, in the order of the calls.
///
///     response.json { json in
///         json["status"] = "ok"
///         json["path"] = request.path
///         json.array("items") { items in
///             for number in 1...3 { items.append(number) }
///         }
///     }
///
/// The closing brace comes with the end of the closure. The compiler refuses to use an outer writer while an inner one is open (exclusive
/// access), and to keep one. Optionals that are nil become `null`. Names that occur twice are written twice.
@safe
public struct JSONObject: ~Copyable, ~Escapable {
    let buffer: UnsafeMutablePointer<GrowingBytes>

    /// The writer's maker keeps `buffer` in place until the closure that receives the writer has returned.
    @_lifetime(immortal)
    init(_ buffer: UnsafeMutablePointer<GrowingBytes>) { unsafe self.buffer = buffer }

    /// The setters are inlined into the caller, where names and values are borrowed: a literal then costs no reference counting.
    public subscript(name: String) -> String? {
        @available(*, unavailable, message: "JSON is written, not read") get { fatalError() }
        @inlinable set { write(name, newValue) }
    }

    /// Writes a member. JSON is written, not read: there is no getter.
    public subscript(name: String) -> Int? {
        @available(*, unavailable, message: "JSON is written, not read") get { fatalError() }
        @inlinable set { write(name, newValue) }
    }

    /// Shortest digits that read back the same; NaN and infinities become `null`.
    public subscript(name: String) -> Double? {
        @available(*, unavailable, message: "JSON is written, not read") get { fatalError() }
        @inlinable set { write(name, newValue) }
    }

    /// Writes a member. JSON is written, not read: there is no getter.
    public subscript(name: String) -> Bool? {
        @available(*, unavailable, message: "JSON is written, not read") get { fatalError() }
        @inlinable set { write(name, newValue) }
    }

    /// Bytes of the request as a string; what is not UTF-8 becomes U+FFFD.
    public subscript(name: String) -> ByteView? {
        @available(*, unavailable, message: "JSON is written, not read") @_lifetime(immortal) get { fatalError() }
        @_lifetime(self: copy self) @inlinable set { write(name, newValue) }
    }

    @usableFromInline
    func write(_ name: String, _ value: String?) {
        begin(name)
        if let value { unsafe JSONText.append(value, to: buffer) } else { unsafe JSONText.appendNull(to: buffer) }
    }

    @usableFromInline
    func write(_ name: String, _ value: Int?) {
        begin(name)
        if let value { unsafe JSONText.append(Int64(value), to: buffer) } else { unsafe JSONText.appendNull(to: buffer) }
    }

    @usableFromInline
    func write(_ name: String, _ value: Double?) {
        begin(name)
        if let value { unsafe JSONText.append(value, to: buffer) } else { unsafe JSONText.appendNull(to: buffer) }
    }

    @usableFromInline
    func write(_ name: String, _ value: Bool?) {
        begin(name)
        if let value { unsafe JSONText.append(value, to: buffer) } else { unsafe JSONText.appendNull(to: buffer) }
    }

    @usableFromInline
    func write(_ name: String, _ value: ByteView?) {
        begin(name)
        if let value { unsafe JSONText.append(value, to: buffer) } else { unsafe JSONText.appendNull(to: buffer) }
    }

    /// Any integer, in full: many readers round beyond 2^53 (RFC 8259 section 6).
    public mutating func set(_ name: String, _ value: some BinaryInteger & Sendable) {
        begin(name)
        unsafe JSONArray.append(value, to: buffer)
    }

    /// Writes a member whose name is known only now; it is escaped.
    public mutating func set(_ name: String, _ value: StaticString) {
        begin(name)
        unsafe JSONText.append(value, to: buffer)
    }

    /// Writes a member whose value is `null`.
    public mutating func null(_ name: String) {
        begin(name)
        unsafe JSONText.appendNull(to: buffer)
    }

    /// A member that is an object.
    public mutating func object(_ name: String, _ members: (inout JSONObject) throws -> Void) rethrows {
        begin(name)
        try unsafe JSONObject.write(to: buffer, members)
    }

    /// A member that is an array.
    public mutating func array(_ name: String, _ elements: (inout JSONArray) throws -> Void) rethrows {
        begin(name)
        try unsafe JSONArray.write(to: buffer, elements)
    }

    private func begin(_ name: String) {
        unsafe JSONText.separate(buffer)
        unsafe JSONText.append(name, to: buffer)
        unsafe buffer.pointee.append(UInt8(ascii: ":"))
    }

    /// Takes back what was written when `members` throws, so that a caught error does not leave half a text.
    package static func write(to buffer: UnsafeMutablePointer<GrowingBytes>, _ members: (inout JSONObject) throws -> Void) rethrows {
        let before = unsafe buffer.pointee.count
        unsafe buffer.pointee.append(UInt8(ascii: "{"))
        var object = unsafe JSONObject(buffer)
        do {
            try members(&object)
        } catch {
            unsafe buffer.pointee.count = before
            throw error
        }
        unsafe buffer.pointee.append(UInt8(ascii: "}"))
    }
}

/// Writes the elements of one JSON array. See `JSONObject`.
@safe
public struct JSONArray: ~Copyable, ~Escapable {
    let buffer: UnsafeMutablePointer<GrowingBytes>

    @_lifetime(immortal)
    init(_ buffer: UnsafeMutablePointer<GrowingBytes>) { unsafe self.buffer = buffer }

    /// Appends an element.
    public mutating func append(_ value: String) {
        begin()
        unsafe JSONText.append(value, to: buffer)
    }

    /// Bytes of the request as a string; what is not UTF-8 becomes U+FFFD.
    @_lifetime(self: copy self)
    public mutating func append(_ value: ByteView) {
        begin()
        unsafe JSONText.append(value, to: buffer)
    }

    /// Appends an element.
    @_disfavoredOverload
    public mutating func append(_ value: StaticString) {
        begin()
        unsafe JSONText.append(value, to: buffer)
    }

    /// Appends an element.
    public mutating func append(_ value: Int) {
        begin()
        unsafe JSONText.append(Int64(value), to: buffer)
    }

    /// Appends an element.
    public mutating func append(_ value: some BinaryInteger & Sendable) {
        begin()
        unsafe Self.append(value, to: buffer)
    }

    /// Shortest digits that read back the same; NaN and infinities become `null`.
    public mutating func append(_ value: Double) {
        begin()
        unsafe JSONText.append(value, to: buffer)
    }

    /// Appends an element.
    public mutating func append(_ value: Bool) {
        begin()
        unsafe JSONText.append(value, to: buffer)
    }

    /// Appends `null`.
    public mutating func appendNull() {
        begin()
        unsafe JSONText.appendNull(to: buffer)
    }

    /// An element that is an object.
    public mutating func object(_ members: (inout JSONObject) throws -> Void) rethrows {
        begin()
        try unsafe JSONObject.write(to: buffer, members)
    }

    /// An element that is an array.
    public mutating func array(_ elements: (inout JSONArray) throws -> Void) rethrows {
        begin()
        try unsafe JSONArray.write(to: buffer, elements)
    }

    private func begin() { unsafe JSONText.separate(buffer) }

    static func write(to buffer: UnsafeMutablePointer<GrowingBytes>, _ elements: (inout JSONArray) throws -> Void) rethrows {
        let before = unsafe buffer.pointee.count
        unsafe buffer.pointee.append(UInt8(ascii: "["))
        var array = unsafe JSONArray(buffer)
        do {
            try elements(&array)
        } catch {
            unsafe buffer.pointee.count = before
            throw error
        }
        unsafe buffer.pointee.append(UInt8(ascii: "]"))
    }

    static func append(_ value: some BinaryInteger, to buffer: UnsafeMutablePointer<GrowingBytes>) {
        if let small = Int64(exactly: value) {
            unsafe JSONText.append(small, to: buffer)
        } else if let large = UInt64(exactly: value) {
            unsafe JSONText.append(large, to: buffer)
        } else {
            unsafe buffer.pointee.append(value.description)
        }
    }
}

extension Response {
    /// Appends a JSON object to the content, and sets `content-type: application/json` unless there is one.
    ///
    /// When `members` throws, the content is as it was before.
    @_lifetime(self: copy self)
    public mutating func json(_ members: (inout JSONObject) throws -> Void) rethrows {
        setJSONType()
        try unsafe JSONObject.write(to: body, members)
    }

    /// Appends a JSON array to the content, and sets `content-type: application/json` unless there is one.
    @_lifetime(self: copy self)
    public mutating func jsonArray(_ elements: (inout JSONArray) throws -> Void) rethrows {
        setJSONType()
        try unsafe JSONArray.write(to: body, elements)
    }

    /// SAFETY: `state` lies behind a pointer and stays in place until the handler has returned, and so does its part; exclusive access to the
    /// response keeps others off it while a writer is at work.
    private var body: UnsafeMutablePointer<GrowingBytes> { unsafe withUnsafeMutablePointer(to: &state.pointee.body) { unsafe $0 } }

    private func setJSONType() {
        guard unsafe !state.pointee.setFields.contains(.contentType) else { return }
        unsafe state.pointee.setFields.insert(.contentType)
        unsafe state.pointee.fields.append("content-type: application/json\r\n" as StaticString)
    }
}

extension ResponseWriter {
    /// Appends a JSON object to a streamed content: a line of NDJSON, the data of an event.
    @_lifetime(self: copy self)
    public mutating func json(_ members: (inout JSONObject) throws -> Void) rethrows {
        try unsafe JSONObject.write(to: buffer, members)
    }
}
