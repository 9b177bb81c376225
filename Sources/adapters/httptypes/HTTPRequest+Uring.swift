// Requests of the server as values of swift-http-types. Copies; made on the loop's thread during a handler's call, used anywhere and as long as one likes.

#if HTTPTypes
public import HTTPTypes
public import UringServer

extension HTTPRequest {
    /// The request's head, copied: method, scheme, authority, path with query, and fields.
    ///
    /// As in HTTP/2 the authority stands for the first `Host` field, which is not among the fields. The body is not part of this type. Costs some allocations: what a handler
    /// needs of one field it reads from the request itself.
    /// - Parameter request: of a handler's call. Nothing of it is kept.
    public init(_ request: borrowing UringServer.Request) {
        self.init(request, names: nil)
    }

    /// - Parameter names: saves most of what names cost; of this thread alone.
    package init(_ request: borrowing UringServer.Request, names: FieldNameCache?) {
        let authority = request.authority
        self.init(
            method: Method(request), scheme: request.isSecure ? "https" : "http", authority: authority.isEmpty ? nil : String(authority),
            path: Self.path(request), headerFields: HTTPFields(request.headers, withoutHost: true, names: names))
    }

    /// In origin form: without scheme and authority, should the client have sent those (RFC 9112 section 3.2.2). Of CONNECT the authority.
    private static func path(_ request: borrowing UringServer.Request) -> String {
        let (target, path) = (request.target, request.path)
        guard !path.isEmpty, target.count != path.count else { return String(target) }
        guard let query = request.query else { return String(path) }
        return target.count == path.count + 1 + query.count ? String(target) : String(path) + "?" + String(query)
    }
}

extension HTTPRequest.Method {
    /// The method of a request, extension methods included.
    public init(_ request: borrowing UringServer.Request) {
        // A token, or the parser had refused it.
        self = Self(request.method) ?? Self(String(request.methodName)) ?? .get
    }

    /// nil for `.other`, whose name is the request's (`Request.methodName`).
    public init?(_ method: UringServer.HTTPMethod) {
        switch method {
        case .get: self = .get
        case .head: self = .head
        case .post: self = .post
        case .put: self = .put
        case .delete: self = .delete
        case .connect: self = .connect
        case .options: self = .options
        case .trace: self = .trace
        case .patch: self = .patch
        case .other: return nil
        }
    }
}

extension UringServer.HTTPMethod {
    /// `.other` for methods that have no case of their own.
    public init(_ method: HTTPRequest.Method) {
        self =
            switch method {
            case .get: .get
            case .head: .head
            case .post: .post
            case .put: .put
            case .delete: .delete
            case .connect: .connect
            case .options: .options
            case .trace: .trace
            case .patch: .patch
            default: .other
            }
    }
}

extension HTTPFields {
    /// The fields, or trailer fields, of a request, copied in order. Bytes of values that are not UTF-8 stay as they are (`HTTPField.withUnsafeBytesOfValue`).
    public init(_ headers: borrowing RequestHeaders) {
        self.init(headers, withoutHost: false, names: nil)
    }

    /// - Parameter withoutHost: leaves the first `Host` out.
    init(_ headers: borrowing RequestHeaders, withoutHost: Bool, names: FieldNameCache?) {
        self.init()
        reserveCapacity(headers.count)
        var isHostAwaited = withoutHost
        for index in 0..<headers.count {
            let bytes = headers.name(at: index)
            if isHostAwaited, bytes.equalsIgnoringCase("host") {
                isHostAwaited = false
                continue
            }
            guard let name = names?.name(bytes.span) ?? HTTPField.Name(String(bytes)) else { continue }
            // SAFETY: the span's memory lives as long as the view; the bytes are copied here.
            unsafe headers.value(at: index).span.withUnsafeBufferPointer { unsafe append(HTTPField(name: name, value: $0)) }
        }
    }
}
#endif
