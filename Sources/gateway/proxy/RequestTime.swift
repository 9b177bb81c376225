// RequestTime: how long a request may take as its client has it, in a header (`deadline`) or in gRPC's own, and what the server gets of it: what is left when it is sent. Made when an application is,
// immutable; runs on the request's loop.

internal import UringHTTP
internal import UringPolicy
internal import UringServer

struct RequestTime: Sendable {
    /// In lower case.
    private let name: [UInt8]
    private let trust: Trust
    private let trusted: TrustedProxies
    private static let grpc = Array("grpc-timeout".utf8)

    /// - Parameter configuration: nil: gRPC's field alone is read.
    init(_ configuration: DeadlineConfiguration?, _ trusted: TrustedProxies) {
        (name, trust, self.trusted) = (Array((configuration?.header ?? "").lowercased().utf8), configuration?.trust ?? .none, trusted)
    }

    /// The fields that are written anew, and not passed on as they came.
    func isField(_ name: ByteView) -> Bool {
        (name.count == self.name.count && name.equalsIgnoringCase(self.name)) || (name.count == Self.grpc.count && name.equalsIgnoringCase(Self.grpc))
    }

    /// The time that the client gives, ns; `.max`: none. Of a request that has such a field.
    func taken(from request: borrowing Request, _ forwarded: ProxyRequest) -> UInt64 {
        var time = UInt64.max
        let believes = trusted.believes(request.peer, trust)
        for index in 0..<request.headers.count {
            let (field, value) = (request.headers.name(at: index), request.headers.value(at: index))
            if field.count == name.count, field.equalsIgnoringCase(name) {
                // Whoever says it twice means the shorter; what cannot be read says nothing.
                if believes { time = min(time, RequestDeadline.parseMilliseconds(value.span) ?? .max) }
            } else if field.count == Self.grpc.count, field.equalsIgnoringCase(Self.grpc) {
                if forwarded.isGRPC, let given = RequestDeadline.parseGRPC(value.span) { time = min(time, given) } else { forwarded.addField(field.span, value.span) }
            }
        }
        return time
    }

    /// Writes what is left.
    func tell(_ exchange: ProxyExchange) {
        let (left, request) = (RequestDeadline(time: exchange.abortsAt), exchange.request)
        if request.isGRPC {
            guard let text = left.grpcTimeout(now: exchange.now) else { return }
            let name = Self.grpc
            request.setLastField(name.span, text.span)
        } else if !name.isEmpty {
            // Less than one is one: 0 is no limit to some.
            let text = left.milliseconds(now: exchange.now) ?? .one
            let name = name
            request.setLastField(name.span, text.span)
        }
    }
}
