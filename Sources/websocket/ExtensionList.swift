// The value of Sec-WebSocket-Extensions, element by element (RFC 6455 9.1). Reads the caller's memory; no state; any thread.
//
//   extension-list = 1#( token *( ";" token [ "=" (token | quoted-string that is a token) ] ) )

internal import UringHTTP

/// A name or value: a range of the field's value. Empty where a parameter has no value.
struct ExtensionToken: Equatable {
    var start = 0
    var count = 0
}

/// What stands next.
enum ExtensionItem: Equatable {
    /// The beginning of an offer.
    case name(ExtensionToken)
    case parameter(ExtensionToken, value: ExtensionToken, hasValue: Bool)
    case end
    case malformed
}

/// Walks one field value. Backslashes in quoted values are refused: nothing that is a token needs one.
@unsafe struct ExtensionReader {
    private let bytes: UnsafePointer<UInt8>
    private let count: Int
    private var at = 0
    private var isWithinOffer = false

    /// `bytes[..<count]` is readable as long as this is used.
    init(_ bytes: UnsafePointer<UInt8>, count: Int) {
        unsafe self.bytes = bytes
        unsafe self.count = count
    }

    mutating func next() -> ExtensionItem {
        unsafe skipSpace()
        if unsafe isWithinOffer {
            guard unsafe at < count else { return .end }
            if unsafe bytes[at] == 0x3b {
                unsafe at += 1
                return unsafe parameter()
            }
            guard unsafe bytes[at] == 0x2c else { return .malformed }
        }
        // Empty elements are skipped, as in every list (RFC 9110 5.6.1).
        while unsafe at < count, unsafe bytes[at] == 0x2c || isSpace(bytes[at]) { unsafe at += 1 }
        guard unsafe at < count else { return .end }
        unsafe isWithinOffer = true
        guard let name = unsafe token() else { return .malformed }
        return .name(name)
    }

    private mutating func parameter() -> ExtensionItem {
        unsafe skipSpace()
        guard let name = unsafe token() else { return .malformed }
        unsafe skipSpace()
        guard unsafe at < count, unsafe bytes[at] == 0x3d else { return .parameter(name, value: ExtensionToken(), hasValue: false) }
        unsafe at += 1
        unsafe skipSpace()
        let isQuoted = unsafe at < count && bytes[at] == 0x22
        if isQuoted { unsafe at += 1 }
        guard let value = unsafe token() else { return .malformed }
        if isQuoted {
            guard unsafe at < count, unsafe bytes[at] == 0x22 else { return .malformed }
            unsafe at += 1
        }
        return .parameter(name, value: value, hasValue: true)
    }

    private mutating func token() -> ExtensionToken? {
        let start = unsafe at
        while unsafe at < count, unsafe ByteSet.token.contains(bytes[at]) { unsafe at += 1 }
        return unsafe at > start ? ExtensionToken(start: start, count: at - start) : nil
    }

    private mutating func skipSpace() {
        while unsafe at < count, unsafe isSpace(bytes[at]) { unsafe at += 1 }
    }

    private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
}

/// Looks through the offers of a request for the first one of permessage-deflate that can be met.
@unsafe struct DeflateOfferReader {
    private let bytes: UnsafePointer<UInt8>
    private var offer: WebSocketDeflateOffer?
    /// The offer that is being read has a parameter that is unknown, repeated or has a value it cannot have: it is declined (RFC 7692 7.1).
    private var isDeclined = false
    private var seen: UInt8 = 0

    init(_ bytes: UnsafePointer<UInt8>) { unsafe self.bytes = bytes }

    /// Reads one field value at `bytes`; nil when it is not well-formed.
    static func read(_ bytes: UnsafePointer<UInt8>, count: Int, found: inout WebSocketDeflateOffer?) -> Bool {
        var items = unsafe ExtensionReader(bytes, count: count)
        var reader = unsafe DeflateOfferReader(bytes)
        while true {
            switch unsafe items.next() {
            case .malformed: return false
            case .end:
                unsafe reader.finish(&found)
                return true
            case .name(let name):
                unsafe reader.finish(&found)
                unsafe reader.begin(name)
            case .parameter(let name, let value, let hasValue): unsafe reader.take(name, value, hasValue: hasValue)
            }
        }
    }

    private func equals(_ token: ExtensionToken, _ literal: StaticString) -> Bool {
        unsafe equalsIgnoringCase(bytes + token.start, count: token.count, literal)
    }

    private mutating func begin(_ name: ExtensionToken) {
        unsafe offer = unsafe equals(name, "permessage-deflate") ? WebSocketDeflateOffer() : nil
        unsafe isDeclined = false
        unsafe seen = 0
    }

    private mutating func finish(_ found: inout WebSocketDeflateOffer?) {
        if found == nil, let offer = unsafe offer, unsafe !isDeclined { found = offer }
        unsafe offer = nil
    }

    private mutating func take(_ name: ExtensionToken, _ value: ExtensionToken, hasValue: Bool) {
        guard unsafe offer != nil else { return }
        if unsafe equals(name, "server_no_context_takeover") {
            unsafe note(1, isGood: !hasValue)
            unsafe offer?.serverNoContextTakeover = true
        } else if unsafe equals(name, "client_no_context_takeover") {
            unsafe note(2, isGood: !hasValue)
            unsafe offer?.clientNoContextTakeover = true
        } else if unsafe equals(name, "server_max_window_bits") {
            let bits = unsafe windowBits(value)
            unsafe note(4, isGood: hasValue && bits != nil)
            unsafe offer?.serverWindowBits = bits ?? 15
        } else if unsafe equals(name, "client_max_window_bits") {
            let bits = unsafe hasValue ? windowBits(value) : 0
            unsafe note(8, isGood: bits != nil)
            unsafe offer?.clientWindowBits = bits ?? 15
        } else {
            unsafe isDeclined = true
        }
    }

    private mutating func note(_ bit: UInt8, isGood: Bool) {
        if unsafe !isGood || seen & bit != 0 { unsafe isDeclined = true }
        unsafe seen |= bit
    }

    /// 8…15 without a leading zero.
    private func windowBits(_ token: ExtensionToken) -> Int32? {
        let start = unsafe bytes + token.start
        if token.count == 1 {
            return unsafe start[0] == 0x38 ? 8 : start[0] == 0x39 ? 9 : nil
        }
        guard token.count == 2, unsafe start[0] == 0x31, unsafe start[1] >= 0x30 && start[1] <= 0x35 else { return nil }
        return unsafe 10 + Int32(start[1] - 0x30)
    }
}
