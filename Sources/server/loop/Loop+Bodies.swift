// Bodies that are kept until they are whole, then handed over in one piece. The loop's thread.
// Pointers: a connection's slot stays valid until the turn that ends it is over, the loop's own memory until the loop ends.

internal import CUring
internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringRing

extension Loop {
    func beginBody(_ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>, _ available: inout Int) -> Int? {
        let count = available
        let policy = unsafe settings.pointee.policy
        var progress = unsafe BodyProgress()
        let limit = unsafe bodyLimit(connection, base)
        switch unsafe head.pointee.framing {
        case .none: preconditionFailure("BUG: a body without framing")
        case .chunked:
            unsafe progress.chunked = true
            unsafe progress.decoder = ChunkedDecoder(bodyBytesMax: limit)
        case .length(let length):
            guard length <= limit else {
                unsafe fault(connection, .bodyTooLarge)
                return count
            }
            unsafe progress.remaining = length
        }
        unsafe progress.headLength = unsafe head.pointee.headLength
        unsafe (progress.bodyEnd, progress.rawPosition, progress.credited) = unsafe (progress.headLength, progress.headLength, progress.headLength)
        let expects = unsafe head.pointee.expectContinue
        unsafe connection.pointee.machine.headParsed(
            hasBody: true, clientKeepsAlive: head.pointee.keepAlive, expectsContinue: expects, now: state.pointee.now, policy)
        if unsafe state.pointee.streamsBodies, unsafe wantsStream(connection, base) {
            unsafe progress.mode = .stream
            unsafe connection.pointee.body = unsafe progress
            unsafe beginStreamed(connection, base)
            return unsafe progress.headLength
        }
        unsafe progress.mode = .buffer
        unsafe connection.pointee.body = unsafe progress
        // A client that sends its body at once has not waited, and needs no 100 (RFC 9110 section 10.1.1).
        if expects, unsafe count == progress.headLength { unsafe sendContinue(connection) }
        if let used = unsafe continueBuffered(connection, base, &available) { return used }
        unsafe armTimer(connection)
        return nil
    }

    func sendContinue(_ connection: UnsafeMutablePointer<Connection>) {
        if unsafe connection.pointee.flags.contains(.stream) { return unsafe sendContinueOnStream(connection) }
        let text = ResponseEncoder.continueResponse
        unsafe appendOutput(connection, text.utf8Start, text.utf8CodeUnitCount)
        if unsafe connection.pointee.flags.contains(.closing) { return }
        unsafe connection.pointee.machine.outputQueued(UInt64(text.utf8CodeUnitCount), now: state.pointee.now, settings.pointee.policy)
        unsafe connection.pointee.machine.continueSent(now: state.pointee.now, settings.pointee.policy)
    }

    /// nil while the body is not whole. `available` shrinks by the chunked coding that was removed.
    func continueBuffered(
        _ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>, _ available: inout Int
    ) -> Int? {
        let progress = unsafe connection.pointee.body
        let fresh = unsafe available &- progress.credited
        if fresh > 0 { unsafe connection.pointee.machine.bodyBytes(UInt64(fresh), now: state.pointee.now, settings.pointee.policy) }
        if unsafe !progress.chunked {
            let total = unsafe UInt64(progress.headLength) &+ progress.remaining
            guard UInt64(available) >= total else {
                unsafe (connection.pointee.body.rawPosition, connection.pointee.body.credited) = (available, available)
                return nil
            }
            unsafe bodyComplete(connection, base, base + progress.headLength, Int(progress.remaining), trailerBase: base, 0)
            return Int(total)
        }
        var (to, from) = unsafe (progress.bodyEnd, progress.rawPosition)
        while true {
            switch unsafe connection.pointee.body.decoder.decode(
                base + from, count: available &- from, trailers: trailers, trailerCapacity: ParserLimits.trailerCountMax)
            {
            case .data(let offset, let length):
                unsafe memmove(base + to, base + from + offset, length)
                to &+= length
                from &+= offset &+ length
            case .needMore(let consumed):
                from &+= consumed
                let tail = available &- from
                if tail > 0, to != from { unsafe memmove(base + to, base + from, tail) }
                unsafe (connection.pointee.body.bodyEnd, connection.pointee.body.rawPosition) = (to, to)
                available = to &+ tail
                unsafe connection.pointee.body.credited = available
                return nil
            case .end(let consumed, let trailerCount):
                unsafe bodyComplete(connection, base, base + progress.headLength, to &- progress.headLength, trailerBase: base + from, trailerCount)
                return from &+ consumed
            case .malformed(let fault):
                unsafe connection.pointee.body = unsafe BodyProgress()
                unsafe self.fault(connection, fault)
                return available
            }
        }
    }

    func bodyComplete(
        _ connection: UnsafeMutablePointer<Connection>, _ base: UnsafeMutablePointer<UInt8>, _ body: UnsafeMutablePointer<UInt8>, _ bodyCount: Int,
        trailerBase: UnsafePointer<UInt8>, _ trailerCount: Int
    ) {
        // The head was parsed once already; parsing it again is cheaper than keeping a table of fields for every connection with a body.
        let outcome = unsafe RequestParser.parse(
            base, count: connection.pointee.body.headLength, alreadyScanned: 0, head: head, fields: fields,
            fieldCapacity: settings.pointee.fieldCapacity, limits: settings.pointee.limits)
        unsafe connection.pointee.body = unsafe BodyProgress()
        guard case .complete = outcome else { return unsafe fault(connection, .badLeadingLines) }
        unsafe layOut(connection, base, body: body, bodyCount)
        unsafe layOutTrailers(trailerBase, trailerCount)
        _ = unsafe connection.pointee.machine.bodyEnded(now: state.pointee.now, settings.pointee.policy)
        unsafe connection.pointee.machine.handlerStarted(now: state.pointee.now, settings.pointee.policy)
        unsafe response.pointee.begin(isHead: head.pointee.method == .head, streaming: false)
        let elapsed = unsafe callHandler(connection)
        unsafe finishResponse(connection, base, (body - base) + bodyCount, unread: 0, elapsed)
    }
}
