// What middleware in other modules of this package needs of requests and responses. The loop's thread, within a handler call.

internal import UringHTTP

extension Response {
    /// Errors of this response are told as problem details (RFC 9457).
    package func tellErrorsAsProblems() { self[ErrorAnswer.isProblem] = true }

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
