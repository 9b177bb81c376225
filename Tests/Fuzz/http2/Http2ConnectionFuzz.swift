// Fuzz target: the HTTP/2 connection engine under arbitrary bytes and arbitrary actions of a server. A property that fails traps, which the
// fuzzer reports with the input.
//
// 1. No crash, no read outside the input (each call gets an allocation of exactly its size; the sanitizer watches).
// 2. Between two calls the engine's invariants hold (`brokenInvariant`): windows, slots, queues, bounds.
// 3. Every event names a live stream, but for `reset`, whose stream is dead; ranges of data lie within the input.
// 4. Without actions of the server, the way the bytes arrive does not change what comes of them.
// 5. What the engine writes is whole frames.

import UringHTTP
import UringHTTP2

private func check(_ condition: Bool, _ text: StaticString) {
    if !condition { fatalError("\(text)") }
}

/// Memory for heads, made once: the fuzzer runs in one thread.
private struct Storage {
    let head: HTTP2Head
    let out = UnsafeMutablePointer<UInt8>.allocate(capacity: 65_536)
    let limits: HTTP2Limits

    init() {
        var limits = HTTP2Limits()
        limits.headerListBytesMax = 1024
        limits.fieldCountMax = 12
        limits.resetsMax = 20
        limits.pingsMax = 20
        limits.controlBytesMax = 300
        self.limits = limits
        let request = UnsafeMutablePointer<RequestHead>.allocate(capacity: 1)
        request.initialize(to: RequestHead())
        let slots = HTTP2Head.slots(limits: limits)
        // The table's entries may be larger than the list.
        let text = HTTP2Head.textBytes(limits: limits)
        head = HTTP2Head(
            request: request, slots: .allocate(capacity: slots), slotCapacity: slots, text: .allocate(capacity: text), textCapacity: text)
    }
}
private nonisolated(unsafe) let storage = Storage()

/// One engine and what its server knows.
private final class World {
    let engine = UnsafeMutablePointer<HTTP2Connection>.allocate(capacity: 1)
    var pending: [UInt8] = []
    var live: [StreamSlot] = []
    var now: UInt64 = 1
    var isOver = false
    /// Without how often data came in pieces.
    var story: [String] = []
    var output: [UInt8] = []

    init() {
        let settings = HTTP2LocalSettings(
            maxConcurrentStreams: 9, streamWindowBytes: 300, connectionWindowBytes: 65_535, extendedConnect: true)
        engine.initialize(to: HTTP2Connection(settings: settings, limits: storage.limits, now: now))
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
            check(step.used > 0 || step.event != .nothing, "no progress")
        }
    }

    func drain() {
        while engine.pointee.controlCount > 0 {
            let count = engine.pointee.takeControl(into: storage.out, capacity: 65_536)
            output += UnsafeBufferPointer(start: storage.out, count: count)
        }
    }

    private func note(_ event: HTTP2Event, count: Int, _ input: UnsafePointer<UInt8>) {
        switch event {
        case .needMore, .nothing, .windowOpened: break
        case .goAwayReceived: story.append("goaway")
        case .failed(let code):
            isOver = true
            story.append("failed \(code)")
        case .reset(let slot, let code):
            check(live.contains(slot) && !engine.pointee.isLive(slot), "a reset stream was not there, or still is")
            live.removeAll { $0 == slot }
            story.append("reset \(slot.index) \(code)")
        case .request(let slot, let end):
            open(slot)
            let head = storage.head.request.pointee
            check(head.fieldCount <= storage.limits.fieldCountMax + 4, "more fields than the limit")
            check(head.authorityLength > 0 && head.methodLength > 0, "a request without method or host")
            story.append("request \(slot.index) \(head.pathLength) \(head.fieldCount) \(end)")
        case .headTooLarge(let slot, _):
            open(slot)
            story.append("too large \(slot.index)")
        case .data(let slot, let offset, let length, let end):
            check(live.contains(slot), "data of a stream that is not there")
            check(offset >= 0 && length >= 0 && Int(offset) + Int(length) <= count, "data outside the input")
            let text = "data \(slot.index) "
            let bytes = String(decoding: UnsafeBufferPointer(start: input + Int(offset), count: Int(length)), as: Unicode.ASCII.self)
            if let last = story.last, last.hasPrefix(text) {
                story[story.count - 1] += bytes
            } else if length > 0 {
                story.append(text + bytes)
            }
            if end { story.append("end \(slot.index)") }
            forgetDead()
        case .trailers(let slot):
            check(live.contains(slot), "trailers of a stream that is not there")
            story.append("trailers \(slot.index)")
            forgetDead()
        }
    }

    private func open(_ slot: StreamSlot) {
        check(!live.contains(slot) && engine.pointee.isLive(slot), "a new stream has the slot of another")
        live.append(slot)
    }
    private func forgetDead() { live.removeAll { !engine.pointee.isLive($0) } }

    /// An action of the server, chosen by one byte.
    func act(_ choice: UInt8) {
        let action = choice & 15
        if action == 14 { engine.pointee.drain() }
        if action == 15 { engine.pointee.ping(now: now) }
        guard !live.isEmpty else { return }
        let slot = live[Int(choice >> 4) % live.count]
        let out = storage.out
        var written = 0
        switch action {
        case 0: written = writeHead(slot, end: false)
        case 1: written = writeHead(slot, end: true)
        case 2: engine.pointee.setReady(slot, true)
        case 3: engine.pointee.setReady(slot, false)
        case 4: engine.pointee.consumed(slot, 7)
        case 5: engine.pointee.consumed(slot, 1000)
        case 6: written = engine.pointee.writeDataHeader(slot, count: 0, endStream: true, into: out)
        case 7: engine.pointee.stopReading(slot)
        case 8: engine.pointee.reset(slot, .cancel)
        case 9:
            let line: StaticString = "x-a: b\r\n"
            written = engine.pointee.writeTrailers(slot, HTTP2FieldText(line.utf8Start, count: 8), into: out, capacity: 65_536)
        case 10: written = engine.pointee.writeInterim(slot, status: .continue, fields: nil, into: out, capacity: 65_536)
        case 11, 12:
            if let next = engine.pointee.nextSendable() {
                check(live.contains(next) && engine.pointee.sendWindow(next) > 0, "a stream that cannot send is next")
                let count = min(engine.pointee.sendWindow(next), engine.pointee.maxFrameBytes, 1000)
                written = engine.pointee.writeDataHeader(next, count: count, endStream: action == 12, into: out)
                if written > 0 {
                    (out + written).initialize(repeating: 0, count: count)
                    written += count
                } else {
                    engine.pointee.setReady(next, false)
                }
            }
        default: now &+= 1_000_000_000
        }
        output += UnsafeBufferPointer(start: out, count: written)
        forgetDead()
        if let broken = engine.pointee.brokenInvariant() { fatalError("\(broken)") }
    }

    private func writeHead(_ slot: StreamSlot, end: Bool) -> Int {
        let line: StaticString = "Server: x\r\nX-Y: z\r\n"
        return engine.pointee.writeHead(
            slot, status: .ok, date: nil, contentLength: end ? 0 : nil, first: nil, second: HTTP2FieldText(line.utf8Start, count: 19),
            endStream: end, into: storage.out, capacity: 65_536)
    }

    func checkOutput() {
        drain()
        var at = 0
        while at < output.count {
            check(output.count - at >= 9, "output ends within a frame header")
            at += 9 + Int(output[at]) << 16 + Int(output[at + 1]) << 8 + Int(output[at + 2])
        }
        check(at == output.count, "output ends within a frame")
    }
}

/// The preface and settings in front spare the fuzzer from finding them; the top bit of the first byte leaves them out.
private let hello: [UInt8] = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    guard let data, size > 1 else { return 0 }
    let choice = data[0]
    // The rest is split at a mark: in front actions of the server, behind it bytes of the client.
    let all = Array(UnsafeBufferPointer(start: data + 1, count: size - 1))
    let mark = min(all.count, Int(choice & 31))
    let actions = all[..<mark]
    let bytes = ((choice & 0x80 == 0 ? hello : []) + all[mark...])[...]

    let whole = World()
    whole.receive(bytes, drains: true)
    let parts = World()
    let piece = 1 + Int(choice >> 5 & 3) * 7
    var at = 0
    while at < bytes.count {
        parts.receive(bytes[at..<min(at + piece, bytes.count)], drains: true)
        at += piece
    }
    check(parts.story == whole.story, "bytes that arrive in pieces have another effect")
    whole.checkOutput()

    // The same bytes with a server that acts in between.
    let acting = World()
    at = 0
    var turn = 0
    while at < bytes.count && !acting.isOver {
        let end = min(at + 1 + bytes.count / (actions.count + 1), bytes.count)
        acting.receive(bytes[at..<end], drains: choice & 0x40 == 0)
        at = end
        if turn < actions.count { acting.act(actions[turn]) }
        turn += 1
    }
    for action in actions.dropFirst(turn) { acting.act(action) }
    acting.checkOutput()
    return 0
}
