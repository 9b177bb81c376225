// Content codings: how a step (ResponseSteps) makes other content of a response's content. For modules of this package that bring codecs; the loop's thread.

internal import Glibc
package import UringHTTP
internal import UringHTTP1

/// A stream of some content coding. Used by one loop.
package protocol ContentEncoder: AnyObject {
    /// Begins a stream.
    /// - Parameter size: how many bytes it will have in all, when that is known.
    /// - Returns: false when there is no memory.
    func begin(size: Int?) -> Bool
    /// Appends what comes of `bytes` to `out`. False when the stream is lost.
    func encode(_ bytes: UnsafeBufferPointer<UInt8>, _ piece: ContentPiece, into out: inout GrowingBytes) -> Bool
    /// The stream is over, or nobody wants the rest of it. Called once for each `begin`.
    func end()
}

package enum ContentPiece: Sendable {
    /// More follows at once.
    case part
    /// More follows some time: the client is to have all of this now.
    case pause
    case last
}

/// What the content of a response is, for those that would encode it.
package enum ContentShape: Sendable, Equatable {
    case memory(bytes: Int)
    /// Made piece by piece while the client takes it.
    case produced
    /// Comes of another server, in pieces unless it has come whole; nil: of unknown length.
    case relayed(bytes: UInt64?)
    /// All of a file: leaves without passing through this program.
    case wholeFile(bytes: UInt64)
    /// Parts of a file, or none of this response's own.
    case file
}

extension Response {
    package var contentShape: ContentShape {
        guard unsafe state.pointee.hasSpecialContent else { return unsafe .memory(bytes: state.pointee.body.count) }
        return switch unsafe state.pointee.content {
        case .written: unsafe .memory(bytes: state.pointee.body.count)
        case .shared(let bytes): .memory(bytes: bytes.count)
        case .file(let content): content.wholeBytes.map { .wholeFile(bytes: $0) } ?? .file
        case .tunnel: .file
        case .produced: .produced
        case .relayed(let length, _): .relayed(bytes: length)
        }
    }

    /// A response to HEAD, whose content is not sent.
    package var isHead: Bool { unsafe state.pointee.isHead }

    /// No response but the beginning of another protocol.
    package var isUpgrade: Bool { unsafe state.pointee.upgrade != nil || state.pointee.tunnel != nil }

    /// Up to here content in memory is encoded at once: 128 KiB of text take 0.7 to 3.5 ms with the default levels. More is encoded while the client takes it, so that other connections have their turn.
    package static var encodedAtOnceMax: Int { 128 * 1024 }

    /// Replaces content that is in memory, of at most `encodedAtOnceMax` bytes, by what `encoder` makes of it.
    /// - Parameter onlyIfSmaller: leaves the content as it is when encoding does not make it smaller.
    /// - Returns: whether the content is encoded now.
    package func encodeWritten(_ encoder: any ContentEncoder, onlyIfSmaller: Bool) -> Bool {
        // SAFETY: the loop's buffer for producers' pieces, none of which is at work during a step. The two buffers change places, no byte is copied.
        unsafe context.pointee.loop._withUnsafeGuaranteedRef { loop in
            let out = unsafe loop.scratch
            unsafe out.pointee.count = 0
            let before: Int
            let isWhole: Bool
            if unsafe state.pointee.hasSpecialContent, case .shared(let bytes) = unsafe state.pointee.content {
                before = bytes.count
                isWhole = unsafe encoder.begin(size: before) && encoder.encode(UnsafeBufferPointer(start: bytes.base, count: before), .last, into: &out.pointee)
            } else {
                before = unsafe state.pointee.body.count
                isWhole = unsafe encoder.begin(size: before)
                    && encoder.encode(UnsafeBufferPointer(start: state.pointee.body.base, count: before), .last, into: &out.pointee)
            }
            encoder.end()
            guard isWhole, unsafe !onlyIfSmaller || out.pointee.count < before else { return false }
            unsafe swap(&out.pointee, &state.pointee.body)
            unsafe out.pointee.count = 0
            unsafe state.pointee.content = .written
            unsafe state.pointee.hasSpecialContent = false
            if unsafe state.pointee.setFields.contains(.contentLength) { _ = headers.removeContentLength() }
            return true
        }
    }

    /// Has `encoder` encode the content while the client takes it, wherever it comes from. Its length is not known then.
    /// - Returns: false, and nothing changes, for parts of files, for a file that would have to be waited for, and when there is no memory.
    package func encodeStream(_ encoder: any ContentEncoder) -> Bool {
        var length: UInt64?
        let source: ResponseProducer
        let content = unsafe state.pointee.hasSpecialContent ? state.pointee.content : .written
        switch content {
        case .tunnel: return refuse(encoder)
        case .relayed(let length, _): return length != 0 && encodeRelayed(encoder) || refuse(encoder)
        case .file(let content):
            // SAFETY: the loop is the one that runs this, and outlives its producers.
            guard let file = unsafe FileSource(content, context.pointee.loop) else { return refuse(encoder) }
            (source, length) = (file.producer, content.length)
        case .produced(let producer, let announced): (source, length) = (producer, announced)
        case .shared(let bytes): source = MemorySource(bytes).producer
        case .written: source = unsafe MemorySource(SharedBytes(UnsafeBufferPointer(start: state.pointee.body.base, count: state.pointee.body.count))).producer
        }
        guard encoder.begin(size: nil) else { return refuse(encoder) }
        unsafe state.pointee.body.count = 0
        let stage = EncodingStage(source, encoder, length: length)
        unsafe state.pointee.content = .produced(ResponseProducer { writer in try stage.next(&writer) }, length: nil)
        unsafe state.pointee.hasSpecialContent = true
        if unsafe state.pointee.setFields.contains(.contentLength) { _ = headers.removeContentLength() }
        return true
    }

    private func refuse(_ encoder: any ContentEncoder) -> Bool {
        encoder.end()
        return false
    }

    private func encodeRelayed(_ encoder: any ContentEncoder) -> Bool {
        guard encoder.begin(size: nil) else { return false }
        unsafe state.pointee.content = .relayed(length: nil, through: RelayEncoder(encoder))
        return true
    }

    /// For HEAD: the content that GET would send has a length that nobody knows (RFC 9110 section 9.3.2 lets it out).
    package func forgetContentLength() {
        unsafe state.pointee.content = .produced(Self.nothing, length: nil)
        unsafe state.pointee.hasSpecialContent = true
        if unsafe state.pointee.setFields.contains(.contentLength) { _ = headers.removeContentLength() }
    }

    /// Never called: it stands where a response to HEAD has no content. Immutable, so loops may share it.
    nonisolated(unsafe) private static let nothing = ResponseProducer { _ in .end }
}

/// Content in memory, handed out in pieces.
private final class MemorySource {
    private let bytes: SharedBytes
    private var sent = 0

    init(_ bytes: SharedBytes) { self.bytes = bytes }

    var producer: ResponseProducer {
        ResponseProducer { writer in
            let count = min(ResponseWriter.preferredBytes, self.bytes.count - self.sent)
            // SAFETY: the object lives through the call.
            unsafe writer.write(Span(_unsafeStart: self.bytes.base + self.sent, count: count))
            self.sent += count
            return self.sent == self.bytes.count ? .end : .more
        }
    }
}

/// A producer wrote more or less than it had announced.
private struct ContentLengthMismatch: Error, CustomStringConvertible {
    var description: String { "a streamed response is longer or shorter than the length it announced" }
}

/// Stands between a producer and the loop: what the producer writes leaves encoded.
///
/// A producer that goes on writes into the encoder; one that waits, or has nothing for now, has what it wrote put out at once, so that events arrive when they happen.
@safe
private final class EncodingStage {
    /// What is taken of a producer in one call while nothing comes out of the encoder: a few hundred µs of work.
    private static let inputMax = 256 * 1024

    private let source: ResponseProducer
    private let encoder: any ContentEncoder
    private let plain: UnsafeMutablePointer<GrowingBytes>
    /// Of the length that the producer announced.
    private var remaining: UInt64?
    /// The encoder holds bytes that the client does not have.
    private var holds = false

    init(_ source: ResponseProducer, _ encoder: any ContentEncoder, length: UInt64?) {
        (self.source, self.encoder, remaining) = (source, encoder, length)
        unsafe plain = .allocate(capacity: 1)
        unsafe plain.initialize(to: GrowingBytes(capacity: 4096))
    }

    deinit {
        encoder.end()
        unsafe plain.pointee.destroy()
        unsafe plain.deallocate()
    }

    func next(_ writer: inout ResponseWriter) throws -> StreamStep {
        var taken = 0
        while true {
            unsafe plain.pointee.count = 0
            let step: StreamStep
            do {
                // SAFETY: both buffers outlive this call.
                var inner = unsafe ResponseWriter(plain, writer.trailers)
                step = try source.next(&inner)
            }
            let count = unsafe plain.pointee.count
            try subtract(count)
            taken &+= count
            switch step {
            case .end:
                if let remaining, remaining > 0 { throw ContentLengthMismatch() }
                try encode(.last, &writer)
                return step
            case .wait:
                if count > 0 || holds { try encode(.pause, &writer) }
                return step
            case .more where count == 0:
                if holds { try encode(.pause, &writer) }
                return step
            case .more:
                // Asked again at once when nothing came out: the loop would take that for a producer with nothing to say.
                let isEnough = taken >= Self.inputMax
                try encode(isEnough && writer.written == 0 ? .pause : .part, &writer)
                if writer.written > 0 { return step }
            }
        }
    }

    private func subtract(_ bytes: Int) throws {
        guard let left = remaining else { return }
        guard UInt64(bytes) <= left else { throw ContentLengthMismatch() }
        remaining = left &- UInt64(bytes)
    }

    private func encode(_ piece: ContentPiece, _ writer: inout ResponseWriter) throws {
        // SAFETY: the producer's bytes lie in this object's buffer; the writer's is another. By its pointer: an address taken through the writer escapes it, says a
        // compiler that builds for the thread sanitizer.
        let out = unsafe writer.buffer
        let isWhole = unsafe encoder.encode(UnsafeBufferPointer(start: plain.pointee.base, count: plain.pointee.count), piece, into: &out.pointee)
        guard isWhole else { throw OutOfMemory() }
        holds = piece == .part
    }

    private struct OutOfMemory: Error, CustomStringConvertible {
        var description: String { "no memory to encode a response" }
    }
}

// MARK: fields, without Strings

extension Response {
    /// Whether any line of the field `name` has a value for which `test` is true.
    package func hasField(_ name: StaticString, where test: (UnsafeBufferPointer<UInt8>) -> Bool) -> Bool {
        let base = unsafe state.pointee.fields.base
        var start = 0
        while let line = headers.find(name, from: start) {
            // SAFETY: the fields' memory stays where it is: `test` has no way to the response.
            if unsafe test(UnsafeBufferPointer(start: base + line.value, count: line.end - 2 - line.value)) { return true }
            start = line.end
        }
        return false
    }

    package func hasField(_ name: StaticString) -> Bool { headers.find(name) != nil }

    /// Makes a strong entity-tag weak: the same content comes in several codings, made anew each time (RFC 9110 section 8.8.1).
    package func weakenEntityTag() {
        guard let line = headers.find("etag"), line.end - line.value > 3 else { return }
        let start = line.value
        guard unsafe state.pointee.fields.base[start] == UInt8(ascii: "\"") else { return }
        unsafe state.pointee.fields.reserve(2)
        let (base, count) = unsafe (state.pointee.fields.base, state.pointee.fields.count)
        unsafe memmove(base + start + 2, base + start, count - start)
        unsafe (base[start], base[start + 1]) = (UInt8(ascii: "W"), UInt8(ascii: "/"))
        unsafe state.pointee.fields.count = count + 2
    }

    /// Adds `Vary: name` unless a line of it says so, or `*`, already.
    /// - Parameter name: in lower case.
    package func vary(on name: StaticString) {
        let isThere = unsafe hasField("vary") { value in
            guard let base = value.baseAddress else { return false }
            var list = FieldListIterator(count: value.count)
            // SAFETY: the value's memory is readable during this call.
            while let item = unsafe list.next(in: base) {
                if unsafe equalsIgnoringCase(base + item.lowerBound, count: item.count, name) || (item.count == 1 && base[item.lowerBound] == UInt8(ascii: "*")) { return true }
            }
            return false
        }
        if !isThere { headers.add("vary", ByteView(name.bytes)) }
    }
}

extension Request {
    /// What the request's `Accept-Encoding` says, all lines of it.
    package var acceptEncoding: AcceptEncoding {
        var place = FileFields.Place()
        for index in 0..<headers.count {
            // SAFETY: the index is within the head's fields, which the loop keeps until the handler has returned.
            if unsafe context.pointee.fields[index].known == .acceptEncoding { place.note(index) }
        }
        let list = FileFields.joined(place, self)
        guard let value = FileFields.value(place, self, list) else { return AcceptEncoding() }
        return AcceptEncoding(value)
    }
}
