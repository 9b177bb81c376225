// Reads certificates, keys and ticket secrets from files and judges who else may read them. Called when a configuration is loaded.

internal import CUringTLS
internal import Glibc

package enum SecretFile {
    /// Certificate bundles have some hundred KiB; what is larger is the wrong file.
    static let bytesMax = 4 << 20

    static func read(_ path: String) throws(TLSLoadError) -> SecretBytes {
        var warnings: [TLSLoadWarning] = []
        return try read(path, isSecret: false, warnings: &warnings)
    }

    /// - Parameter isSecret: everybody's access is an error, write access of the group a warning.
    package static func read(_ path: String, isSecret: Bool, warnings: inout [TLSLoadWarning]) throws(TLSLoadError) -> SecretBytes {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw cannotOpen(path, errno) }
        defer { close(descriptor) }
        var facts = stat()
        guard unsafe fstat(descriptor, &facts) == 0 else { throw cannotOpen(path, errno) }
        guard facts.st_mode & S_IFMT == S_IFREG else {
            throw TLSLoadError(file: path, reason: "is not a regular file", remedy: "give the path of a file")
        }
        guard facts.st_size <= bytesMax else {
            throw TLSLoadError(file: path, reason: "has more than 4 MiB", remedy: "give a certificate, key or secret file")
        }
        if isSecret { try judge(path, facts.st_mode, &warnings) }
        return try readAll(descriptor, count: Int(facts.st_size), path)
    }

    private static func judge(_ path: String, _ mode: mode_t, _ warnings: inout [TLSLoadWarning]) throws(TLSLoadError) {
        let octal = "0" + String(mode & 0o777, radix: 8)
        guard mode & 0o006 == 0 else {
            throw TLSLoadError(file: path, reason: "every user may read or change this key (mode \(octal))", remedy: "chmod 600 \(path)")
        }
        if mode & 0o020 != 0 {
            warnings.append(TLSLoadWarning(file: path, reason: "the group may change this key (mode \(octal))", remedy: "chmod g-w \(path)"))
        }
    }

    private static func readAll(_ descriptor: CInt, count: Int, _ path: String) throws(TLSLoadError) -> SecretBytes {
        // Ours until the copy is made, then wiped.
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1), alignment: 16)
        defer {
            unsafe OPENSSL_cleanse(buffer, max(count, 1))
            unsafe buffer.deallocate()
        }
        var done = 0
        while done < count {
            let result = unsafe Glibc.read(descriptor, buffer + done, count - done)
            if result < 0 && errno == EINTR { continue }
            guard result >= 0 else { throw cannotOpen(path, errno) }
            if result == 0 { break }
            done += result
        }
        return unsafe SecretBytes(copying: UnsafeRawBufferPointer(start: buffer, count: done))
    }

    private static func cannotOpen(_ path: String, _ code: CInt) -> TLSLoadError {
        let remedy =
            switch code {
            case ENOENT, ENOTDIR: "check the path; a relative one starts at the configuration file's directory, without such a file at the working directory"
            case EACCES, EPERM: "give the server's user read access, for instance through a group"
            case EISDIR: "give the path of a file"
            default: "check the file"
            }
        // strerror's text is copied at once; loading is done by one thread.
        return TLSLoadError(file: path, reason: unsafe String(cString: strerror(code)), remedy: remedy)
    }
}
