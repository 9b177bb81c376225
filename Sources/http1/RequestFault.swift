// Why a request was refused: the answer it gets and the words for the log. The peer's failures, never the server's.

package import UringHTTP

/// A reason to refuse a request and close its connection: after a fault, where the next request begins is not known.
@frozen @usableFromInline package enum RequestFault: UInt8, CaseIterable, Sendable {
    case badLeadingLines
    case badMethod
    case methodTooLong
    case badTarget
    case requestLineTooLong
    case badVersion
    case unsupportedVersion
    case bareCR
    case bareLF
    case obsoleteFold
    case badFieldName
    case spaceBeforeColon
    case badFieldValue
    case tooManyFields
    case headTooLarge
    case missingHost
    case duplicateHost
    case badHost
    case badContentLength
    case duplicateContentLength
    case lengthAndCoding
    case badTransferEncoding
    case unknownTransferCoding
    case transferEncodingInHTTP10
    case unknownExpectation
    case badChunkSize
    case badChunkExtension
    case chunkExtensionsTooLong
    case badChunkEnd
    case bodyTooLarge
    case forbiddenTrailer
    case trailersTooLarge

    /// The status to answer with (RFC 9110 15, RFC 9112 3).
    package var status: HTTPStatus {
        switch self {
        case .badLeadingLines, .badMethod, .badTarget, .badVersion, .bareCR, .bareLF, .obsoleteFold, .badFieldName,
            .spaceBeforeColon, .badFieldValue, .missingHost, .duplicateHost, .badHost, .badContentLength,
            .duplicateContentLength, .lengthAndCoding, .badTransferEncoding, .transferEncodingInHTTP10, .badChunkSize,
            .badChunkExtension, .chunkExtensionsTooLong, .badChunkEnd, .forbiddenTrailer: .badRequest
        case .methodTooLong, .unknownTransferCoding: .notImplemented
        case .requestLineTooLong: .uriTooLong
        case .unsupportedVersion: .httpVersionNotSupported
        case .tooManyFields, .headTooLarge, .trailersTooLarge: .requestHeaderFieldsTooLarge
        case .unknownExpectation: .expectationFailed
        case .bodyTooLarge: .contentTooLarge
        }
    }

    /// What was wrong, for logs; holds nothing the client sent.
    package var reason: StaticString {
        switch self {
        case .badLeadingLines: "more empty lines before the request line than are skipped"
        case .badMethod: "the method is not a token followed by one space"
        case .methodTooLong: "the method is longer than any that is implemented"
        case .badTarget: "the request target has a character that does not belong or a form that does not fit the method"
        case .requestLineTooLong: "the request line is longer than the limit"
        case .badVersion: "the request line does not end with HTTP/1.x and CRLF"
        case .unsupportedVersion: "the major version of HTTP is not 1"
        case .bareCR: "a carriage return without a line feed"
        case .bareLF: "a line feed without a carriage return"
        case .obsoleteFold: "a field line begins with white space"
        case .badFieldName: "a field name is empty or has a character that is not a token character"
        case .spaceBeforeColon: "white space between a field name and its colon"
        case .badFieldValue: "a control character in a field value"
        case .tooManyFields: "more fields than the limit"
        case .headTooLarge: "the head is longer than the limit"
        case .missingHost: "an HTTP/1.1 request without Host"
        case .duplicateHost: "more than one Host field"
        case .badHost: "Host is not host[:port]"
        case .badContentLength: "Content-Length is not one decimal number within range"
        case .duplicateContentLength: "more than one Content-Length field"
        case .lengthAndCoding: "both Content-Length and Transfer-Encoding"
        case .badTransferEncoding: "Transfer-Encoding is empty, malformed, or chunked is repeated or not last"
        case .unknownTransferCoding: "a transfer coding other than chunked"
        case .transferEncodingInHTTP10: "Transfer-Encoding in an HTTP/1.0 request"
        case .unknownExpectation: "an expectation other than 100-continue"
        case .badChunkSize: "a chunk size is not a hexadecimal number within range"
        case .badChunkExtension: "a control character in a chunk extension"
        case .chunkExtensionsTooLong: "chunk extensions longer than the limit"
        case .badChunkEnd: "a chunk's data is not followed by CRLF"
        case .bodyTooLarge: "the body is longer than the limit"
        case .forbiddenTrailer: "a trailer field that may only stand in the head"
        case .trailersTooLarge: "the trailer section is longer than the limit"
        }
    }
}
