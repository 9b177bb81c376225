// The four forms of a request target (RFC 9112 3.2) as ranges of the caller's bytes. Any thread, no state.
// The HTTP/1.1 parser reads the common form itself while it scans; it comes here for the other three.

/// How a request names its target.
@frozen @usableFromInline package enum TargetForm: UInt8, Sendable {
    /// `/path?query`
    case origin
    /// `http://host/path?query`
    case absolute
    /// `host:port`, with CONNECT only.
    case authority
    /// `*`, with OPTIONS only.
    case asterisk
}

/// Where the parts of a target lie, counted from its first byte.
@frozen @usableFromInline package struct TargetView: Equatable, Sendable {
    @usableFromInline package var form: TargetForm
    @usableFromInline package var authorityOffset: Int
    /// 0 when the target has no authority.
    @usableFromInline package var authorityLength: Int
    @usableFromInline package var pathOffset: Int
    /// 0 for authority-form, and for an absolute-form without a path, which means "/" ("*" with OPTIONS, RFC 9112 3.2.4).
    @usableFromInline package var pathLength: Int
    @usableFromInline package var queryOffset: Int
    /// -1 when there is no "?"; 0 when nothing follows it.
    @usableFromInline package var queryLength: Int

    @inlinable package init(form: TargetForm) {
        self.form = form
        authorityOffset = 0
        authorityLength = 0
        pathOffset = 0
        pathLength = 0
        queryOffset = 0
        queryLength = -1
    }
}

extension TargetView {
    /// Parses and checks a whole target; nil when it has no form that fits the method, a character does not belong, the
    /// scheme is neither http nor https, or the authority is not `host[:port]` (CONNECT: `host:port`).
    package init?(_ target: UnsafePointer<UInt8>, count: Int, method: HTTPMethod) {
        // Caller's memory: `target[..<count]` is readable for this call.
        guard count > 0 else { return nil }
        if method == .connect {
            unsafe self.init(authorityForm: target, count: count)
            return
        }
        switch unsafe target[0] {
        case 0x2f:
            self.init(form: .origin)
            guard unsafe readPathAndQuery(target, from: 0, count: count) else { return nil }
        case 0x2a:
            guard method == .options, count == 1 else { return nil }
            self.init(form: .asterisk)
            pathLength = 1
        default:
            unsafe self.init(absoluteForm: target, count: count)
        }
    }

    private init?(authorityForm target: UnsafePointer<UInt8>, count: Int) {
        // An empty port, or none, names no endpoint (RFC 9110 9.3.6).
        guard let parts = unsafe Authority.parse(target, count: count), let port = parts.port, port != 0 else { return nil }
        self.init(form: .authority)
        authorityLength = count
    }

    private init?(absoluteForm target: UnsafePointer<UInt8>, count: Int) {
        let schemeLength: Int
        if count > 7, unsafe equalsIgnoringCase(target, count: 7, "http://") {
            schemeLength = 7
        } else if count > 8, unsafe equalsIgnoringCase(target, count: 8, "https://") {
            schemeLength = 8
        } else {
            return nil
        }
        self.init(form: .absolute)
        var end = schemeLength
        while end < count, unsafe target[end] != 0x2f && target[end] != 0x3f { end += 1 }
        authorityOffset = schemeLength
        authorityLength = end - schemeLength
        guard unsafe Authority.parse(target + authorityOffset, count: authorityLength) != nil,
            unsafe readPathAndQuery(target, from: end, count: count)
        else { return nil }
    }

    /// Reads from the first byte of the path, or from "?" or the end, to the end.
    private mutating func readPathAndQuery(_ target: UnsafePointer<UInt8>, from start: Int, count: Int) -> Bool {
        // Caller's memory, see `init`.
        pathOffset = start
        var at = start
        while at < count, unsafe ByteSet.path.contains(target[at]) { at += 1 }
        pathLength = at - start
        guard at < count else { return true }
        guard unsafe target[at] == 0x3f else { return false }
        queryOffset = at + 1
        queryLength = count - at - 1
        for index in queryOffset..<count where unsafe !ByteSet.query.contains(target[index]) { return false }
        return true
    }
}
