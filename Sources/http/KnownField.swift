// The fields this server knows by number, so that looking one up compares a byte instead of a name. Plain values; any thread.
// The tables that turn a name into a number are in KnownField+Lookup.swift; a test rebuilds them from the names.

/// A field name as a number. `other` stands for every name that is not listed.
@frozen @usableFromInline package enum KnownField: UInt8, CaseIterable, Sendable {
    case other
    case accept
    case acceptCharset
    case acceptEncoding
    case acceptLanguage
    case acceptRanges
    case accessControlAllowCredentials
    case accessControlAllowHeaders
    case accessControlAllowMethods
    case accessControlAllowOrigin
    case accessControlExposeHeaders
    case accessControlMaxAge
    case accessControlRequestHeaders
    case accessControlRequestMethod
    case age
    case allow
    case altSvc
    case authorization
    case cacheControl
    case connection
    case contentDisposition
    case contentEncoding
    case contentLanguage
    case contentLength
    case contentLocation
    case contentRange
    case contentSecurityPolicy
    case contentType
    case cookie
    case date
    case dnt
    case earlyData
    case etag
    case expect
    case expires
    case forwarded
    case from
    case host
    case http2Settings
    case ifMatch
    case ifModifiedSince
    case ifNoneMatch
    case ifRange
    case ifUnmodifiedSince
    case keepAlive
    case lastModified
    case link
    case location
    case maxForwards
    case origin
    case pragma
    case priority
    case proxyAuthenticate
    case proxyAuthorization
    case proxyConnection
    case range
    case referer
    case referrerPolicy
    case retryAfter
    case secCHUA
    case secCHUAMobile
    case secCHUAPlatform
    case secFetchDest
    case secFetchMode
    case secFetchSite
    case secFetchUser
    case secWebsocketAccept
    case secWebsocketExtensions
    case secWebsocketKey
    case secWebsocketProtocol
    case secWebsocketVersion
    case server
    case setCookie
    case strictTransportSecurity
    case te
    case traceparent
    case tracestate
    case trailer
    case transferEncoding
    case upgrade
    case upgradeInsecureRequests
    case userAgent
    case vary
    case via
    case wwwAuthenticate
    case xContentTypeOptions
    case xForwardedFor
    case xForwardedHost
    case xForwardedProto
    case xRealIP
    case xRequestID
    case xRequestedWith
}

extension KnownField {
    /// The name in lower case; empty for `other`.
    package var name: StaticString {
        switch self {
        case .other: ""
        case .accept: "accept"
        case .acceptCharset: "accept-charset"
        case .acceptEncoding: "accept-encoding"
        case .acceptLanguage: "accept-language"
        case .acceptRanges: "accept-ranges"
        case .accessControlAllowCredentials: "access-control-allow-credentials"
        case .accessControlAllowHeaders: "access-control-allow-headers"
        case .accessControlAllowMethods: "access-control-allow-methods"
        case .accessControlAllowOrigin: "access-control-allow-origin"
        case .accessControlExposeHeaders: "access-control-expose-headers"
        case .accessControlMaxAge: "access-control-max-age"
        case .accessControlRequestHeaders: "access-control-request-headers"
        case .accessControlRequestMethod: "access-control-request-method"
        case .age: "age"
        case .allow: "allow"
        case .altSvc: "alt-svc"
        case .authorization: "authorization"
        case .cacheControl: "cache-control"
        case .connection: "connection"
        case .contentDisposition: "content-disposition"
        case .contentEncoding: "content-encoding"
        case .contentLanguage: "content-language"
        case .contentLength: "content-length"
        case .contentLocation: "content-location"
        case .contentRange: "content-range"
        case .contentSecurityPolicy: "content-security-policy"
        case .contentType: "content-type"
        case .cookie: "cookie"
        case .date: "date"
        case .dnt: "dnt"
        case .earlyData: "early-data"
        case .etag: "etag"
        case .expect: "expect"
        case .expires: "expires"
        case .forwarded: "forwarded"
        case .from: "from"
        case .host: "host"
        case .http2Settings: "http2-settings"
        case .ifMatch: "if-match"
        case .ifModifiedSince: "if-modified-since"
        case .ifNoneMatch: "if-none-match"
        case .ifRange: "if-range"
        case .ifUnmodifiedSince: "if-unmodified-since"
        case .keepAlive: "keep-alive"
        case .lastModified: "last-modified"
        case .link: "link"
        case .location: "location"
        case .maxForwards: "max-forwards"
        case .origin: "origin"
        case .pragma: "pragma"
        case .priority: "priority"
        case .proxyAuthenticate: "proxy-authenticate"
        case .proxyAuthorization: "proxy-authorization"
        case .proxyConnection: "proxy-connection"
        case .range: "range"
        case .referer: "referer"
        case .referrerPolicy: "referrer-policy"
        case .retryAfter: "retry-after"
        case .secCHUA: "sec-ch-ua"
        case .secCHUAMobile: "sec-ch-ua-mobile"
        case .secCHUAPlatform: "sec-ch-ua-platform"
        case .secFetchDest: "sec-fetch-dest"
        case .secFetchMode: "sec-fetch-mode"
        case .secFetchSite: "sec-fetch-site"
        case .secFetchUser: "sec-fetch-user"
        case .secWebsocketAccept: "sec-websocket-accept"
        case .secWebsocketExtensions: "sec-websocket-extensions"
        case .secWebsocketKey: "sec-websocket-key"
        case .secWebsocketProtocol: "sec-websocket-protocol"
        case .secWebsocketVersion: "sec-websocket-version"
        case .server: "server"
        case .setCookie: "set-cookie"
        case .strictTransportSecurity: "strict-transport-security"
        case .te: "te"
        case .traceparent: "traceparent"
        case .tracestate: "tracestate"
        case .trailer: "trailer"
        case .transferEncoding: "transfer-encoding"
        case .upgrade: "upgrade"
        case .upgradeInsecureRequests: "upgrade-insecure-requests"
        case .userAgent: "user-agent"
        case .vary: "vary"
        case .via: "via"
        case .wwwAuthenticate: "www-authenticate"
        case .xContentTypeOptions: "x-content-type-options"
        case .xForwardedFor: "x-forwarded-for"
        case .xForwardedHost: "x-forwarded-host"
        case .xForwardedProto: "x-forwarded-proto"
        case .xRealIP: "x-real-ip"
        case .xRequestID: "x-request-id"
        case .xRequestedWith: "x-requested-with"
        }
    }
}
