// Passwords that are kept as slow hashes, in front of handlers (RFC 7617). The loops' threads; hashes are made on those of the blocking pool.

internal import UringHTTP
internal import UringTLS

/// How passwords of a `PasswordFile` are asked for.
public struct PasswordOptions: Sendable {
    /// Credentials that were right are not verified again on their loop until they have not been used for so long. Zero: with every request.
    public var remembersFor = Duration.seconds(300)
    /// How many of them each loop remembers, rounded up to a power of two, 65,536 at most; 40 bytes each. Beyond it those unused longest are verified again.
    public var rememberedPerLoop = 1024
    /// How many passwords are verified at a time, over all loops; those who come beyond that get 503. Each takes a core for the time that its hash was made to take, and guesses take it too.
    public var verificationsMax = 16

    /// The defaults.
    public init() {}
}

extension Middleware {
    /// Lets requests through whose user and password (`Authorization: Basic …`, RFC 7617) are of the file; others get 401, in a time that does not tell whether there is such a user.
    ///
    /// Hashes of passwords are slow to verify on purpose, so that is done on threads outside of the loops. Right credentials are remembered for a while: not themselves, but a code of them under a key that
    /// the file makes up when it is read (HMAC-SHA256). In clear the password can be read on the way: use TLS.
    ///
    /// - Parameters:
    ///   - realm: what browsers show; without quotes, backslashes and control characters, which are left out.
    ///   - passwords: the users.
    ///   - options: what is remembered, and how much is verified at a time.
    ///   - accepted: told who it is, on the loop's thread; may leave it in a value (`RequestKey`).
    public static func basicAuthentication(
        realm: String, _ passwords: PasswordFile, _ options: PasswordOptions = PasswordOptions(),
        accepted: @escaping @Sendable (_ user: ByteView, _ response: inout Response) -> Void = { _, _ in }
    ) -> Middleware {
        let gate = PasswordGate(passwords, options, realm: realm, accepted)
        return Middleware(wrapping: { next in
            // With an address of its own: nothing is made per request.
            let later = AsyncHandlerBox { request, response in
                try await gate.verify(request, &response)
                try await callLate(next, request, &response)
            }
            return { request, response in
                if try gate.remembers(request, &response) { try next(request, &response) } else { response.run(later) }
            }
        })
    }
}

/// Who gets in by a password. For middleware, and for what makes decisions of its own (the gateway).
package final class PasswordGate: Sendable {
    private struct Busy: ResponseError {
        var status: HTTPStatus { .serviceUnavailable }
        var message: String { "too many passwords are being verified" }
        var headers: [(name: String, value: String)] { [("retry-after", "1")] }
    }

    private let verifier: PasswordVerifier
    private let remembered: LoopLocal<RememberedLogins>
    private let verificationsMax: Int
    private let challenge: String
    private let accepted: @Sendable (ByteView, inout Response) -> Void

    /// The parameters of `Middleware.basicAuthentication`.
    package init(
        _ passwords: PasswordFile, _ options: PasswordOptions, realm: String, _ accepted: @escaping @Sendable (ByteView, inout Response) -> Void = { _, _ in }
    ) {
        (verifier, challenge, self.accepted) = (passwords.verifier, "Basic realm=\"\(Middleware.quoted(realm))\", charset=\"UTF-8\"", accepted)
        verificationsMax = max(1, options.verificationsMax)
        let (logins, keepNs) = (options.rememberedPerLoop, options.remembersFor.nanosecondsClamped)
        // Far from where the clock's sum would overflow: a century.
        remembered = LoopLocal { RememberedLogins(logins: logins, keepNs: min(keepNs, 3_155_760_000_000_000_000)) }
    }

    /// Whether these credentials were right a while ago; throws when there are none.
    package func remembers(_ request: borrowing Request, _ response: inout Response) throws -> Bool {
        guard let bytes = BasicCredentials.read(request), let colon = BasicCredentials.colon(bytes) else { throw needed(&response) }
        guard let code = verifier.code(bytes.span) else { throw Busy() }
        let now = response.monotonicNanoseconds
        guard remembered.with(response, { $0.contains(code, now) }) else { return false }
        accepted(ByteView(bytes.span.extracting(..<colon)), &response)
        return true
    }

    /// Waits for the verification; throws when they are wrong.
    package func verify(_ request: borrowing Request, _ response: inout Response) async throws {
        guard let bytes = BasicCredentials.read(request), let colon = BasicCredentials.colon(bytes) else { throw needed(&response) }
        guard let code = verifier.code(bytes.span) else { throw Busy() }
        guard let password = Self.phrase(bytes.span.extracting((colon + 1)...)) else { throw wrong(&response) }
        let user = unsafe bytes.span.extracting(..<colon).withUnsafeBufferPointer { unsafe Array($0) }
        switch await verifier.verify(code, user: user, password, verificationsMax: verificationsMax) {
        case .busy: throw Busy()
        case .wrong: throw wrong(&response)
        case .right: break
        }
        // The client may have gone meanwhile, and the loop too: then nothing of it may be touched.
        try Task.checkCancellation()
        guard try request.loop.executor.isHere() else { throw CancellationError() }
        let now = response.monotonicNanoseconds
        remembered.with(response) { $0.add(code, now) }
        accepted(ByteView(bytes.span.extracting(..<colon)), &response)
    }

    /// The password with a NUL behind it; nil for those that no hash can have been made of.
    private static func phrase(_ password: Span<UInt8>) -> SecretBytes? {
        guard password.count <= PasswordHash.passwordBytesMax else { return nil }
        for index in password.indices where password[index] == 0 { return nil }
        return unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: PasswordHash.passwordBytesMax + 1) { room in
            for index in password.indices { unsafe room[index] = password[index] }
            unsafe room[password.count] = 0
            defer { for index in password.indices { unsafe room[index] = 0 } }
            return unsafe SecretBytes(copying: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(room)[...password.count]))
        }
    }

    private func needed(_ response: inout Response) -> Middleware.Refused { Middleware.Refused(&response, challenge, "a user name and a password are needed") }
    private func wrong(_ response: inout Response) -> Middleware.Refused { Middleware.Refused(&response, challenge, "the user name or the password is wrong") }
}

extension Request {
    /// The user of its credentials (RFC 7617), right or not; nil without.
    package var passwordUser: ByteView? {
        @_lifetime(borrow self) get {
            guard let bytes = BasicCredentials.read(self), let colon = BasicCredentials.colon(bytes) else { return nil }
            return ByteView(bytes.span.extracting(..<colon))
        }
    }
}
