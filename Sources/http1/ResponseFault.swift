// Why a response was refused, for a client: the words for the log. The server's failures (the peer's, here), never ours. Values only.

/// A reason to give a response up and close its connection: after a fault, where the next response begins is not known, and guessing
/// is what response splitting and smuggling live on (RFC 9112 11).
@frozen @usableFromInline package enum ResponseFault: UInt8, CaseIterable, Sendable, BitwiseCopyable {
    case badStatusLine
    case unsupportedVersion
    case badStatus
    case bareCR
    case bareLF
    case obsoleteFold
    case badFieldName
    case spaceBeforeColon
    case badFieldValue
    case tooManyFields
    case headTooLarge
    case badContentLength
    case duplicateContentLength
    case lengthAndCoding
    case badTransferEncoding
    case unknownTransferCoding
    case transferEncodingInHTTP10
    case bodyInInterim
    case badChunkSize
    case badChunkExtension
    case chunkExtensionsTooLong
    case badChunkEnd
    case bodyTooLarge
    case forbiddenTrailer
    case trailersTooLarge

    /// The same fault of a part that requests and responses share: fields, and chunks.
    package init(_ fault: RequestFault) {
        self =
            switch fault {
            case .bareCR: .bareCR
            case .bareLF: .bareLF
            case .obsoleteFold: .obsoleteFold
            case .badFieldName: .badFieldName
            case .spaceBeforeColon: .spaceBeforeColon
            case .badFieldValue: .badFieldValue
            case .tooManyFields: .tooManyFields
            case .headTooLarge, .requestLineTooLong: .headTooLarge
            case .badContentLength: .badContentLength
            case .duplicateContentLength: .duplicateContentLength
            case .lengthAndCoding: .lengthAndCoding
            case .badTransferEncoding: .badTransferEncoding
            case .unknownTransferCoding: .unknownTransferCoding
            case .transferEncodingInHTTP10: .transferEncodingInHTTP10
            case .badChunkSize: .badChunkSize
            case .badChunkExtension: .badChunkExtension
            case .chunkExtensionsTooLong: .chunkExtensionsTooLong
            case .badChunkEnd: .badChunkEnd
            case .bodyTooLarge: .bodyTooLarge
            case .forbiddenTrailer: .forbiddenTrailer
            case .trailersTooLarge: .trailersTooLarge
            case .unsupportedVersion: .unsupportedVersion
            case .badLeadingLines, .badMethod, .methodTooLong, .badTarget, .badVersion, .missingHost, .duplicateHost, .badHost,
                .unknownExpectation:
                // Only of request lines and of fields that mean nothing in a response.
                .badStatusLine
            }
    }

    /// What was wrong, for logs; holds nothing the server sent.
    package var reason: StaticString {
        switch self {
        case .badStatusLine: "the response does not begin with HTTP/1.x, a space and a status"
        case .unsupportedVersion: "the major version of HTTP is not 1"
        case .badStatus: "the status is not a number from 100 to 599"
        case .bareCR: "a carriage return without a line feed"
        case .bareLF: "a line feed without a carriage return"
        case .obsoleteFold: "a field line begins with white space"
        case .badFieldName: "a field name is empty or has a character that is not a token character"
        case .spaceBeforeColon: "white space between a field name and its colon"
        case .badFieldValue: "a control character in a field value or in the reason phrase"
        case .tooManyFields: "more fields than the limit"
        case .headTooLarge: "the head is longer than the limit"
        case .badContentLength: "Content-Length is not one decimal number within range"
        case .duplicateContentLength: "more than one Content-Length field"
        case .lengthAndCoding: "both Content-Length and Transfer-Encoding"
        case .badTransferEncoding: "Transfer-Encoding is empty, malformed, or chunked is repeated or not last"
        case .unknownTransferCoding: "a transfer coding other than chunked, which was not asked for"
        case .transferEncodingInHTTP10: "Transfer-Encoding in an HTTP/1.0 response"
        case .bodyInInterim: "an interim response (1xx) that announces a body"
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
