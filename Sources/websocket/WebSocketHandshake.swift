// The opening handshake, the server's part (RFC 6455 4.2; over HTTP/2, RFC 8441 5): is this a request for a WebSocket, may it be had, and what is
// answered. Reads a parsed request head in the caller's memory; no state; any thread.

internal import CUringTLS
package import UringHTTP

/// What a server offers.
package struct WebSocketPolicy: Equatable, Sendable {
    /// Subprotocols (tokens) that it speaks. The client's order decides which is chosen.
    package var protocols: [[UInt8]] = []
    package var deflate = WebSocketDeflatePolicy()

    package init(protocols: [[UInt8]] = [], deflate: WebSocketDeflatePolicy = WebSocketDeflatePolicy()) {
        self.protocols = protocols
        self.deflate = deflate
    }
}

/// What was agreed upon. Offsets count from where the request's fields do.
@frozen @usableFromInline package struct WebSocketAgreement: Equatable, Sendable {
    /// Of Sec-WebSocket-Key, 24 bytes; -1 over HTTP/2, which has none.
    @usableFromInline package var keyOffset: Int32 = -1
    /// The chosen subprotocol, as the client wrote it; none when `protocolCount` is 0.
    @usableFromInline package var protocolOffset: UInt32 = 0
    @usableFromInline package var protocolCount: UInt32 = 0
    @usableFromInline package var deflate = WebSocketDeflateParameters.off

    @inlinable package init() {}

    /// 101, or 200 over HTTP/2 (RFC 8441 5).
    package var status: HTTPStatus { keyOffset < 0 ? .ok : .switchingProtocols }
}

/// Why a request does not become a WebSocket.
@frozen @usableFromInline package enum WebSocketRefusal: Equatable, Sendable {
    /// It does not ask for a WebSocket: no Upgrade to it, or another `:protocol`. Serve it as what it is.
    case notAsked
    /// It asks for one with another method than GET, with HTTP/1.0, or with a body.
    case badRequest
    /// Sec-WebSocket-Key is not there once, or not the base64 of 16 bytes.
    case badKey
    /// Sec-WebSocket-Version is not 13: say which one is spoken (4.4).
    case badVersion
    /// A list of extensions or subprotocols that is not well-formed.
    case badList
    /// The hook does not want this Origin (10.2).
    case forbiddenOrigin
    /// SHA-1 cannot be computed: OpenSSL lacks it.
    case noDigest

    /// For `notAsked`, where nothing but WebSocket is served: 426 with Upgrade.
    package var status: HTTPStatus {
        switch self {
        case .notAsked, .badVersion: .upgradeRequired
        case .badRequest, .badKey, .badList: .badRequest
        case .forbiddenOrigin: .forbidden
        case .noDigest: .internalServerError
        }
    }

    /// Field lines that the response needs; empty for most. The caller says Connection where HTTP/1.1 asks for it (RFC 9110 7.8).
    package var fields: StaticString {
        switch self {
        case .notAsked: "Upgrade: websocket\r\n"
        case .badVersion: "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        case .badRequest, .badKey, .badList, .forbiddenOrigin, .noDigest: ""
        }
    }

    /// For a response body or a log.
    package var text: StaticString {
        switch self {
        case .notAsked: "a WebSocket is served here"
        case .badRequest: "a WebSocket is asked for with GET, HTTP/1.1 and no body"
        case .badKey: "Sec-WebSocket-Key is not the base64 of 16 bytes"
        case .badVersion: "Sec-WebSocket-Version is not 13"
        case .badList: "Sec-WebSocket-Extensions or Sec-WebSocket-Protocol is not well-formed"
        case .forbiddenOrigin: "this origin may not connect"
        case .noDigest: "SHA-1 is not available"
        }
    }
}

@frozen @usableFromInline package enum WebSocketVerdict: Equatable, Sendable {
    case accepted(WebSocketAgreement)
    case refused(WebSocketRefusal)
}

@usableFromInline package enum WebSocketHandshake {
    /// Judges a request of HTTP/1.1.
    ///
    /// - Parameters:
    ///   - head, fields, bytes: what the parser filled in, and the bytes that it counts from; readable for this call.
    ///   - allowsOrigin: gets the value of Origin, or nil when there is none, as with clients that are no browsers. Browsers send it always, and
    ///     nothing else keeps another site's script from using a visitor's cookies here (10.2).
    package static func check(
        _ head: RequestHead, fields: UnsafePointer<FieldSlot>, bytes: UnsafePointer<UInt8>, policy: WebSocketPolicy,
        allowsOrigin: (UnsafeBufferPointer<UInt8>?) -> Bool
    ) -> WebSocketVerdict {
        var request = unsafe HandshakeFields(bytes)
        // Caller's memory, as above.
        for index in 0..<head.fieldCount { unsafe request.take(fields[index]) }
        guard head.upgrade, unsafe request.asksForWebSocket else { return .refused(.notAsked) }
        guard head.method == .get, head.minorVersion >= 1, isWithoutBody(head) else { return .refused(.badRequest) }
        if let refusal = unsafe request.refusal { return .refused(refusal) }
        guard let key = unsafe request.key, unsafe request.isSingleKey, unsafe isKey(bytes + Int(key.valueOffset), count: Int(key.valueLength)) else {
            return .refused(.badKey)
        }
        return unsafe agree(request, key: Int32(truncatingIfNeeded: key.valueOffset), policy: policy, allowsOrigin: allowsOrigin)
    }

    /// Judges an extended CONNECT of HTTP/2 (RFC 8441 5), which has neither key nor Upgrade.
    ///
    /// - Parameters:
    ///   - protocolName: the value of `:protocol`, `protocolCount` bytes.
    package static func checkConnect(
        protocolName: UnsafePointer<UInt8>, protocolCount: Int, _ head: RequestHead, fields: UnsafePointer<FieldSlot>, bytes: UnsafePointer<UInt8>,
        policy: WebSocketPolicy, allowsOrigin: (UnsafeBufferPointer<UInt8>?) -> Bool
    ) -> WebSocketVerdict {
        // Caller's memory, readable for this call.
        guard head.method == .connect, unsafe equalsIgnoringCase(protocolName, count: protocolCount, "websocket") else { return .refused(.notAsked) }
        var request = unsafe HandshakeFields(bytes)
        for index in 0..<head.fieldCount { unsafe request.take(fields[index]) }
        if let refusal = unsafe request.refusal { return .refused(refusal) }
        return unsafe agree(request, key: -1, policy: policy, allowsOrigin: allowsOrigin)
    }

    private static func isWithoutBody(_ head: RequestHead) -> Bool {
        switch head.framing {
        case .none, .length(0): true
        case .length, .chunked: false
        }
    }

    private static func agree(
        _ request: HandshakeFields, key: Int32, policy: WebSocketPolicy, allowsOrigin: (UnsafeBufferPointer<UInt8>?) -> Bool
    ) -> WebSocketVerdict {
        // The request's bytes, readable for the caller's call.
        let origin = unsafe request.origin.map { unsafe UnsafeBufferPointer(start: request.bytes + Int($0.valueOffset), count: Int($0.valueLength)) }
        guard unsafe allowsOrigin(origin) else { return .refused(.forbiddenOrigin) }
        var agreement = WebSocketAgreement()
        agreement.keyOffset = key
        if policy.deflate.isEnabled, let offer = unsafe request.offer { agreement.deflate = offer.accepted(by: policy.deflate) }
        unsafe request.choose(policy.protocols, &agreement)
        return .accepted(agreement)
    }

    // MARK: key and answer

    /// Base64 of 16 bytes: 22 characters of the alphabet and two "=" (4.1).
    static func isKey(_ key: UnsafePointer<UInt8>, count: Int) -> Bool {
        // Caller's memory: `count` bytes readable.
        guard count == 24, unsafe key[22] == 0x3d && key[23] == 0x3d else { return false }
        for index in 0..<22 where unsafe !isBase64(key[index]) { return false }
        return true
    }

    /// A client's Sec-WebSocket-Key of 16 random bytes.
    package static func makeKey(_ high: UInt64, _ low: UInt64) -> InlineArray<24, UInt8> {
        var bytes = InlineArray<64, UInt8>(repeating: 0)
        for index in 0..<8 {
            bytes[index] = UInt8(truncatingIfNeeded: high >> UInt64(8 * index))
            bytes[8 + index] = UInt8(truncatingIfNeeded: low >> UInt64(8 * index))
        }
        var text = InlineArray<28, UInt8>(repeating: 0)
        var output = text.mutableSpan
        // SAFETY: the array lives through the closure, which writes 28 bytes.
        unsafe output.withUnsafeMutableBufferPointer { unsafe writeBase64(bytes, to: $0.baseAddress!) }
        var key = InlineArray<24, UInt8>(repeating: 0x3d)
        // 16 bytes are 22 characters; the last has two bits of the 16th, and padding behind it.
        for index in 0..<22 { key[index] = text[index] }
        return key
    }

    private static func isBase64(_ byte: UInt8) -> Bool {
        let letter = (byte | 0x20) &- 0x61
        return letter < 26 || byte &- 0x30 < 10 || byte == 0x2b || byte == 0x2f
    }

    package static var acceptBytes: Int { 28 }

    /// Writes Sec-WebSocket-Accept for a key of 24 bytes: base64 of the SHA-1 of key and a fixed text (4.2.2). False without SHA-1.
    package static func writeAccept(_ key: UnsafePointer<UInt8>, to out: UnsafeMutablePointer<UInt8>) -> Bool {
        // Caller's memory: 24 bytes readable, room for 28. A literal lives as long as the program, the arrays through their closures.
        let text: StaticString = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        var input = InlineArray<60, UInt8>(repeating: 0)
        for index in 0..<24 { input[index] = unsafe key[index] }
        for index in 0..<36 { input[24 &+ index] = unsafe text.utf8Start[index] }
        var digest = InlineArray<64, UInt8>(repeating: 0)
        var length: UInt32 = 0
        var output = digest.mutableSpan
        let isDone = unsafe output.withUnsafeMutableBufferPointer { digest in
            unsafe input.span.withUnsafeBufferPointer { input in
                unsafe EVP_Digest(input.baseAddress, input.count, digest.baseAddress, &length, EVP_sha1(), nil) == 1
            }
        }
        guard isDone, length == 20 else { return false }
        unsafe writeBase64(digest, to: out)
        return true
    }

    /// Of the first 20 bytes: 28 characters.
    private static func writeBase64(_ bytes: InlineArray<64, UInt8>, to out: UnsafeMutablePointer<UInt8>) {
        // Caller's memory: room for 28 bytes. A literal lives as long as the program.
        let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        for group in 0..<7 {
            // Bytes 20 and beyond are the digest's zeros.
            let at = 3 &* group
            let word = UInt32(bytes[at]) &<< 16 | UInt32(bytes[at &+ 1]) &<< 8 | (at &+ 2 < 20 ? UInt32(bytes[at &+ 2]) : 0)
            for place in 0..<4 {
                let index = Int((word &>> UInt32(18 &- 6 &* place)) & 63)
                unsafe out[4 &* group &+ place] = alphabet.utf8Start[index]
            }
        }
        unsafe out[27] = 0x3d
    }

    /// The most that `writeFields` writes.
    package static func fieldBytesMax(_ agreement: WebSocketAgreement) -> Int {
        320 &+ Int(agreement.protocolCount)
    }

    /// Writes the field lines of the answer, each with its line end, for the head of a 101 or 200 (`WebSocketAgreement.status`); nil without SHA-1, which
    /// is an answer of 500 (`WebSocketRefusal.noDigest`).
    ///
    /// - Parameters:
    ///   - bytes: those of the request.
    ///   - out: room for `fieldBytesMax`.
    package static func writeFields(_ agreement: WebSocketAgreement, bytes: UnsafePointer<UInt8>, into out: UnsafeMutablePointer<UInt8>) -> Int? {
        // Caller's memory: the ranges of the agreement are within the request's bytes.
        var at = 0
        if agreement.keyOffset >= 0 {
            at = unsafe ByteWriting.write("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ", to: out)
            guard unsafe writeAccept(bytes + Int(agreement.keyOffset), to: out + at) else { return nil }
            at &+= acceptBytes
            at &+= unsafe ByteWriting.write("\r\n", to: out + at)
        }
        if agreement.protocolCount > 0 {
            at &+= unsafe ByteWriting.write("Sec-WebSocket-Protocol: ", to: out + at)
            let count = Int(agreement.protocolCount)
            unsafe (out + at).update(from: bytes + Int(agreement.protocolOffset), count: count)
            at &+= count
            at &+= unsafe ByteWriting.write("\r\n", to: out + at)
        }
        if agreement.deflate.isOn {
            at &+= unsafe ByteWriting.write("Sec-WebSocket-Extensions: ", to: out + at)
            at &+= unsafe agreement.deflate.write(to: out + at)
            at &+= unsafe ByteWriting.write("\r\n", to: out + at)
        }
        return at
    }
}
