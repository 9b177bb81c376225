// Which fields may not come after the body. Any thread, no state.

extension KnownField {
    /// Fields for framing, routing, request control, authentication and content, which a recipient has acted on before a
    /// trailer arrives (RFC 9110 6.5.1). A trailer with one of them is an attempt to be read twice.
    package var isForbiddenInTrailers: Bool {
        switch self {
        case .contentLength, .transferEncoding, .host, .connection, .keepAlive, .proxyConnection, .upgrade, .te, .trailer, .http2Settings,
            .expect, .maxForwards, .cacheControl, .pragma, .range, .ifRange, .ifMatch, .ifNoneMatch, .ifModifiedSince, .ifUnmodifiedSince,
            .authorization, .proxyAuthorization, .wwwAuthenticate, .proxyAuthenticate, .cookie, .setCookie,
            .contentEncoding, .contentType, .contentRange, .forwarded, .xForwardedFor, .xForwardedHost, .xForwardedProto, .xRealIP:
            true
        default: false
        }
    }
}
