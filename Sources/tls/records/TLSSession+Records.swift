// The change from OpenSSL's session to a record layer of our own, when a TLS 1.3 handshake is complete, and the session's calls from then on.
// Loop's thread.
//
// An SSL of OpenSSL 3.0 holds 13 KB, most of which is for handshakes; what an established connection needs is two ciphers and two secrets, 3 KB.

internal import CUringTLS
internal import Glibc

/// What is left of a session when OpenSSL's is gone.
@unsafe struct EstablishedTLS {
    var records: RecordLayer
    let isResumed: Bool
    /// Static, OpenSSL's.
    let cipherName: UnsafePointer<CChar>?
    /// From malloc; nil when the client named no server.
    let serverName: UnsafeMutablePointer<CChar>?
    /// The client's verified certificate; a reference of ours.
    let clientCertificate: OpaquePointer?
}

extension TLSSession {
    /// Takes the records over, if this is a connection whose records can be made here. Otherwise, and when memory is short, they stay OpenSSL's.
    func takeOverRecords() {
        unsafe SSL_set_msg_callback(ssl, nil)
        guard let secrets = unsafe memory.pointee.secrets else { return }
        if let established = unsafe makeEstablished(&secrets.pointee) {
            unsafe memory.pointee.established = unsafe established
            unsafe freeOpenSSL()
            // What it held went over.
            unsafe secrets.pointee = RecordSecrets()
        }
        unsafe dropSecrets()
    }

    private func makeEstablished(_ secrets: inout RecordSecrets) -> UnsafeMutablePointer<EstablishedTLS>? {
        // Nothing may be left in OpenSSL's buffers, and nothing have been read under the key.
        guard unsafe version == .tls13, unsafe secrets.reading.hasSecret && secrets.writing.hasSecret && secrets.reading.sequence == 0,
            unsafe SSL_has_pending(ssl) == 0, let cipher = unsafe SSL_get_current_cipher(ssl),
            let suite = unsafe RecordSuite(rawValue: SSL_CIPHER_get_protocol_id(cipher))
        else { return nil }
        let context = unsafe memory.pointee.context
        let algorithm: OpaquePointer? = switch suite {
        case .aes128GCM: unsafe context.pointee.recordCiphers.0
        case .aes256GCM: unsafe context.pointee.recordCiphers.1
        case .chacha20Poly1305: unsafe context.pointee.recordCiphers.2
        }
        guard unsafe algorithm != nil, unsafe secrets.reading.begin(suite, algorithm, encrypts: false), unsafe secrets.writing.begin(suite, algorithm, encrypts: true)
        else {
            ERR_clear_error()
            return nil
        }
        let name = unsafe SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)
        let copy = unsafe name.flatMap { unsafe strdup($0) }
        let certificate = unsafe SSL_get_verify_result(ssl) == Int(X509_V_OK) ? SSL_get1_peer_certificate(ssl) : nil
        let established = UnsafeMutablePointer<EstablishedTLS>.allocate(capacity: 1)
        unsafe established.initialize(
            to: EstablishedTLS(
                records: RecordLayer(suite: suite, recordsPerKey: context.pointee.recordsPerKey, reading: secrets.reading, writing: secrets.writing),
                isResumed: SSL_session_reused(ssl) == 1, cipherName: SSL_CIPHER_get_name(cipher), serverName: copy, clientCertificate: certificate))
        return unsafe established
    }

    private func dropSecrets() {
        guard let secrets = unsafe memory.pointee.secrets else { return }
        unsafe secrets.pointee.destroy()
        unsafe secrets.deallocate()
        unsafe memory.pointee.secrets = nil
    }

    /// At the session's end.
    func dropRecords() {
        unsafe dropSecrets()
        guard let established = unsafe memory.pointee.established else { return }
        unsafe established.pointee.records.destroy(&memory.pointee.context.pointee.recordBuffers)
        unsafe free(established.pointee.serverName)
        unsafe X509_free(established.pointee.clientCertificate)
        unsafe established.deallocate()
        unsafe memory.pointee.established = nil
    }

    func readRecords(
        _ established: UnsafeMutablePointer<EstablishedTLS>, into bytes: UnsafeMutablePointer<UInt8>, capacity: Int, _ output: inout TLSOutput
    ) -> TLSReadStep {
        var window = unsafe RecordLayer.Window(bytes: memory.pointee.input, count: memory.pointee.inputCount)
        let (before, made) = unsafe (memory.pointee.inputCount, output.total)
        var end: RecordLayer.End?
        let total = unsafe established.pointee.records.read(
            &window, into: bytes, capacity: capacity, answers: !memory.pointee.isShutDown, &output, &memory.pointee.context.pointee.recordBuffers, end: &end)
        unsafe memory.pointee.input = unsafe window.bytes
        unsafe memory.pointee.inputCount = unsafe window.count
        unsafe memory.pointee.bytesIn &+= UInt64(before &- window.count)
        switch end {
        case nil: break
        case .closed: unsafe memory.pointee.isClosedByPeer = true
        case .failed(let failure): unsafe failRecords(established, failure, &output)
        }
        unsafe memory.pointee.bytesOut &+= UInt64(output.total &- made)
        // What was read comes first; the end is kept for the next call.
        if total > 0 { return .bytes(total) }
        switch end {
        case nil: return .more
        case .closed: return .closed
        case .failed(let failure): return .failed(failure)
        }
    }

    func writeRecords(
        _ established: UnsafeMutablePointer<EstablishedTLS>, _ bytes: UnsafePointer<UInt8>, _ count: Int, _ output: inout TLSOutput
    ) -> TLSWriteStep {
        let made = unsafe output.total
        guard unsafe established.pointee.records.write(bytes, count, &output) else {
            ERR_clear_error()
            return unsafe .failed(note(TLSFailure(.internalError)))
        }
        unsafe memory.pointee.bytesOut &+= UInt64(output.total &- made)
        return .written(count)
    }

    func writeAlert(_ established: UnsafeMutablePointer<EstablishedTLS>, _ alert: UInt8, _ output: inout TLSOutput) {
        let made = unsafe output.total
        unsafe established.pointee.records.writeAlert(alert, &output)
        unsafe memory.pointee.bytesOut &+= UInt64(output.total &- made)
    }

    /// Notes the failure and says it to the peer, unless the peer said it, or heard close_notify already.
    private func failRecords(_ established: UnsafeMutablePointer<EstablishedTLS>, _ failure: TLSFailure, _ output: inout TLSOutput) {
        ERR_clear_error()
        _ = unsafe note(failure)
        guard unsafe !memory.pointee.isShutDown, failure.cause != .alertReceived else { return }
        // RFC 8446 6.2.
        let alert: UInt8 =
            switch failure.cause {
            case .badRecordMAC: 20
            case .recordTooLong: 22
            case .unexpectedMessage: 10
            case .decodeError: 50
            case .internalError: 80
            default: 47
            }
        unsafe established.pointee.records.writeAlert(alert, &output)
    }
}
