// One TLS connection, either side, sans-I/O: ciphertext is fed as a window of the caller's memory, plaintext and ciphertext come out into
// the caller's memory. Lives in a connection, used on its loop's thread. A client's session begins in TLSSession+Client.swift.
//
// handshake: feed → handshake ─more→ feed …  ─done→ read/write
//                              └failed→ send what the output has (the alert), close
// reading:   feed → read until more (or isDrained) → feed …        every call may put records into the output

internal import CUringTLS
internal import Glibc

package enum TLSHandshakeStep: Equatable, Sendable {
    /// Send the output, feed what the peer sends next, call again. The window is used up.
    case more
    /// Established: what is left of the window, if anything, is application data. The output may hold the last flight or tickets.
    case done
    /// Send the output, which has the alert, and close. Further calls answer the same.
    case failed(TLSFailure)
}

package enum TLSReadStep: Equatable, Sendable {
    /// That many bytes of plaintext, at least 1.
    case bytes(Int)
    /// The window is used up, nothing can be read before more is fed.
    case more
    /// The peer has said that it sends no more (close_notify). An end of the transport without it is a truncation.
    case closed
    case failed(TLSFailure)
}

package enum TLSWriteStep: Equatable, Sendable {
    /// Everything was taken; its records are in the output.
    case written(Int)
    case failed(TLSFailure)
}

/// A handle to a session: a pointer, free to copy, ended by one `destroy`.
@unsafe @frozen package struct TLSSession {
    let memory: UnsafeMutablePointer<TLSSessionMemory>

    init?(_ context: UnsafeMutablePointer<TLSContextState>) {
        guard let ssl = unsafe SSL_new(context.pointee.contexts[0]) else {
            ERR_clear_error()
            return nil
        }
        unsafe self.init(ssl, TLSSessionMemory(role: .server(context)))
        unsafe SSL_set_accept_state(ssl)
        unsafe context.pointee.sessionCount += 1
        unsafe context.pointee.counters.started &+= 1
    }

    /// Takes over `ssl`, and frees it when it fails.
    init?(_ ssl: OpaquePointer, _ contents: TLSSessionMemory) {
        unsafe memory = .allocate(capacity: 1)
        unsafe memory.initialize(to: contents)
        guard let bio = unsafe SessionBIO.make(memory), unsafe SSL_set_ex_data(ssl, 0, memory) == 1 else {
            ERR_clear_error()
            unsafe SSL_free(ssl)
            unsafe memory.deinitialize(count: 1)
            unsafe memory.deallocate()
            return nil
        }
        // One reference each for reading and writing, both ended by SSL_free; with both the same it takes one.
        unsafe SSL_set_bio(ssl, bio, bio)
        unsafe memory.pointee.ssl = unsafe ssl
    }

    /// OpenSSL's session, which is there until records are made here.
    var ssl: OpaquePointer? { unsafe memory.pointee.ssl }

    /// Ends the session and every copy of this handle.
    package func destroy() {
        let role = unsafe memory.pointee.role
        if unsafe !memory.pointee.isEstablished && memory.pointee.failure == nil { unsafe memory.pointee.count { $0.abandoned &+= 1 } }
        unsafe freeOpenSSL()
        unsafe dropRecords()
        unsafe memory.deinitialize(count: 1)
        unsafe memory.deallocate()
        switch unsafe role {
        case .server(let context): unsafe context.pointee.sessionCount -= 1
        case .client(let context): unsafe context.pointee.sessionCount -= 1
        }
    }
}

extension TLSSession {
    /// Frees OpenSSL's session, if it is there still.
    func freeOpenSSL() {
        guard let ssl = unsafe ssl else { return }
        // One that ended without close_notify would be dropped from the cache, although nothing is wrong with it.
        unsafe SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
        unsafe SSL_free(ssl)
        ERR_clear_error()
        unsafe memory.pointee.ssl = nil
    }

    /// Sets the window of ciphertext that the next calls take from. What they have not taken (`unread`) stays the caller's,
    /// who keeps the bytes in place until it is 0, or feeds them again from elsewhere. Part of a record is kept by OpenSSL.
    package func feed(_ bytes: UnsafePointer<UInt8>?, _ count: Int) {
        precondition(count >= 0, "BUG: negative count")
        unsafe memory.pointee.input = bytes
        unsafe memory.pointee.inputCount = unsafe bytes == nil ? 0 : count
    }

    /// Bytes at the end of the window that no call has taken yet.
    package var unread: Int { unsafe memory.pointee.inputCount }

    /// Nothing is left to read: the window is used up and no decrypted bytes wait. Spares the call that would answer `more`.
    package var isDrained: Bool {
        guard unsafe memory.pointee.inputCount == 0 else { return false }
        if let established = unsafe memory.pointee.established { return unsafe established.pointee.records.waiting == 0 }
        return unsafe SSL_pending(ssl) == 0
    }

    /// Goes on with the handshake.
    package func handshake(_ output: inout TLSOutput) -> TLSHandshakeStep {
        if let failure = unsafe memory.pointee.failure { return .failed(failure) }
        if unsafe memory.pointee.isEstablished { return .done }
        let tick = unsafe memory.pointee.tick
        if unsafe memory.pointee.bytesIn == 0, let first = unsafe memory.pointee.input, unsafe memory.pointee.inputCount > 0 {
            unsafe memory.pointee.times.begin(tick)
            // A TLS connection begins with 0x16 (or an alert, 0x15); a capital letter begins the method or the version of plain HTTP (RFC 9110
            // 9.1, RFC 9112 2.3). Nothing is taken, and no alert is written: the peer would print it as garbage.
            if unsafe first[0] >= 0x41 && first[0] <= 0x5a { return unsafe fail(TLSFailure(.plainHTTP)) }
        }
        let before = unsafe memory.pointee.bytesOut
        let result = unsafe withOutput(&output) { unsafe SSL_do_handshake(ssl) }
        if unsafe memory.pointee.bytesOut != before { unsafe memory.pointee.times.flight(tick) }
        if result == 1 {
            unsafe established()
            unsafe takeOverRecords()
            return .done
        }
        return unsafe isWaiting(result) ? .more : .failed(takeFailure())
    }

    /// Reads as much plaintext as there is, of several records, up to `capacity`, which must not be 0.
    package func read(into bytes: UnsafeMutablePointer<UInt8>, capacity: Int, _ output: inout TLSOutput) -> TLSReadStep {
        precondition(capacity > 0, "BUG: nowhere to read to")
        if let ended = unsafe ending { return ended }
        if let established = unsafe memory.pointee.established { return unsafe readRecords(established, into: bytes, capacity: capacity, &output) }
        return unsafe withOutput(&output) {
            var total = 0
            while total < capacity {
                var count = 0
                let result = unsafe SSL_read_ex(ssl, bytes + total, capacity &- total, &count)
                guard result == 1 else {
                    // What was read comes first; a failure or the end is kept for the next call.
                    let step: TLSReadStep = unsafe endOfRead()
                    return total > 0 ? .bytes(total) : step
                }
                total &+= count
                if unsafe isDrained { break }
            }
            return .bytes(total)
        }
    }

    /// Encrypts everything; the output gets at most `sealedBound(count)` bytes.
    package func write(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ output: inout TLSOutput) -> TLSWriteStep {
        if let failure = unsafe memory.pointee.failure { return .failed(failure) }
        guard unsafe !memory.pointee.isShutDown else { return .failed(TLSFailure(.protocolError)) }
        guard count > 0 else { return .written(0) }
        if let established = unsafe memory.pointee.established { return unsafe writeRecords(established, bytes, count, &output) }
        var written = 0
        let result = unsafe withOutput(&output) { unsafe SSL_write_ex(ssl, bytes, count, &written) }
        return result == 1 ? .written(written) : unsafe .failed(takeFailure())
    }

    /// Writes close_notify, once. Reading goes on until the peer's.
    package func shutdown(_ output: inout TLSOutput) {
        // Before the end of the handshake and after a failure OpenSSL has nothing to say.
        guard unsafe memory.pointee.isEstablished, unsafe memory.pointee.failure == nil, unsafe !memory.pointee.isShutDown else { return }
        unsafe memory.pointee.isShutDown = true
        if let established = unsafe memory.pointee.established { return unsafe writeAlert(established, 0, &output) }
        _ = unsafe withOutput(&output) { unsafe SSL_shutdown(ssl) }
        ERR_clear_error()
    }

    /// The most bytes that `count` bytes of plaintext become, in records of 16 KiB, with what else may have to be said first (an answer
    /// to KeyUpdate).
    package static func sealedBound(_ count: Int) -> Int {
        let records = unsafe (max(count, 0) &+ plainBytesMax &- 1) / plainBytesMax
        return unsafe count &+ records &* recordOverheadMax &+ keyUpdateBytes
    }

    /// RFC 8446 5.1.
    package static let plainBytesMax = RecordFormat.plainBytesMax
    /// TLS 1.2 with AES-GCM: header 5, explicit nonce 8, tag 16. TLS 1.3: header 5, content type 1, tag 16.
    package static let recordOverheadMax = 29
    private static let keyUpdateBytes = 64
}

extension TLSSession {
    /// Runs an OpenSSL call with `output` as the BIO's sink and a clean error queue, which SSL_get_error wants.
    @inline(__always)
    private func withOutput<Result>(_ output: inout TLSOutput, _ body: () -> Result) -> Result {
        // The sink's address is valid in the closure, and gone from the memory when it ends.
        unsafe withUnsafeMutablePointer(to: &output) { sink in
            if ERR_peek_error() != 0 { ERR_clear_error() }
            unsafe memory.pointee.output = sink
            defer { unsafe memory.pointee.output = nil }
            return body()
        }
    }

    private func isWaiting(_ result: CInt) -> Bool { unsafe SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ }

    private var ending: TLSReadStep? {
        if let failure = unsafe memory.pointee.failure { return .failed(failure) }
        return unsafe memory.pointee.isClosedByPeer ? .closed : nil
    }

    private func endOfRead() -> TLSReadStep {
        switch unsafe SSL_get_error(ssl, 0) {
        case SSL_ERROR_WANT_READ: return .more
        case SSL_ERROR_ZERO_RETURN:
            unsafe memory.pointee.isClosedByPeer = true
            return .closed
        default: return unsafe .failed(takeFailure())
        }
    }

    private func takeFailure() -> TLSFailure {
        let failure = unsafe TLSFailure.takeQueue(of: memory.pointee.ssl)
        return unsafe note(memory.pointee.outOfMemory ? TLSFailure(.internalError) : failure)
    }

    private func fail(_ failure: TLSFailure) -> TLSHandshakeStep { unsafe .failed(note(failure)) }

    func note(_ failure: TLSFailure) -> TLSFailure {
        unsafe memory.pointee.failure = failure
        if unsafe !memory.pointee.isEstablished { unsafe memory.pointee.count { $0.count(failure.cause) } }
        return failure
    }

    private func established() {
        unsafe memory.pointee.isEstablished = true
        unsafe memory.pointee.times.finish(memory.pointee.tick)
        unsafe memory.pointee.count { unsafe $0.countFinished(resumption, isTLS13: version == .tls13, offeredResumption: offeredResumption) }
    }
}
