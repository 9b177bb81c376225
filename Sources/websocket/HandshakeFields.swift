// The fields of a request that matter to the handshake, collected in one walk. Reads the caller's memory; lives for one call.

internal import UringHTTP

/// What the request says about WebSocket.
@unsafe struct HandshakeFields {
    /// Fields of subprotocols and their ranges, in the order of the request. Four: a client that splits its list further has its first four read.
    private static var protocolFieldsMax: Int { 4 }

    let bytes: UnsafePointer<UInt8>
    private(set) var asksForWebSocket = false
    private(set) var key: FieldSlot?
    private(set) var isSingleKey = true
    private(set) var origin: FieldSlot?
    private(set) var offer: WebSocketDeflateOffer?
    private var versions = 0
    private var isVersion13 = false
    private var isMalformed = false
    private var protocols = InlineArray<4, FieldSlot?>(repeating: nil)
    private var protocolFields = 0

    /// `bytes` is what the fields' offsets count from, readable as long as this is used.
    init(_ bytes: UnsafePointer<UInt8>) { unsafe self.bytes = bytes }

    mutating func take(_ field: FieldSlot) {
        // The request's bytes: the parser has checked the ranges.
        let value = unsafe bytes + Int(field.valueOffset)
        let count = Int(field.valueLength)
        switch field.known {
        case .upgrade: if unsafe Self.list(value, count: count, has: "websocket") { unsafe asksForWebSocket = true }
        case .secWebsocketKey:
            if unsafe key != nil { unsafe isSingleKey = false }
            unsafe key = field
        case .secWebsocketVersion:
            unsafe versions += 1
            unsafe isVersion13 = unsafe equalsIgnoringCase(value, count: count, "13")
        case .secWebsocketExtensions:
            if unsafe !DeflateOfferReader.read(value, count: count, found: &offer) { unsafe isMalformed = true }
        case .secWebsocketProtocol: unsafe takeProtocols(field, value, count: count)
        case .origin:
            // Two origins are none that a hook could judge.
            if unsafe origin != nil { unsafe isMalformed = true }
            unsafe origin = field
        default: break
        }
    }

    private mutating func takeProtocols(_ field: FieldSlot, _ value: UnsafePointer<UInt8>, count: Int) {
        var elements = FieldListIterator(count: count)
        while let range = unsafe elements.next(in: value) {
            let name = unsafe UnsafeBufferPointer(start: value + range.lowerBound, count: range.count)
            if unsafe !FieldValidation.isName(name) { unsafe isMalformed = true }
        }
        guard unsafe protocolFields < Self.protocolFieldsMax else { return }
        unsafe protocols[protocolFields] = field
        unsafe protocolFields += 1
    }

    /// What is wrong with the fields that both versions of HTTP share.
    var refusal: WebSocketRefusal? {
        guard unsafe versions == 1 && isVersion13 else { return .badVersion }
        return unsafe isMalformed ? .badList : nil
    }

    /// The first of the client's subprotocols that is among `spoken`. Names have case (RFC 6455 11.5).
    func choose(_ spoken: [[UInt8]], _ agreement: inout WebSocketAgreement) {
        guard !spoken.isEmpty else { return }
        for index in unsafe 0..<protocolFields {
            guard let field = unsafe protocols[index] else { continue }
            let value = unsafe bytes + Int(field.valueOffset)
            var elements = FieldListIterator(count: Int(field.valueLength))
            while let range = unsafe elements.next(in: value) {
                let name = unsafe UnsafeBufferPointer(start: value + range.lowerBound, count: range.count)
                guard spoken.contains(where: { unsafe $0.elementsEqual(name) }) else { continue }
                agreement.protocolOffset = field.valueOffset &+ UInt32(truncatingIfNeeded: range.lowerBound)
                agreement.protocolCount = UInt32(truncatingIfNeeded: range.count)
                return
            }
        }
    }

    private static func list(_ value: UnsafePointer<UInt8>, count: Int, has token: StaticString) -> Bool {
        var elements = FieldListIterator(count: count)
        while let range = unsafe elements.next(in: value) {
            if unsafe equalsIgnoringCase(value + range.lowerBound, count: range.count, token) { return true }
        }
        return false
    }
}
