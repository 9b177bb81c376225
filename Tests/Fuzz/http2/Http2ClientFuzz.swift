// Fuzz target: the client's HTTP/2 engine under arbitrary bytes of a server and arbitrary actions of its caller. A property that fails traps, which the
// fuzzer reports with the input.
//
// 1. No crash, no read outside the input (each call gets an allocation of exactly its size; the sanitizer watches).
// 2. Between two calls the engine's invariants hold (`brokenInvariant`): windows, slots, queues, bounds.
// 3. Every event names a live stream, but for `ended`, whose stream is dead; ranges of data lie within the input; a response's events come in their order.
// 4. Without actions of the caller, the way the bytes arrive does not change what comes of them.
// 5. What the engine writes is whole frames, and identifiers of HEADERS that open streams rise.
// 6. After a failure every stream that was open is named once by `nextLost`.

import UringHTTP
import UringHTTP2

private func check(_ condition: Bool, _ text: StaticString) {
    if !condition { fatalError("\(text)") }
}

/// Memory for heads, made once: the fuzzer runs in one thread.
private struct Storage {
    let head: HTTP2ResponseHead
    let out = UnsafeMutablePointer<UInt8>.allocate(capacity: 65_536)
    let limits: HTTP2Limits

    init() {
        var limits = HTTP2Limits()
        limits.headerListBytesMax = 1024
        limits.fieldCountMax = 12
        limits.pingsMax = 20
        limits.interimsMax = 20
        limits.controlBytesMax = 300
        self.limits = limits
        let response = UnsafeMutablePointer<HTTP2Response>.allocate(capacity: 1)
        response.initialize(to: HTTP2Response())
        let slots = HTTP2ResponseHead.slots(limits: limits)
        let text = HTTP2ResponseHead.textBytes(limits: limits)
        head = HTTP2ResponseHead(
            response: response, slots: .allocate(capacity: slots), slotCapacity: slots, text: .allocate(capacity: text), textCapacity: text)
    }
}
private nonisolated(unsafe) let storage = Storage()

/// How far a stream's response has come.
private enum Stage { case waiting, head, ended }

/// One engine and what its caller knows.
private final class World {
    let engine = UnsafeMutablePointer<HTTP2ClientConnection>.allocate(capacity: 1)
    var pending: [UInt8] = []
    var live: [StreamSlot] = []
    var stages: [UInt16: Stage] = [:]
    var now: UInt64 = 1
    var isOver = false
    /// Without how often data came in pieces.
    var story: [String] = []
    var output: [UInt8] = []

    init() {
        let settings = HTTP2ClientSettings(streamsMax: 9, streamWindowBytes: 300, connectionWindowBytes: 65_535)
        engine.initialize(to: HTTP2ClientConnection(settings: settings, limits: storage.limits, now: now))
        drain()
    }
    deinit {
        engine.deinitialize(count: 1)
        engine.deallocate()
    }

    func receive(_ bytes: ArraySlice<UInt8>, drains: Bool) {
        pending += bytes
        while !isOver {
            let input = UnsafeMutablePointer<UInt8>.allocate(capacity: max(pending.count, 1))
            defer { input.deallocate() }
            input.initialize(from: pending, count: pending.count)
            let step = engine.pointee.next(input, count: pending.count, now: now, head: storage.head)
            check(step.used >= 0 && step.used <= pending.count, "more used than given")
            note(step.event, count: pending.count, input)
            pending.removeFirst(step.used)
            if let broken = engine.pointee.brokenInvariant() { fatalError("\(broken)") }
            if drains { drain() }
            if step.event == .needMore { return }
            check(step.used > 0 || isOver, "no progress")
        }
    }

    func drain() {
        while engine.pointee.controlCount > 0 {
            let count = engine.pointee.takeControl(into: storage.out, capacity: 65_536)
            output += UnsafeBufferPointer(start: storage.out, count: count)
        }
    }

    private func note(_ event: HTTP2ClientEvent, count: Int, _ input: UnsafePointer<UInt8>) {
        switch event {
        case .needMore, .nothing, .windowOpened: break
        case .settings: story.append("settings \(engine.pointee.streamsToSpare)")
        case .goAway(let code):
            story.append("goaway \(code)")
            check(engine.pointee.isEnding, "GOAWAY does not end the connection")
            while let slot = engine.pointee.nextUnprocessed() {
                check(stages[slot.index] == .waiting, "a stream that was answered is said not to be processed")
                dead(slot)
                story.append("unprocessed \(slot.index)")
            }
        case .failed(let code):
            isOver = true
            story.append("failed \(code)")
            lose()
        case .interim(let slot):
            check(stages[slot.index] == .waiting && engine.pointee.isLive(slot), "an interim response out of turn")
            check(storage.head.response.pointee.status.isInformational, "an interim response that is none")
            story.append("interim \(slot.index) \(storage.head.response.pointee.status.code)")
        case .response(let slot, let end):
            check(stages[slot.index] == .waiting, "a response out of turn")
            stages[slot.index] = end ? .ended : .head
            let response = storage.head.response.pointee
            check(response.fieldCount <= storage.limits.fieldCountMax && !response.status.isInformational, "more fields than the limit, or no final response")
            story.append("response \(slot.index) \(response.status.code) \(response.fieldCount) \(response.contentLength) \(end)")
            forgetDead()
        case .data(let slot, let offset, let length, let end):
            check(stages[slot.index] == .head, "data out of turn")
            check(offset >= 0 && length >= 0 && Int(offset) + Int(length) <= count, "data outside the input")
            let text = "data \(slot.index) "
            let bytes = String(decoding: UnsafeBufferPointer(start: input + Int(offset), count: Int(length)), as: Unicode.ASCII.self)
            if let last = story.last, last.hasPrefix(text) {
                story[story.count - 1] += bytes
            } else if length > 0 {
                story.append(text + bytes)
            }
            if end {
                stages[slot.index] = .ended
                story.append("end \(slot.index)")
            }
            forgetDead()
        case .trailers(let slot):
            check(stages[slot.index] == .head, "trailers out of turn")
            stages[slot.index] = .ended
            story.append("trailers \(slot.index) \(storage.head.response.pointee.fieldCount)")
            forgetDead()
        case .ended(let slot, let end):
            check(end.isAnswered == (stages[slot.index] == .ended), "a response is said to be whole that is not, or the other way")
            check(stages[slot.index] == .waiting || end.processing == .begun, "a stream that was answered is said not to be processed")
            dead(slot)
            story.append("ended \(slot.index) \(end.cause) \(end.code) \(end.processing)")
        }
    }

    private func lose() {
        while let stream = engine.pointee.nextLost() {
            check(stages[stream.slot.index] == .waiting || stream.processing == .begun, "a stream that was answered is said not to be processed")
            dead(stream.slot)
        }
        check(live.isEmpty && engine.pointee.activeStreams == 0, "a stream is not named after the end")
    }

    private func dead(_ slot: StreamSlot) {
        check(live.contains(slot) && !engine.pointee.isLive(slot), "an ended stream was not there, or still is")
        live.removeAll { $0 == slot }
        stages[slot.index] = nil
    }
    private func forgetDead() {
        live.removeAll { slot in
            guard !engine.pointee.isLive(slot) else { return false }
            check(stages[slot.index] == .ended, "a stream ended without an end")
            stages[slot.index] = nil
            return true
        }
    }

    func open(_ method: StaticString, end: Bool) {
        drain()
        let authority: StaticString = "a:1"
        let path: StaticString = method.utf8CodeUnitCount == 7 ? "" : "/x"
        let fields: StaticString = "X-Y: z\r\n"
        func text(_ literal: StaticString) -> UnsafeBufferPointer<UInt8> {
            UnsafeBufferPointer(start: literal.utf8Start, count: literal.utf8CodeUnitCount)
        }
        let request = HTTP2Request(method: text(method), isSecure: false, authority: text(authority), path: text(path))
        let spare = engine.pointee.streamsToSpare
        let outcome = engine.pointee.open(
            request, contentLength: nil, first: nil, second: HTTP2FieldText(fields.utf8Start, count: 8), endStream: end, now: now, into: storage.out,
            capacity: HTTP2ClientConnection.headersBound(textBytes: request.textBytes + 8))
        switch outcome {
        case .opened(let slot, let bytes):
            check(spare > 0 && !live.contains(slot) && engine.pointee.isLive(slot), "a new stream has the slot of another, or is one too many")
            live.append(slot)
            stages[slot.index] = .waiting
            output += UnsafeBufferPointer(start: storage.out, count: bytes)
        case .noStream, .ending: check(spare == 0, "a stream to spare is refused")
        case .fieldsTooLarge: break
        case .malformed, .protocolNotOffered: fatalError("a good request is refused")
        }
    }

    /// An action of the caller, chosen by one byte.
    func act(_ choice: UInt8) {
        let action = choice & 15
        switch action {
        case 0: open("GET", end: true)
        case 1: open("POST", end: false)
        case 2: open("HEAD", end: true)
        case 3: open("CONNECT", end: false)
        case 4: engine.pointee.ping(now: now)
        case 5: now &+= 1_000_000_000
        case 6: if choice == 0xf6 { engine.pointee.drain() }
        default: actOnStream(choice)
        }
        if let broken = engine.pointee.brokenInvariant() { fatalError("\(broken)") }
    }

    private func actOnStream(_ choice: UInt8) {
        guard !live.isEmpty else { return }
        let slot = live[Int(choice >> 4) % live.count]
        let out = storage.out
        var written = 0
        switch choice & 15 {
        case 7: engine.pointee.setReady(slot, true)
        case 8: engine.pointee.setReady(slot, false)
        case 9: engine.pointee.consumed(slot, 7)
        case 10: engine.pointee.consumed(slot, 1000)
        case 11: written = engine.pointee.writeDataHeader(slot, count: 0, endStream: true, into: out)
        case 12:
            engine.pointee.reset(slot)
            dead(slot)
        case 13:
            let line: StaticString = "x-a: b\r\n"
            written = engine.pointee.writeTrailers(slot, HTTP2FieldText(line.utf8Start, count: 8), into: out, capacity: 65_536)
        default:
            if let next = engine.pointee.nextSendable() {
                check(live.contains(next) && engine.pointee.sendWindow(next) > 0, "a stream that cannot send is next")
                let count = min(engine.pointee.sendWindow(next), engine.pointee.maxFrameBytes, 1000)
                written = engine.pointee.writeDataHeader(next, count: count, endStream: choice & 1 == 1, into: out)
                check(written > 0, "a stream that cannot send is next")
                (out + written).initialize(repeating: 0, count: count)
                written += count
            }
        }
        output += UnsafeBufferPointer(start: out, count: written)
        forgetDead()
    }

    func checkOutput() {
        drain()
        var at = 24
        var last: UInt32 = 0
        while at < output.count {
            check(output.count - at >= 9, "output ends within a frame header")
            let id = output[at + 5..<at + 9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            if output[at + 3] == 1 && id > last {
                check(id == (last == 0 ? 1 : last + 2), "streams are not opened in their order")
                last = id
            }
            check(id <= last, "a frame names a stream that is not open")
            at += 9 + Int(output[at]) << 16 + Int(output[at + 1]) << 8 + Int(output[at + 2])
        }
        check(at == output.count, "output ends within a frame")
    }
}

/// A server's settings in front spare the fuzzer from finding them; the top bit of the first byte leaves them out.
private let hello: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 0, 0]

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    guard let data, size > 1 else { return 0 }
    let choice = data[0]
    // The rest is split at a mark: in front actions of the caller, behind it bytes of the server.
    let all = Array(UnsafeBufferPointer(start: data + 1, count: size - 1))
    let mark = min(all.count, Int(choice & 31))
    let actions = all[..<mark]
    let bytes = ((choice & 0x80 == 0 ? hello : []) + all[mark...])[...]
    /// Streams 1, 3, 5, 7 of different kinds.
    func world() -> World {
        let world = World()
        world.open("GET", end: true)
        world.open("POST", end: false)
        world.open("HEAD", end: true)
        world.open("CONNECT", end: false)
        return world
    }

    let whole = world()
    whole.receive(bytes, drains: true)
    let parts = world()
    let piece = 1 + Int(choice >> 5 & 3) * 7
    var at = 0
    while at < bytes.count {
        parts.receive(bytes[at..<min(at + piece, bytes.count)], drains: true)
        at += piece
    }
    check(parts.story == whole.story, "bytes that arrive in pieces have another effect")
    whole.checkOutput()

    // The same bytes with a caller that acts in between.
    let acting = world()
    at = 0
    var turn = 0
    while at < bytes.count && !acting.isOver {
        let end = min(at + 1 + bytes.count / (actions.count + 1), bytes.count)
        acting.receive(bytes[at..<end], drains: choice & 0x40 == 0)
        at = end
        if turn < actions.count, !acting.isOver { acting.act(actions[turn]) }
        turn += 1
    }
    for action in actions.dropFirst(turn) where !acting.isOver { acting.act(action) }
    acting.checkOutput()
    return 0
}
