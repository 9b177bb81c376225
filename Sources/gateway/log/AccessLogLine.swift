// Access log lines as bytes: JSON and Apache's combined format. Called by `AccessLogWriter` on the loop's thread for each
// request: no allocation, no reference counts, output in memory of the caller. Every byte of a request is hostile: nothing
// a client sends can end a line early, forge a field or reach a terminal as a control code.

package enum AccessLogLine {
    /// The longest line with its newline. PIPE_BUF: so long a write to a pipe is never mixed with that of another loop.
    package static let bytesMax = 4096

    // Room per field in bytes of output, after escaping; longer values are cut at a character and marked. Together with
    // the fixed parts they stay below `bytesMax`, whatever a client sends; a test sends the worst.
    static let methodBytesMax = 64
    static let targetBytesMax = 1536
    static let hostBytesMax = 256
    static let userAgentBytesMax = 512
    static let refererBytesMax = 512
    static let routeBytesMax = 128
    static let requestIDBytesMax = 128
    static let tlsVersionBytesMax = 8
    static let cipherBytesMax = 48
    static let serverNameBytesMax = 256
    static let clientSubjectBytesMax = 192

    /// Writes one line with its newline and returns its length. `buffer` has room for `bytesMax`.
    package static func write(
        _ entry: borrowing AccessLogEntry, as format: AccessLogConfiguration.Format, into buffer: UnsafeMutableRawBufferPointer
    ) -> Int {
        precondition(buffer.count >= bytesMax, "BUG: the buffer for a log line is too small")
        var output = unsafe LogOutput(buffer)
        switch format {
        case .json: writeJSON(entry, &output)
        case .combined: writeCombined(entry, &output)
        }
        return output.count
    }

    /// `{"time":…,"peer":…,"method":…,"target":…,"version":…,"host":…,"status":…,"bytes":…,"duration_ms":…,…}`
    private static func writeJSON(_ entry: borrowing AccessLogEntry, _ output: inout LogOutput) {
        output.text(#"{"time":""#)
        output.timestamp(entry.wallNs)
        output.text(#"","peer":""#)
        output.address(entry.peer, withPort: true)
        output.text(#"","method":""#)
        var isCut = output.json(entry.method, max: methodBytesMax)
        output.text(#"","target":""#)
        isCut = output.json(entry.target, max: targetBytesMax) || isCut
        output.text(#"","version":"HTTP/"#)
        output.version(entry.version)
        output.text(#"","status":"#)
        output.number(UInt64(entry.status))
        output.text(#","bytes":"#)
        output.number(entry.bytes)
        output.text(#","duration_ms":"#)
        output.milliseconds(entry.durationNs)
        isCut = member(#","host":""#, entry.host, hostBytesMax, &output) || isCut
        isCut = member(#","tls_version":""#, entry.tls.version, tlsVersionBytesMax, &output) || isCut
        isCut = member(#","tls_cipher":""#, entry.tls.cipher, cipherBytesMax, &output) || isCut
        isCut = member(#","tls_server_name":""#, entry.tls.serverName, serverNameBytesMax, &output) || isCut
        isCut = member(#","tls_client":""#, entry.tls.clientSubject, clientSubjectBytesMax, &output) || isCut
        isCut = member(#","route":""#, entry.route, routeBytesMax, &output) || isCut
        isCut = member(#","request_id":""#, entry.requestID, requestIDBytesMax, &output) || isCut
        if entry.trace != (0, 0) {
            output.text(#","trace_id":""#)
            output.hex(entry.trace.0)
            output.hex(entry.trace.1)
            output.byte(UInt8(ascii: "\""))
        }
        isCut = member(#","user_agent":""#, entry.userAgent, userAgentBytesMax, &output) || isCut
        isCut = member(#","referer":""#, entry.referer, refererBytesMax, &output) || isCut
        if isCut { output.text(#","cut":true"#) }
        output.text("}\n")
    }

    /// A member that is left out when there is no value. Returns whether the value was cut.
    private static func member(_ name: StaticString, _ value: Span<UInt8>, _ max: Int, _ output: inout LogOutput) -> Bool {
        if value.isEmpty { return false }
        output.text(name)
        let isCut = output.json(value, max: max)
        output.byte(UInt8(ascii: "\""))
        return isCut
    }

    /// `host ident user [time] "request" status bytes "referer" "user-agent"`
    private static func writeCombined(_ entry: borrowing AccessLogEntry, _ output: inout LogOutput) {
        output.address(entry.peer, withPort: false)
        output.text(" - - [")
        output.commonTime(entry.wallNs)
        output.text("] \"")
        output.combined(entry.method, max: methodBytesMax)
        output.byte(UInt8(ascii: " "))
        output.combined(entry.target, max: targetBytesMax)
        output.text(" HTTP/")
        output.version(entry.version)
        output.text("\" ")
        output.number(UInt64(entry.status))
        output.byte(UInt8(ascii: " "))
        if entry.bytes == 0 { output.byte(UInt8(ascii: "-")) } else { output.number(entry.bytes) }
        output.text(" \"")
        output.combinedOrDash(entry.referer, max: refererBytesMax)
        output.text("\" \"")
        output.combinedOrDash(entry.userAgent, max: userAgentBytesMax)
        output.text("\"\n")
    }
}
