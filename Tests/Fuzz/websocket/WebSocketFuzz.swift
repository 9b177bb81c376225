// Fuzz target: the WebSocket engine under arbitrary bytes and arbitrary actions of a server. A property that fails traps, which the fuzzer reports with
// the input.
//
// 1. No crash, no access outside the input (each call gets an allocation of exactly its size; the sanitizer watches).
// 2. Between two calls the engine's invariants hold (`brokenInvariant`), and after the end nothing is lent.
// 3. Parts lie within the input or the room; messages begin and end in turn, and are no larger than the limit.
// 4. The way the bytes arrive does not change what comes of them, nor does the size of the room, nor whether frames are waited for.
// 5. What the engine writes is whole frames without mask, in their shortest form.
// 6. Text that was passed on is UTF-8, judged by the standard library.

import UringWebSocket

private func check(_ condition: Bool, _ text: StaticString) {
    if !condition { fatalError("\(text)") }
}

private let limits: WebSocketLimits = {
    var limits = WebSocketLimits()
    limits.frameBytesMax = 2000
    limits.messageBytesMax = 3000
    limits.fragmentsMax = 20
    limits.pingsMax = 20
    limits.pongsMax = 20
    limits.emptyFramesMax = 20
    return limits
}()

/// One engine and what its server knows.
private final class World {
    let engine = UnsafeMutablePointer<WebSocketConnection>.allocate(capacity: 1)
    let compression = UnsafeMutablePointer<WebSocketCompression>.allocate(capacity: 1)
    let out = UnsafeMutablePointer<UInt8>.allocate(capacity: 8192)
    var pending: [UInt8] = []
    var now: UInt64 = 1
    var isOver = false
    /// Messages whole, without how they came in pieces.
    var story: [String] = []
    var message: [UInt8] = []
    var isWithin = false
    var output: [UInt8] = []

    init(choice: UInt8, roomBytes: Int, wholeFrameBytesMax: Int) {
        var limits = limits
        limits.wholeFrameBytesMax = wholeFrameBytesMax
        var parameters = WebSocketDeflateParameters.off
        parameters.isOn = choice & 0x80 == 0
        parameters.clientTakesContextOver = choice & 0x40 != 0
        parameters.serverTakesContextOver = choice & 0x20 != 0
        var options = WebSocketCompressionOptions()
        options.thresholdBytes = 8
        compression.initialize(to: WebSocketCompression(options: options, roomBytes: roomBytes))
        engine.initialize(to: WebSocketConnection(limits: limits, deflate: parameters, compression: compression, now: now))
    }
    deinit {
        engine.deinitialize(count: 1)
        check(compression.pointee.lentInflaters == 0 && compression.pointee.lentDeflaters == 0, "a state was not given back")
        compression.deinitialize(count: 1)
        engine.deallocate()
        compression.deallocate()
        out.deallocate()
    }

    func receive(_ bytes: ArraySlice<UInt8>) {
        pending += bytes
        while !isOver {
            let input = UnsafeMutablePointer<UInt8>.allocate(capacity: max(pending.count, 1))
            defer { input.deallocate() }
            input.initialize(from: pending, count: pending.count)
            let step = engine.pointee.next(input, count: pending.count, now: now)
            check(step.used >= 0 && step.used <= pending.count, "more used than given")
            note(step.event, input, count: pending.count)
            // Without their mask, where it was taken off.
            pending = Array(UnsafeBufferPointer(start: input + step.used, count: pending.count - step.used))
            if let broken = engine.pointee.brokenInvariant() { fatalError("\(broken)") }
            drain()
            if step.event == .needMore { return }
            check(step.used > 0 || step.event != .nothing, "no progress")
        }
    }

    func drain() {
        let count = engine.pointee.takeControl(into: out, capacity: 8192)
        output += UnsafeBufferPointer(start: out, count: count)
        check(engine.pointee.controlCount == 0, "control output does not fit its bound")
    }

    private func note(_ event: WebSocketEvent, _ input: UnsafePointer<UInt8>, count: Int) {
        func text(_ offset: Int32, _ length: Int32) -> String {
            check(offset >= 0 && length >= 0 && Int(offset) + Int(length) <= count, "bytes outside the input")
            return String(describing: Array(UnsafeBufferPointer(start: input + Int(offset), count: Int(length))))
        }
        switch event {
        case .needMore, .nothing: break
        case .ping(let offset, let length): story.append("ping \(text(offset, length))")
        case .pong(let offset, let length): story.append("pong \(text(offset, length))")
        case .close(let code, let offset, let length): story.append("close \(code) \(text(offset, length))")
        case .failed(let code):
            isOver = true
            story.append("failed \(code)")
        case .data(let part):
            check(part.begins != isWithin, "a message begins within another, or does not begin")
            isWithin = !part.ends
            let from = part.isInflated ? UnsafePointer(compression.pointee.room) : input
            check(part.offset >= 0 && part.count >= 0, "a part of negative length")
            check(part.isInflated || Int(part.offset) + Int(part.count) <= count, "a part outside the input")
            message += UnsafeBufferPointer(start: from + Int(part.offset), count: Int(part.count))
            check(message.count <= limits.messageBytesMax, "a message is larger than its limit")
            guard part.ends else { return }
            check(part.kind == .binary || String(validating: message, as: UTF8.self) != nil, "text that is not UTF-8")
            story.append("\(part.kind) \(message)")
            message = []
        }
    }

    /// An action of the server, chosen by one byte.
    func act(_ choice: UInt8) {
        let count = Int(choice >> 3) * 7
        let content = UnsafeMutablePointer<UInt8>.allocate(capacity: max(count, 1))
        defer { content.deallocate() }
        for index in 0..<count { content[index] = UInt8(truncatingIfNeeded: index &* Int(choice) / 16) & 0x7f }
        var written = 0
        var follows = count
        switch choice & 7 {
        case 0: written = engine.pointee.writeMessageHead(.binary, count: count, into: out)
        case 1: written = engine.pointee.writeFragmentHead(.text, count: count, isLast: false, into: out)
        case 2: written = engine.pointee.writeFragmentHead(.text, count: count, isLast: true, into: out)
        case 3, 4:
            follows = 0
            if case .written(let all) = engine.pointee.writeDeflated(.text, content, count: count, isLast: choice & 7 == 3, into: out) { written = all }
        case 5: engine.pointee.ping(now: now)
        case 6: if choice >= 0xc0 { engine.pointee.close(.goingAway, reason: content, count: count, now: now) }
        default: now &+= 1_000_000_000
        }
        output += UnsafeBufferPointer(start: out, count: written)
        if written > 0 { output += UnsafeBufferPointer(start: content, count: follows) }
        if let broken = engine.pointee.brokenInvariant() { fatalError("\(broken)") }
    }

    func checkOutput() {
        drain()
        var at = 0
        while at < output.count {
            check(output.count - at >= 2 && output[at + 1] & 0x80 == 0 && output[at] & 0x30 == 0, "output is no frame")
            var length = Int(output[at + 1])
            var head = 2
            if length > 125 {
                check(length == 126 && output.count - at >= 4, "a longer frame than was written")
                length = Int(output[at + 2]) << 8 | Int(output[at + 3])
                check(length > 125, "not the shortest form")
                head = 4
            }
            at += head + length
        }
        check(at == output.count, "output ends within a frame")
    }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    guard let data, size > 1 else { return 0 }
    let choice = data[0]
    // In front actions of the server, behind them bytes of the client.
    let all = Array(UnsafeBufferPointer(start: data + 1, count: size - 1))
    let mark = min(all.count, Int(choice & 7))
    let actions = all[..<mark]
    let bytes = all[mark...]

    let whole = World(choice: choice, roomBytes: 65_536, wholeFrameBytesMax: 4000)
    whole.receive(bytes)
    whole.checkOutput()
    for (piece, roomBytes, wholeFrameBytesMax) in [(1, 65_536, 4000), (Int.max, 1, 0), (3, 5, 20)] {
        let parts = World(choice: choice, roomBytes: roomBytes, wholeFrameBytesMax: wholeFrameBytesMax)
        var at = bytes.startIndex
        while at < bytes.endIndex {
            let end = at + min(piece, bytes.endIndex - at)
            parts.receive(bytes[at..<end])
            at = end
        }
        compare(parts.story, whole.story)
    }

    // The same bytes with a server that acts in between.
    let acting = World(choice: choice, roomBytes: 100, wholeFrameBytesMax: 30)
    var at = bytes.startIndex
    for action in actions {
        let end = min(at + 1 + bytes.count / (actions.count + 1), bytes.endIndex)
        acting.receive(bytes[at..<end])
        at = end
        acting.act(action)
    }
    acting.receive(bytes[at...])
    acting.checkOutput()
    return 0
}

/// Who does not wait for whole frames may fail earlier, at bytes that spoil a frame whose rest has not come. Of two things that are wrong with the
/// content of a message, the size of the pieces decides which is found first.
private func compare(_ story: [String], _ whole: [String]) {
    func isAboutContent(_ event: String?) -> Bool { event == "failed 1007" || event == "failed 1009" }
    if story == whole { return }
    check(isAboutContent(story.last), "bytes that arrive in pieces have another effect")
    let expected = isAboutContent(whole.last) ? whole.dropLast() : whole[...]
    check(Array(story.dropLast()) == Array(expected), "bytes that arrive in pieces have another effect")
}
