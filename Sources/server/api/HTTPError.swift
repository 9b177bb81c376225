// HTTPError: errors that a handler throws to answer with a status. Made by applications; turned into a response by the loop, or by the
// `problemDetails` middleware, on the loop's thread.

public import UringHTTP

/// An error that knows how it is answered. A handler throws it; what it has written until then is dropped.
///
/// Errors of other types answer 500 without a word about their cause, and are told to `ServerReporter.handlerFailed`.
public protocol ResponseError: Error {
    /// Of the response. Below 400 it becomes 500: an error is not a success.
    var status: HTTPStatus { get }
    /// Shown to the client; empty = only the status. Never put secrets into it.
    var message: String { get }
    /// Further fields of the response, `WWW-Authenticate` or `Retry-After` for example.
    var headers: [(name: String, value: String)] { get }
}

extension ResponseError {
    /// What the client is told; empty, the default, sends no content.
    public var message: String { "" }
    /// Fields of the answer; none unless implemented.
    public var headers: [(name: String, value: String)] { [] }
}

/// The error to throw when no type of one's own is needed: `throw HTTPError(.notFound, "no such order")`.
public struct HTTPError: ResponseError, CustomStringConvertible {
    /// The status of the answer.
    public var status: HTTPStatus
    /// What the client is told; empty for nothing.
    public var message: String
    /// Fields of the answer.
    public var headers: [(name: String, value: String)]

    /// An error that answers with a status.
    /// - Parameters:
    ///   - status: below 400 becomes 500.
    ///   - message: shown to the client, so without secrets; empty sends no content.
    ///   - headers: sent with it.
    public init(_ status: HTTPStatus, _ message: String = "", headers: [(name: String, value: String)] = []) {
        (self.status, self.message, self.headers) = (status, message, headers)
    }

    /// Status and message, for logs.
    public var description: String { message.isEmpty ? status.description : "\(status): \(message)" }
}

/// What an error says to the client, and whether the operator wants to know of it.
struct ErrorAnswer {
    let status: HTTPStatus
    let message: String
    let headers: [(name: String, value: String)]
    /// 5xx is our fault; 4xx is the client's, and no news.
    var isReported: Bool { status.isServerError }

    init(_ error: any Error) {
        guard let error = error as? any ResponseError else {
            (status, message, headers) = (.internalServerError, "", [])
            return
        }
        status = error.status.code < 400 ? .internalServerError : error.status
        (message, headers) = (error.message, error.headers)
    }

    /// Drops what the response held, sets status and fields.
    func begin(_ response: borrowing Response) {
        response.restart(status)
        for field in headers { response.headers.add(dynamicName: field.name, field.value) }
    }

    /// Set for responses whose errors are told as problem details (RFC 9457).
    static let isProblem = RequestKey<Bool>()

    /// The plain form is one line of text when the error has a message, nothing otherwise.
    func write(to response: borrowing Response) {
        begin(response)
        if response[Self.isProblem] == true {
            // SAFETY: another name for the same response, used during this call.
            var problem = unsafe Response(response.state, response.context)
            return problem.writeProblem(message)
        }
        guard !message.isEmpty else { return }
        response.headers["content-type"] = "text/plain; charset=utf-8"
        response.write(message)
        response.write("\n")
    }
}
