// OpenSSL's session cache callbacks, onto TLSSessionCache: the only part of a handshake that other loops see, and only in
// handshakes that make or offer a session id.

internal import CUringTLS
internal import Glibc

enum SessionCacheCallbacks {
    static func install(in context: OpaquePointer) {
        unsafe SSL_CTX_sess_set_new_cb(context, keep)
        unsafe SSL_CTX_sess_set_get_cb(context, find)
    }
}

/// After a full handshake. Answers 0: OpenSSL's reference stays with OpenSSL.
private func keep(_ ssl: OpaquePointer?, _ session: OpaquePointer?) -> CInt {
    let context = unsafe TLSCallbacks.memory(of: ssl).pointee.context
    // TLS 1.3 calls this for every ticket; with tickets on they hold the session themselves.
    if unsafe context.pointee.usesTickets && SSL_version(ssl) >= TLS1_3_VERSION { return 0 }
    guard let cache = unsafe context.pointee.cache, let session = unsafe session else { return 0 }
    var idCount: UInt32 = 0
    // The session's own id, alive in this callback.
    guard let id = unsafe SSL_SESSION_get_id(session, &idCount), idCount > 0 else { return 0 }
    guard let bytes = unsafe serialise(session) else { return 0 }
    let now = unsafe context.pointee.nowSeconds
    // The TLSContext keeps the cache.
    unsafe cache._withUnsafeGuaranteedRef { unsafe $0.insert(id: id, idCount: Int(idCount), session: bytes, nowSeconds: now) }
    return 0
}

private func serialise(_ session: OpaquePointer) -> SecretBytes? {
    let count = unsafe i2d_SSL_SESSION(session, nil)
    guard count > 0 else { return nil }
    return unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Int(count)) { buffer in
        // It holds the master secret: wiped when it has been copied.
        defer { unsafe OPENSSL_cleanse(buffer.baseAddress, buffer.count) }
        var cursor = buffer.baseAddress
        guard unsafe i2d_SSL_SESSION(session, &cursor) == count else { return nil }
        return unsafe SecretBytes(copying: UnsafeRawBufferPointer(buffer))
    }
}

private func find(
    _ ssl: OpaquePointer?, _ id: UnsafePointer<UInt8>?, _ idCount: CInt, _ copies: UnsafeMutablePointer<CInt>?
) -> OpaquePointer? {
    // 0: the session that is made here belongs to OpenSSL, no second reference is needed.
    unsafe copies?.pointee = 0
    let context = unsafe TLSCallbacks.memory(of: ssl).pointee.context
    guard let cache = unsafe context.pointee.cache, let id = unsafe id else { return nil }
    let now = unsafe context.pointee.nowSeconds
    let found = unsafe cache._withUnsafeGuaranteedRef { unsafe $0.find(id: id, idCount: Int(idCount), nowSeconds: now) }
    return unsafe found?.withBytes { bytes in
        var cursor = bytes.baseAddress
        return unsafe d2i_SSL_SESSION(nil, &cursor, bytes.count)
    }
}
