// The request method as a number. Plain values, no I/O; any thread.

/// A method of RFC 9110 9.3 or RFC 5789, or `other` for any other token; the name of an `other` is in the request line.
@frozen public enum HTTPMethod: UInt8, CaseIterable, Sendable {
    /// The methods of RFC 9110 section 9.3 and PATCH (RFC 5789); `other` is any other token.
    case get, head, post, put, delete, connect, options, trace, patch, other

    /// The method whose name is exactly `bytes[..<count]`; method names are case-sensitive (RFC 9110 9.1).
    @inlinable package init(bytes: UnsafePointer<UInt8>, count: Int) {
        // Caller's memory: `bytes[..<count]` is readable for this call.
        guard count >= 3, count <= 7 else {
            self = .other
            return
        }
        var word: UInt64 = 0
        for index in 0..<count { unsafe word |= UInt64(bytes[index]) &<< UInt64(8 &* index) }
        self = HTTPMethod(packed: word)
    }

    /// From the name's bytes, first byte lowest.
    @inlinable init(packed word: UInt64) {
        switch word {
        case 0x54_4547: self = .get
        case 0x4441_4548: self = .head
        case 0x5453_4f50: self = .post
        case 0x54_5550: self = .put
        case 0x4554_454c_4544: self = .delete
        case 0x54_4345_4e4e_4f43: self = .connect
        case 0x53_4e4f_4954_504f: self = .options
        case 0x45_4341_5254: self = .trace
        case 0x48_4354_4150: self = .patch
        default: self = .other
        }
    }

    /// The name as it stands in a request line; empty for `other`.
    public var name: StaticString {
        switch self {
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .put: "PUT"
        case .delete: "DELETE"
        case .connect: "CONNECT"
        case .options: "OPTIONS"
        case .trace: "TRACE"
        case .patch: "PATCH"
        case .other: ""
        }
    }

    /// Whether a client may repeat it without asking (RFC 9110 9.2.2).
    @inlinable public var isIdempotent: Bool {
        switch self {
        case .get, .head, .put, .delete, .options, .trace: true
        case .post, .connect, .patch, .other: false
        }
    }

    /// Whether it asks for nothing but reading (RFC 9110 9.2.1).
    @inlinable public var isSafe: Bool {
        switch self {
        case .get, .head, .options, .trace: true
        case .post, .put, .delete, .connect, .patch, .other: false
        }
    }
}

extension HTTPMethod: CustomStringConvertible {
    /// The name, or "other".
    public var description: String { self == .other ? "other" : "\(name)" }
}
