// URLs that a client is given: `http://host[:port]/path?query` and https (RFC 9110 4.2, RFC 3986). Plain values; any thread. Made once for a
// request or a configuration, so it may allocate. Servers' targets are read in place by TargetView, whose checks are used here.

/// An absolute URL of the schemes http and https, checked, in the parts that a client needs.
///
/// A unix socket has no place in it: the URL says what is asked, and where to connect (`unix:PATH`) is said beside it.
package struct HTTPURL: Hashable, Sendable, CustomStringConvertible {
    package enum Scheme: String, Sendable { case http, https }

    package let scheme: Scheme
    /// In lower case: a DNS name or an IPv4 address, or an IPv6 address without its brackets.
    package let host: String
    package let isIPv6: Bool
    /// The one in the URL, or the scheme's: 80, 443.
    package let port: UInt16
    /// Path and query as they go into the request line (origin-form): begins with "/", never has a fragment.
    package let target: String

    package var isSecure: Bool { scheme == .https }
    package var defaultPort: UInt16 { isSecure ? 443 : 80 }
    /// For the Host field: with brackets, and with the port where it is not the scheme's (RFC 9110 4.2.1, 7.2).
    package var authority: String {
        let name = isIPv6 ? "[\(host)]" : host
        return port == defaultPort ? name : "\(name):\(port)"
    }
    /// Absolute-form, as a proxy is asked. Parses back to the same value.
    package var description: String { "\(scheme.rawValue)://\(authority)\(target)" }

    /// Longer URLs are a mistake: servers take request lines of 8 KiB (ParserLimits).
    package static let bytesMax = 8192

    /// Parses and checks a whole URL. The fragment, which is the client's own business, is dropped (RFC 9110 7.1).
    package static func parse(_ text: String) -> Result<HTTPURL, HTTPURLError> {
        parse(Array(text.utf8))
    }

    package static func parse(_ text: [UInt8]) -> Result<HTTPURL, HTTPURLError> {
        guard text.count <= bytesMax else { return .failure(.tooLong) }
        guard let (scheme, start) = scheme(of: text) else { return .failure(.badScheme) }
        var bytes = text[start...]
        if let hash = bytes.firstIndex(of: 0x23) { bytes = bytes[..<hash] }
        let end = bytes.firstIndex { $0 == 0x2f || $0 == 0x3f } ?? bytes.endIndex
        switch authority(Array(bytes[..<end]), scheme) {
        case .failure(let error): return .failure(error)
        case .success(let (host, isIPv6, port)):
            guard let target = target(Array(bytes[end...])) else { return .failure(.badTarget) }
            return .success(HTTPURL(scheme: scheme, host: host, isIPv6: isIPv6, port: port, target: target))
        }
    }

    /// What a Location field means that came with this URL (RFC 9110 10.2.2): an absolute URL, `//host/path`, `/path`, `?query`, or a relative
    /// path, whose dot segments are removed (RFC 3986 5.2).
    package func resolving(_ reference: [UInt8]) -> Result<HTTPURL, HTTPURLError> {
        if Self.hasScheme(reference) { return Self.parse(reference) }
        var bytes = reference[...]
        if let hash = bytes.firstIndex(of: 0x23) { bytes = bytes[..<hash] }
        if bytes.starts(with: [0x2f, 0x2f]) { return Self.parse(Array("\(scheme.rawValue):".utf8) + bytes) }
        guard target.utf8.count + bytes.count <= Self.bytesMax else { return .failure(.tooLong) }
        let path = Array(target.utf8.prefix { $0 != 0x3f })
        var joined: [UInt8]
        switch bytes.first {
        case nil: joined = Array(target.utf8)
        case 0x3f: joined = path + bytes
        case 0x2f: joined = Self.withoutDotSegments(bytes)
        default: joined = Self.withoutDotSegments(path[...(path.lastIndex(of: 0x2f) ?? 0)] + bytes)
        }
        if joined.isEmpty { joined = [0x2f] }
        guard let target = Self.target(joined) else { return .failure(.badTarget) }
        return .success(HTTPURL(scheme: scheme, host: host, isIPv6: isIPv6, port: port, target: target))
    }

    // MARK: Parts

    private static func scheme(of text: [UInt8]) -> (Scheme, Int)? {
        for (scheme, name) in [(Scheme.http, "http://"), (.https, "https://")] {
            let length = name.utf8.count
            if text.count >= length, zip(text, name.utf8).allSatisfy({ lowercasedASCII($0) == $1 }) { return (scheme, length) }
        }
        return nil
    }

    private static func hasScheme(_ text: [UInt8]) -> Bool {
        guard let colon = text.firstIndex(of: 0x3a), let first = text.first, lowercasedASCII(first) &- 0x61 < 26 else { return false }
        return text[..<colon].allSatisfy { lowercasedASCII($0) &- 0x61 < 26 || $0 &- 0x30 < 10 || $0 == 0x2b || $0 == 0x2d || $0 == 0x2e }
    }

    private static func authority(_ bytes: [UInt8], _ scheme: Scheme) -> Result<(String, Bool, UInt16), HTTPURLError> {
        guard !bytes.isEmpty else { return .failure(.noHost) }
        if bytes.contains(0x40) { return .failure(.userInformation) }
        // The array is alive for the call.
        let parts = unsafe bytes.withUnsafeBufferPointer { unsafe $0.baseAddress.flatMap { unsafe Authority.parse($0, count: bytes.count) } }
        guard let parts else { return .failure(.badAuthority) }
        if parts.port == 0 { return .failure(.badAuthority) }
        let isIPv6 = bytes[0] == 0x5b
        let host = isIPv6 ? bytes[1..<(parts.hostLength - 1)] : bytes[..<parts.hostLength]
        // A registered name may have more in it than DNS: percent signs and punctuation would only be looked up in vain.
        let isName = host.allSatisfy { lowercasedASCII($0) &- 0x61 < 26 || $0 &- 0x30 < 10 || $0 == 0x2d || $0 == 0x2e || $0 == 0x5f }
        guard isIPv6 || isName && host.count <= 253 else { return .failure(.badAuthority) }
        let text = String(decoding: host.map(lowercasedASCII), as: UTF8.self)
        return .success((text, isIPv6, parts.port ?? (scheme == .https ? 443 : 80)))
    }

    /// Path and query in origin-form; nil when a character does not belong, which the caller has to percent-encode, or a percent sign has not
    /// two digits behind it.
    private static func target(_ bytes: [UInt8]) -> String? {
        let whole = bytes.first == 0x2f ? bytes : [0x2f] + bytes
        // The array is alive for the call.
        let view = unsafe whole.withUnsafeBufferPointer { unsafe $0.baseAddress.flatMap { unsafe TargetView($0, count: whole.count, method: .get) } }
        guard view != nil else { return nil }
        for index in whole.indices where whole[index] == 0x25 {
            guard whole.count - index > 2, hexDigitValue(whole[index + 1]) != nil, hexDigitValue(whole[index + 2]) != nil else { return nil }
        }
        return String(decoding: whole, as: UTF8.self)
    }

    /// RFC 3986 5.2.4, on the path of a path and query.
    private static func withoutDotSegments(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        let query = bytes.firstIndex(of: 0x3f) ?? bytes.endIndex
        var kept: [ArraySlice<UInt8>] = []
        let segments = bytes[..<query].split(separator: 0x2f, omittingEmptySubsequences: false).dropFirst()
        for (index, segment) in segments.enumerated() {
            let isLast = index == segments.count - 1
            switch segment {
            case [0x2e]: if isLast { kept.append([]) }
            case [0x2e, 0x2e]:
                _ = kept.popLast()
                if isLast { kept.append([]) }
            default: kept.append(segment)
            }
        }
        return kept.flatMap { [0x2f] + $0 } + bytes[query...]
    }
}

/// Why a URL was refused.
package enum HTTPURLError: Error, CaseIterable, Sendable, CustomStringConvertible {
    case tooLong
    case badScheme
    case noHost
    case userInformation
    case badAuthority
    case badTarget

    package var description: String {
        switch self {
        case .tooLong: "the URL is longer than \(HTTPURL.bytesMax) bytes"
        case .badScheme: "the URL does not begin with http:// or https://"
        case .noHost: "the URL has no host"
        case .userInformation: "the URL has a user or password in it, which would end up in logs: send an Authorization field"
        case .badAuthority: "the URL's host is no name or address, or its port no number from 1 to 65535"
        case .badTarget: "the URL's path or query has a character that must be percent-encoded, or a % without two hexadecimal digits"
        }
    }
}
