// Spans for an OpenTelemetry collector: OTLP/HTTP with protobuf (opentelemetry-proto 1.x, trace.proto; POST /v1/traces, application/x-protobuf). Each loop encodes its spans into a block of its own as they
// end, and gives them away as one request body; sending is somebody else's. A full block drops spans and counts them: a collector that is gone costs memory and time of nobody.
//
// Only what is needed of protobuf is here. Lengths of messages are written as varints of three bytes, which every reader takes, because the content's length is known behind it.

/// What a span did.
package struct SpanRecord: Sendable {
    package enum Kind: UInt8, Sendable { case `internal` = 1, server, client }
    package enum Status: UInt8, Sendable { case unset = 0, ok, error }

    package var context: TraceContext
    /// 0: the first of its trace.
    package var parent: UInt64
    package var kind: Kind
    /// ns since 1970.
    package var start: UInt64
    package var end: UInt64
    package var status: Status

    package init(_ context: TraceContext, parent: UInt64, kind: Kind, start: UInt64, end: UInt64, status: Status = .unset) {
        (self.context, self.parent, self.kind, self.start, self.end, self.status) = (context, parent, kind, start, end, status)
    }
}

/// The spans of a loop that wait for their export. No allocation after `init`.
@safe
package struct SpanBatch: ~Copyable {
    /// A varint of three bytes counts up to 2 MiB.
    package static var bytesMax: Int { 1 << 20 }
    /// What a request adds to its spans and its resource.
    package static var requestOverhead: Int { 64 }
    /// The longest resource and name of the scope together.
    package static var resourceBytesMax: Int { 64 * 1024 }

    /// Owned: allocated in `init`, freed in `deinit`.
    private let memory: UnsafeMutablePointer<UInt8>
    private let capacity: Int
    /// Bytes of the spans that wait.
    package private(set) var bytes = 0
    package private(set) var count = 0
    /// Spans that found no room, since the beginning.
    package private(set) var dropped: UInt64 = 0

    /// - Parameter capacity: bytes for spans, some 300 each; at most `bytesMax`.
    package init(capacity: Int) {
        self.capacity = min(max(capacity, 256), Self.bytesMax)
        unsafe memory = .allocate(capacity: self.capacity)
    }

    deinit { unsafe memory.deallocate() }

    package var isEmpty: Bool { count == 0 }
    /// Worth sending before more is dropped.
    package var isHalfFull: Bool { bytes * 2 >= capacity }

    /// Adds a span, or counts it as dropped.
    ///
    /// - Parameters:
    ///   - name: of low cardinality: `GET /v1/orders/*`.
    ///   - attributes: written in this call.
    package mutating func record(_ span: SpanRecord, name: Span<UInt8>, attributes: (inout SpanAttributes) -> Void = { _ in }) {
        // SAFETY: this batch's memory, behind the spans that are there, for this call.
        var writer = unsafe SpanAttributes(ByteSink(memory + bytes, capacity: capacity - bytes))
        writer.message(2) { $0.span(span, name, attributes) }
        guard !writer.sink.isTruncated else {
            dropped &+= 1
            return
        }
        bytes += writer.sink.count
        count += 1
    }

    /// Writes an ExportTraceServiceRequest with all spans and forgets them.
    ///
    /// - Parameters:
    ///   - resource: of `encodeResource`.
    ///   - sink: room for `requestBytes`, else nothing happens.
    /// - Returns: whether it was written.
    package mutating func takeRequest(resource: Span<UInt8>, scope: StaticString = "uring-server", to sink: inout ByteSink) -> Bool {
        guard count > 0, resource.count + scope.utf8CodeUnitCount <= Self.resourceBytesMax, sink.remaining >= requestBytes(resource, scope), !sink.isTruncated else { return false }
        // SAFETY: this batch's memory; `bytes` of it are written.
        let spans = unsafe Span(_unsafeStart: memory, count: bytes)
        let scopeBytes = scope.utf8CodeUnitCount + 2 + (scope.utf8CodeUnitCount < 128 ? 0 : 2)
        let scopeSpans = 4 + scopeBytes + spans.count
        OTLPBytes.head(1, 4 + resource.count + 4 + scopeSpans, to: &sink)
        OTLPBytes.head(1, resource.count, to: &sink)
        sink.append(resource)
        OTLPBytes.head(2, scopeSpans, to: &sink)
        OTLPBytes.head(1, scopeBytes, to: &sink)
        sink.append(0x0a)
        OTLPBytes.varint(UInt64(scope.utf8CodeUnitCount), bytes: scope.utf8CodeUnitCount < 128 ? 1 : 3, to: &sink)
        sink.append(scope)
        sink.append(spans)
        (bytes, count) = (0, 0)
        return true
    }

    package func requestBytes(_ resource: Span<UInt8>, _ scope: StaticString = "uring-server") -> Int { Self.requestOverhead + resource.count + scope.utf8CodeUnitCount + bytes }

    /// A Resource, made once: `service.name` and what else the operator says.
    package static func encodeResource(_ attributes: [(name: String, value: String)], to sink: inout ByteSink) {
        for (name, value) in attributes {
            let (key, text) = (Array(name.utf8), Array(value.utf8))
            let inner = 4 + text.count
            OTLPBytes.head(1, 4 + key.count + 4 + inner, to: &sink)
            OTLPBytes.head(1, key.count, to: &sink)
            sink.append(key.span)
            OTLPBytes.head(2, inner, to: &sink)
            OTLPBytes.head(1, text.count, to: &sink)
            sink.append(text.span)
        }
    }
}

/// Attributes of a span under way (semantic conventions: `http.request.method`, `http.response.status_code`, `url.path`, …).
package struct SpanAttributes: ~Copyable {
    var sink: ByteSink

    init(_ sink: consuming ByteSink) { self.sink = sink }

    package mutating func add(_ name: StaticString, _ value: Span<UInt8>) {
        let inner = 4 + value.count
        guard value.count <= 65_536 else { return }
        key(name, value: inner)
        OTLPBytes.head(1, value.count, to: &sink)
        sink.append(value)
    }

    package mutating func add(_ name: StaticString, _ value: [UInt8]) { add(name, value.span) }

    package mutating func add(_ name: StaticString, _ value: Int64) {
        key(name, value: 11)
        sink.append(0x18)
        OTLPBytes.varint(UInt64(bitPattern: value), bytes: 10, to: &sink)
    }

    package mutating func add(_ name: StaticString, _ value: Bool) {
        key(name, value: 2)
        sink.append(0x10)
        sink.append(value ? 1 : 0)
    }

    private mutating func key(_ name: StaticString, value: Int) {
        OTLPBytes.head(9, 4 + name.utf8CodeUnitCount + 4 + value, to: &sink)
        OTLPBytes.head(1, name.utf8CodeUnitCount, to: &sink)
        sink.append(name)
        OTLPBytes.head(2, value, to: &sink)
    }

    mutating func span(_ span: SpanRecord, _ name: Span<UInt8>, _ attributes: (inout SpanAttributes) -> Void) {
        OTLPBytes.head(1, 16, to: &sink)
        sink.appendBigEndian(span.context.trace.high, bytes: 8)
        sink.appendBigEndian(span.context.trace.low, bytes: 8)
        identifier(2, span.context.span)
        if span.parent != 0 { identifier(4, span.parent) }
        OTLPBytes.head(5, min(name.count, 1024), to: &sink)
        sink.append(name, 0..<min(name.count, 1024))
        sink.append(0x30)
        sink.append(span.kind.rawValue)
        sink.append(0x39)
        sink.appendLittleEndian(span.start, bytes: 8)
        sink.append(0x41)
        sink.appendLittleEndian(span.end, bytes: 8)
        attributes(&self)
        if span.status != .unset {
            OTLPBytes.head(15, 2, to: &sink)
            sink.append(0x18)
            sink.append(span.status.rawValue)
        }
        // flags, fixed32, field 16: the W3C flags in the lowest byte.
        sink.append(0x85)
        sink.append(0x01)
        sink.appendLittleEndian(UInt64(span.context.flags), bytes: 4)
    }

    private mutating func identifier(_ field: UInt8, _ value: UInt64) {
        OTLPBytes.head(field, 8, to: &sink)
        sink.appendBigEndian(value, bytes: 8)
    }

    /// A message whose length is known behind it.
    mutating func message(_ field: UInt8, _ body: (inout SpanAttributes) -> Void) {
        OTLPBytes.head(field, 0, to: &sink)
        let start = sink.count
        body(&self)
        guard !sink.isTruncated else { return }
        let length = sink.count - start
        for place in 0..<3 { sink.overwrite(at: start - 3 + place, UInt8(length >> (7 * place) & 127) | (place < 2 ? 0x80 : 0)) }
    }
}

enum OTLPBytes {
    /// Tag of a length-delimited field and its length: 4 bytes.
    static func head(_ field: UInt8, _ length: Int, to sink: inout ByteSink) {
        sink.append(field << 3 | 2)
        varint(UInt64(length), bytes: 3, to: &sink)
    }

    /// A varint of exactly so many bytes, padded.
    static func varint(_ value: UInt64, bytes: Int, to sink: inout ByteSink) {
        for place in 0..<bytes { sink.append(UInt8(truncatingIfNeeded: value >> UInt64(7 * place) & 127) | (place < bytes - 1 ? 0x80 : 0)) }
    }
}
