// From a decoded field list to a request head, and the rules that make a request malformed (RFC 9113 8.1.1 to 8.5). On the loop's
// thread; memory is the caller's (HTTP2Head), for the call.

internal import CUringBase
internal import UringHPACK
internal import UringHTTP

/// What the assembly says about a stream beside the request head.
struct AssembledRequest {
    /// Of Content-Length; -1 without.
    var contentLength: Int64 = -1
    /// Of a Priority field.
    var priority = StreamPriority()
}

/// Number of cookie fields and the like, met on the way through the fields.
private struct MetFields {
    var host = -1
    var cookies = 0
    var expectsContinue = false
}

extension HTTP2Head {
    /// Fills in `request` from the list in `sink`, which lies in this head's memory. Nil when the request is malformed.
    @inline(__always)
    func assemble(_ sink: inout HPACKFieldSink, endStream: Bool, extendedConnect: Bool) -> AssembledRequest? {
        // Offsets and lengths of slots are within the text, and counted slots are written: all by the decoder.
        guard unsafe sink.flaws.isEmpty else { return nil }
        unsafe request.initialize(to: RequestHead())
        guard unsafe setTarget(sink, extendedConnect: extendedConnect) else { return nil }
        let count = unsafe moveFields(sink)
        unsafe request.pointee.fieldCount = count
        unsafe request.pointee.headLength = unsafe sink.textCount
        var assembled = AssembledRequest()
        var met = MetFields()
        for index in 0..<count {
            let known = unsafe fields[index].known
            guard known.mattersInHTTP2 else { continue }
            guard unsafe take(known, index, &assembled, &met) else { return nil }
        }
        // http and https have no request without a host (RFC 9113 8.3.1).
        if met.host >= 0 {
            guard unsafe checkHost(fields[met.host]) else { return nil }
        } else if unsafe request.pointee.authorityLength == 0 {
            return nil
        }
        if met.cookies > 1, unsafe !joinCookies(count: count, from: sink.textCount) { return nil }
        if assembled.contentLength >= 0 {
            guard !endStream || assembled.contentLength == 0 else { return nil }
            unsafe request.pointee.framing = .length(UInt64(assembled.contentLength))
        } else if !endStream {
            unsafe request.pointee.framing = .chunked
        }
        unsafe request.pointee.expectContinue = met.expectsContinue && !endStream && assembled.contentLength != 0
        return assembled
    }

    /// Whether the list can stand as trailers: no pseudo-header field, nothing that only a head may say (RFC 9110 6.5.1, RFC 9113 8.1).
    func assembleTrailers(_ sink: HPACKFieldSink) -> Bool {
        guard unsafe sink.flaws.isEmpty && sink.pseudoCount == 0 else { return false }
        let count = unsafe moveFields(sink)
        for index in 0..<count where unsafe fields[index].known.isForbiddenInTrailers { return false }
        unsafe request.initialize(to: RequestHead())
        unsafe request.pointee.fieldCount = count
        unsafe request.pointee.headLength = unsafe sink.textCount
        return true
    }

    /// Brings the regular fields to their place behind four pseudo-header fields, where most already are; answers how many there are.
    @inline(__always)
    private func moveFields(_ sink: HPACKFieldSink) -> Int {
        let pseudo = unsafe sink.pseudoCount
        let count = unsafe sink.slotCount &- pseudo
        guard unsafe pseudo != Self.pseudoSlots && count > 0 else { return count }
        // Both ranges are within the slots: the sink was given fewer than there are.
        unsafe fields.update(from: slots + pseudo, count: count)
        return count
    }
}

// MARK: Pseudo fields

extension HTTP2Head {
    /// Reads method, scheme, authority and path; false when one is missing, superfluous or not well-formed.
    @inline(__always)
    private func setTarget(_ sink: HPACKFieldSink, extendedConnect: Bool) -> Bool {
        guard let method = unsafe sink.slot(of: .method), method.valueLength > 0, unsafe !sink.has(.status) else { return false }
        unsafe request.pointee.methodOffset = Int(method.valueOffset)
        unsafe request.pointee.methodLength = Int(method.valueLength)
        // GET as the static table has it.
        if unsafe sink.staticIndex(of: .method) != 2 {
            unsafe request.pointee.method = HTTPMethod(bytes: text + Int(method.valueOffset), count: Int(method.valueLength))
            if unsafe request.pointee.method == .other, unsafe !isToken(method) { return false }
        }
        let authority = unsafe sink.slot(of: .authority)
        if let authority {
            unsafe request.pointee.authorityOffset = Int(authority.valueOffset)
            unsafe request.pointee.authorityLength = Int(authority.valueLength)
        }
        if unsafe request.pointee.method == .connect || sink.has(.protocol) {
            return unsafe setConnectTarget(sink, authority, extendedConnect: extendedConnect)
        }
        if let authority, unsafe !isAuthority(authority) { return false }
        return unsafe checkScheme(sink) && setPath(sink)
    }

    /// CONNECT has an authority alone (RFC 9113 8.5); with `:protocol` it is a request like others (RFC 8441 4).
    @inline(never)
    private func setConnectTarget(_ sink: HPACKFieldSink, _ authority: FieldSlot?, extendedConnect: Bool) -> Bool {
        guard unsafe request.pointee.method == .connect, let authority else { return false }
        if let name = unsafe sink.slot(of: .protocol) {
            guard extendedConnect, unsafe isToken(name), unsafe isAuthority(authority) else { return false }
            unsafe (request.pointee.connectProtocolOffset, request.pointee.connectProtocolLength) = (name.valueOffset, name.valueLength)
            return unsafe checkScheme(sink) && setPath(sink)
        }
        guard unsafe !sink.has(.scheme) && !sink.has(.path),
            let target = unsafe TargetView(text + Int(authority.valueOffset), count: Int(authority.valueLength), method: .connect)
        else { return false }
        unsafe request.pointee.targetForm = target.form
        unsafe request.pointee.targetOffset = Int(authority.valueOffset)
        unsafe request.pointee.targetLength = Int(authority.valueLength)
        return true
    }

    /// The schemes that the target of an HTTP/1.1 request may have, in lower case or not.
    @inline(__always)
    private func checkScheme(_ sink: HPACKFieldSink) -> Bool {
        if unsafe sink.staticIndex(of: .scheme) != 0 { return true }
        guard let scheme = unsafe sink.slot(of: .scheme) else { return false }
        let bytes = unsafe text + Int(scheme.valueOffset)
        let length = Int(scheme.valueLength)
        return unsafe equalsIgnoringCase(bytes, count: length, "http") || equalsIgnoringCase(bytes, count: length, "https")
    }

    /// A path begins with "/"; "*" stands for the server as a whole, with OPTIONS (RFC 9113 8.3.1).
    @inline(__always)
    private func setPath(_ sink: HPACKFieldSink) -> Bool {
        guard let path = unsafe sink.slot(of: .path), path.valueLength > 0 else { return false }
        let offset = Int(path.valueOffset)
        let length = Int(path.valueLength)
        let start = unsafe UnsafePointer(text) + offset
        unsafe request.pointee.targetOffset = offset
        unsafe request.pointee.targetLength = length
        unsafe request.pointee.pathOffset = offset
        unsafe request.pointee.pathLength = length
        guard unsafe start[0] == 0x2f else { return unsafe setAsterisk(path) }
        guard length > 1 else { return true }
        let end = unsafe start + length
        let stop = unsafe curing_scan_path(start, end, text)
        guard unsafe stop < end else { return true }
        guard unsafe stop[0] == 0x3f else { return false }
        unsafe request.pointee.pathLength = stop - start
        unsafe request.pointee.queryOffset = offset &+ (stop - start) &+ 1
        unsafe request.pointee.queryLength = end - stop - 1
        return unsafe curing_scan_query(stop + 1, end, text) == end
    }

    @inline(never)
    private func setAsterisk(_ path: FieldSlot) -> Bool {
        // An absolute target has no place in `:path`.
        guard unsafe path.valueLength == 1 && text[Int(path.valueOffset)] == 0x2a && request.pointee.method == .options else { return false }
        unsafe request.pointee.targetForm = .asterisk
        return true
    }

    private func isAuthority(_ field: FieldSlot) -> Bool {
        unsafe Authority.parse(text + Int(field.valueOffset), count: Int(field.valueLength)) != nil
    }

    private func isToken(_ field: FieldSlot) -> Bool {
        let bytes = unsafe UnsafeBufferPointer(start: text + Int(field.valueOffset), count: Int(field.valueLength))
        return unsafe FieldValidation.isName(bytes)
    }
}

// MARK: Regular fields

extension KnownField {
    /// Whether a field's value or presence matters to the assembly. Asked for every field, as one test of a bit.
    @inline(__always)
    fileprivate var mattersInHTTP2: Bool {
        switch self {
        case .host, .contentLength, .expect, .cookie, .priority: true
        default: false
        }
    }
}

extension HTTP2Head {
    /// Looks at one of the fields that matter; false when it makes the request malformed. Fields of the connection and TE are the decoder's business.
    @inline(never)
    private func take(_ known: KnownField, _ index: Int, _ assembled: inout AssembledRequest, _ met: inout MetFields) -> Bool {
        let value = unsafe text + Int(fields[index].valueOffset)
        let length = unsafe Int(fields[index].valueLength)
        switch known {
        case .host:
            guard met.host < 0 else { return false }
            met.host = index
        case .contentLength:
            guard assembled.contentLength < 0, let number = unsafe ContentLength.parse(value, count: length) else { return false }
            assembled.contentLength = number
        case .expect:
            // Another expectation may be left alone (RFC 9110 10.1.1).
            if unsafe equalsIgnoringCase(value, count: length, "100-continue") { met.expectsContinue = true }
        case .cookie: met.cookies &+= 1
        case .priority: unsafe assembled.priority = StreamPriority(value, count: length)
        default: break
        }
        return true
    }

    /// A Host field stands in for `:authority`, and beside it must say the same (RFC 9113 8.3.1); letters of a host have no case.
    private func checkHost(_ field: FieldSlot) -> Bool {
        let host = unsafe text + Int(field.valueOffset)
        let length = Int(field.valueLength)
        guard unsafe request.pointee.authorityLength > 0 else {
            guard unsafe Authority.parse(host, count: length) != nil else { return false }
            unsafe request.pointee.authorityOffset = Int(field.valueOffset)
            unsafe request.pointee.authorityLength = length
            return true
        }
        guard unsafe length == request.pointee.authorityLength else { return false }
        let authority = unsafe text + request.pointee.authorityOffset
        for index in 0..<length where unsafe lowercasedASCII(host[index]) != lowercasedASCII(authority[index]) { return false }
        return true
    }

    /// Joins the crumbs of a cookie with "; " (RFC 9113 8.2.3) behind the text; the first field gets it all, the others go.
    @inline(never)
    private func joinCookies(count: Int, from start: Int) -> Bool {
        var at = start
        var kept = 0
        var first = -1
        for index in 0..<count {
            let field = unsafe fields[index]
            if field.known == .cookie {
                let length = Int(field.valueLength)
                // Cannot happen with `textBytes`; a smaller text refuses the request.
                guard unsafe length &+ 2 <= textCapacity &- at else { return false }
                if first >= 0 {
                    unsafe text[at] = 0x3b
                    unsafe text[at &+ 1] = 0x20
                    at &+= 2
                }
                // Behind all text, so nothing overlaps.
                unsafe (text + at).update(from: text + Int(field.valueOffset), count: length)
                at &+= length
                if first >= 0 { continue }
                first = kept
            }
            unsafe fields[kept] = field
            kept &+= 1
        }
        unsafe fields[first].valueOffset = UInt32(truncatingIfNeeded: start)
        unsafe fields[first].valueLength = UInt32(truncatingIfNeeded: at &- start)
        unsafe request.pointee.fieldCount = kept
        unsafe request.pointee.headLength = at
        return true
    }
}
