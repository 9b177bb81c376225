// ProxyRequest: a request as it is forwarded, written anew from what was parsed: nothing of the client's bytes but names and values of fields, and the target, reaches another
// server, so that two parsers never read one text differently. Filled in during the handler's call; kept until the response begins, for another attempt. The loop's thread.
//
// Pointers: buffers are owned by this object; a request's bytes are readable during the handler's call.

internal import Glibc
internal import UringBase
package import UringHTTP
internal import UringHTTP1
internal import UringWebSocket

/// Method, target, authority, fields and content of a request on its way to a server. Keeps its memory from request to request.
@safe
package final class ProxyRequest {
    /// Content that is whole when the handler is called and not larger than this can be sent again to another server. More is handed on and forgotten.
    static let keptMemoryMax = 256 * 1024

    package private(set) var method = HTTPMethod.get
    /// Nobody but this object frees or moves them.
    let methodName: UnsafeMutablePointer<GrowingBytes>
    let target: UnsafeMutablePointer<GrowingBytes>
    let authority: UnsafeMutablePointer<GrowingBytes>
    /// `name: value\r\n` each.
    let fields: UnsafeMutablePointer<GrowingBytes>
    let content: UnsafeMutablePointer<GrowingBytes>
    /// How the content's end is told.
    private(set) var framing = BodyFraming.none
    /// The content follows piece by piece.
    private(set) var isStreamed = false
    /// The client asks for another protocol, and is to have it of the server (RFC 9110 section 7.8).
    package private(set) var asksUpgrade = false
    /// The client is one of gRPC, by its content type: answers that no server has given are put as it reads them.
    package private(set) var isGRPC = false
    /// The client asks by an extended CONNECT of HTTP/2 (RFC 8441); the server is asked by GET with Upgrade.
    private(set) var isConnect = false
    /// Of an extended CONNECT: what this server asks with.
    private(set) var key = InlineArray<24, UInt8>(repeating: 0)
    /// `TE: trailers` (RFC 9110 section 10.1.4): the client takes trailers, which gRPC needs.
    private(set) var takesTrailers = false

    /// Where the field of the attempt begins, behind all others; nil: there is none.
    private var lastField: Int?

    init() {
        func make(_ capacity: Int) -> UnsafeMutablePointer<GrowingBytes> {
            let made = UnsafeMutablePointer<GrowingBytes>.allocate(capacity: 1)
            unsafe made.initialize(to: GrowingBytes(capacity: capacity))
            return unsafe made
        }
        unsafe (methodName, target, authority, fields, content) = unsafe (make(16), make(256), make(128), make(1024), make(256))
    }

    deinit {
        func free(_ buffer: UnsafeMutablePointer<GrowingBytes>) {
            unsafe buffer.pointee.destroy()
            unsafe buffer.deallocate()
        }
        unsafe free(methodName)
        unsafe free(target)
        unsafe free(authority)
        unsafe free(fields)
        unsafe free(content)
    }

    /// Takes what is forwarded as it came: method, target, authority, content. Fields are `copyFields`' business.
    package func begin(_ request: borrowing Request) {
        isConnect = request.method == .connect
        method = isConnect ? .get : request.method
        unsafe (methodName.pointee.count, target.pointee.count, authority.pointee.count, fields.pointee.count) = (0, 0, 0, 0)
        if isConnect { unsafe methodName.pointee.append("GET") } else { unsafe methodName.pointee.append(request.methodName) }
        unsafe target.pointee.append(request.path)
        if let query = request.query {
            unsafe target.pointee.append(UInt8(ascii: "?"))
            unsafe target.pointee.append(query)
        }
        unsafe authority.pointee.append(request.authority)
        (asksUpgrade, takesTrailers, isGRPC, lastField) = (false, false, false, nil)
        takeContent(request)
    }

    private func takeContent(_ request: borrowing Request) {
        if unsafe content.pointee.capacity > Self.keptMemoryMax { unsafe content.pointee.shrink(to: 256) }
        unsafe content.pointee.count = 0
        guard !isConnect else {
            (isStreamed, framing) = (false, .none)
            return
        }
        isStreamed = request.isStreaming
        let announced = unsafe request.context.pointee.head.pointee.framing
        if isStreamed {
            framing = request.contentLength.map { .length($0) } ?? .chunked
        } else {
            unsafe content.pointee.append(request.body)
            framing = RequestEncoder.framing(method: method, hasBody: announced != .none, bodyLength: UInt64(request.body.count))
        }
    }

    /// How many bytes of fields there are: where the next one begins.
    package var fieldBytes: Int { unsafe fields.pointee.count }

    /// Writes sixteen hexadecimal digits over bytes of the fields.
    package func overwriteHex(at place: Int, _ value: UInt64) {
        guard place >= 0, unsafe place + 16 <= fields.pointee.count else { return }
        for digit in 0..<16 {
            let nibble = UInt8(truncatingIfNeeded: value >> UInt64(60 - 4 * digit)) & 15
            unsafe fields.pointee.base[place + digit] = nibble < 10 ? 0x30 + nibble : 0x57 + nibble
        }
    }

    /// The method's name, and the path without its query; copies.
    package var methodText: [UInt8] { unsafe Array(UnsafeBufferPointer(start: methodName.pointee.base, count: methodName.pointee.count)) }
    package var pathText: [UInt8] { unsafe Array(UnsafeBufferPointer(start: target.pointee.base, count: target.pointee.count).prefix { $0 != 0x3f }) }

    // MARK: edits

    /// Replaces the target: a path with its query. Of bytes that a request line may have; others make the request fail when it is sent.
    package func setTarget(_ bytes: Span<UInt8>) { unsafe replace(target, bytes) }
    /// Replaces the authority, which becomes Host or `:authority`.
    package func setAuthority(_ bytes: Span<UInt8>) { unsafe replace(authority, bytes) }

    package func setTarget(_ bytes: [UInt8]) { unsafe replace(target, bytes.span) }
    package func setAuthority(_ bytes: [UInt8]) { unsafe replace(authority, bytes.span) }

    private func replace(_ buffer: UnsafeMutablePointer<GrowingBytes>, _ bytes: Span<UInt8>) {
        unsafe buffer.pointee.count = 0
        // SAFETY: the span is readable during this call; its bytes are copied.
        unsafe bytes.withUnsafeBufferPointer { if $0.count > 0 { unsafe buffer.pointee.append($0.baseAddress!, $0.count) } }
    }

    /// Adds a field. Nothing is added, and the answer is false, for a name that is no token, one of a message's framing, or a value that could end its line.
    @discardableResult
    package func addField(_ name: Span<UInt8>, _ value: Span<UInt8>) -> Bool {
        // SAFETY: both spans are readable during this call; their bytes are copied.
        unsafe name.withUnsafeBufferPointer { name in
            unsafe value.withUnsafeBufferPointer { value in
                guard unsafe FieldValidation.isName(name), let start = name.baseAddress, unsafe !RequestEncoder.isReserved(KnownField.lookup(start, count: name.count)),
                    unsafe FieldValidation.isValue(value)
                else { return false }
                unsafe appendField(start, name.count, value.baseAddress, value.count)
                return true
            }
        }
    }

    @discardableResult
    package func addField(_ name: [UInt8], _ value: [UInt8]) -> Bool { addField(name.span, value.span) }

    /// Adds a field in place of the one that was added so before: what is another for each attempt. Behind all other fields.
    package func setLastField(_ name: Span<UInt8>, _ value: Span<UInt8>) {
        if let lastField { unsafe fields.pointee.count = lastField } else { lastField = unsafe fields.pointee.count }
        addField(name, value)
    }

    private func appendField(_ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>?, _ valueCount: Int) {
        unsafe fields.pointee.append(name, nameCount)
        unsafe fields.pointee.append(": ")
        if let value = unsafe value, valueCount > 0 { unsafe fields.pointee.append(value, valueCount) }
        unsafe fields.pointee.append("\r\n")
    }

    /// Copies the request's fields, but for those of one connection only (RFC 9110 section 7.6.1), those that this server writes, and those that `drops` says.
    /// - Parameters:
    ///   - upgrades: `Upgrade: websocket` is handed on, so that the server may switch protocols.
    ///   - drops: of a field's number and name: leave it out.
    package func copyFields(of request: borrowing Request, upgrades: Bool, drops: (KnownField, ByteView) -> Bool) {
        let context = unsafe request.context
        let (base, slots, count) = unsafe (context.pointee.base, context.pointee.fields, context.pointee.head.pointee.fieldCount)
        let head = unsafe context.pointee.head.pointee
        let listed = unsafe ConnectionOptions(base, slots, count)
        // On HTTP/2 the end of the protocol's name is a pseudo-field, and nobody can send Upgrade (RFC 9113 section 8.2.2).
        // Of the protocols that there are, WebSocket alone: `h2c` would be a way around everything that is decided here.
        asksUpgrade = unsafe upgrades && head.upgrade && method == .get && framing == .none && Self.asksWebSocket(base, slots, count)
        if isConnect { askWebSocket(hasVersion: (0..<count).contains { unsafe slots[$0].known == .secWebsocketVersion }) }
        for index in 0..<count {
            let slot = unsafe slots[index]
            switch slot.known {
            case .secWebsocketKey where isConnect: continue
            case .contentType: isGRPC = unsafe GRPC.isContentType(base + Int(slot.valueOffset), Int(slot.valueLength))
            case .host, .contentLength, .transferEncoding, .connection, .expect, .keepAlive, .proxyConnection, .http2Settings, .proxyAuthorization: continue
            case .te:
                takesTrailers = unsafe takesTrailers || ConnectionOptions.contains(base + Int(slot.valueOffset), Int(slot.valueLength), "trailers")
                continue
            case .upgrade: guard asksUpgrade else { continue }
            default: if unsafe listed.hasOthers && listed.lists(base + Int(slot.nameOffset), Int(slot.nameLength)) { continue }
            }
            if drops(slot.known, request.headers.name(at: index)) { continue }
            if slot.known == .cookie {
                unsafe appendCookies(base, slots, index, count)
                continue
            }
            unsafe appendField(base + Int(slot.nameOffset), Int(slot.nameLength), base + Int(slot.valueOffset), Int(slot.valueLength))
        }
    }

    /// What an extended CONNECT does without (RFC 8441 section 5).
    private func askWebSocket(hasVersion: Bool) {
        asksUpgrade = true
        var random = SystemRandomNumberGenerator()
        key = WebSocketHandshake.makeKey(random.next(), random.next())
        unsafe fields.pointee.append("upgrade: websocket\r\n")
        if !hasVersion { unsafe fields.pointee.append("sec-websocket-version: 13\r\n") }
        unsafe fields.pointee.append("sec-websocket-key: ")
        for index in key.indices { unsafe fields.pointee.append(key[index]) }
        unsafe fields.pointee.append("\r\n")
    }

    /// Whether a server's Sec-WebSocket-Accept answers the key of `askWebSocket` (RFC 6455 section 4.1).
    func isAccepted(by headers: RequestHeaders) -> Bool {
        guard let accept = headers["sec-websocket-accept"], accept.count == WebSocketHandshake.acceptBytes else { return false }
        var wanted = InlineArray<28, UInt8>(repeating: 0)
        var output = wanted.mutableSpan
        // SAFETY: both arrays live through their closures, which read 24 bytes and write 28.
        let isMade = unsafe output.withUnsafeMutableBufferPointer { out in
            unsafe key.span.withUnsafeBufferPointer { key in unsafe WebSocketHandshake.writeAccept(key.baseAddress!, to: out.baseAddress!) }
        }
        guard isMade else { return false }
        for index in wanted.indices where accept[index] != wanted[index] { return false }
        return true
    }

    private static func asksWebSocket(_ base: UnsafePointer<UInt8>, _ slots: UnsafePointer<FieldSlot>, _ count: Int) -> Bool {
        var lines = 0
        for index in 0..<count where unsafe slots[index].known == .upgrade {
            lines += 1
            guard unsafe equalsIgnoringCase(base + Int(slots[index].valueOffset), count: Int(slots[index].valueLength), "websocket") else { return false }
        }
        return lines == 1
    }

    /// Lines of Cookie are crumbs of one field on HTTP/2 (RFC 9113 section 8.2.3); everybody else expects one line: the first takes all.
    private func appendCookies(_ base: UnsafePointer<UInt8>, _ slots: UnsafePointer<FieldSlot>, _ index: Int, _ count: Int) {
        for earlier in 0..<index where unsafe slots[earlier].known == .cookie { return }
        unsafe fields.pointee.append("cookie: ")
        for crumb in index..<count where unsafe slots[crumb].known == .cookie {
            if crumb > index { unsafe fields.pointee.append("; ") }
            unsafe fields.pointee.append(base + Int(slots[crumb].valueOffset), Int(slots[crumb].valueLength))
        }
        unsafe fields.pointee.append("\r\n")
    }
}

/// What a message's Connection fields list beside `close`, `keep-alive` and `upgrade`: names of fields that are not forwarded.
@safe
struct ConnectionOptions {
    private let base: UnsafePointer<UInt8>
    private let slots: UnsafePointer<FieldSlot>
    private let count: Int
    let hasOthers: Bool

    /// SAFETY: the message's head is readable as long as this value is used.
    init(_ base: UnsafePointer<UInt8>, _ slots: UnsafePointer<FieldSlot>, _ count: Int) {
        unsafe (self.base, self.slots, self.count) = unsafe (base, slots, count)
        var others = false
        for index in 0..<count where unsafe slots[index].known == .connection {
            let value = unsafe base + Int(slots[index].valueOffset)
            var list = unsafe FieldListIterator(count: Int(slots[index].valueLength))
            while let item = unsafe list.next(in: value) {
                let (start, length) = unsafe (value + item.lowerBound, item.count)
                let isOwn = unsafe equalsIgnoringCase(start, count: length, "close") || equalsIgnoringCase(start, count: length, "keep-alive")
                    || equalsIgnoringCase(start, count: length, "upgrade") || equalsIgnoringCase(start, count: length, "te")
                if !isOwn { others = true }
            }
        }
        hasOthers = others
    }

    func lists(_ name: UnsafePointer<UInt8>, _ length: Int) -> Bool {
        for index in 0..<count where unsafe slots[index].known == .connection {
            let value = unsafe base + Int(slots[index].valueOffset)
            var list = unsafe FieldListIterator(count: Int(slots[index].valueLength))
            while let item = unsafe list.next(in: value) {
                if item.count == length, unsafe strncasecmp(
                    UnsafeRawPointer(value + item.lowerBound).assumingMemoryBound(to: CChar.self), UnsafeRawPointer(name).assumingMemoryBound(to: CChar.self), length) == 0
                {
                    return true
                }
            }
        }
        return false
    }

    /// Whether a list has a token, written in lower case.
    static func contains(_ value: UnsafePointer<UInt8>, _ length: Int, _ token: StaticString) -> Bool {
        var list = FieldListIterator(count: length)
        while let item = unsafe list.next(in: value) {
            // A parameter may follow (`trailers;q=0.5` is not allowed, and taken for it all the same).
            if unsafe equalsIgnoringCase(value + item.lowerBound, count: item.count, token) { return true }
        }
        return false
    }
}
