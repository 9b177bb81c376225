// What the WebSocket engine costs: small frames in and out, unmasking, UTF-8, compression. Run it with ./run. The figure is the fastest and the
// median round, so that a neighbour's burst does not count. Inputs are made first; a checksum of what was done is printed.

import Glibc
@testable import UringWebSocket

func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC_RAW, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

let rounds = CommandLine.arguments.count > 1 ? max(Int(CommandLine.arguments[1]) ?? 31, 1) : 31
func pad(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }
func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

/// `work` does `repeats` of it and answers a checksum; `bytes` are those of one.
func measure(_ name: String, bytes: Int, repeats: Int, _ work: () -> Int) {
    var times: [Double] = []
    var checksum = work()
    for _ in 0..<rounds {
        let before = nanoseconds()
        checksum &+= work()
        times.append(Double(nanoseconds() - before) / Double(repeats))
    }
    times.sort()
    print(
        "\(name)\(pad("\(bytes)", 38 - name.count))\(pad(tenths(times[0]), 12))\(pad("(\(tenths(times[rounds / 2])))", 12))"
            + "\(pad(tenths(Double(bytes) / times[0]), 10))   \(checksum)")
}

let capacity = 1 << 22
let input = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
let out = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
let compression = UnsafeMutablePointer<WebSocketCompression>.allocate(capacity: 1)
var options = WebSocketCompressionOptions()
if CommandLine.arguments.count > 2 { options.level = Int32(CommandLine.arguments[2]) ?? 1 }
if CommandLine.arguments.count > 3 { options.memoryLevel = Int32(CommandLine.arguments[3]) ?? 6 }
compression.initialize(to: WebSocketCompression(options: options))
var parameters = WebSocketDeflateParameters()
parameters.isOn = true

func newConnection() -> UnsafeMutablePointer<WebSocketConnection> {
    let place = UnsafeMutablePointer<WebSocketConnection>.allocate(capacity: 1)
    place.initialize(to: WebSocketConnection(limits: WebSocketLimits(), deflate: parameters, compression: compression, now: 1))
    return place
}

/// Frames behind each other; their mask is zeros, so that unmasking in place leaves them as they are for the next round.
func frames(_ first: UInt8, _ payload: [UInt8], count: Int) -> Int {
    var at = 0
    for _ in 0..<count {
        at += WebSocketFrame.writeHead(first, count: payload.count, to: input + at)
        input[at - (payload.count < 126 ? 1 : payload.count < 65_536 ? 3 : 9)] |= 0x80
        for byte in [0, 0, 0, 0] + payload {
            input[at] = byte
            at += 1
        }
    }
    return at
}

@inline(never) func receive(_ connection: UnsafeMutablePointer<WebSocketConnection>, _ count: Int) -> Int {
    var at = 0
    var sum = 0
    while at < count {
        let step = connection.pointee.next(input + at, count: count - at, now: 1)
        switch step.event {
        case .data(let part): sum &+= Int(part.count) &+ (part.ends ? 1 : 0)
        case .needMore, .failed: fatalError("the engine refuses it: \(step.event)")
        default: break
        }
        at += step.used
    }
    return sum
}

func messagesIn(_ name: String, _ first: UInt8, _ payload: [UInt8]) {
    let connection = newConnection()
    let perRound = max(1, min(20_000, 1_000_000 / (payload.count + 14)))
    let bytes = frames(first, payload, count: perRound)
    measure(name, bytes: payload.count, repeats: perRound) { receive(connection, bytes) }
}

let words = Array("{\"id\":12345,\"name\":\"orders\",\"state\":\"open\",\"items\":[1,2,3]}".utf8)
func text(_ count: Int) -> [UInt8] { (0..<count).map { words[$0 % words.count] } }
let mixed = Array("größer und kleiner, 中文字符 und Ähnliches; ".utf8)

print("size of a connection: \(MemoryLayout<WebSocketConnection>.size) bytes")
print("what                              bytes          ns    (median)      GB/s")
messagesIn("text in", 0x81, text(16))
messagesIn("text in", 0x81, text(100))
messagesIn("binary in", 0x82, text(16))
messagesIn("binary in", 0x82, text(100))
messagesIn("binary in", 0x82, text(1000))
messagesIn("text in", 0x81, text(16_000))
messagesIn("binary in", 0x82, text(16_000))
messagesIn("text beyond ASCII in", 0x81, (0..<300).flatMap { _ in mixed })
do {
    let connection = newConnection()
    for size in [100, 1000] {
        measure("message head out", bytes: size, repeats: 20_000) {
            var at = 0
            for _ in 0..<20_000 { at &+= connection.pointee.writeMessageHead(.text, count: size, into: out + at & 0xffff) }
            return at
        }
    }
}
for size in [64, 1024, 16_384, 1 << 20] {
    let repeats = max(1, 4_000_000 / size)
    measure("unmask", bytes: size, repeats: repeats) {
        var mask: UInt32 = 0x3d21_fa37
        for _ in 0..<repeats { mask = WebSocketMask.remove(mask, from: input, count: size) }
        return Int(mask)
    }
}
for (name, content) in [("UTF-8, ASCII", text(16_384)), ("UTF-8, mixed", Array((0..<340).flatMap { _ in mixed }))] {
    content.withUnsafeBufferPointer { content in
        measure(name, bytes: content.count, repeats: 200) {
            var good = 0
            for _ in 0..<200 {
                var validator = UTF8Validator()
                good &+= validator.take(content.baseAddress!, count: content.count) ? 1 : 0
            }
            return good
        }
    }
}
for size in [300, 1000, 16_000] {
    let connection = newConnection()
    // Not the same words again and again: numbers as in a list of orders.
    var state: UInt64 = 1
    var lines: [UInt8] = []
    while lines.count < size {
        state = state &* 6_364_136_223_846_793_005 &+ 1
        lines += Array("{\"id\":\(state >> 40),\"name\":\"order \(state >> 52)\",\"open\":\(state >> 63 == 0)},".utf8)
    }
    let content = Array(lines.prefix(size))
    var compressed = 0
    content.withUnsafeBufferPointer { content in
        measure("deflate", bytes: size, repeats: 100) {
            for _ in 0..<100 {
                guard case .written(let count) = connection.pointee.writeDeflated(.text, content.baseAddress!, count: size, into: out) else { fatalError("not compressed") }
                compressed = count
            }
            return compressed
        }
    }
    let head = compressed - 4 > 125 ? 4 : 2
    let payload = Array(UnsafeBufferPointer(start: out + head, count: compressed - head))
    let bytes = frames(0xc1, payload, count: 100)
    measure("inflate, \(payload.count) compressed", bytes: size, repeats: 100) { receive(connection, bytes) }
}
print("zlib's memory of the loop: \(compression.pointee.bytes) bytes")
