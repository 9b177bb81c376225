// Errno: the codes that the calls behind the seam can answer, each with what it means for us. The unknown is loud.

internal import Glibc

/// What an error code of a socket operation means for the connection.
package enum SocketFailure: Sendable {
    /// Nothing is wrong: try again when the descriptor is ready.
    case again
    /// The peer went away (reset, broken pipe, timed out, unreachable): drop the connection, count it, carry on.
    case peerGone
    /// No buffer was free in the group: re-arm when buffers return.
    case noBuffers
    /// The operation was cancelled by us.
    case cancelled
    /// Out of descriptors, memory or socket buffers: shed load and try again later.
    case exhausted
    /// The descriptor is not what we believe it to be: a defect of ours.
    case programming
    /// A code that this table does not know. Logged with its number; the connection is dropped.
    case unknown

    /// - Parameter code: a positive errno of accept4(2), recv(2), send(2), sendfile(2) or of their ring operations.
    package init(_ code: Int32) {
        switch code {
        case EAGAIN, EINTR, EINPROGRESS, EALREADY: self = .again
        case ENOBUFS: self = .noBuffers
        case ECANCELED: self = .cancelled
        case ECONNRESET, EPIPE, ETIMEDOUT, ENOTCONN, ECONNABORTED, EHOSTUNREACH, ENETUNREACH, ENETDOWN, EHOSTDOWN, ENETRESET,
            ECONNREFUSED, EPROTO, ENONET, ESHUTDOWN:
            self = .peerGone
        case EMFILE, ENFILE, ENOMEM: self = .exhausted
        case EBADF, EFAULT, EINVAL, ENOTSOCK, EOPNOTSUPP, EDESTADDRREQ, EISCONN, EMSGSIZE: self = .programming
        default: self = .unknown
        }
    }
}

/// An operation of the environment that failed: what was tried, on what, and what the system said.
package struct SystemError: Error, CustomStringConvertible, Sendable {
    package let operation: String
    package let code: Int32
    /// What the operator can do about it; empty when there is nothing specific.
    package let remedy: String

    package init(_ operation: String, code: Int32, remedy: String = "") {
        (self.operation, self.code, self.remedy) = (operation, code, remedy)
    }

    package static func text(of code: Int32) -> String { unsafe String(cString: strerror(code)) }

    package var description: String {
        "\(operation): \(Self.text(of: code)) (errno \(code))" + (remedy.isEmpty ? "" : "; \(remedy)")
    }
}
