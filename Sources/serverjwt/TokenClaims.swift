// The claims of a verified token as handlers see them: views over memory of the response. The loop's thread.

internal import UringJWT
public import UringServer

/// The claims of a verified token. Valid as long as the response that it was taken from; no String is made unless it is asked for.
public struct TokenClaims: ~Escapable {
    private let claims: JWTClaims

    /// The memory that the claims lie in is kept for the whole request (`valueMemory`), whatever is written or set meanwhile: not a borrow, which would forbid that.
    @_lifetime(copy response)
    fileprivate init(_ claims: JWTClaims, _ response: borrowing Response) { self.claims = claims }

    /// `sub`, `iss` and `jti`, when they are strings.
    public var subject: ByteView? {
        @_lifetime(copy self) get { TokenValue(claims.subject, self)?.string }
    }
    public var issuer: ByteView? {
        @_lifetime(copy self) get { TokenValue(claims.issuer, self)?.string }
    }
    /// `exp` and `iat`, seconds since 1970.
    public var expires: Int64? { claims.expires?.dateSeconds }
    public var issuedAt: Int64? { claims.issuedAt?.dateSeconds }

    /// Whether `scope` (or `scp`) grants this.
    public func hasScope(_ scope: StaticString) -> Bool {
        // SAFETY: literals are immortal.
        unsafe claims.scope?.hasWord(UnsafeBufferPointer(start: scope.utf8Start, count: scope.utf8CodeUnitCount)) ?? false
    }

    /// Any claim by its name; nil when the token has none of that name.
    public subscript(name: StaticString) -> TokenValue? {
        @_lifetime(copy self) get { TokenValue(claims.claim(name), self) }
    }
}

/// A value within claims: JSON.
public struct TokenValue: ~Escapable {
    private let value: JSONValue

    /// As the claims that it lies in.
    @_lifetime(copy claims)
    fileprivate init?(_ value: JSONValue?, _ claims: borrowing TokenClaims) {
        guard let value else { return nil }
        self.value = value
    }

    @_lifetime(copy other)
    private init(_ value: JSONValue, within other: borrowing TokenValue) { self.value = value }

    /// What a string says, escapes decoded; nil for other kinds. May hold any byte: check it before it goes anywhere.
    public var string: ByteView? {
        @_lifetime(copy self) get {
            guard value.kind == .string else { return nil }
            // SAFETY: the text lies in the response's memory, as long as this value's lifetime.
            return unsafe ByteView(_overrideLifetime(Span<UInt8>(_unsafeElements: value.bytes), copying: self))
        }
    }
    /// A number without a fraction, within 64 bits; nil for others.
    public var integer: Int64? { value.integer }
    /// `true` or `false`; nil for other kinds.
    public var bool: Bool? {
        switch value.kind {
        case .yes: true
        case .no: false
        default: nil
        }
    }
    public var isNull: Bool { value.kind == .null }

    /// A string that is this, or an array with such a string in it: roles, groups.
    public func contains(_ text: StaticString) -> Bool {
        // SAFETY: literals are immortal.
        unsafe value.namesString(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// A member of an object; nil for other kinds.
    public subscript(name: StaticString) -> TokenValue? {
        @_lifetime(copy self) get {
            guard let member = value.member(name) else { return nil }
            return TokenValue(member, within: self)
        }
    }
}

extension Response {
    /// The claims that `Middleware.jwt` has verified for this request; nil when there was no token. The response may be written to while they are at hand.
    public var claims: TokenClaims? {
        @_lifetime(copy self) get {
            guard let claims = self[TokenKey.claims] else { return nil }
            return TokenClaims(claims, self)
        }
    }
}

enum TokenKey {
    static let claims = RequestKey<JWTClaims>()
}
