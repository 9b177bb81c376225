// KernelChoice: which of Linux's interfaces the loops of a server stand on, and what is to be said about it. Made by the thread that starts the
// server; a plain value from then on.

internal import Glibc
internal import UringRing

/// The answer to `ServerOptions.backend` on this machine, in this process.
struct KernelChoice: Sendable {
    /// Never `automatic`.
    let backend: ServerOptions.Backend
    /// Why io_uring is not used although nobody asked for anything else; nil otherwise.
    let note: String?

    /// - Throws: when io_uring is demanded and not available: what forbids it, with the remedy.
    init(_ wanted: ServerOptions.Backend) throws {
        switch try wanted.resolved() {
        case .epoll: (backend, note) = (.epoll, nil)
        case .uring:
            try UringKernel.trial()
            (backend, note) = (.uring, nil)
        case .automatic:
            do throws(SystemError) {
                try UringKernel.trial()
                (backend, note) = (.uring, nil)
            } catch {
                (backend, note) = (.epoll, Self.note(error))
            }
        }
    }

    func makeKernel() throws(SystemError) -> Kernel { backend == .epoll ? try EpollKernel.make() : try UringKernel.make() }

    private static func note(_ error: SystemError) -> String {
        "io_uring is not available (\(error.operation): \(SystemError.text(of: error.code))): serving with epoll, which costs more CPU per request"
            + (error.remedy.isEmpty ? "" : "; \(error.remedy)")
    }
}

extension ServerOptions.Backend {
    /// Where nothing is demanded, the environment may: for tests, and for containers whose command line is not theirs.
    package static let variable = "URING_BACKEND"

    /// - Throws: `ServerError` when the environment says something else than there is.
    package func resolved() throws -> ServerOptions.Backend {
        // The environment's text lives until it is changed; it is copied here.
        guard self == .automatic, let text = unsafe getenv(Self.variable) else { return self }
        let word = unsafe String(cString: text)
        if word.isEmpty { return self }
        guard let backend = Self(rawValue: word) else {
            throw ServerError("the environment variable \(Self.variable) is '\(word)'; \(Self.allCases.map(\.rawValue).joined(separator: ", ")) are known")
        }
        return backend
    }
}
