// OpenSSL's callbacks: client hello, server name, ALPN, OCSP. They run inside TLSSession.handshake, on the loop's thread; what they
// need hangs on the session (its memory) or came as their argument (the context's state).

internal import CUringTLS
internal import Glibc

enum TLSCallbacks {
    /// - Parameter state: outlives the context, which TLSContext frees first.
    static func install(in context: OpaquePointer, state: UnsafeMutablePointer<TLSContextState>) {
        unsafe SSL_CTX_set_client_hello_cb(context, clientHello, nil)
        _ = unsafe urtls_ctx_set_servername_callback(context, serverName, state)
        _ = unsafe urtls_ctx_set_status_callback(context, certificateStatus, state)
        if unsafe state.pointee.protocolsCount > 0 { unsafe SSL_CTX_set_alpn_select_cb(context, selectProtocol, state) }
        if unsafe state.pointee.usesTickets { _ = unsafe SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticketKey) }
        if unsafe state.pointee.cache != nil { unsafe SessionCacheCallbacks.install(in: context) }
        if unsafe state.pointee.makesRecords { unsafe RecordSecrets.install(in: context) }
    }

    /// The memory of a session, set when it was made.
    static func memory(of ssl: OpaquePointer?) -> UnsafeMutablePointer<TLSSessionMemory> {
        guard let data = unsafe SSL_get_ex_data(ssl, 0) else { preconditionFailure("BUG: a TLS session without memory") }
        return unsafe data.assumingMemoryBound(to: TLSSessionMemory.self)
    }
}

/// Notes when the hello was complete and what it offers to resume, which cannot be learnt afterwards. Refuses a client without ALPN where it is needed: the
/// ALPN callback is not called for one.
private func clientHello(_ ssl: OpaquePointer?, _ alert: UnsafeMutablePointer<CInt>?, _ argument: UnsafeMutableRawPointer?) -> CInt {
    // The extensions' bytes are OpenSSL's, valid in this callback.
    let memory = unsafe TLSCallbacks.memory(of: ssl)
    unsafe memory.pointee.times.hello(memory.pointee.context.pointee.tick)
    var bytes: UnsafePointer<UInt8>?
    var count = 0
    func find(_ type: CInt) -> Bool { unsafe SSL_client_hello_get0_ext(ssl, UInt32(type), &bytes, &count) == 1 }
    var offer = TLSOffer()
    offer.preSharedKey = find(TLSEXT_TYPE_psk)
    offer.ticket = find(TLSEXT_TYPE_session_ticket) && count > 0
    offer.version13 = find(TLSEXT_TYPE_supported_versions)
    offer.sessionID = unsafe SSL_client_hello_get0_session_id(ssl, &bytes) > 0
    unsafe memory.pointee.offer = offer
    if unsafe memory.pointee.context.pointee.requiresApplicationProtocol, !find(TLSEXT_TYPE_application_layer_protocol_negotiation) {
        // Written for OpenSSL, which reads it at once.
        unsafe alert?.pointee = SSL_AD_NO_APPLICATION_PROTOCOL
        return SSL_CLIENT_HELLO_ERROR
    }
    return SSL_CLIENT_HELLO_SUCCESS
}

/// Chooses the certificates by the name that the client asks for.
private func serverName(_ ssl: OpaquePointer?, _ alert: UnsafeMutablePointer<CInt>?, _ argument: UnsafeMutableRawPointer?) -> CInt {
    guard let state = unsafe argument?.assumingMemoryBound(to: TLSContextState.self) else { return SSL_TLSEXT_ERR_NOACK }
    guard let text = unsafe SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) else { return SSL_TLSEXT_ERR_NOACK }
    let count = unsafe strlen(text)
    guard unsafe count > 0 && count <= NameTable.nameBytesMax else { return SSL_TLSEXT_ERR_NOACK }
    return unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: NameTable.nameBytesMax) { name in
        // Names are compared without regard to case (RFC 6066 3); in bounds by the comparison above.
        guard let name = name.baseAddress else { return SSL_TLSEXT_ERR_NOACK }
        for index in 0..<count {
            let byte = unsafe UInt8(bitPattern: text[index])
            unsafe name[index] = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
        }
        // An unknown name gets the default certificate without an alert: the client judges it (RFC 6066 3 allows both).
        guard let set = unsafe state.pointee.names.find(name, count) else { return SSL_TLSEXT_ERR_NOACK }
        if set != 0 { unsafe SSL_set_SSL_CTX(ssl, state.pointee.contexts[set]) }
        return SSL_TLSEXT_ERR_OK
    }
}

/// The server's first protocol that the client knows; none in common is fatal (RFC 7301 3.2).
private func selectProtocol(
    _ ssl: OpaquePointer?, _ chosen: UnsafeMutablePointer<UnsafePointer<UInt8>?>?, _ chosenCount: UnsafeMutablePointer<UInt8>?,
    _ offered: UnsafePointer<UInt8>?, _ offeredCount: UInt32, _ argument: UnsafeMutableRawPointer?
) -> CInt {
    guard let state = unsafe argument?.assumingMemoryBound(to: TLSContextState.self), let offered = unsafe offered else {
        return SSL_TLSEXT_ERR_ALERT_FATAL
    }
    // Both lists are pairs of length and bytes; OpenSSL has checked the client's, ours is made by TLSContextState.
    let ours = unsafe state.pointee.protocols
    var at = 0
    while unsafe at < state.pointee.protocolsCount {
        let length = Int(unsafe ours[at])
        var other = 0
        while other < Int(offeredCount) {
            let otherLength = Int(unsafe offered[other])
            guard otherLength <= Int(offeredCount) &- other &- 1 else { break }
            if unsafe otherLength == length && memcmp(ours + at + 1, offered + other + 1, length) == 0 {
                unsafe chosen?.pointee = UnsafePointer(ours + at + 1)
                unsafe chosenCount?.pointee = UInt8(length)
                // The context outlives its sessions.
                unsafe TLSCallbacks.memory(of: ssl).pointee.chosenProtocol = UnsafeBufferPointer(start: ours + at + 1, count: length)
                return SSL_TLSEXT_ERR_OK
            }
            other &+= otherLength &+ 1
        }
        at &+= length &+ 1
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL
}

/// Staples the OCSP response of the certificate that was chosen, if it has one.
private func certificateStatus(_ ssl: OpaquePointer?, _ argument: UnsafeMutableRawPointer?) -> CInt {
    guard let state = unsafe argument?.assumingMemoryBound(to: TLSContextState.self), let certificate = unsafe SSL_get_certificate(ssl),
        let response = unsafe state.pointee.staples[certificate]
    else { return SSL_TLSEXT_ERR_NOACK }
    // OpenSSL frees what it is given, so it gets a copy of its own.
    guard let copy = unsafe urtls_openssl_malloc(response.count) else { return SSL_TLSEXT_ERR_NOACK }
    unsafe response.withUnsafeBytes { bytes in
        if let base = bytes.baseAddress { unsafe memcpy(copy, base, bytes.count) }
    }
    return unsafe urtls_set_ocsp_response(ssl, copy, response.count) == 1 ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK
}
