// Where the client's engine puts a decoded response head: storage of the caller, one for all connections of a loop. And the rules that make
// a response malformed (RFC 9113 8.1.1 to 8.5). Loop's thread.

internal import UringHPACK
public import UringHTTP

/// The head of one response, or its trailers.
@frozen @usableFromInline package struct HTTP2Response: Equatable, Sendable {
    /// Codes above 599 are said to be 599 (RFC 9110 15: to be treated as 5xx).
    @usableFromInline package var status = HTTPStatus.ok
    /// Field lines; pseudo-header fields are not among them.
    @usableFromInline package var fieldCount = 0
    /// Of Content-Length; -1 without. Content that will not come (HEAD, 304) may be announced too.
    @usableFromInline package var contentLength: Int64 = -1
    /// Slots in front of the fields.
    @usableFromInline var pseudoCount = 0
    /// Bytes of decoded text.
    @usableFromInline package var textLength = 0

    @inlinable package init() {}
}

/// Memory for one decoded head. Filled by the events `interim`, `response` and `trailers`, rewritten by the next header block of any connection that
/// uses it; offsets in `fields` count from `text`.
@unsafe @frozen @usableFromInline package struct HTTP2ResponseHead {
    @usableFromInline package let response: UnsafeMutablePointer<HTTP2Response>
    @usableFromInline let slots: UnsafeMutablePointer<FieldSlot>
    @usableFromInline let slotCapacity: Int
    @usableFromInline package let text: UnsafeMutablePointer<UInt8>
    @usableFromInline package let textCapacity: Int

    /// The fields: `response.fieldCount` of them.
    @inlinable package var fields: UnsafeMutablePointer<FieldSlot> { unsafe slots + response.pointee.pseudoCount }

    /// All memory is the caller's and outlives the calls that are given this head.
    ///
    /// - Parameters:
    ///   - slotCapacity: `slots(limits:)` never cuts short what the limits allow.
    ///   - textCapacity: the same for `textBytes(limits:)`.
    @inlinable package init(
        response: UnsafeMutablePointer<HTTP2Response>, slots: UnsafeMutablePointer<FieldSlot>, slotCapacity: Int,
        text: UnsafeMutablePointer<UInt8>, textCapacity: Int
    ) {
        precondition(slotCapacity > 0 && textCapacity > 64, "BUG: no room for a response head")
        unsafe self.response = response
        unsafe self.slots = slots
        unsafe self.slotCapacity = slotCapacity
        unsafe self.text = text
        unsafe self.textCapacity = textCapacity
    }

    /// Room for the fields that the limits allow, and `:status`.
    @inlinable package static func slots(limits: HTTP2Limits) -> Int { limits.fieldCountMax + 1 }

    /// Room for the list, and for the decoder's copies in blocks.
    @inlinable package static func textBytes(limits: HTTP2Limits) -> Int { limits.headerListBytesMax + 128 }
}

extension HTTP2ResponseHead {
    func sink(_ limits: HTTP2Limits) -> HPACKFieldSink {
        unsafe HPACKFieldSink(
            text: text, textCapacity: textCapacity, slots: slots, slotCapacity: min(slotCapacity, Self.slots(limits: limits)),
            listBytesMax: limits.headerListBytesMax)
    }

    /// Fills in `response` from the list in `sink`, which lies in this head's memory; false when the response is malformed whatever its request was.
    func assemble(_ sink: HPACKFieldSink) -> Bool {
        // Offsets and lengths of slots are within the text, and counted slots are written: all by the decoder.
        guard unsafe sink.flaws.isEmpty && sink.pseudoCount == 1, let status = unsafe sink.slot(of: .status), let code = unsafe statusCode(status)
        else { return false }
        unsafe start(sink)
        unsafe response.pointee.status = HTTPStatus(code)
        for index in unsafe 0..<response.pointee.fieldCount where unsafe fields[index].known == .contentLength {
            let field = unsafe fields[index]
            guard unsafe response.pointee.contentLength < 0,
                let length = unsafe ContentLength.parse(text + Int(field.valueOffset), count: Int(field.valueLength))
            else { return false }
            unsafe response.pointee.contentLength = length
        }
        return true
    }

    /// Whether the list can stand as trailers: no pseudo-header field, nothing that only a head may say (RFC 9110 6.5.1, RFC 9113 8.1).
    func assembleTrailers(_ sink: HPACKFieldSink) -> Bool {
        guard unsafe sink.flaws.isEmpty && sink.pseudoCount == 0 else { return false }
        unsafe start(sink)
        for index in unsafe 0..<response.pointee.fieldCount where unsafe fields[index].known.isForbiddenInTrailers { return false }
        return true
    }

    private func start(_ sink: HPACKFieldSink) {
        var fresh = HTTP2Response()
        unsafe fresh.pseudoCount = sink.pseudoCount
        unsafe fresh.fieldCount = sink.slotCount &- sink.pseudoCount
        unsafe fresh.textLength = sink.textCount
        unsafe response.initialize(to: fresh)
    }

    /// Three digits, the first no 0 (RFC 9110 15).
    private func statusCode(_ field: FieldSlot) -> UInt16? {
        guard field.valueLength == 3 else { return nil }
        let digits = unsafe text + Int(field.valueOffset)
        let (first, second, third) = unsafe (digits[0] &- 0x30, digits[1] &- 0x30, digits[2] &- 0x30)
        guard first > 0, first < 10, second < 10, third < 10 else { return nil }
        return UInt16(first) &* 100 &+ UInt16(second) &* 10 &+ UInt16(third)
    }
}
