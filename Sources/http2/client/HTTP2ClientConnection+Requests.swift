// Requests: HEADERS, DATA headers, trailers, into memory of the caller (RFC 9113 8.1, 8.3.1). See HTTP2ClientConnection.swift for when a slot begins and dies.

internal import CUringBase
internal import UringHPACK
internal import UringHTTP

/// What a request's pseudo-header fields say. The texts are the caller's, for the call that is given it.
@unsafe @frozen @usableFromInline package struct HTTP2Request {
    @usableFromInline package var method: UnsafeBufferPointer<UInt8>
    /// `:scheme` is https; otherwise http.
    @usableFromInline package var isSecure: Bool
    /// Host and port; never empty.
    @usableFromInline package var authority: UnsafeBufferPointer<UInt8>
    /// With its query. Empty for CONNECT, "*" for OPTIONS of the server as a whole.
    @usableFromInline package var path: UnsafeBufferPointer<UInt8>
    /// `:protocol` of an extended CONNECT (RFC 8441), which has a path; empty otherwise.
    @usableFromInline package var connectProtocol: UnsafeBufferPointer<UInt8>
    /// Whose body goes first, here. Bodies take turns unless told otherwise. The server is told by a Priority field among the others.
    @usableFromInline package var priority: StreamPriority

    @inlinable package init(
        method: UnsafeBufferPointer<UInt8>, isSecure: Bool, authority: UnsafeBufferPointer<UInt8>, path: UnsafeBufferPointer<UInt8>,
        connectProtocol: UnsafeBufferPointer<UInt8> = unsafe UnsafeBufferPointer(start: nil, count: 0)
    ) {
        unsafe self.method = method
        unsafe self.isSecure = isSecure
        unsafe self.authority = authority
        unsafe self.path = path
        unsafe self.connectProtocol = connectProtocol
        var turns = StreamPriority()
        turns.incremental = true
        unsafe priority = turns
    }

    /// Bytes of all texts; with those of the field lines what `headersBound` wants to know.
    @inlinable package var textBytes: Int { unsafe method.count &+ authority.count &+ path.count &+ connectProtocol.count }
}

extension HTTP2ClientConnection {
    /// Most bytes that `open` and `writeTrailers` write for texts of `textBytes` in all: pseudo-header fields and field lines.
    package static func headersBound(textBytes: Int) -> Int { HeaderFrames.bound(textBytes: textBytes) }

    /// Opens a stream and writes the request's head.
    ///
    /// - Parameters:
    ///   - contentLength: nil when it is not known or must not be said.
    ///   - first, second: field lines as in `HTTP2FieldText`; nil for none. No Host, which is `authority`. Fields of an HTTP/1.1 connection are left out, and
    ///     TE unless it says "trailers" (RFC 9113 8.2.2).
    ///   - endStream: there is no content and no trailers.
    ///   - now: nanoseconds of the clock that `next` is told.
    ///   - out: `capacity` bytes, at least `headersBound` of all texts.
    package mutating func open(
        _ request: HTTP2Request, contentLength: UInt64?, first: HTTP2FieldText?, second: HTTP2FieldText?, endStream: Bool, now: UInt64,
        into out: UnsafeMutablePointer<UInt8>, capacity: Int
    ) -> HTTP2OpenOutcome {
        // Memory of the caller, as above, for this call.
        precondition(prefaceRest == 0, "BUG: a request ahead of the preface")
        if isEnding { return .ending }
        let method = unsafe Self.knownMethod(request)
        guard unsafe Self.isWellFormed(request, method) else { return .malformed }
        if unsafe !request.connectProtocol.isEmpty && !peer.knowsConnectProtocol { return .protocolNotOffered }
        guard unsafe listFits(request, first, second) else { return .fieldsTooLarge }
        guard streamsToSpare > 0 else { return .noStream }
        // Silence is counted from the first request on.
        if table.active == 0 { pings.lookedAt = max(pings.lookedAt, now) }
        let slot = unsafe insert(request, method, endStream: endStream)
        unsafe encoder.begin(out + FrameHeader.bytes, capacity: capacity &- FrameHeader.bytes)
        unsafe encodeTarget(request, method)
        if let contentLength { encoder.contentLength(contentLength) }
        if let first = unsafe first { unsafe encoder.fields(text: first.text, count: first.count) }
        if let second = unsafe second { unsafe encoder.fields(text: second.text, count: second.count) }
        let bytes = unsafe HeaderFrames.frame(out, count: encoder.end(), id: lastStreamID, endStream: endStream, frameBytesMax: maxFrameBytes)
        return .opened(slot, bytes: bytes)
    }

    /// Writes trailer fields, which end the request; answers their bytes, or 0 when the slot is dead or the request has ended. `out` as in `open`.
    package mutating func writeTrailers(
        _ slot: StreamSlot, _ fields: HTTP2FieldText, into out: UnsafeMutablePointer<UInt8>, capacity: Int
    ) -> Int {
        guard !isFailed, let stream = unsafe stream(slot), unsafe !stream.pointee.requestEnded else { return 0 }
        // The table's memory and the caller's.
        unsafe encoder.begin(out + FrameHeader.bytes, capacity: capacity &- FrameHeader.bytes)
        unsafe encoder.fields(text: fields.text, count: fields.count)
        let written = unsafe HeaderFrames.frame(out, count: encoder.end(), id: stream.pointee.id, endStream: true, frameBytesMax: maxFrameBytes)
        endRequest(slot)
        return written
    }

    /// Writes the nine bytes in front of `count` bytes of content and charges the windows; answers 9, or 0 when the slot is dead or the request has ended.
    ///
    /// - Parameter count: at most `sendWindow` and `maxFrameBytes`. 0 is always allowed, to end the request.
    @inline(__always)
    package mutating func writeDataHeader(_ slot: StreamSlot, count: Int, endStream: Bool, into out: UnsafeMutablePointer<UInt8>) -> Int {
        guard !isFailed, let stream = unsafe stream(slot), unsafe !stream.pointee.requestEnded else { return 0 }
        precondition(count == 0 || (count > 0 && canSendWhole(slot, count)), "BUG: more DATA than the window or the frame size allows")
        // The table's memory and the caller's: nine bytes.
        let bytes = Int32(truncatingIfNeeded: count)
        sendWindow.take(bytes)
        unsafe stream.pointee.send.take(bytes)
        budget.creditData()
        let flags = endStream ? FrameFlags.endStream : 0
        unsafe FrameHeader(length: count, type: FrameType.data, flags: flags, streamID: stream.pointee.id).write(to: out)
        if endStream { endRequest(slot) }
        return FrameHeader.bytes
    }

    // MARK: parts of `open`

    private static func knownMethod(_ request: HTTP2Request) -> HTTPMethod {
        // Caller's memory, for this call, as in the following.
        guard let name = unsafe request.method.baseAddress else { return .other }
        return unsafe HTTPMethod(bytes: name, count: request.method.count)
    }

    /// What a server of ours would take (RFC 9113 8.3.1, 8.5; RFC 8441 4): no text of a request that is passed on may become a second field.
    private static func isWellFormed(_ request: HTTP2Request, _ method: HTTPMethod) -> Bool {
        if method == .other, unsafe !FieldValidation.isName(request.method) { return false }
        guard let authority = unsafe request.authority.baseAddress, unsafe Authority.parse(authority, count: request.authority.count) != nil else {
            return false
        }
        if unsafe !request.connectProtocol.isEmpty {
            guard method == .connect, unsafe FieldValidation.isName(request.connectProtocol) else { return false }
        } else if method == .connect {
            // Host and port.
            return unsafe request.path.isEmpty && TargetView(authority, count: request.authority.count, method: .connect) != nil
        }
        return unsafe isPath(request.path, method)
    }

    private static func isPath(_ path: UnsafeBufferPointer<UInt8>, _ method: HTTPMethod) -> Bool {
        guard let start = path.baseAddress, !path.isEmpty else { return false }
        guard unsafe start[0] == 0x2f else { return unsafe path.count == 1 && start[0] == 0x2a && method == .options }
        let end = unsafe start + path.count
        let stop = unsafe curing_scan_path(start, end, start)
        guard unsafe stop < end else { return true }
        return unsafe stop[0] == 0x3f && curing_scan_query(stop + 1, end, start) == end
    }

    /// Six fields' names, overhead and a Content-Length, at most.
    private static var fixedListBytes: Int { 288 }

    /// Whether the server takes a field list of this size (RFC 9113 6.5.2). Each line has five bytes at least and counts 28 more than it has.
    private func listFits(_ request: HTTP2Request, _ first: HTTP2FieldText?, _ second: HTTP2FieldText?) -> Bool {
        let limit = Int(peer.headerListBytesMax)
        let fixed = unsafe Self.fixedListBytes &+ request.textBytes
        let text = unsafe (first?.count ?? 0) &+ (second?.count ?? 0)
        if fixed &+ 7 &* text <= limit { return true }
        return unsafe fixed &+ text &+ 28 &* (Self.lines(first) &+ Self.lines(second)) <= limit
    }

    private static func lines(_ fields: HTTP2FieldText?) -> Int {
        guard let fields = unsafe fields else { return 0 }
        var lines = 0
        for index in unsafe 0..<fields.count where unsafe fields.text[index] == 0x0a { lines &+= 1 }
        return lines
    }

    /// A stream in the table. The caller has checked that there may be one more.
    private mutating func insert(_ request: HTTP2Request, _ method: HTTPMethod, endStream: Bool) -> StreamSlot {
        // Odd numbers up to 2^31-1, which `isEnding` watches.
        lastStreamID = lastStreamID == 0 ? 1 : lastStreamID &+ 2
        let index = table.insert(lastStreamID)
        // The table's memory: there is a stream.
        let stream = unsafe table.streams! + Int(index)
        unsafe stream.pointee.send = SendWindow(peer.common.initialWindowBytes)
        unsafe stream.pointee.receive = ReceiveWindow(streamWindow)
        unsafe stream.pointee.requestEnded = endStream
        unsafe stream.pointee.priority = request.priority
        if method == .head { unsafe stream.pointee.answer = .toHead }
        if method == .connect { unsafe stream.pointee.answer = .toConnect }
        return StreamSlot(index: index)
    }

    private mutating func encodeTarget(_ request: HTTP2Request, _ method: HTTPMethod) {
        // Well-formed texts: those that are not empty have a base.
        if let name = unsafe request.method.baseAddress { unsafe encoder.method(name, count: request.method.count) }
        let isTunnel = unsafe method == .connect && request.connectProtocol.isEmpty
        if !isTunnel { unsafe encoder.scheme(isSecure: request.isSecure) }
        if let authority = unsafe request.authority.baseAddress { unsafe encoder.authority(authority, count: request.authority.count) }
        if isTunnel { return }
        if let path = unsafe request.path.baseAddress { unsafe encoder.path(path, count: request.path.count) }
        if let name = unsafe request.connectProtocol.baseAddress, unsafe !request.connectProtocol.isEmpty {
            unsafe encoder.connectProtocol(name, count: request.connectProtocol.count)
        }
    }

    // MARK: ends

    @inline(__always)
    private mutating func endRequest(_ slot: StreamSlot) {
        guard let stream = unsafe stream(slot) else { return }
        // The table's memory, before it changes.
        unsafe stream.pointee.requestEnded = true
        if unsafe stream.pointee.isReady { setReady(slot, false) }
        if unsafe stream.pointee.responseEnded { release(slot) }
    }

    /// The response has arrived whole.
    @inline(__always)
    mutating func endResponse(_ slot: StreamSlot) {
        guard let stream = unsafe stream(slot) else { return }
        budget.creditResponse()
        // The table's memory, before it changes.
        unsafe stream.pointee.responseEnded = true
        if unsafe stream.pointee.requestEnded { release(slot) }
    }
}
