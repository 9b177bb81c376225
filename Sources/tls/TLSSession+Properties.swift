// What is known about a session: after the handshake unless it says otherwise. Loop's thread.

internal import CUringTLS
internal import Glibc

extension TLSSession {
    package var isEstablished: Bool { unsafe memory.pointee.isEstablished }
    /// The peer's close_notify has been read: an end of the transport before that is a truncation.
    package var isClosedByPeer: Bool { unsafe memory.pointee.isClosedByPeer }
    package var failure: TLSFailure? { unsafe memory.pointee.failure }
    package var times: TLSHandshakeTimes { unsafe memory.pointee.times }
    /// Ciphertext taken from windows and put into outputs.
    package var bytesIn: UInt64 { unsafe memory.pointee.bytesIn }
    package var bytesOut: UInt64 { unsafe memory.pointee.bytesOut }

    package var version: TLSConfiguration.Version {
        if unsafe memory.pointee.established != nil { return .tls13 }
        return unsafe SSL_version(ssl) >= TLS1_3_VERSION ? .tls13 : .tls12
    }

    package var resumption: TLSResumption {
        if let established = unsafe memory.pointee.established { return unsafe established.pointee.isResumed ? .preSharedKey : .full }
        guard unsafe SSL_session_reused(ssl) == 1 else { return .full }
        if unsafe version == .tls13 { return .preSharedKey }
        return unsafe memory.pointee.offer.ticketOpened ? .ticket : .sessionID
    }

    /// The client offered to resume. A full handshake of one that did is a fall-back.
    package var offeredResumption: Bool {
        let offer = unsafe memory.pointee.offer
        if unsafe version == .tls13 { return offer.preSharedKey }
        // A TLS 1.3 client sends a session id in any case (RFC 8446 4.1.2): only without that version does one mean anything.
        return offer.ticket || (offer.sessionID && !offer.version13)
    }

    /// OpenSSL's name of the cipher suite, as a static C string.
    package var cipherName: UnsafePointer<CChar>? {
        if let established = unsafe memory.pointee.established { return unsafe established.pointee.cipherName }
        return unsafe SSL_CIPHER_get_name(SSL_get_current_cipher(ssl))
    }

    /// The protocol that ALPN chose, for the session's life; empty when the client did not ask, which means HTTP/1.1.
    package var applicationProtocol: UnsafeBufferPointer<UInt8> {
        if unsafe memory.pointee.established != nil { return unsafe memory.pointee.chosenProtocol ?? UnsafeBufferPointer(start: nil, count: 0) }
        var bytes: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        unsafe SSL_get0_alpn_selected(ssl, &bytes, &count)
        return unsafe UnsafeBufferPointer(start: bytes, count: Int(count))
    }

    /// ALPN chose HTTP/2.
    package var isHTTP2: Bool {
        let chosen = unsafe applicationProtocol
        return unsafe chosen.count == 2 && chosen[0] == 0x68 && chosen[1] == 0x32
    }

    /// The server name that the client asked for, for the session's life, as it wrote it.
    package var serverName: UnsafePointer<CChar>? {
        if let established = unsafe memory.pointee.established { return unsafe UnsafePointer(established.pointee.serverName) }
        return unsafe SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)
    }

    /// Frees OpenSSL's record buffers (34 KiB) if they are empty. With `releasesIdleBuffers` OpenSSL does that by itself.
    package func releaseBuffers() { if let ssl = unsafe ssl { _ = unsafe SSL_free_buffers(ssl) } }

    /// OpenSSL's session is gone, and the records are made by this layer.
    package var makesRecords: Bool { unsafe memory.pointee.established != nil }
}
