// TLS: the one place where ciphertext meets connections. Input is decrypted before anything looks at it (`receivedSealed`); output is encrypted
// when it leaves (`seal`), in front of the socket and behind everything that writes. The loop's thread.
//
// The output of a connection is ciphertext first, then plaintext that was not encrypted yet: `sealedCount` bytes of the batch, and the segments
// with `isSealed`. Only ciphertext is ever given to the kernel.
//
// Pointers: a connection's slot stays valid until the turn that ends it is over, its session until its slot is released, the loop's own memory
// until the loop ends.

internal import CUring
internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringHTTP1
internal import UringRing
internal import UringTLS

extension Loop {
    /// Plaintext that is encrypted for one connection before others have their turn.
    static var sealedBytesPerTurn: Int { 128 * 1024 }

    // MARK: input

    /// Decrypts what arrived. Nothing of `bytes` is left over: OpenSSL keeps the beginning of a record itself.
    func receivedSealed(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) {
        // After the last response nobody reads: not even OpenSSL.
        guard unsafe !connection.pointee.machine.isEnding else {
            _ = unsafe discardInput(connection, count, count)
            return
        }
        guard let tls = unsafe connection.pointee.tls ?? beginTLS(connection, count) else { return unsafe shed(connection) }
        unsafe tls.pointee.session.feed(bytes, count)
        if unsafe !tls.pointee.isEstablished {
            guard unsafe shakeHands(connection, tls) else { return }
        }
        while unsafe !connection.pointee.flags.contains(.closing) {
            var sink = unsafe sealedSink
            mark(.dispatch)
            let result = unsafe tls.pointee.session.read(into: plaintext, capacity: Self.plaintextBytes, &sink)
            mark(.decrypt)
            if unsafe !sink.isEmpty { unsafe insertSealed(connection, &sink) }
            switch result {
            case .bytes(let count):
                if unsafe connection.pointee.machine.isEnding {
                    _ = unsafe discardInput(connection, count, count)
                } else {
                    unsafe input(connection, plaintext, count)
                }
            case .more: return
            case .closed: return unsafe endOfInput(connection)
            case .failed(let failure): return unsafe tlsFailed(connection, tls, failure)
            }
        }
    }

    private func beginTLS(_ connection: UnsafeMutablePointer<Connection>, _ count: Int) -> UnsafeMutablePointer<TLSTransport>? {
        let listener = unsafe state.pointee.listeners[Int(connection.pointee.listener)]
        // A reload may have made the listener one in clear since this client was accepted.
        guard let context = listener.context else { return nil }
        guard unsafe state.pointee.handshakes < listener.handshakesMax, let session = unsafe context.makeSession() else {
            unsafe meter.pointee.handshakesRefused &+= 1
            return nil
        }
        let tls = UnsafeMutablePointer<TLSTransport>.allocate(capacity: 1)
        unsafe tls.initialize(to: TLSTransport(session: session, context: .passRetained(context)))
        unsafe connection.pointee.tls = unsafe tls
        unsafe state.pointee.handshakes &+= 1
        unsafe handshakeBegan(connection, tls, count)
        return unsafe tls
    }

    func endTLS(_ connection: UnsafeMutablePointer<Connection>) {
        guard let tls = unsafe connection.pointee.tls else { return }
        if unsafe !tls.pointee.isEstablished, unsafe tls.pointee.context != nil {
            unsafe state.pointee.handshakes &-= 1
            // A failed one has been told.
            if unsafe tls.pointee.session.failure == nil { unsafe handshakeEnded(connection, tls) }
        }
        unsafe connection.pointee.tls = nil
        unsafe free(tls.pointee.clientSubject)
        unsafe free(tls.pointee.clientNames)
        unsafe tls.pointee.session.destroy()
        let isLast = unsafe tls.pointee.context?.takeUnretainedValue().sessionCount == 0
        unsafe tls.pointee.context?.release()
        unsafe tls.pointee.client?.release()
        // The last of a context that a reload has replaced: its keys go now.
        if isLast { unsafe state.pointee.formerContexts.settle() }
        unsafe tls.deinitialize(count: 1)
        unsafe tls.deallocate()
    }

    /// True when the handshake is complete.
    func shakeHands(_ connection: UnsafeMutablePointer<Connection>, _ tls: UnsafeMutablePointer<TLSTransport>) -> Bool {
        var sink = unsafe sealedSink
        mark(.dispatch)
        let start = unsafe handshakeTicks(tls)
        let step = unsafe tls.pointee.session.handshake(&sink)
        mark(.handshake)
        unsafe handshakeStepped(connection, tls, from: start, wroteFlight: step == .more && !sink.isEmpty)
        if unsafe !sink.isEmpty {
            if step == .more { unsafe sendFlight(connection, &sink) } else { unsafe insertSealed(connection, &sink) }
        }
        switch step {
        case .more:
            unsafe armTimer(connection)
            return false
        case .failed(let failure):
            unsafe tlsFailed(connection, tls, failure)
            return false
        case .done:
            unsafe tls.pointee.isEstablished = true
            if unsafe connection.pointee.flags.contains(.outgoing) { return unsafe outgoingSecured(connection) }
            unsafe state.pointee.handshakes &-= 1
            unsafe handshakeEnded(connection, tls)
            if unsafe tls.pointee.session.hasClientCertificate { unsafe keepSubject(tls) }
            unsafe connection.pointee.machine.established(now: state.pointee.now, settings.pointee.policy)
            // Its requests may be many: no further handshake costs a receive of its own.
            if unsafe tls.pointee.session.isHTTP2 { unsafe beginHTTP2(connection) }
            return unsafe !connection.pointee.flags.contains(.closing)
        }
    }

    /// Sends a flight of the handshake at once when there is more to do in this turn: other handshakes may take the loop milliseconds before the batch leaves, and the
    /// client can work on this one meanwhile. (RSA-2048, 16 clients at a time: 1,380 to 1,540 handshakes a second with the batch, 1,650 to 1,900 so, for the same CPU time.)
    private func sendFlight(_ connection: UnsafeMutablePointer<Connection>, _ sink: inout TLSOutput) {
        guard unsafe ur_cq_ready(ring) > 0, unsafe connection.pointee.queue.isEmpty, unsafe connection.pointee.batchCount == 0, unsafe connection.pointee.sending == .none, unsafe sink.spillCount == 0
        else { return unsafe insertSealed(connection, &sink) }
        let count = unsafe sink.count
        // An error is for the send of the batch to find.
        let sent = unsafe max(0, kernel.send(connection.pointee.fd, sealedRoom, count, more: false))
        unsafe sink.reset()
        unsafe connection.pointee.bytesSent &+= UInt64(sent)
        unsafe bytesLeft(connection, UInt64(sent))
        guard sent < count else { return }
        unsafe insertSealed(connection, sealedRoom + sent, count &- sent)
        unsafe grewBy(connection, count &- sent)
    }

    private func keepSubject(_ tls: UnsafeMutablePointer<TLSTransport>) {
        guard let subject = unsafe tls.pointee.session.clientSubject else { return }
        let bytes = Array(subject.utf8)
        guard let memory = unsafe malloc(max(bytes.count, 1)) else { return }
        unsafe bytes.withUnsafeBytes { unsafe memory.copyMemory(from: $0.baseAddress!, byteCount: bytes.count) }
        unsafe (tls.pointee.clientSubject, tls.pointee.clientSubjectCount) = unsafe (memory.assumingMemoryBound(to: UInt8.self), bytes.count)
    }

    /// The peer does not speak TLS as it should. The alert, or a word in clear to who speaks HTTP, is in the output; then the connection ends.
    private func tlsFailed(_ connection: UnsafeMutablePointer<Connection>, _ tls: UnsafeMutablePointer<TLSTransport>, _ failure: TLSFailure) {
        unsafe tls.pointee.isShutDown = true
        unsafe because(connection, .refused)
        if unsafe connection.pointee.flags.contains(.outgoing) { return unsafe outgoingFailed(connection, failure) }
        if unsafe !tls.pointee.isEstablished { unsafe handshakeEnded(connection, tls) }
        if failure.cause == .plainHTTP {
            // As nginx does: who typed http:// for https:// learns it.
            let answer: StaticString = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 59\r\nconnection: close\r\n\r\nThis port speaks HTTPS: the address begins with https://.\r\n"
            unsafe insertSealed(connection, answer.utf8Start, answer.utf8CodeUnitCount)
            unsafe grewBy(connection, answer.utf8CodeUnitCount)
        }
        if unsafe connection.pointee.flags.contains(.closing) { return }
        unsafe dropPlaintext(connection)
        unsafe perform(connection, connection.pointee.machine.transportFailed(now: state.pointee.now, settings.pointee.policy))
    }

    // MARK: output

    /// Where OpenSSL's own messages (handshake, alerts, key updates) are written before they have a place in the output.
    private var sealedSink: TLSOutput { unsafe TLSOutput(base: sealedRoom, capacity: Self.sealedRoomBytes) }
    static var sealedRoomBytes: Int { 20 * 1024 }
    /// A close_notify is a record of two bytes.
    private static var alertBytes: Int { 64 }
    /// A record at most (RFC 8446 section 5.1).
    static var plaintextBytes: Int { 16 * 1024 }

    /// Puts OpenSSL's own message behind the ciphertext and in front of plaintext that waits: records are numbered in the order they were made.
    private func insertSealed(_ connection: UnsafeMutablePointer<Connection>, _ sink: inout TLSOutput) {
        let total = unsafe sink.total
        unsafe insertSealed(connection, sealedRoom, sink.count)
        if let spill = unsafe sink.takeSpill() {
            unsafe insertSealed(connection, spill.base, spill.count)
            unsafe free(spill.base)
        }
        unsafe grewBy(connection, total)
    }

    private func grewBy(_ connection: UnsafeMutablePointer<Connection>, _ count: Int) {
        if unsafe connection.pointee.flags.contains(.closing) { return }
        unsafe outputGrew(connection, UInt64(count))
        unsafe markDirty(connection)
    }

    /// What is not sent has become longer by bytes of TLS.
    private func outputGrew(_ connection: UnsafeMutablePointer<Connection>, _ count: UInt64) {
        unsafe connection.pointee.machine.outputGrew(count, now: state.pointee.now, settings.pointee.policy)
        unsafe connection.pointee.trace?.pointee.shift(by: count)
    }

    private func insertSealed(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        guard count > 0, unsafe !connection.pointee.flags.contains(.closing) else { return }
        let waiting = unsafe connection.pointee.batchCount &- connection.pointee.sealedCount
        if unsafe connection.pointee.queue.isEmpty && connection.pointee.sending == .none, unsafe batch.pointee.space >= count,
            let out = unsafe reserve(connection, count), unsafe connection.pointee.queue.isEmpty
        {
            // The batch ends at the arena's cursor, which is where `out` is.
            unsafe memmove(out + count - waiting, out - waiting, waiting)
            unsafe memcpy(out - waiting, bytes, count)
            unsafe commit(connection, count)
            unsafe connection.pointee.sealedCount &+= count
            return
        }
        // What a send under way covers is ciphertext and stays where it is.
        if unsafe connection.pointee.sending == .none, unsafe !preserveBatch(connection) { return unsafe shed(connection) }
        guard let segment = unsafe sealedCopy(bytes, count) else { return unsafe shed(connection) }
        unsafe connection.pointee.queue.insertSealed(segment)
    }

    private func prependSealed(_ connection: UnsafeMutablePointer<Connection>, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        guard let segment = unsafe sealedCopy(bytes, count) else { return false }
        unsafe connection.pointee.queue.prepend(segment)
        return true
    }

    private func sealedCopy(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> OutputSegment? {
        guard let memory = unsafe pool.pointee.takeLarge(count) else { return nil }
        unsafe memcpy(memory, bytes, count)
        let base = unsafe UnsafePointer(memory.bindMemory(to: UInt8.self, capacity: count))
        return unsafe OutputSegment(owner: .block, isSealed: true, base: base, count: UInt64(count), memory: memory, memoryBytes: count)
    }

    /// Forgets plaintext that cannot be sent any more.
    func dropPlaintext(_ connection: UnsafeMutablePointer<Connection>) {
        guard unsafe connection.pointee.sending == .none else { return }
        var dropped = unsafe UInt64(connection.pointee.batchCount &- connection.pointee.sealedCount)
        unsafe connection.pointee.batchCount = unsafe connection.pointee.sealedCount
        unsafe dropped &+= connection.pointee.queue.removeUnsealed(pool: pool)
        _ = unsafe connection.pointee.machine.outputSent(dropped, now: state.pointee.now, settings.pointee.policy)
    }

    /// Starts the send of a connection with TLS: encrypts what waits, up to a turn's share, unless ciphertext waits already.
    func startSealedSend(_ connection: UnsafeMutablePointer<Connection>, _ tls: UnsafeMutablePointer<TLSTransport>) {
        if unsafe connection.pointee.queue.first.map({ unsafe !$0.pointee.isSealed }) ?? true, unsafe tls.pointee.isEstablished {
            mark(.send)
            let isSealed = unsafe seal(connection, tls)
            mark(.encrypt)
            guard isSealed else { return }
        }
        let bytes: UnsafePointer<UInt8>
        let count: Int
        if unsafe connection.pointee.batchCount > 0 {
            unsafe (bytes, count) = unsafe (UnsafePointer(connection.pointee.batchStart!), connection.pointee.sealedCount)
        } else if let first = unsafe connection.pointee.queue.first, unsafe first.pointee.isSealed {
            unsafe (bytes, count) = unsafe (first.pointee.base!, Int(first.pointee.count))
        } else {
            return
        }
        guard count > 0 else { return }
        reserveEntries(2)
        let sqe = unsafe entry()
        unsafe ur_prep_send(sqe, connection.pointee.fd, bytes, UInt32(count), Self.fastSendFlags, false)
        unsafe connection.pointee.fastBytes = UInt64(count)
        unsafe submitFast(connection, sqe)
    }

    /// Encrypts. False when the connection ended, or waits for a disk.
    private func seal(_ connection: UnsafeMutablePointer<Connection>, _ tls: UnsafeMutablePointer<TLSTransport>) -> Bool {
        let plain = unsafe connection.pointee.batchCount &- connection.pointee.sealedCount
        let queued = unsafe connection.pointee.queue.bytes(upTo: UInt64(Self.sealedBytesPerTurn))
        let budget = max(Self.sealedBytesPerTurn &- plain, 0)
        let fromQueue = min(Int(queued), budget)
        let ends = unsafe connection.pointee.machine.stepWhenSent != .wait && !tls.pointee.isShutDown && Int(queued) == fromQueue
        guard plain > 0 || fromQueue > 0 || ends else { return true }
        // Room for the ciphertext that waits already, in front, and an alert behind.
        let kept = unsafe connection.pointee.sealedCount
        // A batch that is nearly full leaves first, and this connection in the next: memory beyond it is cold. (What it has in the batch itself, a head, moves to
        // memory of its own then: `emptyBatch`.)
        if fromQueue > 0, kept == 0, unsafe batch.pointee.used > plain, unsafe batch.pointee.space < 2 &* fromQueue {
            unsafe markDirty(connection)
            return false
        }
        let room = unsafe kept &+ TLSSession.sealedBound(plain) &+ sealedBound(connection, fromQueue) &+ Self.alertBytes
        var block: UnsafeMutableRawPointer?
        let out: UnsafeMutablePointer<UInt8>
        if unsafe batch.pointee.space >= room {
            unsafe out = unsafe batch.pointee.cursor
        } else {
            guard let memory = unsafe pool.pointee.takeLarge(room) else {
                unsafe shed(connection)
                return false
            }
            unsafe block = unsafe memory
            unsafe out = unsafe memory.bindMemory(to: UInt8.self, capacity: room)
        }
        if kept > 0 { unsafe memcpy(out, connection.pointee.batchStart!, kept) }
        var sink = unsafe TLSOutput(base: out + kept, capacity: room &- kept)
        var taken = 0
        var isWhole = true
        if plain > 0 {
            isWhole = unsafe encrypt(tls, connection.pointee.batchStart! + kept, plain, &sink)
            taken = plain
        }
        unsafe connection.pointee.batchCount = 0
        unsafe connection.pointee.sealedCount = 0
        if isWhole, fromQueue > 0 { unsafe isWhole = sealQueue(connection, tls, fromQueue, &taken, &sink) }
        if isWhole, ends, unsafe connection.pointee.queue.isEmpty, unsafe !connection.pointee.flags.contains(.closing) {
            unsafe tls.pointee.session.shutdown(&sink)
            unsafe tls.pointee.isShutDown = true
        }
        // A file that came in small pieces made more records than were reckoned with.
        let total = unsafe sink.total
        let made = unsafe kept &+ sink.count
        if let spill = unsafe sink.takeSpill() {
            if isWhole { unsafe isWhole = prependSealed(connection, spill.base, spill.count) }
            unsafe free(spill.base)
        }
        if unsafe block == nil { unsafe batch.pointee.commit(made) }
        guard isWhole, unsafe !connection.pointee.flags.contains(.closing) else {
            if let block = unsafe block { unsafe pool.pointee.giveLarge(block, room) }
            unsafe perform(connection, connection.pointee.machine.abort())
            return false
        }
        if let block = unsafe block {
            unsafe connection.pointee.queue.prepend(
                OutputSegment(owner: .block, isSealed: true, base: UnsafePointer(out), count: UInt64(made), memory: block, memoryBytes: room))
        } else {
            unsafe (connection.pointee.batchStart, connection.pointee.batchCount, connection.pointee.sealedCount) = unsafe (out, made, made)
        }
        unsafe outputGrew(connection, UInt64(total &- taken))
        return unsafe made > 0 || connection.pointee.sending == .none
    }

    /// At most this much ciphertext comes of `count` bytes of the queue, each segment of which ends a record.
    private func sealedBound(_ connection: UnsafeMutablePointer<Connection>, _ count: Int) -> Int {
        guard count > 0 else { return 0 }
        var bound = 0
        var left = UInt64(count)
        var segment = unsafe connection.pointee.queue.first
        while let part = unsafe segment, left > 0 {
            let take = unsafe min(left, part.pointee.count)
            unsafe bound &+= TLSSession.sealedBound(Int(take))
            left -= take
            unsafe segment = unsafe part.pointee.next
        }
        return bound
    }

    /// Encrypts `count` bytes of the queue, less when a file's bytes have to be waited for. False when OpenSSL or a file fails.
    private func sealQueue(
        _ connection: UnsafeMutablePointer<Connection>, _ tls: UnsafeMutablePointer<TLSTransport>, _ count: Int, _ taken: inout Int,
        _ sink: inout TLSOutput
    ) -> Bool {
        var left = count
        while left > 0, let first = unsafe connection.pointee.queue.first {
            let bytes: UnsafePointer<UInt8>
            var take = unsafe Int(min(first.pointee.count, UInt64(left)))
            if unsafe first.pointee.owner == .file {
                // A record at a time through the plaintext buffer, which nothing else uses now: input is not decrypted while output is sealed.
                take = min(take, Self.plaintextBytes)
                let file = unsafe unsafeDowncast(first.pointee.object!.takeUnretainedValue(), to: OpenFile.self)
                take = unsafe kernel.readCached(file.fd, into: plaintext, count: take, offset: first.pointee.fileOffset)
                if take == -Int(EAGAIN) {
                    if taken == 0, unsafe sink.isEmpty { unsafe readAhead(connection) }
                    return true
                }
                guard take > 0 else { return false }
                unsafe bytes = UnsafePointer(plaintext)
            } else {
                unsafe bytes = first.pointee.base!
            }
            if take > 0, unsafe !encrypt(tls, bytes, take, &sink) { return false }
            taken &+= take
            left &-= take
            _ = unsafe connection.pointee.queue.advance(UInt64(take), pool: pool)
        }
        return true
    }

    private func encrypt(_ tls: UnsafeMutablePointer<TLSTransport>, _ bytes: UnsafePointer<UInt8>, _ count: Int, _ sink: inout TLSOutput) -> Bool {
        if case .written = unsafe tls.pointee.session.write(bytes, count, &sink) { return true }
        return false
    }

    /// The last word of a connection that ends with nothing in its output. Best effort: whoever reads on sees that nothing was cut off.
    func sayGoodbye(_ connection: UnsafeMutablePointer<Connection>) {
        guard let tls = unsafe connection.pointee.tls, unsafe tls.pointee.isEstablished && !tls.pointee.isShutDown,
            unsafe connection.pointee.sending == .none && connection.pointee.batchCount == 0 && connection.pointee.queue.isEmpty
        else { return }
        unsafe tls.pointee.isShutDown = true
        var sink = unsafe sealedSink
        unsafe tls.pointee.session.shutdown(&sink)
        if unsafe sink.count > 0 { _ = unsafe kernel.send(connection.pointee.fd, sealedRoom, sink.count, more: false) }
        unsafe sink.reset()
    }
}
