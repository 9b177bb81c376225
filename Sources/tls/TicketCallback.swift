// Sealing and opening session tickets: AES-CBC and HMAC-SHA256, with the keys of the context. Runs inside TLSSession's calls.

internal import CUringTLS
internal import Glibc

/// SSL_CTX_set_tlsext_ticket_key_evp_cb: `isSealing` 1 chooses name and IV, 0 finds the key of the name that the ticket has.
func ticketKey(
    _ ssl: OpaquePointer?, _ name: UnsafeMutablePointer<UInt8>?, _ iv: UnsafeMutablePointer<UInt8>?, _ cipher: OpaquePointer?,
    _ mac: OpaquePointer?, _ isSealing: CInt
) -> CInt {
    // OpenSSL's memory: 16 bytes of name and EVP_MAX_IV_LENGTH of IV. The record is the context's, which outlives its sessions.
    guard let name = unsafe name, let iv = unsafe iv else { return -1 }
    let memory = unsafe TLSCallbacks.memory(of: ssl)
    let context = unsafe memory.pointee.context
    if isSealing == 1 {
        guard let key = unsafe context.pointee.ticketKeys.current else { return 0 }
        guard unsafe RAND_bytes(iv, 16) == 1 else { return -1 }
        unsafe memcpy(name, &key.pointee.name, TicketKeyRecord.nameBytes)
        return unsafe useKey(key, context, iv, cipher, mac, isSealing: true) ? 1 : -1
    }
    // Unknown or too old: 0 asks for a full handshake, and is no error.
    guard let key = unsafe context.pointee.ticketKeys.find(name) else { return 0 }
    guard unsafe useKey(key, context, iv, cipher, mac, isSealing: false) else { return -1 }
    unsafe memory.pointee.offer.ticketOpened = true
    // 2 gives the client a new ticket. TLS 1.3 tickets are for one use (RFC 8446 C.4); in TLS 1.2 the old one serves until its key goes.
    let isNewest = unsafe key == context.pointee.ticketKeys.current
    return unsafe SSL_version(ssl) >= TLS1_3_VERSION || !isNewest ? 2 : 1
}

private func useKey(
    _ key: UnsafeMutablePointer<TicketKeyRecord>, _ context: UnsafeMutablePointer<TLSContextState>, _ iv: UnsafeMutablePointer<UInt8>,
    _ cipher: OpaquePointer?, _ mac: OpaquePointer?, isSealing: Bool
) -> Bool {
    let isShort = unsafe key.pointee.isShort
    let algorithm = unsafe isShort ? context.pointee.aes128 : context.pointee.aes256
    let done = unsafe withUnsafeBytes(of: &key.pointee.aes) { bytes in
        let secret = unsafe bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        return isSealing
            ? unsafe EVP_EncryptInit_ex(cipher, algorithm, nil, secret, iv) : unsafe EVP_DecryptInit_ex(cipher, algorithm, nil, secret, iv)
    }
    guard done == 1 else { return false }
    return unsafe withUnsafeMutableBytes(of: &key.pointee.hmac) { bytes in unsafe urtls_mac_set_sha256(mac, bytes.baseAddress, isShort ? 16 : 32) == 1 }
}
