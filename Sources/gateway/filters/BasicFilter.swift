// BasicFilter: demands a user and a password (RFC 7617). The file is read at start and on reloads. Hashes are slow on purpose: they are verified on threads outside of the loops while the
// request waits, and what was right is remembered for a while by each loop (PasswordGate), which then costs no wait. The loops' threads.

internal import UringHTTP
internal import UringServer

@safe
final class BasicFilter: Sendable {
    private let gate: PasswordGate
    /// Empty: the user goes nowhere.
    private let forwardHeader: FixedBytes
    let removed: [String]

    /// - Throws: for a file that cannot be read, or a line in it that is none.
    init(_ configuration: BasicConfiguration, route: String) throws {
        forwardHeader = FixedBytes(configuration.forwardHeader ?? "")
        removed = [configuration.forwardHeader?.lowercased()].compactMap { $0 }
        switch ConfigFileChecks.read(configuration.file, "the passwords") {
        case .failure(let problem): throw GatewayError("basic of the route \(route): \(configuration.file): \(problem.reason)")
        case .success(let bytes):
            let passwords: PasswordFile
            do { passwords = try PasswordFile(bytes, source: configuration.file) } catch { throw GatewayError("basic of the route \(route): \(error)") }
            gate = PasswordGate(passwords, PasswordOptions(), realm: configuration.realm)
        }
    }

    /// Whether the credentials are known to be right; those that are not have to be waited for (`verify`).
    func judge(_ request: borrowing Request, _ response: inout Response) -> FilterVerdict {
        do { return try gate.remembers(request, &response) ? .pass : .waits(0) } catch {
            response.answer(error)
            return .answered
        }
    }

    /// - Throws: what the client is to be told.
    func verify(_ request: borrowing Request, _ response: inout Response) async throws { try await gate.verify(request, &response) }

    func forward(_ request: borrowing Request, to forwarded: ProxyRequest) {
        guard forwardHeader.count > 0, let user = request.passwordUser else { return }
        // SAFETY: the name is this object's.
        forwarded.addField(unsafe Span(_unsafeElements: forwardHeader.buffer), user.span)
    }
}
