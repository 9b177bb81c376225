// Cross-origin requests of browsers (the Fetch standard, "HTTP extensions": CORS protocol). The loops' threads; nothing is allocated but for preflights.

internal import UringHTTP

/// Which scripts of other origins may use the responses.
public struct CORSOptions: Sendable {
    /// Who may read.
    public enum Origins: Sendable, Equatable {
        /// `*`: right for what anybody may read. Not with credentials.
        case any
        /// These, as browsers write them: `https://app.example`, with a port where it is not the scheme's, without a slash at the end. `null` is the origin of files and of sandboxed
        /// frames, anybody's that is.
        case these([String])
    }

    /// Who may read responses.
    public var origins: Origins
    /// For preflights: what `Access-Control-Allow-Methods` lists. GET, HEAD and POST need no permission.
    public var methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    /// Fields that scripts may set; nil allows whichever the preflight asks for.
    public var requestHeaders: [String]?
    /// Fields of responses that scripts may read, besides the few that they always may.
    public var exposedHeaders: [String] = []
    /// Whether cookies, client certificates and `Authorization` may come along.
    public var allowsCredentials = false
    /// How long browsers may remember a preflight's answer; they have limits of their own, 2 hours and 24 hours.
    public var maximumAge: Duration? = .seconds(600)

    /// The defaults, for these origins.
    public init(origins: Origins) { self.origins = origins }
}

extension Middleware {
    /// Answers preflights, and tells browsers which origins may read the responses: errors and streams included.
    ///
    /// A preflight (OPTIONS with `Origin` and `Access-Control-Request-Method`) is answered here with 204 and reaches no handler. Requests of other origins are handled as ever: CORS is enforced by
    /// browsers, and protects their users, not the server.
    ///
    /// Use it on the router, not on a group: a preflight has no route of its own.
    /// - Throws: `ServerError` for `.any` with credentials, which the Fetch standard forbids, and for text that cannot stand in a field.
    public static func cors(_ options: CORSOptions) throws -> Middleware {
        let rules = try CORSRules(options)
        let step = ResponseStep { response, note in
            rules.allow(&response, note)
            rules.expose(&response, note)
        }
        return Middleware { request, response, next in
            let note = rules.judge(request)
            if rules.isPreflight(request) { return rules.answer(request, &response, note) }
            response.beforeSending(step, note: note)
            try next(request, &response)
        }
    }
}

private final class CORSRules: Sendable {
    /// What a step is told, besides the number of an origin and one more.
    private static let notAllowed: UInt64 = 0
    private static let anybody = UInt64.max

    /// nil: any.
    private let origins: [String]?
    private let methods: String
    private let requestHeaders: String?
    private let exposed: String
    private let maximumAge: String?
    private let allowsCredentials: Bool

    init(_ options: CORSOptions) throws {
        if case .these(let list) = options.origins { origins = list } else { origins = nil }
        methods = options.methods.joined(separator: ", ")
        requestHeaders = options.requestHeaders?.joined(separator: ", ")
        exposed = options.exposedHeaders.joined(separator: ", ")
        maximumAge = options.maximumAge.map { "\(ServerOptions.nanoseconds($0) / 1_000_000_000)" }
        allowsCredentials = options.allowsCredentials
        if origins == nil, allowsCredentials {
            throw ServerError("CORS with credentials needs a list of origins: with any, every page could act for whoever visits it, and browsers refuse it")
        }
        for text in (origins ?? []) + [methods, requestHeaders ?? "", exposed] {
            if let problem = PreparedResponse.problem(name: "access-control", value: text) { throw ServerError(problem) }
        }
    }

    func judge(_ request: borrowing Request) -> UInt64 {
        guard let origin = request.headers["origin"] else { return Self.notAllowed }
        guard let origins else { return Self.anybody }
        // Walked by index: a copy of the array would be counted.
        for index in origins.indices where origin == origins[index] { return UInt64(index) + 1 }
        return Self.notAllowed
    }

    func isPreflight(_ request: borrowing Request) -> Bool {
        request.method == .options && request.headers["origin"] != nil && request.headers["access-control-request-method"] != nil
    }

    func answer(_ request: borrowing Request, _ response: inout Response, _ note: UInt64) {
        response.status = .noContent
        allow(&response, note)
        response.vary(on: "access-control-request-method")
        response.vary(on: "access-control-request-headers")
        guard note != Self.notAllowed else { return }
        if !methods.isEmpty { response.headers["access-control-allow-methods"] = methods }
        if let requestHeaders {
            if !requestHeaders.isEmpty { response.headers["access-control-allow-headers"] = requestHeaders }
        } else if let asked = request.headers["access-control-request-headers"] {
            response.headers.add("access-control-allow-headers", asked)
        }
        if let maximumAge { response.headers["access-control-max-age"] = maximumAge }
    }

    func allow(_ response: inout Response, _ note: UInt64) {
        // What one origin gets must not be served to another by a cache.
        if origins != nil { response.vary(on: "origin") }
        guard note != Self.notAllowed else { return }
        if note == Self.anybody {
            response.headers["access-control-allow-origin"] = "*"
        } else if let origins {
            response.headers["access-control-allow-origin"] = origins[Int(note) - 1]
            if allowsCredentials { response.headers["access-control-allow-credentials"] = "true" }
        }
    }

    /// What only responses have that scripts read.
    func expose(_ response: inout Response, _ note: UInt64) {
        if note != Self.notAllowed, !exposed.isEmpty { response.headers["access-control-expose-headers"] = exposed }
    }
}
