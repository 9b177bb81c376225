// websocket-probe: what messages cost in allocations and reference counts, for AllocationTests: a program of its own, because the counters
// (CAllocationCount) take the place of malloc and swift_retain in whatever they are linked into. Prints `NAME ALLOCATIONS RETAINS RELEASES` for
// each kind of traffic, counted over 1000 rounds in the steady state.

import CAllocationCount
import UringWebSocket

let rounds = 1000
nonisolated(unsafe) let out = UnsafeMutablePointer<UInt8>.allocate(capacity: 1 << 16)
nonisolated(unsafe) let frame = UnsafeMutablePointer<UInt8>.allocate(capacity: 1 << 16)
nonisolated(unsafe) let compression = UnsafeMutablePointer<WebSocketCompression>.allocate(capacity: 1)
unsafe compression.initialize(to: WebSocketCompression(options: WebSocketCompressionOptions()))
var parameters = WebSocketDeflateParameters()
parameters.isOn = true
nonisolated(unsafe) let connection = UnsafeMutablePointer<WebSocketConnection>.allocate(capacity: 1)
unsafe connection.initialize(to: WebSocketConnection(limits: WebSocketLimits(), deflate: parameters, compression: compression, now: 1))

/// A client's frame with a mask of zeros.
func put(_ bytes: [UInt8]) -> Int {
    for (index, byte) in bytes.enumerated() { unsafe frame[index] = byte }
    return bytes.count
}

/// One round of input; answers its content.
@inline(never) func receive(_ count: Int) -> Int {
    var content = 0
    var at = 0
    while at < count {
        let step = unsafe connection.pointee.next(frame + at, count: count - at, now: 1)
        at += step.used
        if case .data(let part) = step.event { content += Int(part.count) }
        if case .failed = step.event { fatalError("the connection failed") }
        if step.event == .needMore { break }
    }
    if unsafe connection.pointee.controlCount > 0 { unsafe content += connection.pointee.takeControl(into: out, capacity: 1 << 16) }
    return content
}

func count(_ name: String, _ work: () -> Int) {
    var sum = 0
    // What happens only once has happened then.
    for _ in 0..<10 { sum &+= work() }
    let before = ac_read()
    for _ in 0..<rounds { sum &+= work() }
    let after = ac_read()
    print(name, after.allocations - before.allocations, after.retains - before.retains, after.releases - before.releases, sum)
}

let mask: [UInt8] = [0, 0, 0, 0]
let text = [UInt8](repeating: 65, count: 100)
let long = [UInt8](repeating: 65, count: 1000)
let whole = put([0x81, 0x80 | 100] + mask + text)
count("text") { receive(whole) }
let fragments = put([0x02, 0x80 | 100] + mask + text + [0x80, 0x80 | 100] + mask + text)
count("fragments") { receive(fragments) }
let pingAndText = put([0x89, 0x84] + mask + [1, 2, 3, 4] + [0x81, 0x80 | 100] + mask + text)
count("ping") { receive(pingAndText) }
count("output") { unsafe connection.pointee.writeMessageHead(.text, count: 100, into: out) }
// RFC 7692 7.2.3.1. States come from the loop's list, so zlib allocates nothing either.
let compressed = put([0xc1, 0x87] + mask + [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00])
count("inflate") { receive(compressed) }
let content = UnsafeMutablePointer<UInt8>.allocate(capacity: 1000)
for (index, byte) in long.enumerated() { unsafe content[index] = byte }
count("deflate") {
    guard case .written(let count) = unsafe connection.pointee.writeDeflated(.text, content, count: 1000, into: out) else { fatalError("not compressed") }
    return count
}
