// Who a request came from, when it came through proxies: X-Forwarded-For and Forwarded (RFC 7239) read from the right, as far as each hop was written by somebody who is trusted. A value on the stack of one
// request; no allocation.
//
// The peer's address is certain. If the peer is trusted, so is the last element, which the peer has written; if that names somebody trusted, the element before it; and so on. The first address that
// is not trusted is the client, and everything to its left is what the client likes to say. An element that is no address ends the walk: the client is then the last address that was certain.

/// The walk over one request's fields. Give it the lines of ONE field, the last line first, until it wants no more. The set of trusted proxies comes with each call, because a value that held it would
/// retain it for each request.
package struct ForwardedWalk: Sendable {
    package enum End: Equatable, Sendable {
        /// Still going: all lines so far named trusted addresses alone.
        case open
        /// `client` is not trusted.
        case untrusted
        /// An element is no address (`unknown`, an obfuscated name, an empty one, nonsense).
        case notAnAddress
        /// More than `hopsMax` hops.
        case tooManyHops
    }

    /// More proxies in a row are a loop, or somebody who makes us work.
    package static var hopsMax: Int { 32 }

    /// Where the request came from, as far as is known.
    package private(set) var client: IPAddress
    /// Elements that named `client` and those between it and us.
    package private(set) var hops = 0
    package private(set) var end = End.open
    /// Of the element that named `client`, in the line that was given last (Forwarded alone): what it says of protocol and host.
    package private(set) var proto: Range<Int>?
    package private(set) var host: Range<Int>?

    /// - Parameters:
    ///   - peer: who has connected, or what PROXY protocol says.
    ///   - trusted: proxies whose words count.
    package init(peer: IPAddress, trusted: PrefixSet) {
        client = peer
        if !trusted.contains(peer) { end = .untrusted }
    }

    package var wantsMore: Bool { end == .open }

    /// A line of X-Forwarded-For: addresses with or without port, separated by commas.
    package mutating func take(xForwardedFor line: Span<UInt8>, trusted: PrefixSet) {
        var finish = line.count
        while wantsMore && finish >= 0 {
            var start = finish
            while start > 0 && line[start - 1] != 0x2c { start -= 1 }
            step(NodeName.address(line, NodeName.trim(line, start..<finish)), trusted)
            finish = start - 1
        }
    }

    /// A line of Forwarded. A line that is not well-formed is nowhere certain, because quotes reach across it: it ends the walk.
    package mutating func take(forwarded line: Span<UInt8>, trusted: PrefixSet) {
        guard wantsMore else { return }
        // The last ones, in a ring: no more are looked at.
        var elements = InlineArray<32, ForwardedElement>(repeating: ForwardedElement())
        var count = 0
        var reader = ForwardedReader()
        reading: while true {
            switch reader.next(line) {
            case .element(let element):
                elements[count % Self.hopsMax] = element
                count += 1
            case .end: break reading
            case .malformed:
                end = .notAnAddress
                return
            }
        }
        for place in (max(0, count - Self.hopsMax)..<count).reversed() where wantsMore {
            let element = elements[place % Self.hopsMax]
            var address: IPAddress?
            if let name = element.for { address = NodeName.address(line, name) }
            step(address, trusted)
            if address != nil { (proto, host) = (element.proto, element.host) }
        }
        if wantsMore && count > Self.hopsMax { end = .tooManyHops }
    }

    private mutating func step(_ address: IPAddress?, _ trusted: PrefixSet) {
        guard hops < Self.hopsMax else {
            end = .tooManyHops
            return
        }
        guard let address else {
            end = .notAnAddress
            return
        }
        hops += 1
        client = address
        if !trusted.contains(address) { end = .untrusted }
    }
}

/// How proxies name addresses.
enum NodeName {
    static func trim(_ line: Span<UInt8>, _ range: Range<Int>) -> Range<Int> {
        var (start, end) = (range.lowerBound, range.upperBound)
        while start < end, line[start] == 0x20 || line[start] == 0x09 { start += 1 }
        while end > start, line[end - 1] == 0x20 || line[end - 1] == 0x09 { end -= 1 }
        return start..<end
    }

    /// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`; nil for everything else.
    static func address(_ text: Span<UInt8>, _ range: Range<Int>) -> IPAddress? {
        guard !range.isEmpty else { return nil }
        if text[range.lowerBound] == 0x5b {
            guard let close = first(0x5d, text, range), isPort(text, close + 1..<range.upperBound) else { return nil }
            // Brackets are for IPv6.
            for at in range.lowerBound..<close where text[at] == 0x3a { return IPAddress(text, range.lowerBound + 1..<close) }
            return nil
        }
        if let address = IPAddress(text, range) { return address }
        guard let colon = first(0x3a, text, range), isPort(text, colon..<range.upperBound) else { return nil }
        return IPAddress(text, range.lowerBound..<colon)
    }

    private static func first(_ byte: UInt8, _ text: Span<UInt8>, _ range: Range<Int>) -> Int? {
        for at in range where text[at] == byte { return at }
        return nil
    }

    /// Nothing, or a colon and a port.
    private static func isPort(_ text: Span<UInt8>, _ range: Range<Int>) -> Bool {
        if range.isEmpty { return true }
        guard text[range.lowerBound] == 0x3a, (2...6).contains(range.count) else { return false }
        var port = 0
        for at in range.dropFirst() {
            guard (0x30...0x39).contains(text[at]) else { return false }
            port = port * 10 + Int(text[at] - 0x30)
        }
        return port <= 65_535
    }
}

/// One element of Forwarded: ranges of the line, without quotes.
struct ForwardedElement {
    var `for`: Range<Int>?
    var proto: Range<Int>?
    var host: Range<Int>?
}

/// Reads a line of Forwarded: `for=192.0.2.1;proto=https;host="example.com:80", for="[2001:db8::1]:4711"`.
struct ForwardedReader {
    enum Step {
        case element(ForwardedElement)
        case end
        case malformed
    }

    private var at = 0
    private var isBegun = false

    /// The next element, from the left. Empty ones are skipped (RFC 9110 5.6.1.2).
    mutating func next(_ line: Span<UInt8>) -> Step {
        while true {
            skipSpace(line)
            if at < line.count, line[at] == 0x2c {
                (at, isBegun) = (at + 1, false)
                continue
            }
            guard at < line.count else { return .end }
            guard !isBegun else { return .malformed }
            isBegun = true
            return element(line)
        }
    }

    private mutating func element(_ line: Span<UInt8>) -> Step {
        var element = ForwardedElement()
        while true {
            let name = token(line)
            guard !name.isEmpty, at < line.count, line[at] == 0x3d else { return .malformed }
            at += 1
            guard let value = value(line) else { return .malformed }
            // Each parameter at most once (RFC 7239 4).
            if Self.isWord(line, name, "for") {
                guard element.for == nil else { return .malformed }
                element.for = value
            } else if Self.isWord(line, name, "proto") {
                guard element.proto == nil else { return .malformed }
                element.proto = value
            } else if Self.isWord(line, name, "host") {
                guard element.host == nil else { return .malformed }
                element.host = value
            }
            skipSpace(line)
            guard at < line.count, line[at] == 0x3b else { return .element(element) }
            at += 1
            skipSpace(line)
        }
    }

    private mutating func skipSpace(_ line: Span<UInt8>) {
        while at < line.count, line[at] == 0x20 || line[at] == 0x09 { at += 1 }
    }

    private mutating func token(_ line: Span<UInt8>) -> Range<Int> {
        let start = at
        while at < line.count, TokenByte.isToken(line[at]) { at += 1 }
        return start..<at
    }

    /// A token or a quoted string. Escapes are legal and nobody needs them: neither addresses nor hosts hold what would have to be escaped, and a value that is not what it looks like is refused.
    private mutating func value(_ line: Span<UInt8>) -> Range<Int>? {
        guard at < line.count, line[at] == 0x22 else {
            let token = token(line)
            return token.isEmpty ? nil : token
        }
        at += 1
        let start = at
        while at < line.count, line[at] != 0x22 {
            guard line[at] != 0x5c, line[at] == 0x09 || line[at] >= 0x20, line[at] != 0x7f else { return nil }
            at += 1
        }
        guard at < line.count else { return nil }
        at += 1
        return start..<at - 1
    }

    private static func isWord(_ line: Span<UInt8>, _ range: Range<Int>, _ word: StaticString) -> Bool {
        guard range.count == word.utf8CodeUnitCount else { return false }
        // SAFETY: a literal, read within its length.
        for place in 0..<range.count where unsafe line[range.lowerBound + place] | 0x20 != word.utf8Start[place] { return false }
        return true
    }
}

enum TokenByte {
    /// RFC 9110 5.6.2.
    static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x21, 0x23...0x27, 0x2a, 0x2b, 0x2d, 0x2e, 0x5e...0x60, 0x7c, 0x7e: true
        default: false
        }
    }
}
