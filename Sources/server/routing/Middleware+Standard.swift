// Ready-made middleware: request id, latency header, problem details. Runs on the loops' threads; allocates nothing but for errors.

internal import UringHTTP
internal import UringRing

extension Middleware {
    /// Gives every response an `X-Request-Id`: the request's own when it has a sensible one (1…128 visible ASCII characters), else 32 new
    /// hexadecimal digits.
    ///
    /// It is set before the handler runs, which reads it as `response.headers["x-request-id"]`; responses to errors have it too.
    public static var requestID: Middleware {
        let seeds = (UInt64.random(in: .min ... .max), UInt64.random(in: .min ... .max))
        return Middleware { request, response, next in
            // A connection's number never occurs twice in a process, and its clock never stands still between two of its requests.
            let identity = (request.connectionID ^ seeds.0, response.ticks ^ seeds.1)
            response.setRequestID(request, identity)
            do {
                try next(request, &response)
            } catch {
                response.handlerFailed(error)
            }
            // The handler may have started over.
            if response.hasNo("x-request-id") { response.setRequestID(request, identity) }
        }
    }

    /// Adds `X-Latency-ns`: how long it took from here until the response's head was written, in nanoseconds: the handler's time, what an async handler or a body's
    /// receiver waited for, not the sending. Responses to errors have it too. Costs two reads of the processor's clock.
    public static var latency: Middleware {
        let step = ResponseStep { response, began in response.addLatency(since: began) }
        return Middleware { request, response, next in
            response.beforeSending(step, note: response.ticks)
            try next(request, &response)
        }
    }

    /// Gives errors a body as problem details (RFC 9457, `application/problem+json`): errors that are thrown, and error statuses
    /// without content, those of the router included. Thrown errors that are no `ResponseError` answer 500, say nothing of their cause, and
    /// are reported as ever. So are those that come later: of async handlers and of receivers of bodies.
    public static var problemDetails: Middleware {
        let step = ResponseStep { response, _ in
            if response.status.code >= 400, response.hasNoContent { response.writeProblem("") }
        }
        return Middleware { request, response, next in
            response[ErrorAnswer.isProblem] = true
            response.beforeSending(step)
            do {
                try next(request, &response)
            } catch {
                response.handlerFailed(error)
            }
        }
    }
}

extension Response {
    /// The loop's clock for short durations.
    var ticks: UInt64 { unsafe context.pointee.loop._withUnsafeGuaranteedRef { $0.kernel.ticks() } }

    /// Answers as the loop does for an error that reaches it, and tells the reporter.
    func handlerFailed(_ error: any Error) { unsafe context.pointee.loop._withUnsafeGuaranteedRef { $0.handlerFailed(error) } }

    func hasNo(_ name: StaticString) -> Bool { headers.find(name) == nil }

    var hasNoContent: Bool { unsafe !state.pointee.hasSpecialContent && state.pointee.body.count == 0 }

    fileprivate func addLatency(since began: UInt64) {
        let elapsed = unsafe context.pointee.loop._withUnsafeGuaranteedRef { $0.kernel.nanoseconds(ticks: $0.kernel.ticks() &- began) }
        unsafe state.pointee.fields.append("x-latency-ns: " as StaticString)
        unsafe state.pointee.fields.appendDecimal(elapsed)
        unsafe state.pointee.fields.append("\r\n" as StaticString)
    }

    func setRequestID(_ request: borrowing Request, _ identity: (UInt64, UInt64)) {
        if let given = request.headers["x-request-id"], given.isRequestID { return headers.add("x-request-id", given) }
        unsafe state.pointee.fields.append("x-request-id: " as StaticString)
        unsafe state.pointee.fields.appendHexadecimal(Self.scramble(identity.0))
        unsafe state.pointee.fields.appendHexadecimal(Self.scramble(identity.1))
        unsafe state.pointee.fields.append("\r\n" as StaticString)
    }

    /// A bijection (the finaliser of splitmix64): different numbers stay different, and tell nothing of how many requests there were.
    private static func scramble(_ number: UInt64) -> UInt64 {
        var mixed = number &+ 0x9e37_79b9_7f4a_7c15
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    @_lifetime(self: copy self)
    mutating func writeProblem(_ message: String) {
        let status = status
        unsafe state.pointee.body.count = 0
        headers["content-type"] = "application/problem+json"
        json { json in
            json.set("title", status.reasonPhrase)
            json["status"] = Int(status.code)
            if !message.isEmpty { json["detail"] = message }
        }
    }
}

extension ByteView {
    fileprivate var isRequestID: Bool {
        guard count >= 1, count <= 128 else { return false }
        for index in 0..<count where self[index] < 0x21 || self[index] > 0x7e { return false }
        return true
    }
}

extension GrowingBytes {
    /// Exactly 16 digits.
    fileprivate mutating func appendHexadecimal(_ number: UInt64) {
        for shift in stride(from: 60, through: 0, by: -4) {
            let digit = UInt8(truncatingIfNeeded: number >> UInt64(shift)) & 15
            unsafe append(digit < 10 ? 48 &+ digit : 87 &+ digit)
        }
    }
}
