// What a collector answers to spans (opentelemetry-proto, trace_service.proto; google.rpc.Status on failure): as much of protobuf as is needed to read it. Values; bytes of a peer, any of which may be wrong.

/// ExportTraceServiceResponse: how many spans were not taken, and why. An answer that cannot be read says nothing.
package struct OTLPAnswer: Sendable, Equatable {
    /// Of the request's spans, not to be sent again.
    package private(set) var rejected: UInt64 = 0
    /// UTF-8, as it came.
    package private(set) var message: [UInt8] = []

    package init(_ bytes: Span<UInt8>) {
        var fields = OTLPFields(bytes, 0..<bytes.count)
        while let field = fields.next() {
            guard field.number == 1, let range = field.content else { continue }
            var inner = OTLPFields(bytes, range)
            while let field = inner.next() {
                if field.number == 1, let value = field.value { rejected = value <= UInt64(Int64.max) ? value : 0 }
                if field.number == 2, let range = field.content { message = range.map { bytes[$0] } }
            }
        }
    }

    /// Status.message of a refusal; nil when the bytes are something else.
    package static func statusMessage(_ bytes: Span<UInt8>) -> [UInt8]? {
        var (fields, message) = (OTLPFields(bytes, 0..<bytes.count), [UInt8]?.none)
        while let field = fields.next() {
            if field.number == 2, let range = field.content { message = range.map { bytes[$0] } }
        }
        return fields.isWhole ? message : nil
    }
}

/// The fields of a message, one after the other; ends early where the bytes are no message.
struct OTLPFields: ~Escapable {
    struct Field {
        let number: UInt64
        /// Of a varint.
        var value: UInt64?
        /// Of what is delimited by its length.
        var content: Range<Int>?
    }

    private let bytes: Span<UInt8>
    private var at: Int
    private let end: Int
    /// Something is no field.
    private var isStopped = false
    /// The message has ended where its last field did.
    private(set) var isWhole = false

    @_lifetime(copy bytes)
    init(_ bytes: Span<UInt8>, _ range: Range<Int>) { (self.bytes, at, end) = (bytes, range.lowerBound, range.upperBound) }

    @_lifetime(self: copy self)
    mutating func next() -> Field? {
        guard at < end else {
            isWhole = !isStopped
            return nil
        }
        guard let tag = varint(), tag >> 3 > 0 else { return stop() }
        var field = Field(number: tag >> 3)
        switch tag & 7 {
        case 0:
            guard let value = varint() else { return stop() }
            field.value = value
        case 1: guard skip(8) else { return stop() }
        case 5: guard skip(4) else { return stop() }
        case 2:
            guard let count = varint(), count <= UInt64(end - at) else { return stop() }
            field.content = at..<at + Int(count)
            at += Int(count)
        default: return stop()
        }
        return field
    }

    @_lifetime(self: copy self)
    private mutating func stop() -> Field? {
        (at, isStopped) = (end, true)
        return nil
    }

    @_lifetime(self: copy self)
    private mutating func skip(_ count: Int) -> Bool {
        guard end - at >= count else { return false }
        at += count
        return true
    }

    @_lifetime(self: copy self)
    private mutating func varint() -> UInt64? {
        var (value, shift): (UInt64, UInt64) = (0, 0)
        while at < end, shift < 64 {
            let byte = bytes[at]
            at += 1
            value |= UInt64(byte & 127) << shift
            if byte < 128 { return value }
            shift += 7
        }
        return nil
    }
}
