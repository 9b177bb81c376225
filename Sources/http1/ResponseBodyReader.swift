// The body of one response, from the client's side (RFC 9112 6.3, 8). Sans-I/O: input is the caller's, body bytes are handed out as ranges
// of it. Made from a parsed head; lives in the exchange, used on its loop's thread.
//
//   length   ─data … all bytes─▶ end          peer's end before that: cut
//   chunked  ─data … last chunk, trailers─▶ end                       cut
//   untilClose ─data …                        peer's end: the body's
//   none, tunnel: end at once; what follows in a tunnel is not a body

public import UringHTTP

/// What the end of the connection means for the body that was being read.
@frozen @usableFromInline package enum ResponseBodyEnd: Equatable, Sendable, BitwiseCopyable {
    /// The body was known to be whole already.
    case complete
    /// The body was to end with the connection and did; nothing proves that it is whole (RFC 9112 8).
    case assumedComplete
    /// Bytes are missing: what was handed out must not be taken for a whole response.
    case truncated
}

/// Finds the end of one response's body, fed in pieces of any size. After `malformed` or `end` it is used up.
@frozen @usableFromInline package struct ResponseBodyReader: Sendable {
    @frozen @usableFromInline package enum Step: Equatable, Sendable {
        /// `input[start..<start + length]` is body, length at least 1. Everything up to its end is consumed: go on from there.
        case data(start: Int, length: Int)
        /// Everything before `consumed` is done with; go on with the bytes from there and more behind them. Bytes are left only when they
        /// begin a trailer section.
        case needMore(consumed: Int)
        /// The body is over; what stands at `consumed` and behind was not asked for, or belongs to a tunnel.
        case end(consumed: Int, trailerCount: Int)
        case malformed(ResponseFault)
    }

    @usableFromInline let framing: ResponseBodyFraming
    /// Bytes still to come, with a length.
    @usableFromInline var remaining: UInt64 = 0
    @usableFromInline var bodyBytesMax: UInt64
    @usableFromInline var chunks: ChunkedDecoder
    /// Body bytes handed out.
    package private(set) var bodyBytes: UInt64 = 0

    /// - Parameter bodyBytesMax: a longer body is `bodyTooLarge`, told at the first byte for a length, at the chunk's size for chunks, and
    ///   otherwise when the bytes are there.
    package init(_ framing: ResponseBodyFraming, bodyBytesMax: UInt64 = UInt64(Int64.max)) {
        self.framing = framing
        self.bodyBytesMax = min(bodyBytesMax, UInt64(Int64.max))
        chunks = ChunkedDecoder(bodyBytesMax: bodyBytesMax)
        if case .length(let length) = framing { remaining = length }
    }

    /// Bytes that are still to come, as far as is known; `.max`: nobody knows.
    package var bytesAhead: UInt64 {
        switch framing {
        case .none, .tunnel: 0
        case .length: remaining
        case .chunked: chunks.isDone ? 0 : .max
        case .untilClose: .max
        }
    }

    /// The body is over and whole. Never for one that ends with the connection.
    package var isDone: Bool {
        switch framing {
        case .none, .tunnel: true
        case .length: remaining == 0
        case .chunked: chunks.isDone
        case .untilClose: false
        }
    }

    /// What it means that the server's side of the connection has ended in order (for TLS: behind close_notify; without that, an end is a
    /// cut and `transportFailed` of the exchange's machine says so).
    package var endOfConnection: ResponseBodyEnd {
        if case .untilClose = framing { return .assumedComplete }
        return isDone ? .complete : .truncated
    }

    /// The next step. Call again with the input behind what the step consumed, until it needs more or ends.
    ///
    /// - Parameter trailers: storage for `trailerCapacity` slots, whose offsets count from `base`; nil to check trailers and drop them.
    package mutating func next(
        _ base: UnsafePointer<UInt8>, count: Int, trailers: UnsafeMutablePointer<FieldSlot>? = nil, trailerCapacity: Int = 0
    ) -> Step {
        // Caller's memory: `base[..<count]` readable and the slots writable for this call; nothing is kept.
        switch framing {
        case .none, .tunnel: return .end(consumed: 0, trailerCount: 0)
        case .length:
            if remaining > bodyBytesMax &- min(bodyBytes, bodyBytesMax) { return .malformed(.bodyTooLarge) }
            guard remaining > 0 else { return .end(consumed: 0, trailerCount: 0) }
            guard count > 0 else { return .needMore(consumed: 0) }
            let length = Int(min(remaining, UInt64(count)))
            remaining &-= UInt64(length)
            bodyBytes &+= UInt64(length)
            return .data(start: 0, length: length)
        case .untilClose:
            guard count > 0 else { return .needMore(consumed: 0) }
            guard UInt64(count) <= bodyBytesMax &- bodyBytes else { return .malformed(.bodyTooLarge) }
            bodyBytes &+= UInt64(count)
            return .data(start: 0, length: count)
        case .chunked:
            switch unsafe chunks.decode(base, count: count, trailers: trailers, trailerCapacity: trailerCapacity) {
            case .data(let start, let length):
                bodyBytes &+= UInt64(length)
                return .data(start: start, length: length)
            case .needMore(let consumed): return .needMore(consumed: consumed)
            case .end(let consumed, let trailerCount): return .end(consumed: consumed, trailerCount: trailerCount)
            case .malformed(let fault): return .malformed(ResponseFault(fault))
            }
        }
    }
}
