// Fuzz target: the record layer of TLS 1.3 under a peer that seals what the input says, changes bytes, and sends garbage. A property that fails traps, which
// the fuzzer reports with the input.
//
// 1. No crash, no access outside the window or the room (each call gets allocations of exactly their size; the sanitizer watches).
// 2. Plaintext is what the peer sealed, in order: nothing lost, nothing added, nothing of a record that was changed.
// 3. The way the bytes arrive does not change what comes of them, nor does the size of the room.
// 4. What is written is records that the peer can open, each an answer to a KeyUpdate, in number no more than were asked for.
// 5. Every buffer is given back.

import CUringTLS
import Glibc

private func check(_ condition: Bool, _ text: StaticString) {
    if !condition { fatalError("\(text)") }
}

private let suite = RecordSuite.chacha20Poly1305
private nonisolated(unsafe) let algorithm = EVP_CIPHER_fetch(nil, "ChaCha20-Poly1305", nil)

private func direction(_ seed: UInt8, encrypts: Bool) -> RecordDirection {
    var made = RecordDirection()
    let secret = [UInt8](repeating: seed, count: suite.secretBytes)
    secret.withUnsafeBufferPointer { made.take($0.baseAddress!, $0.count) }
    check(made.begin(suite, algorithm, encrypts: encrypts), "no cipher")
    return made
}

/// The peer's bytes by the input, and what should come of them.
private struct Script {
    var stream: [UInt8] = []
    var plaintext: [UInt8] = []
    var requests = 0
    /// From there on the plaintext is not reckoned with: something in the stream is wrong.
    var isWrong = false

    init(_ input: ArraySlice<UInt8>) {
        var peer = direction(1, encrypts: true)
        defer { peer.destroy() }
        var rest = input
        func next() -> UInt8 { rest.popFirst() ?? 0 }
        while !rest.isEmpty, stream.count < 200_000 {
            let action = next()
            switch action & 7 {
            case 0, 1, 2:
                // Up to a whole record, mostly short ones.
                let count = action & 0x80 == 0 ? Int(next()) : min(Int(next()) << 6 | Int(next()) & 63, 16384)
                let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ stream.count) }
                append(&peer, 23, bytes, padding: action & 0x40 == 0 ? 0 : min(Int(next()), 16384 - count))
                if !isWrong { plaintext += bytes }
            case 3:
                let isRequest = action & 0x80 != 0
                append(&peer, 22, [24, 0, 0, 1, isRequest ? 1 : 0], padding: 0)
                check(peer.update(suite), "no key")
                if isRequest { requests += 1 }
            case 4: append(&peer, 21, [1, next()], padding: 0)
                isWrong = true
            case 5:
                append(&peer, next(), (0..<Int(next() & 15)).map { _ in next() }, padding: 0)
                isWrong = true
            case 6:
                for _ in 0..<Int(next() & 31) { stream.append(next()) }
                isWrong = true
            default:
                if !stream.isEmpty { stream[stream.count - 1 - Int(next()) % stream.count] ^= next() | 1 }
                // It may have changed a record that is counted already.
                isWrong = true
                plaintext = []
            }
        }
    }

    private mutating func append(_ peer: inout RecordDirection, _ type: UInt8, _ bytes: [UInt8], padding: Int) {
        let text = padding > 0 ? bytes + [type] + [UInt8](repeating: 0, count: padding - 1) : bytes
        var out = [UInt8](repeating: 0, count: text.count + RecordFormat.overhead)
        let sealed = text.withUnsafeBufferPointer { source in
            out.withUnsafeMutableBufferPointer { room in
                peer.seal(padding > 0 ? 0 : type, source.baseAddress ?? UnsafePointer(room.baseAddress!), text.count, to: room.baseAddress!)
            }
        }
        check(sealed, "the peer cannot seal")
        stream += out
    }
}

private struct Outcome: Equatable {
    var plaintext: [UInt8] = []
    var end = ""
    var written: [UInt8] = []
}

/// Reads the stream in windows and with rooms of sizes that `sizes` gives in turn.
private func run(_ stream: [UInt8], windows: [Int], rooms: [Int]) -> Outcome {
    var outcome = Outcome()
    var layer = RecordLayer(suite: suite, recordsPerKey: 1 << 24, reading: direction(1, encrypts: false), writing: direction(2, encrypts: true))
    var buffers = RecordBuffers()
    var at = 0
    var turn = 0
    while at < stream.count, outcome.end.isEmpty {
        let count = min(windows[turn % windows.count], stream.count - at)
        let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: count)
        defer { bytes.deallocate() }
        for index in 0..<count { bytes[index] = stream[at + index] }
        at += count
        var window = RecordLayer.Window(bytes: bytes, count: count)
        while outcome.end.isEmpty {
            let capacity = rooms[turn % rooms.count]
            turn += 1
            let room = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
            defer { room.deallocate() }
            var output = TLSOutput(base: nil, capacity: 0)
            var end: RecordLayer.End?
            let read = layer.read(&window, into: room, capacity: capacity, answers: true, &output, &buffers, end: &end)
            check(read >= 0 && read <= capacity, "more than the room")
            outcome.plaintext += UnsafeBufferPointer(start: room, count: read)
            if let spill = output.takeSpill() {
                outcome.written += UnsafeBufferPointer(start: spill.base, count: spill.count)
                free(spill.base)
            }
            switch end {
            case nil:
                if read == 0 {
                    check(window.count == 0 && layer.waiting == 0, "bytes are left")
                    break
                }
                continue
            case .closed: outcome.end = "closed"
            case .failed(let failure): outcome.end = failure.cause.label
            }
            break
        }
    }
    layer.destroy(&buffers)
    check(buffers.kept <= 1, "more buffers than one connection needs")
    buffers.destroy()
    return outcome
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzRecordLayer(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: start, count: count))
    guard input.count > 4 else { return 0 }
    let script = Script(input[4...])
    let whole = run(script.stream, windows: [Int.max], rooms: [16384])
    let pieces = run(script.stream, windows: [Int(input[0]) + 1, Int(input[1]) * 40 + 1], rooms: [Int(input[2]) + 1, Int(input[3]) * 80 + 1])
    check(whole == pieces, "the way of arrival changes what comes of it")
    check(whole.plaintext.starts(with: script.plaintext) || script.plaintext.starts(with: whole.plaintext), "other plaintext")
    if !script.isWrong && whole.end.isEmpty { check(whole.plaintext == script.plaintext, "plaintext is missing") }
    var peer = direction(2, encrypts: false)
    defer { peer.destroy() }
    var written = whole.written[...]
    var answers = 0
    while written.count >= RecordFormat.headerBytes {
        let length = Int(written[written.startIndex + 3]) << 8 | Int(written[written.startIndex + 4])
        let record = Array(written.prefix(RecordFormat.headerBytes + length))
        written = written.dropFirst(record.count)
        var text = [UInt8](repeating: 0, count: max(length - RecordFormat.tagBytes - 1, 0))
        let type = record.withUnsafeBufferPointer { source in
            text.withUnsafeMutableBufferPointer { peer.open(source.baseAddress!, length - RecordFormat.tagBytes, to: $0.baseAddress!) }
        }
        check(type == 22 && text == [24, 0, 0, 1, 0], "something else was written")
        check(peer.update(suite), "no key")
        answers += 1
    }
    check(written.isEmpty && (script.isWrong || answers <= script.requests), "more answers than requests")
    return 0
}
