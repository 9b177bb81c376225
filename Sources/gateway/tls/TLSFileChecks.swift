// What can be wrong with the files of a listener's `tls`, for `uringd check` and every load. Reads files; never on a loop. No message has
// a byte of a key or secret.

/// Which of a listener's files.
enum TLSFileRole: Hashable, Sendable {
    case certificate(Int), key(Int), ocsp(Int), authorities, ticketKey(Int), secret
}

struct TLSFileProblem: Sendable {
    let role: TLSFileRole
    let message: String
    var isWarning = false
}
