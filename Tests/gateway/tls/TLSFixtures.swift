// Certificates and keys for tests alone, and files in a directory of their own.

import Glibc

enum TLSFixtures {
    /// P-256, for localhost, from 2020 to 2120.
    static let certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBUDCB9qADAgECAgEBMAoGCCqGSM49BAMCMBQxEjAQBgNVBAMMCWxvY2FsaG9z
        dDAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowFDESMBAGA1UEAwwJ
        bG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE7DeLF0jZgmHbMIPw
        77ZHmp6b4kz3W8+HYR4X43gvAAjc2ETtaEL8DcCWCRQlKQD9TjUkJWy6qMXpj+cC
        lwkF16M3MDUwFAYDVR0RBA0wC4IJbG9jYWxob3N0MB0GA1UdDgQWBBQqYAEDYxWh
        E0LYC6RpOd40LVQkHzAKBggqhkjOPQQDAgNJADBGAiEAwaf4JSgN97PCP45uM0Gz
        dsf+e9xCvJiqwCpA5Jj5eYwCIQCRrK/qgStobgP2mYJbzcsujlFfoo7xBuosrRNH
        6p6RbA==
        -----END CERTIFICATE-----

        """
    static let key = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgdc1YBEzgTEgvKUn+
        nMSpRKxfKnWyrtQZmdN2xjnXZ3KhRANCAATsN4sXSNmCYdswg/DvtkeanpviTPdb
        z4dhHhfjeC8ACNzYRO1oQvwNwJYJFCUpAP1ONSQlbLqoxemP5wKXCQXX
        -----END PRIVATE KEY-----

        """
}

/// A directory that is removed with this object.
final class TLSDirectory {
    let path: String
    private var names: [String] = []

    init() {
        var template = Array("/tmp/uring-tls-XXXXXX".utf8CString)
        // The template is written during the call only, and terminated.
        guard unsafe mkdtemp(&template) != nil else { fatalError("no directory for the test") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        for name in names { unsafe unlink("\(path)/\(name)") }
        unsafe rmdir(path)
    }

    /// Writes a file and answers its path.
    @discardableResult
    func write(_ name: String, _ bytes: [UInt8], mode: mode_t = 0o600) -> String {
        let file = "\(path)/\(name)"
        let descriptor = unsafe open(file, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        guard descriptor >= 0 else { fatalError("cannot write \(file)") }
        // The array lives through the call.
        _ = unsafe Glibc.write(descriptor, bytes, bytes.count)
        fchmod(descriptor, mode)
        close(descriptor)
        names.append(name)
        return file
    }

    @discardableResult
    func write(_ name: String, _ text: String, mode: mode_t = 0o600) -> String { write(name, Array(text.utf8), mode: mode) }
}
