// Passwords and bearer tokens in front of handlers (RFC 7617, RFC 6750). The loops' threads.

internal import UringHTTP

/// Whether two runs of bytes are the same, in a time that depends on the length of `expected` alone: for passwords and tokens, whose first wrong byte must not be found by measuring.
public func equalsInConstantTime(_ given: Span<UInt8>, _ expected: Span<UInt8>) -> Bool {
    var difference = UInt64(truncatingIfNeeded: given.count ^ expected.count)
    for index in expected.indices {
        let byte = given.isEmpty ? 0 : given[index % given.count]
        difference |= UInt64(byte ^ expected[index])
    }
    return difference == 0
}

extension Middleware {
    /// Lets requests through whose user name and password (`Authorization: Basic …`, RFC 7617) `isRight` accepts; others get 401. In clear the password can be read on the way: use TLS.
    ///
    /// - Parameters:
    ///   - realm: what browsers show; without quotes, backslashes and control characters, which are left out.
    ///   - isRight: called on the loop's thread; must not wait. Compare with `equalsInConstantTime`. May leave who it was in a value (`RequestKey`).
    public static func basicAuthentication(
        realm: String, _ isRight: @escaping @Sendable (_ user: ByteView, _ password: ByteView, _ response: inout Response) -> Bool
    ) -> Middleware {
        let challenge = "Basic realm=\"\(quoted(realm))\", charset=\"UTF-8\""
        return Middleware { request, response, next in
            guard let bytes = BasicCredentials.read(request), let colon = BasicCredentials.colon(bytes) else {
                throw Refused(&response, challenge, "a user name and a password are needed")
            }
            let (user, password) = (ByteView(bytes.span.extracting(..<colon)), ByteView(bytes.span.extracting((colon + 1)...)))
            guard isRight(user, password, &response) else { throw Refused(&response, challenge, "the user name or the password is wrong") }
            try next(request, &response)
        }
    }

    /// Lets requests through whose bearer token (`Authorization: Bearer …`, RFC 6750 section 2.1) `isRight` accepts; others get 401. For JSON Web Tokens there is the product `UringServerJWT`.
    ///
    /// - Parameters:
    ///   - realm: as in `basicAuthentication`; nil: none.
    ///   - isRight: as there.
    public static func bearer(realm: String? = nil, _ isRight: @escaping @Sendable (_ token: ByteView, _ response: inout Response) -> Bool) -> Middleware {
        let scheme = realm.map { "Bearer realm=\"\(quoted($0))\"" } ?? "Bearer"
        let refusal = scheme + (realm == nil ? " " : ", ") + "error=\"invalid_token\""
        return Middleware { request, response, next in
            guard let field = request.headers["authorization"], let token = BasicCredentials.behind("bearer", field) else {
                throw Refused(&response, scheme, "a token is needed")
            }
            guard request.fieldLines("authorization") == 1, isRight(token, &response) else { throw Refused(&response, refusal, "the token is not accepted") }
            try next(request, &response)
        }
    }

    static func quoted(_ realm: String) -> String {
        String(decoding: realm.utf8.filter { $0 >= 0x20 && $0 != 0x7f && $0 != 0x22 && $0 != 0x5c }, as: UTF8.self)
    }

    struct Refused: ResponseError {
        var status: HTTPStatus { .unauthorized }
        let message: String
        let challenge: String
        var headers: [(name: String, value: String)] { [("www-authenticate", challenge)] }

        init(_ response: inout Response, _ challenge: String, _ message: String) {
            response.tellErrorsAsProblems()
            (self.message, self.challenge) = (message, challenge)
        }
    }
}

enum BasicCredentials {
    /// More is no password: what a stranger can make us decode.
    private static let bytesMax = 4096

    /// What stands behind a scheme (case does not matter, RFC 9110 section 11.1) and spaces; nil for other schemes and for nothing.
    @_lifetime(copy field)
    static func behind(_ scheme: StaticString, _ field: ByteView) -> ByteView? {
        let length = scheme.utf8CodeUnitCount
        guard field.count > length + 1, field[length] == 0x20, ByteView(field.span.extracting(..<length)).equalsIgnoringCase(scheme) else { return nil }
        var start = length
        while start < field.count, field[start] == 0x20 { start += 1 }
        return start < field.count ? ByteView(field.span.extracting(start...)) : nil
    }

    /// `user:password` of a request with one such field.
    @_lifetime(borrow request)
    static func read(_ request: borrowing Request) -> ByteView? {
        guard request.fieldLines("authorization") == 1, let field = request.headers["authorization"] else { return nil }
        return decode(field, request)
    }

    /// `user:password` in scratch memory of the request; nil unless it is base64 (RFC 4648 section 4) of something.
    @_lifetime(borrow request)
    private static func decode(_ field: ByteView, _ request: borrowing Request) -> ByteView? {
        guard let text = behind("basic", field), text.count <= bytesMax, text.count % 4 == 0, var room = request.scratch(text.count / 4 * 3) else { return nil }
        var count = 0
        for start in stride(from: 0, to: text.count, by: 4) {
            let isLast = start + 4 == text.count
            let padding = isLast ? (text[start + 3] == 0x3d ? (text[start + 2] == 0x3d ? 2 : 1) : 0) : 0
            var bits: UInt32 = 0
            for offset in 0..<4 {
                guard let value = offset >= 4 - padding ? 0 : digit(text[start + offset]) else { return nil }
                bits = bits << 6 | value
            }
            for byte in 0..<(3 - padding) {
                room[count] = UInt8(truncatingIfNeeded: bits >> UInt32(16 - 8 * byte))
                count += 1
            }
        }
        // SAFETY: scratch memory lives as long as the request.
        return unsafe ByteView(_overrideLifetime(room.span.extracting(..<count), borrowing: request))
    }

    private static func digit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case 0x41...0x5a: UInt32(byte) - 0x41
        case 0x61...0x7a: UInt32(byte) - 0x61 + 26
        case 0x30...0x39: UInt32(byte) - 0x30 + 52
        case 0x2b: 62
        case 0x2f: 63
        default: nil
        }
    }

    static func colon(_ bytes: ByteView) -> Int? {
        for index in 0..<bytes.count where bytes[index] == 0x3a { return index }
        return nil
    }
}
