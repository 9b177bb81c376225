// The chunked transfer coding, from the receiver's side (RFC 9112 7.1). Sans-I/O: input is the caller's, body bytes are
// handed out as ranges of it, and only a few counters are kept between calls. Loop's thread.
//
// sizeStart ─digit→ size ─CR→ sizeLF ─LF→ data ─all bytes→ dataCR ─→ dataLF ─→ sizeStart
//                     └─";"→ extension ─CR┘  └─size was 0→ trailers ─empty line→ done

package import UringHTTP

/// Decodes one chunked body, fed in pieces of any size. After `malformed` or `end` it is used up.
@frozen @usableFromInline package struct ChunkedDecoder: Sendable {
    @frozen @usableFromInline package enum Step: Equatable, Sendable {
        /// `input[start..<start + length]` is body, length at least 1. Everything up to its end is consumed: go on from there.
        case data(start: Int, length: Int)
        /// Everything before `consumed` is done with. Go on with the bytes from there, of which there are some only when
        /// they are the beginning of a trailer section, and more bytes behind them.
        case needMore(consumed: Int)
        /// The body is over and the next request starts at `consumed`.
        case end(consumed: Int, trailerCount: Int)
        case malformed(RequestFault)
    }

    @frozen @usableFromInline enum State: UInt8, Sendable {
        case sizeStart, size, sizeSpace, `extension`, sizeLF, data, dataCR, dataLF, trailers, done
    }

    @usableFromInline var state = State.sizeStart
    /// Digits of the size read so far; 16 at most, so that leading zeros cannot go on forever.
    @usableFromInline var sizeDigits: UInt8 = 0
    /// The size while it is read, then the bytes of the chunk still to come.
    @usableFromInline var remaining: UInt64 = 0
    /// Extension bytes not yet outweighed by body bytes.
    @usableFromInline var extensionBytes: UInt64 = 0
    /// Bytes of the trailer section that were looked at and not consumed.
    @usableFromInline var trailerScanned = 0
    @usableFromInline let bodyBytesMax: UInt64

    /// Body bytes announced by the chunk sizes so far, those handed out included.
    package private(set) var bodyBytes: UInt64 = 0

    /// - Parameter bodyBytesMax: a chunk that would make the body longer is `bodyTooLarge`, told at its size.
    package init(bodyBytesMax: UInt64 = UInt64(Int64.max)) {
        self.bodyBytesMax = min(bodyBytesMax, UInt64(Int64.max))
    }

    package var isDone: Bool { state == .done }
}

extension ChunkedDecoder {
    /// The next step. Call again with the input behind what the step consumed, until it needs more or ends.
    ///
    /// - Parameters:
    ///   - trailers: storage for `trailerCapacity` slots, whose offsets count from `base`; nil to check trailers and drop them.
    ///     More fields than the storage holds, or than `ParserLimits.trailerCountMax`, is `tooManyFields`.
    package mutating func decode(
        _ base: UnsafePointer<UInt8>, count: Int, trailers: UnsafeMutablePointer<FieldSlot>? = nil, trailerCapacity: Int = 0
    ) -> Step {
        // Caller's memory: `base[..<count]` readable and the slots writable for this call; nothing is kept.
        var at = 0
        while at < count {
            switch state {
            case .data:
                let length = Int(min(remaining, UInt64(count &- at)))
                remaining &-= UInt64(length)
                if remaining == 0 { state = .dataCR }
                return .data(start: at, length: length)
            case .trailers:
                return unsafe decodeTrailers(base, from: at, count: count, slots: trailers, capacity: trailerCapacity)
            case .done:
                return .end(consumed: at, trailerCount: 0)
            default:
                if let fault = unsafe takeFraming(base[at]) { return .malformed(fault) }
                at &+= 1
            }
        }
        return state == .done ? .end(consumed: at, trailerCount: 0) : .needMore(consumed: at)
    }

    /// Decodes everything in a buffer and moves the body bytes to its front. Answers their number and the step that
    /// stopped, never `data`. Bytes from the step's `consumed` on are where they were.
    package mutating func decodeInPlace(_ base: UnsafeMutablePointer<UInt8>, count: Int) -> (bodyLength: Int, step: Step) {
        // Caller's memory: `base[..<count]` readable and writable for this call.
        var from = 0
        var to = 0
        while true {
            switch unsafe decode(base + from, count: count &- from) {
            case .data(let start, let length):
                if to != from &+ start { unsafe (base + to).update(from: base + from + start, count: length) }
                to &+= length
                from &+= start &+ length
            case .needMore(let consumed): return (to, .needMore(consumed: from &+ consumed))
            case .end(let consumed, let trailerCount): return (to, .end(consumed: from &+ consumed, trailerCount: trailerCount))
            case .malformed(let fault): return (to, .malformed(fault))
            }
        }
    }
}

extension ChunkedDecoder {
    /// One byte of what stands between the data of two chunks.
    private mutating func takeFraming(_ byte: UInt8) -> RequestFault? {
        switch state {
        case .sizeStart:
            guard let digit = hexDigitValue(byte) else { return .badChunkSize }
            remaining = UInt64(digit)
            sizeDigits = 1
            state = .size
        case .size: return takeSize(byte)
        case .sizeSpace:
            // White space is only tolerated before an extension (RFC 9112 7.1.1), where the grammar has it.
            if byte == 0x3b { state = .extension } else if byte != 0x20 && byte != 0x09 { return .badChunkSize }
            return chargeExtension()
        case .extension:
            if byte == 0x0d {
                state = .sizeLF
            } else if ByteSet.fieldValue.contains(byte) {
                return chargeExtension()
            } else {
                return byte == 0x0a ? .bareLF : .badChunkExtension
            }
        case .sizeLF: return byte == 0x0a ? endSize() : .bareCR
        case .dataCR:
            guard byte == 0x0d else { return .badChunkEnd }
            state = .dataLF
        case .dataLF:
            guard byte == 0x0a else { return .badChunkEnd }
            state = .sizeStart
        case .data, .trailers, .done: break
        }
        return nil
    }

    private mutating func takeSize(_ byte: UInt8) -> RequestFault? {
        if let digit = hexDigitValue(byte) {
            guard sizeDigits < 16, remaining <= UInt64(Int64.max) >> 4 else { return .badChunkSize }
            remaining = remaining << 4 | UInt64(digit)
            sizeDigits &+= 1
            return nil
        }
        switch byte {
        case 0x0d: state = .sizeLF
        case 0x3b:
            state = .extension
            return chargeExtension()
        case 0x20, 0x09:
            state = .sizeSpace
            return chargeExtension()
        case 0x0a: return .bareLF
        default: return .badChunkSize
        }
        return nil
    }

    private mutating func chargeExtension() -> RequestFault? {
        extensionBytes &+= 1
        return extensionBytes > UInt64(ParserLimits.chunkExtensionBytesMax) ? .chunkExtensionsTooLong : nil
    }

    /// The size line is complete.
    private mutating func endSize() -> RequestFault? {
        if remaining == 0 {
            state = .trailers
            return nil
        }
        // Both are at most Int64.max, so the sum fits.
        let total = bodyBytes &+ remaining
        guard total <= bodyBytesMax else { return .bodyTooLarge }
        bodyBytes = total
        extensionBytes -= min(extensionBytes, remaining)
        state = .data
        return nil
    }

    /// Reads the trailer section once it is whole; until then its bytes stay with the caller.
    private mutating func decodeTrailers(
        _ base: UnsafePointer<UInt8>, from start: Int, count: Int, slots: UnsafeMutablePointer<FieldSlot>?, capacity: Int
    ) -> Step {
        // Caller's memory, see `decode`.
        let available = count &- start
        let limit = ParserLimits.trailerBytesMax
        let scanned = min(trailerScanned, available)
        if scanned > 0, unsafe RequestParser.canWait(base + start, count: available, scanned: scanned, mark: limit, mark: limit) {
            trailerScanned = available
            return .needMore(consumed: start)
        }
        let end = unsafe base + start + min(available, limit)
        if let slots = unsafe slots {
            let room = min(capacity, ParserLimits.trailerCountMax)
            return unsafe readTrailers(base, from: start, end: end, available: available, slots: slots, stride: 1, room: room)
        }
        var dropped = FieldSlot(nameOffset: 0, valueOffset: 0, valueLength: 0, nameLength: 0, known: .other)
        return unsafe readTrailers(
            base, from: start, end: end, available: available, slots: &dropped, stride: 0, room: ParserLimits.trailerCountMax)
    }

    /// Reads lines into `slots`, `stride` apart: 0 overwrites one slot again and again.
    private mutating func readTrailers(
        _ base: UnsafePointer<UInt8>, from start: Int, end: UnsafePointer<UInt8>, available: Int,
        slots: UnsafeMutablePointer<FieldSlot>, stride: Int, room: Int
    ) -> Step {
        // Caller's memory, see `decode`.
        var cursor = unsafe base + start
        var trailerCount = 0
        while true {
            // Without room only the empty line may follow, for which the slot is not written.
            if unsafe trailerCount >= room && cursor < end && cursor[0] != 0x0d { return .malformed(.tooManyFields) }
            let slot = unsafe slots + trailerCount &* stride
            switch unsafe FieldSectionParser.next(&cursor, end: end, base: base, slot: slot) {
            case .field:
                guard unsafe !slot.pointee.known.isForbiddenInTrailers else { return .malformed(.forbiddenTrailer) }
                trailerCount &+= 1
            case .end:
                state = .done
                return unsafe .end(consumed: cursor - base, trailerCount: trailerCount)
            case .outOfBytes:
                guard available < ParserLimits.trailerBytesMax else { return .malformed(.trailersTooLarge) }
                trailerScanned = available
                return .needMore(consumed: start)
            case .malformed(let fault): return .malformed(fault)
            }
        }
    }
}
