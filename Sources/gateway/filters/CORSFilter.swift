// CORSFilter: tells browsers which origins may read a route's responses, and answers preflights (the Fetch standard, "CORS protocol"). As `Middleware.cors`, but by route, and with origins that
// are patterns. Compiled from the configuration, immutable, shared by all loops; requests with an allowed origin cost a step on the response.

internal import UringHTTP
internal import UringServer

@safe
final class CORSFilter: Sendable {
    /// An origin, kept for the step: the request is gone by then. In memory of the response's values.
    /// Safe: only this file touches what it points to.
    @safe private struct Origin: BitwiseCopyable {
        let start: UnsafeMutableRawPointer
        let count: Int
    }

    /// Names are shorter than this (RFC 1035 section 2.3.4), and so is what is looked at.
    private static let originBytesMax = 512
    private static let origin = RequestKey<Origin>()

    private let exact: FixedList
    /// What stands before and behind the star, in turn: `https://` and `.example.com`.
    private let patterns: FixedList
    private let allowsAny: Bool
    private let allowsCredentials: Bool
    private let methods: String
    /// Empty: what the preflight asks for.
    private let headers: String
    private let exposed: String
    /// Empty: not said.
    private let maxAge: String
    private let step: ResponseStep

    init(_ configuration: CORSConfiguration) {
        let stars = configuration.origins.filter { $0.contains("://*.") }
        exact = FixedList(configuration.origins.filter { !$0.contains("://*.") })
        patterns = FixedList(stars.flatMap { text in
            let parts = text.split(separator: "*", maxSplits: 1, omittingEmptySubsequences: false)
            return [String(parts[0]), String(parts[1])]
        })
        allowsAny = configuration.allowsAnyOrigin
        allowsCredentials = configuration.allowsCredentials
        methods = configuration.methods.joined(separator: ", ")
        headers = configuration.headers.joined(separator: ", ")
        exposed = configuration.exposeHeaders.joined(separator: ", ")
        maxAge = configuration.maxAgeSeconds == 0 ? "" : "\(configuration.maxAgeSeconds)"
        let (any, credentials, exposed) = (allowsAny, allowsCredentials, exposed)
        step = ResponseStep { response, _ in
            Self.allow(&response, any: any, credentials: credentials)
            if !exposed.isEmpty, response[Self.origin] != nil { response.headers["access-control-expose-headers"] = exposed }
        }
    }

    /// Whether the request goes on: a preflight does not. On a loop's thread.
    func admits(_ request: borrowing Request, _ response: inout Response) -> Bool {
        if let origin = request.headers["origin"], allows(origin) { keep(origin, response) }
        guard Self.isPreflight(request) else {
            response.beforeSending(step)
            return true
        }
        answer(request, &response)
        return false
    }

    static func isPreflight(_ request: borrowing Request) -> Bool {
        request.method == .options && request.headers["origin"] != nil && request.headers["access-control-request-method"] != nil
    }

    private func allows(_ origin: ByteView) -> Bool {
        guard origin.count <= Self.originBytesMax else { return false }
        if allowsAny { return true }
        // SAFETY: the lists are this object's.
        for index in 0..<exact.count where unsafe origin == ByteView(Span(_unsafeElements: exact.buffer(index))) { return true }
        for index in 0..<patterns.count / 2 {
            let (start, end) = unsafe (patterns.buffer(2 * index), patterns.buffer(2 * index + 1))
            guard origin.count > start.count + end.count, unsafe ByteView(origin.span.extracting(first: start.count)) == ByteView(Span(_unsafeElements: start)),
                unsafe ByteView(origin.span.extracting(last: end.count)) == ByteView(Span(_unsafeElements: end))
            else { continue }
            // What the star stands for is labels of a name, not a user, a port or a path before the suffix.
            if Self.isLabels(origin, start.count..<origin.count - end.count) { return true }
        }
        return false
    }

    private static func isLabels(_ origin: ByteView, _ range: Range<Int>) -> Bool {
        for index in range {
            switch origin[index] {
            case 0x30...0x39, 0x61...0x7a, 0x2d, 0x2e, 0x5f: continue
            default: return false
            }
        }
        return true
    }

    private func keep(_ origin: ByteView, _ response: borrowing Response) {
        let memory = unsafe response.valueMemory(origin.count)
        // SAFETY: the memory is as long as the origin, and the origin's bytes are readable during this call.
        unsafe origin.span.withUnsafeBufferPointer { bytes in
            if let base = bytes.baseAddress { unsafe memory.copyMemory(from: base, byteCount: bytes.count) }
        }
        response[Self.origin] = unsafe Origin(start: memory, count: origin.count)
    }

    private static func allow(_ response: inout Response, any: Bool, credentials: Bool) {
        // What one origin gets must not be served to another by a cache.
        if !any || credentials { response.vary(on: "origin") }
        guard let origin = response[Self.origin] else { return }
        if any && !credentials { response.headers["access-control-allow-origin"] = "*" } else {
            response.headers["access-control-allow-origin"] = nil
            // SAFETY: memory of the response's values, which live longer than this call.
            let bytes = unsafe Span<UInt8>(_unsafeStart: origin.start.assumingMemoryBound(to: UInt8.self), count: origin.count)
            response.headers.add("access-control-allow-origin", ByteView(bytes))
        }
        if credentials { response.headers["access-control-allow-credentials"] = "true" }
    }

    /// The browser's question whether a request may be made: answered here, and no further.
    private func answer(_ request: borrowing Request, _ response: inout Response) {
        response.restart(.noContent)
        Self.allow(&response, any: allowsAny, credentials: allowsCredentials)
        response.vary(on: "access-control-request-method")
        response.vary(on: "access-control-request-headers")
        guard response[Self.origin] != nil else { return }
        response.headers["access-control-allow-methods"] = methods
        if !headers.isEmpty {
            response.headers["access-control-allow-headers"] = headers
        } else if let asked = request.headers["access-control-request-headers"] {
            response.headers.add("access-control-allow-headers", asked)
        }
        if !maxAge.isEmpty { response.headers["access-control-max-age"] = maxAge }
    }
}
