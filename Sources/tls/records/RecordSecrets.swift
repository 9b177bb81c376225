// What is learnt during a handshake so that records can be made here afterwards: the traffic secrets, which OpenSSL says to its log of keys, and how
// many records it has made and read under them. Callbacks of OpenSSL, inside TLSSession.handshake, on the loop's thread.

internal import CUringTLS
internal import Glibc

@unsafe struct RecordSecrets {
    var reading = unsafe RecordDirection()
    var writing = unsafe RecordDirection()

    static func install(in context: OpaquePointer) {
        unsafe SSL_CTX_set_keylog_callback(context, learnSecret)
        unsafe SSL_CTX_set_msg_callback(context, countRecords)
    }

    mutating func destroy() {
        unsafe reading.destroy()
        unsafe writing.destroy()
    }
}

/// A line of the log of keys: a label, the client's random and the secret, in hexadecimal. It is wiped by OpenSSL after this.
private func learnSecret(_ ssl: OpaquePointer?, _ line: UnsafePointer<CChar>?) {
    guard let line = unsafe line else { return }
    let memory = unsafe TLSCallbacks.memory(of: ssl)
    let isWriting: Bool
    if unsafe hasPrefix(line, "SERVER_TRAFFIC_SECRET_0 ") { isWriting = true } else if unsafe hasPrefix(line, "CLIENT_TRAFFIC_SECRET_0 ") { isWriting = false } else { return }
    // Behind the label, of 24 bytes with its space, 64 digits and another space.
    let start = 24 + 64 + 1
    let count = unsafe strlen(line)
    guard count > start, (count - start) % 2 == 0, (count - start) / 2 <= RecordSuite.secretBytesMax else { return }
    if unsafe memory.pointee.secrets == nil {
        unsafe memory.pointee.secrets = .allocate(capacity: 1)
        unsafe memory.pointee.secrets!.initialize(to: RecordSecrets())
    }
    let secrets = unsafe memory.pointee.secrets!
    // SAFETY: the line is OpenSSL's during this call; the bytes are this call's, and wiped.
    unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: RecordSuite.secretBytesMax) { bytes in
        let size = (count - start) / 2
        for index in 0..<size {
            guard let high = unsafe digit(line[start + 2 * index]), let low = unsafe digit(line[start + 2 * index + 1]) else { return }
            unsafe bytes[index] = high << 4 | low
        }
        if isWriting { unsafe secrets.pointee.writing.take(bytes.baseAddress!, size) } else { unsafe secrets.pointee.reading.take(bytes.baseAddress!, size) }
        unsafe OPENSSL_cleanse(bytes.baseAddress, RecordSuite.secretBytesMax)
    }
}

private func hasPrefix(_ line: UnsafePointer<CChar>, _ prefix: StaticString) -> Bool {
    unsafe strncmp(line, UnsafeRawPointer(prefix.utf8Start).assumingMemoryBound(to: CChar.self), prefix.utf8CodeUnitCount) == 0
}

private func digit(_ character: CChar) -> UInt8? {
    switch UInt8(bitPattern: character) {
    case let byte where byte >= 0x30 && byte <= 0x39: byte - 0x30
    case let byte where byte | 0x20 >= 0x61 && byte | 0x20 <= 0x66: (byte | 0x20) - 0x57
    default: nil
    }
}

/// Called with the header of every record: those under a secret that is known are counted.
private func countRecords(
    _ writes: CInt, _ version: CInt, _ type: CInt, _ bytes: UnsafeRawPointer?, _ count: Int, _ ssl: OpaquePointer?, _ argument: UnsafeMutableRawPointer?
) {
    guard type == SSL3_RT_HEADER, let secrets = unsafe TLSCallbacks.memory(of: ssl).pointee.secrets else { return }
    if writes != 0 { unsafe secrets.pointee.writing.countRecord() } else { unsafe secrets.pointee.reading.countRecord() }
}
