// PasswordFile: users and hashes of their passwords, and their verification off the loops. Immutable but for the table of what is being verified; any thread.

internal import UringBase
internal import UringTLS

/// Users and hashes of their passwords, in the form that `htpasswd -B` and `mkpasswd` write.
///
///     let passwords = try PasswordFile("ann:$2y$10$…")
///     router.use(.basicAuthentication(realm: "shop", passwords))
///
/// A line is `user:hash`; empty ones and those that begin with `#` are passed over. Hashes are those of crypt(5) that are slow on purpose: `$2y$`, `$2b$` (bcrypt, `htpasswd -B`), `$y$` (yescrypt), `$6$`,
/// `$5$` (SHA-2 in rounds), as far as the system's libcrypt has them. Read a changed file anew, and replace the application.
public struct PasswordFile: Sendable {
    let verifier: PasswordVerifier

    /// - Parameters:
    ///   - text: of the file.
    ///   - source: its name, for messages. No message has anything of a password or hash.
    /// - Throws: when a line is no user and hash, a user comes twice, there is no user, or there is no libcrypt.
    public init(_ text: String, source: String = "the passwords") throws(ServerError) { try self.init(Array(text.utf8), source: source) }

    /// The same from bytes.
    public init(_ text: [UInt8], source: String = "the passwords") throws(ServerError) { try self.init(text, source: source, matches: PasswordHash.matches) }

    init(_ text: [UInt8], source: String, matches: @escaping PasswordVerifier.Matches) throws(ServerError) {
        guard PasswordHash.isAvailable else { throw ServerError("\(source) cannot be verified: there is no libcrypt; install libcrypt1 (Debian) or libxcrypt (Fedora)") }
        var users: [[UInt8]: [UInt8]] = [:]
        for (index, line) in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            var line = line
            while let last = line.last, last == 0x0d || last == 0x20 || last == 0x09 { line.removeLast() }
            if line.isEmpty || line.first == UInt8(ascii: "#") { continue }
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex, !line.contains(0) else {
                throw ServerError("\(source), line \(index + 1): a line is user:hash")
            }
            let hash = Array(line[(colon + 1)...].prefix { $0 != UInt8(ascii: ":") }) + [0]
            guard PasswordHash.isSupported(hash) else {
                throw ServerError("\(source), line \(index + 1): this is no hash that can be used; make one with `htpasswd -B` or `mkpasswd`")
            }
            guard users.updateValue(hash, forKey: Array(line[..<colon])) == nil else { throw ServerError("\(source), line \(index + 1): the user has a line already") }
        }
        guard !users.isEmpty else { throw ServerError("\(source): there is no user") }
        guard let digest = KeyedDigest() else { throw ServerError("\(source): the system has no random bytes to give") }
        verifier = PasswordVerifier(users, digest, matches)
    }

    /// How many users there are.
    public var count: Int { verifier.count }
}

final class PasswordVerifier: Sendable {
    /// Whether the password (`PasswordHash.matches`) makes the hash.
    typealias Matches = @Sendable (SecretBytes, [UInt8]) -> Bool

    enum Verdict: Sendable {
        case right, wrong
        /// Too much is being verified.
        case busy
    }

    /// Resumed once, by whoever takes it out of the table.
    @safe private struct Waiter: Sendable {
        let continuation: UnsafeContinuation<Verdict, Never>
        func resume(_ verdict: Verdict) { unsafe continuation.resume(returning: verdict) }
    }

    private enum Step { case joins, begins, busy }

    private let users: [[UInt8]: [UInt8]]
    private let hashes: [[UInt8]]
    private let digest: KeyedDigest
    /// Who waits for each verification under way. Those who ask with the same credentials meanwhile, as a browser's connections do, wait for the first one's.
    private let underWay = Locked<[KeyedDigest.Code: [Waiter]]>([:])

    private let matches: Matches

    init(_ users: [[UInt8]: [UInt8]], _ digest: KeyedDigest, _ matches: @escaping Matches) {
        (self.users, self.digest, self.matches) = (users, digest, matches)
        hashes = Array(users.values)
    }

    var count: Int { hashes.count }

    /// What stands for credentials, `user:password`, in tables; nil without memory.
    func code(_ credentials: Span<UInt8>) -> KeyedDigest.Code? {
        // SAFETY: readable during this call.
        unsafe credentials.withUnsafeBufferPointer { unsafe digest.code($0) }
    }

    /// - Parameters:
    ///   - password: as `PasswordHash.matches` wants it.
    ///   - verificationsMax: what is under way at most.
    func verify(_ code: KeyedDigest.Code, user: [UInt8], _ password: SecretBytes, verificationsMax: Int) async -> Verdict {
        unsafe await withUnsafeContinuation { continuation in
            let waiter = unsafe Waiter(continuation: continuation)
            let step: Step = underWay.withLock { table in
                if table[code] != nil {
                    table[code]?.append(waiter)
                    return .joins
                }
                guard table.count < verificationsMax else { return .busy }
                table[code] = [waiter]
                return .begins
            }
            switch step {
            case .joins: break
            case .busy: waiter.resume(.busy)
            case .begins: if !BlockingPool.shared.add({ self.finish(code, self.compute(user, password)) }) { finish(code, .busy) }
            }
        }
    }

    private func finish(_ code: KeyedDigest.Code, _ verdict: Verdict) {
        for waiter in underWay.withLock({ $0.removeValue(forKey: code) }) ?? [] { waiter.resume(verdict) }
    }

    private func compute(_ user: [UInt8], _ password: SecretBytes) -> Verdict {
        if let hash = users[user] { return matches(password, hash) ? .right : .wrong }
        // Somebody else's hash, always the same for a name: it takes as long as a user's. Which one nobody outside can know.
        let choice = unsafe user.withUnsafeBufferPointer { unsafe digest.code($0) }?.words[0] ?? 0
        _ = matches(password, hashes[Int(choice % UInt64(hashes.count))])
        return .wrong
    }
}

/// Credentials that were right, of one loop: by their codes, for a while. Groups of four slots: those of a code are in one.
@safe
final class RememberedLogins {
    private struct Slot {
        var code = KeyedDigest.Code()
        /// On the loop's clock; what lies in the past is free.
        var until: UInt64 = 0
    }

    private static let ways = 4
    /// 40 bytes each: 2.5 MiB.
    private static let loginsMax = 1 << 16

    private let keepNs: UInt64
    private let groupMask: UInt64
    private let slots: UnsafeMutablePointer<Slot>

    init(logins: Int, keepNs: UInt64) {
        self.keepNs = keepNs
        var groups = 1
        while groups * Self.ways < min(logins, Self.loginsMax) { groups *= 2 }
        groupMask = UInt64(groups - 1)
        unsafe slots = .allocate(capacity: groups * Self.ways)
        unsafe slots.initialize(repeating: Slot(), count: groups * Self.ways)
    }

    deinit { unsafe slots.deallocate() }

    /// Within the table: the mask is that of its groups.
    private func group(_ code: KeyedDigest.Code) -> UnsafeMutablePointer<Slot> { unsafe slots + Int(code.words[1] & groupMask) * Self.ways }

    /// Whether they were right; then they are kept on.
    func contains(_ code: KeyedDigest.Code, _ now: UInt64) -> Bool {
        let group = unsafe group(code)
        for way in 0..<Self.ways where unsafe group[way].until > now && group[way].code == code {
            unsafe group[way].until = now &+ keepNs
            return true
        }
        return false
    }

    /// In place of those of the group that would be forgotten first.
    func add(_ code: KeyedDigest.Code, _ now: UInt64) {
        guard keepNs > 0 else { return }
        var oldest = unsafe group(code)
        for way in 0..<Self.ways {
            let slot = unsafe group(code) + way
            if unsafe slot.pointee.code == code { unsafe oldest = unsafe slot; break }
            if unsafe slot.pointee.until < oldest.pointee.until { unsafe oldest = unsafe slot }
        }
        unsafe oldest.pointee = Slot(code: code, until: now &+ keepNs)
    }
}
