// Short answers in words, and what file answers need of the response. The loop's thread, within a handler call.

public import UringHTTP

extension Response {
    /// Answers with a status and its name as text: `404 Not Found`. Drops what was written and set so far. Allocates nothing.
    public func fail(_ status: HTTPStatus) {
        restart(status)
        // SAFETY: the loop keeps its response state in place until the handler has returned.
        unsafe state.pointee.fields.append("content-type: text/plain; charset=utf-8\r\n")
        unsafe state.pointee.setFields.insert(.contentType)
        unsafe state.pointee.body.appendDecimal(UInt64(status.code))
        unsafe state.pointee.body.append(" ")
        unsafe state.pointee.body.append(status.reasonPhrase)
        unsafe state.pointee.body.append("\n")
    }

    /// Adds a field with a date (RFC 9110 section 5.6.7). `seconds` since 1970 is within `HTTPDate`'s range.
    func addDate(_ name: StaticString, _ seconds: Int64) {
        // SAFETY: as in fail; room for name, date and punctuation is reserved before it is written.
        unsafe state.pointee.fields.append(name)
        unsafe state.pointee.fields.append(": ")
        unsafe state.pointee.fields.reserve(HTTPDate.bytes)
        unsafe HTTPDate.write(unixSeconds: seconds, to: state.pointee.fields.base + state.pointee.fields.count)
        unsafe state.pointee.fields.count &+= HTTPDate.bytes
        unsafe state.pointee.fields.append("\r\n")
    }

    /// The loop's clock: UTC, seconds since 1970.
    package var unixSeconds: Int64 {
        // SAFETY: the context's loop is the one that calls the handler.
        unsafe context.pointee.liveLoop?._withUnsafeGuaranteedRef { unsafe $0.state.pointee.unixSeconds } ?? 0
    }
}
