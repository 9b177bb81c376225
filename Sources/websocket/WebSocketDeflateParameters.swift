// permessage-deflate as an agreement: what the client offers, what we answer (RFC 7692 7.1). Plain values; any thread.

internal import UringHTTP

/// What a server accepts of an offer.
@frozen @usableFromInline package struct WebSocketDeflatePolicy: Equatable, Sendable {
    /// Whether compression is agreed upon at all.
    @usableFromInline package var isEnabled = false
    /// Whether our messages may refer to earlier ones. False: a deflater for each connection would be up to 170 KiB; without it the loop's are shared.
    @usableFromInline package var serverTakesContextOver = false
    /// Whether the client's may. False: an inflater for each connection would be up to 40 KiB.
    @usableFromInline package var clientTakesContextOver = false
    /// The most our window may be, 9…15 bits: it is the client's memory.
    @usableFromInline package var serverWindowBitsMax: Int32 = 15
    /// The most the client's window may be, 9…15 bits, if it lets us choose: it is our memory.
    @usableFromInline package var clientWindowBitsMax: Int32 = 15

    @inlinable package init(isEnabled: Bool = false) { self.isEnabled = isEnabled }
}

/// What was agreed upon.
@frozen @usableFromInline package struct WebSocketDeflateParameters: Equatable, Sendable {
    @usableFromInline package var isOn = false
    @usableFromInline package var serverTakesContextOver = false
    @usableFromInline package var clientTakesContextOver = false
    /// 8…15. zlib writes no raw DEFLATE with 8: then everything is sent plain, which a connection with the extension may do.
    @usableFromInline package var serverWindowBits: Int32 = 15
    /// 8…15.
    @usableFromInline package var clientWindowBits: Int32 = 15
    /// Whether the answer names them.
    @usableFromInline package var saysServerWindowBits = false
    @usableFromInline package var saysClientWindowBits = false

    @inlinable package init() {}

    /// No compression.
    @inlinable package static var off: WebSocketDeflateParameters { WebSocketDeflateParameters() }

    /// Whether messages of ours can be compressed.
    @inlinable package var compresses: Bool { isOn && serverWindowBits >= 9 }
}

/// One offer of permessage-deflate as it stands in the request; -1 where a parameter is missing.
struct WebSocketDeflateOffer {
    var serverNoContextTakeover = false
    var clientNoContextTakeover = false
    var serverWindowBits: Int32 = -1
    /// 0: the client lets us choose, without a number.
    var clientWindowBits: Int32 = -1

    /// What we make of it. Every offer that is well-formed can be met: zlib inflates any window.
    func accepted(by policy: WebSocketDeflatePolicy) -> WebSocketDeflateParameters {
        var answer = WebSocketDeflateParameters()
        answer.isOn = true
        answer.serverTakesContextOver = policy.serverTakesContextOver && !serverNoContextTakeover
        // A server may ask for it whether or not it was offered (7.1.1.2).
        answer.clientTakesContextOver = policy.clientTakesContextOver && !clientNoContextTakeover
        let server = min(max(policy.serverWindowBitsMax, 9), 15)
        answer.serverWindowBits = serverWindowBits < 0 ? server : min(server, serverWindowBits)
        // What was asked for has to be confirmed (7.1.2.1).
        answer.saysServerWindowBits = serverWindowBits >= 0 || answer.serverWindowBits < 15
        if clientWindowBits >= 0 {
            let offered = clientWindowBits == 0 ? 15 : clientWindowBits
            answer.clientWindowBits = min(offered, min(max(policy.clientWindowBitsMax, 9), 15))
            answer.saysClientWindowBits = answer.clientWindowBits < offered
        }
        return answer
    }
}

extension WebSocketDeflateParameters {
    /// The most that `write` writes.
    static var textBytesMax: Int { 160 }

    /// Writes the extension as it stands in the answer; `out` has room for `textBytesMax`.
    func write(to out: UnsafeMutablePointer<UInt8>) -> Int {
        // Caller's memory: room for every text below, for this call.
        var at = unsafe ByteWriting.write("permessage-deflate", to: out)
        if !serverTakesContextOver { at &+= unsafe ByteWriting.write("; server_no_context_takeover", to: out + at) }
        if !clientTakesContextOver { at &+= unsafe ByteWriting.write("; client_no_context_takeover", to: out + at) }
        if saysServerWindowBits {
            at &+= unsafe ByteWriting.write("; server_max_window_bits=", to: out + at)
            at &+= unsafe ByteWriting.writeDecimal(UInt64(serverWindowBits), to: out + at)
        }
        if saysClientWindowBits {
            at &+= unsafe ByteWriting.write("; client_max_window_bits=", to: out + at)
            at &+= unsafe ByteWriting.writeDecimal(UInt64(clientWindowBits), to: out + at)
        }
        return at
    }
}
