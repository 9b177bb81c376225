// The BIO between OpenSSL and a session's caller: reads take from the window of ciphertext, writes append to the current sink.
// Its callbacks run on the loop's thread inside calls of TLSSession only.

internal import CUringTLS
internal import Glibc

enum SessionBIO {
    /// The method, made once for the process; OpenSSL only reads it.
    private nonisolated(unsafe) static let method: OpaquePointer = {
        guard let method = unsafe BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "uring-server") else {
            fatalError("out of memory while preparing TLS")
        }
        unsafe BIO_meth_set_read_ex(method, readFromWindow)
        unsafe BIO_meth_set_write_ex(method, writeToSink)
        unsafe BIO_meth_set_ctrl(method, control)
        return unsafe method
    }()

    /// A BIO over `memory`, which must outlive it; nil when malloc refuses.
    static func make(_ memory: UnsafeMutablePointer<TLSSessionMemory>) -> OpaquePointer? {
        guard let bio = unsafe BIO_new(method) else { return nil }
        unsafe BIO_set_data(bio, memory)
        unsafe BIO_set_init(bio, 1)
        return unsafe bio
    }
}

private func readFromWindow(
    _ bio: OpaquePointer?, _ bytes: UnsafeMutablePointer<CChar>?, _ capacity: Int, _ taken: UnsafeMutablePointer<Int>?
) -> CInt {
    // The memory lives as long as its BIO, the window as long as the call that OpenSSL is in (TLSSession.feed).
    let memory = unsafe BIO_get_data(bio).assumingMemoryBound(to: TLSSessionMemory.self)
    let available = unsafe memory.pointee.inputCount
    guard available > 0, let input = unsafe memory.pointee.input, let bytes = unsafe bytes else {
        unsafe urtls_bio_want_read(bio)
        unsafe taken?.pointee = 0
        return 0
    }
    let count = min(capacity, available)
    unsafe memcpy(bytes, input, count)
    unsafe memory.pointee.input = input + count
    unsafe memory.pointee.inputCount = available &- count
    unsafe memory.pointee.bytesIn &+= UInt64(count)
    unsafe taken?.pointee = count
    return 1
}

private func writeToSink(
    _ bio: OpaquePointer?, _ bytes: UnsafePointer<CChar>?, _ count: Int, _ written: UnsafeMutablePointer<Int>?
) -> CInt {
    // The memory lives as long as its BIO, the sink as long as the call that OpenSSL is in.
    let memory = unsafe BIO_get_data(bio).assumingMemoryBound(to: TLSSessionMemory.self)
    guard let output = unsafe memory.pointee.output, let bytes = unsafe bytes else {
        preconditionFailure("BUG: TLS wrote without a sink")
    }
    let source = unsafe UnsafeRawPointer(bytes).assumingMemoryBound(to: UInt8.self)
    guard unsafe output.pointee.append(source, count) else {
        unsafe memory.pointee.outOfMemory = true
        return 0
    }
    unsafe memory.pointee.bytesOut &+= UInt64(count)
    unsafe written?.pointee = count
    return 1
}

private func control(_ bio: OpaquePointer?, _ command: CInt, _ number: Int, _ pointer: UnsafeMutableRawPointer?) -> Int {
    // Nothing is buffered, so a flush has succeeded; 0 stands for "not supported".
    command == BIO_CTRL_FLUSH ? 1 : 0
}
