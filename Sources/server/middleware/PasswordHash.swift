// PasswordHash: the system's password hashes (crypt(5)), by libcrypt. Slow by design: called on threads of the blocking pool.
//
// libcrypt is found when passwords are loaded, not linked: programs without passwords do not need it, and its package (libcrypt1, on every Debian) need not be named anywhere.

internal import Glibc
internal import UringTLS

enum PasswordHash {
    /// Of bytes that libcrypt takes; longer passwords are wrong (CRYPT_MAX_PASSPHRASE_SIZE of crypt.h, its NUL included).
    static let passwordBytesMax = 511
    /// libcrypt's memory for one call: `sizeof(struct crypt_data)`, part of its binary interface. 32 KiB.
    private static let memoryBytes = 32_768

    private typealias Crypt = @convention(c) (UnsafePointer<CChar>?, UnsafePointer<CChar>?, UnsafeMutableRawPointer?, CInt) -> UnsafeMutablePointer<CChar>?
    private typealias Check = @convention(c) (UnsafePointer<CChar>?) -> CInt

    @unsafe private struct Library {
        let crypt: Crypt
        /// Since libxcrypt 4.3.
        let check: Check?
    }

    /// Never unloaded.
    private static let library: Library? = {
        // The second where libxcrypt was built without the names of glibc's own.
        for name in ["libcrypt.so.1", "libcrypt.so.2"] {
            guard let opened = unsafe dlopen(name, RTLD_NOW | RTLD_LOCAL), let crypt = unsafe dlsym(opened, "crypt_rn") else { continue }
            // SAFETY: the types are those of crypt.h.
            return unsafe Library(crypt: unsafeBitCast(crypt, to: Crypt.self), check: dlsym(opened, "crypt_checksalt").map { unsafe unsafeBitCast($0, to: Check.self) })
        }
        return nil
    }()

    static var isAvailable: Bool { unsafe library != nil }

    /// Methods that are slow on purpose: bcrypt, yescrypt and its relatives, SHA-2 in rounds.
    private static let methods: [StaticString] = ["$2y$", "$2b$", "$2a$", "$y$", "$gy$", "$7$", "$6$", "$5$"]

    /// - Parameter hash: with a NUL at its end.
    static func isSupported(_ hash: [UInt8]) -> Bool {
        let known = methods.contains { method in
            // SAFETY: constant text, and an array that is longer than what is compared.
            unsafe hash.count > method.utf8CodeUnitCount && hash.withUnsafeBufferPointer { unsafe memcmp($0.baseAddress!, method.utf8Start, method.utf8CodeUnitCount) == 0 }
        }
        guard known, isComplete(hash), let library = unsafe library else { return false }
        guard let check = unsafe library.check else { return true }
        // Not invalid (1) and not disabled (2); that a method is old or its cost low is the operator's business.
        // SAFETY: an array that ends with NUL, during this call.
        let verdict = unsafe hash.withUnsafeBufferPointer { bytes in unsafe bytes.withMemoryRebound(to: CChar.self) { unsafe check($0.baseAddress) } }
        return verdict != 1 && verdict != 2
    }

    /// libcrypt would refuse what is cut off without computing anything, so quickly that time would tell.
    private static func isComplete(_ hash: [UInt8]) -> Bool {
        let text = hash.dropLast()
        // bcrypt: 22 digits of salt and 31 of the digest behind `$2b$10$`.
        if hash[1] == UInt8(ascii: "2") { return text.count == 60 }
        // The digest behind the last dollar: 256 bits, of SHA-512 512, six to a digit.
        guard let dollar = text.lastIndex(of: UInt8(ascii: "$")) else { return false }
        return text.count - dollar - 1 == (hash[1] == UInt8(ascii: "6") ? 86 : 43)
    }

    /// Whether `password` makes `hash`; takes as long either way.
    /// - Parameters:
    ///   - password: ends with NUL and has no other.
    ///   - hash: ends with NUL; its front holds method, cost and salt.
    static func matches(_ password: SecretBytes, _ hash: [UInt8]) -> Bool {
        guard let library = unsafe library else { return false }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: memoryBytes, alignment: 16)
        unsafe memset(memory, 0, memoryBytes)
        defer {
            unsafe explicit_bzero(memory, memoryBytes)
            unsafe memory.deallocate()
        }
        // SAFETY: all three are alive and end with NUL during the call; what it returns lies in `memory`.
        return unsafe password.withBytes { phrase in
            unsafe hash.withUnsafeBufferPointer { setting in
                let made = unsafe phrase.withMemoryRebound(to: CChar.self) { phrase in
                    unsafe setting.withMemoryRebound(to: CChar.self) { unsafe library.crypt(phrase.baseAddress, $0.baseAddress, memory, CInt(memoryBytes)) }
                }
                guard let made = unsafe made else { return false }
                let count = unsafe strlen(made)
                let given = unsafe Span<UInt8>(_unsafeStart: UnsafeRawPointer(made).assumingMemoryBound(to: UInt8.self), count: count)
                return equalsInConstantTime(given, hash.span.extracting(..<(hash.count - 1)))
            }
        }
    }
}
