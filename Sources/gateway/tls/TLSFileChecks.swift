// What can be wrong with the files of a listener's `tls`, for `uringd check` and every load. Reads files; never on a loop. No message has
// a byte of a key or secret.

internal import Glibc
internal import UringTLS

/// Which of a listener's files.
enum TLSFileRole: Hashable, Sendable {
    case certificate(Int), key(Int), ocsp(Int), authorities, ticketKey(Int), secret
}

struct TLSFileProblem: Sendable, Equatable {
    let role: TLSFileRole
    let message: String
    var isWarning = false
}

enum TLSFileChecks {
    /// Loads each file and throws it away: every problem of all of them.
    @Sendable static func problems(_ settings: TLSSettings) -> [TLSFileProblem] {
        var problems: [TLSFileProblem] = []
        if case .files(let files) = settings.certificates {
            for (index, file) in files.enumerated() { problems += certificate(file, index) }
        }
        if let path = settings.clientAuthentication.authorities {
            problems += load(.authorities) { _ throws(TLSLoadError) in _ = try TLSAuthorities.load(path) }
        }
        switch settings.tickets {
        case .off, .generated: break
        case .secret(let path):
            problems += load(.secret) { warnings throws(TLSLoadError) in _ = try SessionTickets.load(secret: path, warnings: &warnings) }
        case .keys(let paths):
            for (index, path) in paths.enumerated() {
                problems += load(.ticketKey(index)) { warnings throws(TLSLoadError) in _ = try SessionTickets.load(keys: [path], warnings: &warnings) }
            }
        }
        return problems
    }

    private static func certificate(_ files: CertificateFiles, _ index: Int) -> [TLSFileProblem] {
        func role(_ path: String) -> TLSFileRole {
            path == files.certificate ? .certificate(index) : path == files.key ? .key(index) : path == files.ocsp ? .ocsp(index) : .certificate(index)
        }
        var warnings: [TLSLoadWarning] = []
        var problems: [TLSFileProblem] = []
        do throws(TLSLoadError) {
            _ = try TLSCertificate.load(
                certificate: files.certificate, key: files.key, ocsp: files.ocsp, nowSeconds: nowSeconds(), warnings: &warnings)
        } catch {
            problems.append(TLSFileProblem(role: role(error.file), message: "\(error)"))
            // Loading ends with the first bad file; of the others it is told whether they are there.
            let others = [files.certificate, files.key] + (files.ocsp.map { [$0] } ?? [])
            for path in others where path != error.file {
                if let reason = unreadable(path) { problems.append(TLSFileProblem(role: role(path), message: "\(path): \(reason)")) }
            }
        }
        return problems + warnings.map { TLSFileProblem(role: role($0.file), message: "\($0)", isWarning: true) }
    }

    private static func load(
        _ role: TLSFileRole, _ body: (inout [TLSLoadWarning]) throws(TLSLoadError) -> Void
    ) -> [TLSFileProblem] {
        var warnings: [TLSLoadWarning] = []
        var problems: [TLSFileProblem] = []
        do throws(TLSLoadError) { try body(&warnings) } catch { problems.append(TLSFileProblem(role: role, message: "\(error)")) }
        return problems + warnings.map { TLSFileProblem(role: role, message: "\($0)", isWarning: true) }
    }

    private static func nowSeconds() -> Int64 {
        var time = timespec()
        // Written during the call only.
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec)
    }

    private static func unreadable(_ path: String) -> String? {
        // The path lives through the call.
        unsafe access(path, R_OK) == 0 ? nil : ConfigFileChecks.reason(errno)
    }
}
