// One client engine with memory around it: tests give bytes of a server and read what happened as text.

import UringHTTP
@testable import UringHTTP2

/// A client engine, its caller's storage, and a transcript. Input is handed over in an allocation of exactly its size.
@safe final class ClientHarness {
    let limits: HTTP2Limits
    let engine: UnsafeMutablePointer<HTTP2ClientConnection>
    let head: HTTP2ResponseHead
    private let response: UnsafeMutablePointer<HTTP2Response>
    private let slots: UnsafeMutablePointer<FieldSlot>
    private let text: UnsafeMutablePointer<UInt8>
    private let out: UnsafeMutablePointer<UInt8>
    private let outCapacity = 131_072

    var now: UInt64 = 1_000_000_000
    /// Whether control output is taken after each event; otherwise it stays where it is.
    var drains = true
    /// Whether streams are asked for after GOAWAY and failure, as a caller has to.
    var sweeps = true
    private var pending: [UInt8] = []

    /// Events as text; pieces of data that follow each other are joined.
    private(set) var events: [String] = []
    /// All control output, and what requests wrote, in order.
    private(set) var output: [UInt8] = []
    private(set) var slotOfStream: [UInt32: StreamSlot] = [:]
    private var streamOfSlot: [StreamSlot: UInt32] = [:]

    init(settings: HTTP2ClientSettings = HTTP2ClientSettings(), limits: HTTP2Limits = HTTP2Limits(), takesPreface: Bool = true) {
        self.limits = limits
        unsafe response = .allocate(capacity: 1)
        unsafe response.initialize(to: HTTP2Response())
        let slotCount = unsafe HTTP2ResponseHead.slots(limits: limits)
        let textBytes = unsafe HTTP2ResponseHead.textBytes(limits: limits)
        unsafe slots = .allocate(capacity: slotCount)
        unsafe text = .allocate(capacity: textBytes)
        unsafe out = .allocate(capacity: outCapacity)
        unsafe head = HTTP2ResponseHead(response: response, slots: slots, slotCapacity: slotCount, text: text, textCapacity: textBytes)
        unsafe engine = .allocate(capacity: 1)
        unsafe engine.initialize(to: HTTP2ClientConnection(settings: settings, limits: limits, now: now))
        if takesPreface { drain() }
    }

    deinit {
        unsafe engine.deinitialize(count: 1)
        unsafe engine.deallocate()
        unsafe response.deallocate()
        unsafe slots.deallocate()
        unsafe text.deallocate()
        unsafe out.deallocate()
    }

    /// Output since the last call.
    func takeBytes() -> [UInt8] {
        drain()
        defer { output = [] }
        return output
    }
    /// The same as frames, without the preface.
    func takeFrames() -> [WireFrame] {
        let bytes = takeBytes()
        return WireFrame.parse(bytes.starts(with: Client.preface) ? Array(bytes[24...]) : bytes)
    }
    func takeEvents() -> [String] {
        defer { events = [] }
        return events
    }

    func drain() {
        while unsafe engine.pointee.controlCount > 0 {
            let count = unsafe engine.pointee.takeControl(into: out, capacity: outCapacity)
            unsafe output += Array(UnsafeBufferPointer(start: out, count: count))
        }
    }

    /// Gives bytes in pieces of `piece` bytes, or at once.
    func receive(_ bytes: [UInt8], piece: Int = .max) {
        var at = 0
        repeat {
            let end = at + min(piece, bytes.count - at)
            pending += bytes[at..<end]
            at = end
            work()
        } while at < bytes.count
    }

    private func work() {
        while true {
            let input = UnsafeMutablePointer<UInt8>.allocate(capacity: max(pending.count, 1))
            defer { unsafe input.deallocate() }
            unsafe pending.withUnsafeBufferPointer { bytes in
                if let start = bytes.baseAddress { unsafe input.update(from: start, count: bytes.count) }
            }
            let step = unsafe engine.pointee.next(input, count: pending.count, now: now, head: head)
            precondition(step.used >= 0 && step.used <= pending.count, "more used than given")
            unsafe note(step.event, input)
            pending.removeFirst(step.used)
            if drains { drain() }
            switch step.event {
            case .needMore, .failed: return
            default: precondition(step.used > 0, "no progress")
            }
        }
    }

    private func note(_ event: HTTP2ClientEvent, _ input: UnsafePointer<UInt8>) {
        switch event {
        case .needMore, .nothing: break
        case .interim(let slot): events.append("interim \(id(slot)) \(responseText)")
        case .response(let slot, let end):
            events.append("response \(id(slot)) \(responseText)\(end ? " end" : "")")
            forgetDead(slot)
        case .data(let slot, let offset, let count, let end):
            precondition(id(slot) != 0, "data of a stream that is not there")
            let bytes = unsafe String(decoding: UnsafeBufferPointer(start: input + Int(offset), count: Int(count)), as: UTF8.self)
            let prefix = "data \(id(slot)) "
            if let last = events.last, last.hasPrefix(prefix), !last.hasSuffix(" end") {
                events[events.count - 1] = last + bytes + (end ? " end" : "")
            } else {
                events.append(prefix + bytes + (end ? " end" : ""))
            }
            forgetDead(slot)
        case .trailers(let slot):
            events.append("trailers \(id(slot)) \(fieldsText)")
            forgetDead(slot)
        case .ended(let slot, let end):
            events.append("ended \(id(slot)) \(end.cause) \(end.code) \(end.processing)\(end.isAnswered ? " answered" : "")")
            precondition(unsafe !engine.pointee.isLive(slot), "an ended stream is still there")
            close(slot)
        case .windowOpened: events.append("windowOpened")
        case .settings: events.append("settings")
        case .goAway(let code):
            events.append("goAway \(code)")
            if sweeps { sweepUnprocessed() }
        case .failed(let code):
            if events.last != "failed \(code)" { events.append("failed \(code)") }
        }
    }

    /// Streams that GOAWAY gave back, as an event.
    func sweepUnprocessed() {
        var ids: [UInt32] = []
        while let slot = unsafe engine.pointee.nextUnprocessed() {
            ids.append(id(slot))
            close(slot)
        }
        if !ids.isEmpty { events.append("unprocessed \(ids.sorted().map(String.init).joined(separator: " "))") }
    }

    /// Streams of a connection that is over: "ID how-far".
    func lost() -> [String] {
        var lines: [(UInt32, String)] = []
        while let stream = unsafe engine.pointee.nextLost() {
            lines.append((id(stream.slot), "\(id(stream.slot)) \(stream.processing)\(stream.isAnswered ? " answered" : "")"))
            close(stream.slot)
        }
        return lines.sorted { $0.0 < $1.0 }.map(\.1)
    }

    private func close(_ slot: StreamSlot) {
        if let id = streamOfSlot.removeValue(forKey: slot) { slotOfStream[id] = nil }
    }
    private func id(_ slot: StreamSlot) -> UInt32 { streamOfSlot[slot] ?? 0 }
    private func forgetDead(_ slot: StreamSlot) { if unsafe !engine.pointee.isLive(slot) { close(slot) } }

    // MARK: what the head says

    private func string(_ offset: UInt32, _ length: Int) -> String {
        unsafe String(decoding: UnsafeBufferPointer(start: text + Int(offset), count: length), as: UTF8.self)
    }
    var lastResponse: HTTP2Response { unsafe response.pointee }
    private var responseText: String {
        "\(lastResponse.status.code)\(lastResponse.contentLength < 0 ? "" : " length=\(lastResponse.contentLength)")\(lastResponse.fieldCount > 0 ? " " + fieldsText : "")"
    }
    private var fieldsText: String {
        "[" + (0..<lastResponse.fieldCount).map {
            let field = unsafe head.fields[$0]
            return "\(string(field.nameOffset, Int(field.nameLength))): \(string(field.valueOffset, Int(field.valueLength)))"
        }.joined(separator: ", ") + "]"
    }

    // MARK: what a client does

    func slot(_ stream: UInt32) -> StreamSlot { slotOfStream[stream] ?? .none }

    /// Opens a stream; answers its number, or 0.
    @discardableResult
    func open(
        _ method: String = "GET", _ path: String = "/", authority: String = "example.com", fields: String = "", length: UInt64? = nil,
        connectProtocol: String = "", end: Bool = true
    ) -> UInt32 {
        guard case .opened(let slot, let bytes) = tryOpen(
            method, path, authority: authority, fields: fields, length: length, connectProtocol: connectProtocol, end: end)
        else { return 0 }
        unsafe output += Array(UnsafeBufferPointer(start: out, count: bytes))
        let id = unsafe engine.pointee.streamID(slot)
        precondition(id != 0 && streamOfSlot[slot] == nil, "a new stream is not there, or has the slot of another")
        streamOfSlot[slot] = id
        slotOfStream[id] = slot
        return id
    }

    func tryOpen(
        _ method: String = "GET", _ path: String = "/", authority: String = "example.com", fields: String = "", length: UInt64? = nil,
        connectProtocol: String = "", end: Bool = true
    ) -> HTTP2OpenOutcome {
        // Control output goes first.
        if drains { drain() }
        let (method, path, authority) = (Array(method.utf8), Array(path.utf8), Array(authority.utf8))
        let (lines, name) = (Array(fields.utf8), Array(connectProtocol.utf8))
        return unsafe method.withUnsafeBufferPointer { method in
            unsafe path.withUnsafeBufferPointer { path in
                unsafe authority.withUnsafeBufferPointer { authority in
                    unsafe lines.withUnsafeBufferPointer { lines in
                        unsafe name.withUnsafeBufferPointer { name in
                            let request = unsafe HTTP2Request(
                                method: method, isSecure: true, authority: authority, path: path, connectProtocol: name)
                            let bound = unsafe HTTP2ClientConnection.headersBound(textBytes: request.textBytes + lines.count)
                            precondition(bound <= outCapacity, "the harness has no room")
                            let second = unsafe lines.isEmpty ? nil : HTTP2FieldText(lines.baseAddress!, count: lines.count)
                            // Exactly what is promised: more would be an overflow that a sanitizer sees only beyond `out`.
                            return unsafe engine.pointee.open(
                                request, contentLength: length, first: nil, second: second, endStream: end, now: now, into: out, capacity: bound)
                        }
                    }
                }
            }
        }
    }

    func writeData(_ stream: UInt32, _ body: [UInt8], end: Bool) {
        let slot = slot(stream)
        if drains { drain() }
        let count = unsafe engine.pointee.writeDataHeader(slot, count: body.count, endStream: end, into: out)
        unsafe output += Array(UnsafeBufferPointer(start: out, count: count))
        if count > 0 { output += body }
        forgetDead(slot)
    }

    func writeTrailers(_ stream: UInt32, _ fields: String) {
        let lines = Array(fields.utf8)
        let slot = slot(stream)
        if drains { drain() }
        let count = unsafe lines.withUnsafeBufferPointer { buffer in
            unsafe engine.pointee.writeTrailers(slot, HTTP2FieldText(buffer.baseAddress!, count: buffer.count), into: out, capacity: outCapacity)
        }
        unsafe output += Array(UnsafeBufferPointer(start: out, count: count))
        forgetDead(slot)
    }

    func reset(_ stream: UInt32, _ code: HTTP2ErrorCode = .cancel) {
        let slot = slot(stream)
        unsafe engine.pointee.reset(slot, code)
        close(slot)
    }
    func consume(_ stream: UInt32, _ count: Int) { unsafe engine.pointee.consumed(slot(stream), count) }
    func setReady(_ stream: UInt32, _ ready: Bool = true) { unsafe engine.pointee.setReady(slot(stream), ready) }
    /// The stream whose turn it is.
    func nextSendable() -> UInt32? { unsafe engine.pointee.nextSendable().map { unsafe engine.pointee.streamID($0) } }
    func window(_ stream: UInt32) -> Int { unsafe engine.pointee.sendWindow(slot(stream)) }
    func processing(_ stream: UInt32) -> HTTP2Processing { unsafe engine.pointee.processing(slot(stream)) }
    var activeStreams: Int { unsafe engine.pointee.activeStreams }
    var spare: Int { unsafe engine.pointee.streamsToSpare }
    var isEnding: Bool { unsafe engine.pointee.isEnding }
    var broken: StaticString? { unsafe engine.pointee.brokenInvariant() }
}

/// Bytes that a server sends, written from RFC 9113 without the code under test; frames as in `Client`.
enum Peer {
    static let hello = Client.settings()

    static func response(_ stream: UInt32, _ status: String = "200", _ fields: [(String, String)] = [], end: Bool = true) -> [UInt8] {
        Client.headers(stream, Client.block([(":status", status)] + fields), end: end)
    }
    static func trailers(_ stream: UInt32, _ fields: [(String, String)], end: Bool = true) -> [UInt8] {
        Client.headers(stream, Client.block(fields), end: end)
    }
    static func goAway(_ last: UInt32, _ code: UInt32 = 0, _ text: String = "") -> [UInt8] {
        Client.frame(7, Client.big(last) + Client.big(code) + Array(text.utf8))
    }
}
