// The record layer of TLS 1.3 for established connections, sans-I/O (RFC 8446 section 5): what stands in for OpenSSL's session once the
// handshake is complete, which is freed then. Ciphers are libcrypto's; handshakes are all OpenSSL's. Loop's thread.
//
// reading: window → [buffer, a record in pieces] → open → caller's memory, or the buffer when that is too small
// writing: caller's memory → seal → output
//
// What a client may still send is application data, alerts and KeyUpdate; everything else ends the connection (RFC 8446 4.6, 6).

internal import CUringTLS
internal import Glibc

@unsafe struct RecordLayer {
    /// Records without content, alerts that mean nothing and KeyUpdates that come without application data in between: more are an attack.
    static var idleRecordsMax: Int { 32 }

    let suite: RecordSuite
    /// Records under one key. AES-GCM is good for 2^24.5 of full size (RFC 8446 5.5).
    let recordsPerKey: UInt64
    private var reading: RecordDirection
    private var writing: RecordDirection

    /// A record in pieces, or decrypted bytes that the caller had no room for; nil when there is neither.
    private var buffer: UnsafeMutablePointer<UInt8>?
    /// Bytes of a record in pieces.
    private var filled = 0
    /// Decrypted bytes in the buffer.
    private var waitingAt = 0
    private(set) var waiting = 0
    private var idleRecords = 0
    /// The beginning of a KeyUpdate that goes on in the next record.
    private var message: (UInt8, UInt8, UInt8, UInt8) = (0, 0, 0, 0)
    private var messageCount = 0

    /// Takes over both directions, whose ciphers work.
    init(suite: RecordSuite, recordsPerKey: UInt64, reading: RecordDirection, writing: RecordDirection) {
        unsafe self.suite = suite
        unsafe self.recordsPerKey = recordsPerKey
        unsafe self.reading = unsafe reading
        unsafe self.writing = unsafe writing
    }

    /// For tests, which play the peer.
    var readingSecret: UnsafeMutablePointer<UInt8>? { unsafe reading.secret }

    mutating func destroy(_ buffers: inout RecordBuffers) {
        unsafe reading.destroy()
        unsafe writing.destroy()
        unsafe release(&buffers)
    }

    // MARK: reading

    /// How a connection ends.
    enum End {
        /// By the peer's close_notify.
        case closed
        case failed(TLSFailure)
    }

    /// Ciphertext that the caller lends, and takes what is left of.
    @unsafe struct Window {
        var bytes: UnsafePointer<UInt8>?
        var count: Int
    }

    /// Reads as much plaintext as there is and fits, and answers its bytes. 0 without an end: the window is used up, and there is nothing to read.
    /// - Parameters:
    ///   - out: room for `capacity` bytes, at least 1. Those behind the plaintext are undefined afterwards.
    ///   - answers: what a KeyUpdate is answered with may be written.
    ///   - end: set when the connection ends behind this plaintext; there is no further call then.
    mutating func read(
        _ window: inout Window, into out: UnsafeMutablePointer<UInt8>, capacity: Int, answers: Bool, _ output: inout TLSOutput,
        _ buffers: inout RecordBuffers, end: inout End?
    ) -> Int {
        var total = 0
        while total < capacity {
            if unsafe waiting > 0 {
                let count = unsafe min(waiting, capacity &- total)
                // In bounds: what waits is inside the buffer, and `total + count` is at most the capacity.
                unsafe memcpy(out + total, buffer! + waitingAt, count)
                total &+= count
                unsafe waitingAt &+= count
                unsafe waiting &-= count
                if unsafe waiting == 0 { unsafe release(&buffers) }
                continue
            }
            let length: Int
            switch unsafe nextRecord(&window, &buffers) {
            case .more: return total
            case .failed(let failure):
                end = .failed(failure)
                return total
            case .record(let count): length = count
            }
            // One that is whole in the window is opened from there; behind other plaintext it waits until there is room for all of it.
            let fromBuffer = unsafe filled > 0
            let inner = length &- RecordFormat.tagBytes
            let fits = inner &- 1 <= capacity &- total
            if !fromBuffer, !fits, total > 0 { return total }
            guard unsafe fits || buffer != nil || takeBuffer(&buffers) else {
                end = .failed(TLSFailure(.internalError))
                return total
            }
            let record = unsafe fromBuffer ? UnsafePointer(buffer!) : window.bytes!
            let target = unsafe fits ? out + total : buffer! + RecordFormat.headerBytes
            let last = unsafe reading.open(record, inner, to: target)
            if !fromBuffer {
                unsafe window.bytes = unsafe window.bytes! + (RecordFormat.headerBytes &+ length)
                unsafe window.count &-= RecordFormat.headerBytes &+ length
            }
            unsafe filled = 0
            let step: End?
            if let last { unsafe step = take(last, target, inner &- 1, fits: fits, &total, answers: answers, &output) } else { step = .failed(TLSFailure(.badRecordMAC)) }
            if unsafe waiting == 0 { unsafe release(&buffers) }
            if let step {
                end = step
                return total
            }
        }
        return total
    }

    private enum Next {
        /// In the buffer, if anything is there, otherwise at the window's beginning; that many bytes behind its header.
        case record(Int)
        case more
        case failed(TLSFailure)
    }

    /// Finds the next record, whole. The window is used up when there is none.
    private mutating func nextRecord(_ window: inout Window, _ buffers: inout RecordBuffers) -> Next {
        let header = RecordFormat.headerBytes
        if unsafe filled == 0 {
            guard let bytes = unsafe window.bytes, unsafe window.count > 0 else { return .more }
            if unsafe window.count >= header {
                switch unsafe Self.length(bytes) {
                case .failed(let failure): return .failed(failure)
                case .record(let length): if unsafe window.count &- header >= length { return .record(length) }
                case .more: break
                }
            }
            guard unsafe takeBuffer(&buffers) else { return .failed(TLSFailure(.internalError)) }
        }
        // In pieces: first the header, then what it says.
        if unsafe filled < header {
            unsafe fill(upTo: header, &window)
            guard unsafe filled == header else { return .more }
        }
        let length: Int
        switch unsafe Self.length(buffer!) {
        case .record(let count): length = count
        case let other: return other
        }
        unsafe fill(upTo: header &+ length, &window)
        return unsafe filled == header &+ length ? .record(length) : .more
    }

    /// Moves bytes of the window behind those in the buffer, until there are `count`, which is at most the buffer's size.
    private mutating func fill(upTo count: Int, _ window: inout Window) {
        let wanted = unsafe min(count &- filled, window.count)
        guard wanted > 0 else { return }
        unsafe memcpy(buffer! + filled, window.bytes!, wanted)
        unsafe filled &+= wanted
        unsafe window.bytes = unsafe window.bytes! + wanted
        unsafe window.count &-= wanted
    }

    /// What a header says, which is five bytes (RFC 8446 5.2): the outer type is that of application data, whatever is inside.
    private static func length(_ header: UnsafePointer<UInt8>) -> Next {
        guard unsafe header[0] == 23 else { return .failed(TLSFailure(.unexpectedMessage)) }
        guard unsafe header[1] == 3 && header[2] == 3 else { return .failed(TLSFailure(.decodeError)) }
        let length = unsafe Int(header[3]) << 8 | Int(header[4])
        guard length <= RecordFormat.ciphertextBytesMax else { return .failed(TLSFailure(.recordTooLong)) }
        guard length > RecordFormat.tagBytes else { return .failed(TLSFailure(.badRecordMAC)) }
        return .record(length)
    }

    /// Takes what was in a record: `count` bytes at `text` and the byte `last` behind them.
    private mutating func take(
        _ last: UInt8, _ text: UnsafeMutablePointer<UInt8>, _ given: Int, fits: Bool, _ total: inout Int, answers: Bool, _ output: inout TLSOutput
    ) -> End? {
        // Zeros behind the content type are padding (RFC 8446 5.4).
        var type = last
        var count = given
        while type == 0 {
            guard count > 0 else { return .failed(TLSFailure(.unexpectedMessage)) }
            count &-= 1
            unsafe type = text[count]
        }
        guard count <= RecordFormat.plainBytesMax else { return .failed(TLSFailure(.recordTooLong)) }
        // Nothing comes between the pieces of a message (RFC 8446 5.1).
        guard unsafe messageCount == 0 || type == 22 else { return .failed(TLSFailure(.unexpectedMessage)) }
        if type == 23, count > 0 {
            unsafe idleRecords = 0
            if fits { total &+= count } else { unsafe (waitingAt, waiting) = (RecordFormat.headerBytes, count) }
            return nil
        }
        unsafe idleRecords &+= 1
        guard unsafe idleRecords <= Self.idleRecordsMax else { return .failed(TLSFailure(.unexpectedMessage)) }
        switch type {
        case 23: return nil
        case 21:
            guard count == 2 else { return .failed(TLSFailure(.decodeError)) }
            switch unsafe text[1] {
            case 0: return .closed
            // user_canceled says nothing: close_notify follows (RFC 8446 6.1).
            case 90: return nil
            case let alert: return .failed(TLSFailure(.alertReceived, alert: alert))
            }
        case 22: return unsafe takeMessage(text, count, answers: answers, &output)
        default: return .failed(TLSFailure(.unexpectedMessage))
        }
    }

    // MARK: KeyUpdate (RFC 8446 4.6.3)

    private mutating func takeMessage(_ text: UnsafePointer<UInt8>, _ count: Int, answers: Bool, _ output: inout TLSOutput) -> End? {
        // A record of no bytes is forbidden for messages (RFC 8446 5.1).
        guard count > 0 else { return .failed(TLSFailure(.unexpectedMessage)) }
        for index in 0..<count {
            let byte = unsafe text[index]
            switch unsafe messageCount {
            // Its type, and three bytes of its length.
            case 0: guard byte == 24 else { return .failed(TLSFailure(.unexpectedMessage)) }
            case 1, 2: guard byte == 0 else { return .failed(TLSFailure(.decodeError)) }
            case 3: guard byte == 1 else { return .failed(TLSFailure(.decodeError)) }
            default:
                guard byte <= 1 else { return .failed(TLSFailure(.protocolError)) }
                // The next record is under the next key: nothing may share this one.
                guard index == count &- 1 else { return .failed(TLSFailure(.unexpectedMessage)) }
                unsafe messageCount = 0
                guard unsafe reading.update(suite) else { return .failed(TLSFailure(.internalError)) }
                guard byte == 1, answers else { return nil }
                return unsafe updateWriting(&output) ? nil : .failed(TLSFailure(.internalError))
            }
            unsafe messageCount &+= 1
        }
        return nil
    }

    /// Says that the next records are under the next key, and goes over to it.
    private mutating func updateWriting(_ output: inout TLSOutput) -> Bool {
        let update: [5 of UInt8] = [24, 0, 0, 1, 0]
        // The bytes are read during the call.
        let isWritten = unsafe withUnsafeBytes(of: update) { bytes in
            unsafe put(22, bytes.baseAddress!.assumingMemoryBound(to: UInt8.self), 5, &output)
        }
        return unsafe isWritten && writing.update(suite)
    }

    // MARK: writing

    /// Makes records of all of it. False when malloc or OpenSSL refuses.
    mutating func write(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ output: inout TLSOutput) -> Bool {
        var at = 0
        while at < count {
            if unsafe writing.sequence >= recordsPerKey, unsafe !updateWriting(&output) { return false }
            let size = min(count &- at, RecordFormat.plainBytesMax)
            guard unsafe put(23, bytes + at, size, &output) else { return false }
            at &+= size
        }
        return true
    }

    /// RFC 8446 6: of level warning is only the end.
    mutating func writeAlert(_ alert: UInt8, _ output: inout TLSOutput) {
        let text: [2 of UInt8] = [alert == 0 ? 1 : 2, alert]
        // The bytes are read during the call. Without memory there is no alert.
        _ = unsafe withUnsafeBytes(of: text) { bytes in unsafe put(21, bytes.baseAddress!.assumingMemoryBound(to: UInt8.self), 2, &output) }
    }

    @inline(__always)
    private mutating func put(_ type: UInt8, _ bytes: UnsafePointer<UInt8>, _ count: Int, _ output: inout TLSOutput) -> Bool {
        let size = count &+ RecordFormat.overhead
        guard let out = unsafe output.reserve(size), unsafe writing.seal(type, bytes, count, to: out) else { return false }
        unsafe output.commit(size)
        return true
    }

    // MARK: memory

    private mutating func takeBuffer(_ buffers: inout RecordBuffers) -> Bool {
        unsafe buffer = buffers.take()
        return unsafe buffer != nil
    }

    private mutating func release(_ buffers: inout RecordBuffers) {
        guard let memory = unsafe buffer else { return }
        unsafe buffers.give(memory)
        unsafe buffer = nil
        unsafe (filled, waiting, waitingAt) = (0, 0, 0)
    }
}
