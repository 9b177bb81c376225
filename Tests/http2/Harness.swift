// One engine with memory around it: tests give bytes and read what happened as text.

import UringHPACK
import UringHTTP
@testable import UringHTTP2

/// What the server does with requests of its own accord.
enum Answering {
    /// Nothing: the test acts.
    case none
    /// An empty 200 as soon as the request has ended.
    case atEnd
}

/// An engine, its caller's storage, and a transcript. Input is handed over in an allocation of exactly its size.
@safe final class Harness {
    let limits: HTTP2Limits
    let engine: UnsafeMutablePointer<HTTP2Connection>
    let head: HTTP2Head
    private let request: UnsafeMutablePointer<RequestHead>
    private let slots: UnsafeMutablePointer<FieldSlot>
    private let text: UnsafeMutablePointer<UInt8>
    private let out: UnsafeMutablePointer<UInt8>
    private let outCapacity = 65_536

    var now: UInt64 = 1_000_000_000
    var answering = Answering.none
    /// Whether control output is taken after each event; otherwise it stays where it is.
    var drains = true
    private var pending: [UInt8] = []

    /// Events as text; pieces of data that follow each other are joined.
    private(set) var events: [String] = []
    /// All control output, and what responses wrote, in order.
    private(set) var output: [UInt8] = []
    private(set) var slotOfStream: [UInt32: StreamSlot] = [:]
    private var streamOfSlot: [StreamSlot: UInt32] = [:]

    init(settings: HTTP2LocalSettings = HTTP2LocalSettings(), limits: HTTP2Limits = HTTP2Limits()) {
        self.limits = limits
        unsafe request = .allocate(capacity: 1)
        unsafe request.initialize(to: RequestHead())
        unsafe slots = .allocate(capacity: HTTP2Head.slots(limits: limits))
        unsafe text = .allocate(capacity: HTTP2Head.textBytes(limits: limits))
        unsafe out = .allocate(capacity: outCapacity)
        unsafe head = HTTP2Head(
            request: request, slots: slots, slotCapacity: HTTP2Head.slots(limits: limits), text: text,
            textCapacity: HTTP2Head.textBytes(limits: limits))
        unsafe engine = .allocate(capacity: 1)
        unsafe engine.initialize(to: HTTP2Connection(settings: settings, limits: limits, now: now))
    }

    deinit {
        unsafe engine.deinitialize(count: 1)
        unsafe engine.deallocate()
        unsafe request.deallocate()
        unsafe slots.deallocate()
        unsafe text.deallocate()
        unsafe out.deallocate()
    }

    /// Output since the last call, as frames.
    func takeFrames() -> [WireFrame] {
        drain()
        defer { output = [] }
        return WireFrame.parse(output)
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
            case .nothing: precondition(step.used > 0, "no progress")
            default: break
            }
        }
    }

    private func note(_ event: HTTP2Event, _ input: UnsafePointer<UInt8>) {
        switch event {
        case .needMore, .nothing: break
        case .request(let slot, let end):
            open(slot)
            events.append("request \(id(slot)) \(requestText)\(end ? " end" : "")")
            ended(slot, end)
        case .headTooLarge(let slot, let end):
            open(slot)
            events.append("headTooLarge \(id(slot))\(end ? " end" : "")")
        case .data(let slot, let offset, let count, let end):
            let bytes = unsafe String(decoding: UnsafeBufferPointer(start: input + Int(offset), count: Int(count)), as: UTF8.self)
            let prefix = "data \(id(slot)) "
            if let last = events.last, last.hasPrefix(prefix), !last.hasSuffix(" end") {
                events[events.count - 1] = last + bytes + (end ? " end" : "")
            } else {
                events.append(prefix + bytes + (end ? " end" : ""))
            }
            ended(slot, end)
        case .trailers(let slot):
            events.append("trailers \(id(slot)) \(fieldsText)")
            ended(slot, true)
        case .reset(let slot, let code):
            events.append("reset \(id(slot)) \(code)")
            precondition(unsafe !engine.pointee.isLive(slot), "a reset stream is still there")
            close(slot)
        case .windowOpened: events.append("windowOpened")
        case .goAwayReceived: events.append("goAwayReceived")
        case .failed(let code): if events.last != "failed \(code)" { events.append("failed \(code)") }
        }
    }

    private func open(_ slot: StreamSlot) {
        let id = unsafe engine.pointee.streamID(slot)
        precondition(id != 0, "a new stream is not there")
        streamOfSlot[slot] = id
        slotOfStream[id] = slot
    }
    private func close(_ slot: StreamSlot) {
        if let id = streamOfSlot.removeValue(forKey: slot) { slotOfStream[id] = nil }
    }
    private func id(_ slot: StreamSlot) -> UInt32 { streamOfSlot[slot] ?? 0 }

    private func ended(_ slot: StreamSlot, _ end: Bool) {
        if end, answering == .atEnd { respond(id(slot)) }
        if unsafe !engine.pointee.isLive(slot) { close(slot) }
    }

    // MARK: what the head says

    private func string(_ offset: Int, _ length: Int) -> String {
        unsafe String(decoding: UnsafeBufferPointer(start: text + offset, count: max(length, 0)), as: UTF8.self)
    }
    var lastRequest: RequestHead { unsafe request.pointee }
    /// Method, authority, target, framing and fields.
    private var requestText: String {
        let head = lastRequest
        let framing =
            switch head.framing {
            case .none: ""
            case .length(let length): " length=\(length)"
            case .chunked: " open"
            }
        return "\(string(head.methodOffset, head.methodLength)) \(string(head.authorityOffset, head.authorityLength)) "
            + "\(string(head.targetOffset, head.targetLength))\(framing)\(head.expectContinue ? " expects" : "")"
            + (head.fieldCount > 0 ? " " + fieldsText : "")
    }
    var path: String { string(lastRequest.pathOffset, lastRequest.pathLength) }
    var query: String? { lastRequest.queryLength < 0 ? nil : string(lastRequest.queryOffset, lastRequest.queryLength) }
    var connectProtocol: String? {
        lastRequest.connectProtocolLength == 0 ? nil : string(Int(lastRequest.connectProtocolOffset), Int(lastRequest.connectProtocolLength))
    }
    private var fieldsText: String {
        "[" + (0..<lastRequest.fieldCount).map {
            let field = unsafe head.fields[$0]
            return "\(string(Int(field.nameOffset), Int(field.nameLength))): \(string(Int(field.valueOffset), Int(field.valueLength)))"
        }.joined(separator: ", ") + "]"
    }

    // MARK: what a server does

    func slot(_ stream: UInt32) -> StreamSlot { slotOfStream[stream] ?? .none }

    /// A response with `body` in one frame, if the window allows; without it in HEADERS alone.
    func respond(_ stream: UInt32, status: UInt16 = 200, fields: String = "", body: [UInt8] = [], end: Bool = true) {
        writeHead(stream, status: status, fields: fields, length: body.isEmpty ? nil : UInt64(body.count), end: end && body.isEmpty)
        if !body.isEmpty { writeData(stream, body, end: end) }
    }

    func writeHead(_ stream: UInt32, status: UInt16 = 200, fields: String = "", length: UInt64? = nil, end: Bool = false) {
        var lines = Array(fields.utf8)
        let slot = slot(stream)
        precondition(HTTP2Connection.headersBound(textBytes: lines.count) <= outCapacity, "the harness has no room")
        let count = unsafe lines.withUnsafeMutableBufferPointer { buffer -> Int in
            let second = unsafe buffer.isEmpty ? nil : HTTP2FieldText(UnsafePointer(buffer.baseAddress!), count: buffer.count)
            return unsafe engine.pointee.writeHead(
                slot, status: HTTPStatus(status), date: nil, contentLength: length, first: nil, second: second, endStream: end, into: out,
                capacity: outCapacity)
        }
        unsafe output += Array(UnsafeBufferPointer(start: out, count: count))
        if unsafe !engine.pointee.isLive(slot) { close(slot) }
    }

    func writeData(_ stream: UInt32, _ body: [UInt8], end: Bool) {
        let slot = slot(stream)
        let count = unsafe engine.pointee.writeDataHeader(slot, count: body.count, endStream: end, into: out)
        unsafe output += Array(UnsafeBufferPointer(start: out, count: count))
        if count > 0 { output += body }
        if unsafe !engine.pointee.isLive(slot) { close(slot) }
    }

    func writeTrailers(_ stream: UInt32, _ fields: String) {
        let lines = Array(fields.utf8)
        let slot = slot(stream)
        let count = unsafe lines.withUnsafeBufferPointer { buffer in
            unsafe engine.pointee.writeTrailers(slot, HTTP2FieldText(buffer.baseAddress!, count: buffer.count), into: out, capacity: outCapacity)
        }
        unsafe output += Array(UnsafeBufferPointer(start: out, count: count))
        if unsafe !engine.pointee.isLive(slot) { close(slot) }
    }

    func writeInterim(_ stream: UInt32, status: UInt16 = 100) {
        let count = unsafe engine.pointee.writeInterim(slot(stream), status: HTTPStatus(status), fields: nil, into: out, capacity: outCapacity)
        unsafe output += Array(UnsafeBufferPointer(start: out, count: count))
    }

    func reset(_ stream: UInt32, _ code: HTTP2ErrorCode = .cancel) {
        let slot = slot(stream)
        unsafe engine.pointee.reset(slot, code)
        close(slot)
    }
    func stopReading(_ stream: UInt32) {
        let slot = slot(stream)
        unsafe engine.pointee.stopReading(slot)
        if unsafe !engine.pointee.isLive(slot) { close(slot) }
    }
    func consume(_ stream: UInt32, _ count: Int) { unsafe engine.pointee.consumed(slot(stream), count) }
    func setReady(_ stream: UInt32, _ ready: Bool = true) { unsafe engine.pointee.setReady(slot(stream), ready) }
    /// The stream whose turn it is.
    func nextSendable() -> UInt32? { unsafe engine.pointee.nextSendable().map { unsafe engine.pointee.streamID($0) } }
    func window(_ stream: UInt32) -> Int { unsafe engine.pointee.sendWindow(slot(stream)) }
    var activeStreams: Int { unsafe engine.pointee.activeStreams }
}

/// What an input does to a new connection: events, and frames of the server behind its preface.
struct Transcript: Equatable {
    var events: [String]
    var frames: [WireFrame]

    /// The input whole.
    init(
        _ input: [UInt8], settings: HTTP2LocalSettings = HTTP2LocalSettings(), limits: HTTP2Limits = HTTP2Limits(), answering: Answering = .none,
        cutAt cut: Int? = nil, piece: Int = .max
    ) {
        let harness = Harness(settings: settings, limits: limits)
        _ = harness.takeFrames()
        harness.answering = answering
        if let cut {
            harness.receive(Array(input[..<cut]))
            harness.receive(Array(input[cut...]))
        } else {
            harness.receive(input, piece: piece)
        }
        frames = harness.takeFrames()
        events = harness.takeEvents()
    }

    /// The last words: GOAWAY's code, or nil.
    var goAway: UInt32? { frames.last.flatMap { $0.type == 7 ? $0.number(at: 4) : nil } }
}
