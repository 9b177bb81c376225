// What middleware in other modules of this package needs of requests and responses. The loop's thread, within a handler call.

internal import UringHTTP

extension Response {
    /// Errors of this response are told as problem details (RFC 9457).
    package func tellErrorsAsProblems() { self[ErrorAnswer.isProblem] = true }

    /// Answers as if a handler had thrown the error, but for reports.
    package func answer(_ error: any Error) { ErrorAnswer(error).write(to: self) }

    /// Answers with a status and problem details (RFC 9457). Drops what was written and set so far. Allocates nothing.
    /// - Parameter detail: goes into JSON as it is: without quotes, backslashes and control characters.
    package func problem(_ status: HTTPStatus, _ detail: StaticString) {
        restart(status)
        // SAFETY: the loop keeps its response state in place until the handler has returned.
        unsafe state.pointee.fields.append("content-type: application/problem+json\r\n")
        unsafe state.pointee.setFields.insert(.contentType)
        unsafe state.pointee.body.append(#"{"title":""#)
        unsafe state.pointee.body.append(status.reasonPhrase)
        unsafe state.pointee.body.append(#"","status":"#)
        unsafe state.pointee.body.appendDecimal(UInt64(status.code))
        unsafe state.pointee.body.append(#","detail":""#)
        unsafe state.pointee.body.append(detail)
        unsafe state.pointee.body.append("\"}\n")
    }

    /// The loop's clock, which never jumps: nanoseconds, as of the beginning of this turn.
    package var monotonicNanoseconds: UInt64 { unsafe context.pointee.loop._withUnsafeGuaranteedRef { unsafe $0.state.pointee.now } }
}

extension Request {
    /// How many lines of the field `name` there are.
    package func fieldLines(_ name: StaticString) -> Int {
        var count = 0
        for index in 0..<headers.count where headers.name(at: index).equalsIgnoringCase(name) { count &+= 1 }
        return count
    }
}
