// GRPC: what an answer that no gRPC server has given looks like to a gRPC client (gRPC over HTTP/2, "Responses"; "HTTP to gRPC Status Code Mapping"). Values; no I/O.

package enum GRPC {
    /// Codes of `grpc-status`.
    package enum Code: UInt8, Sendable {
        case unknown = 2
        case deadlineExceeded = 4
        case permissionDenied = 7
        case unimplemented = 12
        case `internal` = 13
        case unavailable = 14
        case unauthenticated = 16
    }

    /// What a call came to, for whoever counts: a number of `statusNames`.
    package static var statusOther: UInt8 { 17 }
    /// The response had no `grpc-status`.
    package static var statusMissing: UInt8 { 18 }
    /// No call of gRPC.
    package static var statusNone: UInt8 { 255 }

    /// By number, as the specification spells them.
    package static let statusNames: [StaticString] = [
        "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
        "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED", "other", "missing",
    ]

    /// Reads `grpc-status`: digits, without sign.
    package static func status(_ value: Span<UInt8>) -> UInt8 {
        guard (1...2).contains(value.count) else { return statusOther }
        var number: UInt8 = 0
        for at in value.indices {
            let digit = value[at] &- UInt8(ascii: "0")
            guard digit < 10 else { return statusOther }
            number = number * 10 + digit
        }
        return number <= 16 ? number : statusOther
    }

    /// Whether a request with this content type is a gRPC client's: `application/grpc`, alone or with `+proto` and the like. gRPC-Web is another protocol, whose clients read the HTTP status.
    package static func isContentType(_ value: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        let name: StaticString = "application/grpc"
        let length = name.utf8CodeUnitCount
        guard count >= length else { return false }
        // SAFETY: `count` bytes, of which the first `length` are compared; readable during this call, as the caller says.
        guard unsafe equalsIgnoringCase(value, count: length, name) else { return false }
        guard count > length else { return true }
        let next = unsafe value[length]
        return next == UInt8(ascii: "+") || next == UInt8(ascii: ";") || next == UInt8(ascii: " ") || next == UInt8(ascii: "\t")
    }

    /// What a client makes of an HTTP status without `grpc-status`; it is said here, because some make `unknown` of all.
    package static func code(for status: HTTPStatus) -> Code {
        switch status.code {
        case 400: .internal
        case 401: .unauthenticated
        case 403: .permissionDenied
        case 404: .unimplemented
        case 429, 502, 503, 504: .unavailable
        default: .unknown
        }
    }
}
