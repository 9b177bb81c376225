// FormPairs: names and values of a query string or a form body, without copying; percent-decoding; cookies. Inside handlers.

internal import UringHTTP

/// One `name=value` of a query or form, as it was sent: percent-encoding and `+` untouched.
public struct FormPair: ~Escapable {
    /// The name as it was sent: percent-encoded, with `+` for spaces.
    public let name: ByteView
    /// Empty when there is no `=`.
    public let value: ByteView

    @_lifetime(copy name, copy value)
    init(_ name: ByteView, _ value: ByteView) { (self.name, self.value) = (name, value) }
}

/// Walks through `application/x-www-form-urlencoded` text (URL standard, section 5.1): pairs separated by `&`, empty ones skipped.
///
///     var pairs = query.formPairs
///     while let pair = pairs.next() { … }
public struct FormPairs: ~Escapable {
    private let bytes: Span<UInt8>
    private var position = 0

    @_lifetime(copy view)
    init(_ view: ByteView) { bytes = view.span }

    /// The next pair; nil at the end.
    @_lifetime(copy self)
    public mutating func next() -> FormPair? {
        while position < bytes.count {
            let start = position
            var equals = -1
            while position < bytes.count, bytes[position] != UInt8(ascii: "&") {
                if equals < 0, bytes[position] == UInt8(ascii: "=") { equals = position }
                position += 1
            }
            let end = position
            position += 1
            guard end > start else { continue }
            let name = ByteView(bytes.extracting(start..<(equals < 0 ? end : equals)))
            let value = ByteView(bytes.extracting((equals < 0 ? end : equals + 1)..<end))
            return FormPair(name, value)
        }
        return nil
    }
}

extension ByteView {
    /// The pairs of a query string, or of a body with the type `application/x-www-form-urlencoded`.
    public var formPairs: FormPairs {
        @_lifetime(copy self) get { FormPairs(self) }
    }

    /// The value of the first pair with this name (names compare decoded), as it was sent; nil when there is none.
    @_lifetime(copy self)
    public func formValue(_ name: StaticString) -> ByteView? {
        var pairs = formPairs
        while let pair = pairs.next() {
            // SAFETY: the literal is immortal.
            if unsafe pair.name.equalsFormDecoded(name.utf8Start, name.utf8CodeUnitCount) { return pair.value }
        }
        return nil
    }

    /// Form text as text: `+` is a space, `%XX` a byte, a `%` that begins no such triplet stands for itself, and what then is not
    /// UTF-8 becomes U+FFFD (URL standard, section 5.1). Never fails.
    public var formDecoded: String {
        // Most values have nothing to decode.
        var isPlain = true
        for index in 0..<count where self[index] == UInt8(ascii: "%") || self[index] == UInt8(ascii: "+") {
            isPlain = false
            break
        }
        if isPlain { return String(self) }
        var decoded: [UInt8] = []
        decoded.reserveCapacity(count)
        var at = 0
        while at < count { decoded.append(formByte(&at)) }
        return String(decoding: decoded, as: UTF8.self)
    }

    /// Percent-encoded text, a path parameter for example, as text. Nil when a `%` is not followed by two hexadecimal digits, when it
    /// encodes NUL, or when the bytes are not UTF-8.
    public var percentDecoded: String? {
        guard !isEmpty else { return "" }
        // SAFETY: the view keeps its bytes in place during the call; the result has room for all of them, and never is longer.
        let bytes = unsafe span.withUnsafeBufferPointer { source in
            unsafe [UInt8](unsafeUninitializedCapacity: source.count) { target, count in
                switch unsafe PercentDecoder.decode(source.baseAddress!, count: source.count, into: target.baseAddress!, capacity: source.count) {
                case .decoded(let length): count = length
                case .malformed, .noRoom: count = 0
                }
            }
        }
        return bytes.isEmpty ? nil : String(validating: bytes, as: UTF8.self)
    }

    /// The byte that form text stands for at `at`; moves `at` behind it. `at` is below `count`.
    private func formByte(_ at: inout Int) -> UInt8 {
        let byte = self[at]
        at += 1
        if byte == UInt8(ascii: "+") { return UInt8(ascii: " ") }
        guard byte == UInt8(ascii: "%"), count - at >= 2, let high = hexDigitValue(self[at]), let low = hexDigitValue(self[at + 1]) else { return byte }
        at += 2
        return high << 4 | low
    }

    private func equalsFormDecoded(_ text: UnsafePointer<UInt8>, _ length: Int) -> Bool {
        var (at, matched) = (0, 0)
        while at < count {
            let byte = formByte(&at)
            guard matched < length, unsafe byte == text[matched] else { return false }
            matched += 1
        }
        return matched == length
    }
}

extension RequestHeaders {
    /// The value of the first cookie with this name (RFC 6265 section 5.4; names compare exactly), as it was sent, quotes included.
    @_lifetime(copy self)
    public func cookie(_ name: StaticString) -> ByteView? {
        for index in 0..<count where self.name(at: index).equalsIgnoringCase("cookie") {
            if let value = value(at: index).cookieValue(name) { return value }
        }
        return nil
    }
}

extension ByteView {
    /// `a=1; b=2`: a pair per semicolon, white space around it.
    @_lifetime(copy self)
    func cookieValue(_ name: StaticString) -> ByteView? {
        var start = 0
        while start < count {
            var end = start
            while end < count, self[end] != UInt8(ascii: ";") { end += 1 }
            let next = end + 1
            while start < end, isBlank(self[start]) { start += 1 }
            while end > start, isBlank(self[end - 1]) { end -= 1 }
            var equals = start
            while equals < end, self[equals] != UInt8(ascii: "=") { equals += 1 }
            if equals < end, ByteView(span.extracting(start..<equals)) == name { return ByteView(span.extracting((equals + 1)..<end)) }
            start = next
        }
        return nil
    }

    private func isBlank(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 }
}
