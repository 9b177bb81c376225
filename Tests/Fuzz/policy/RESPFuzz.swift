// Fuzz target: replies of Redis, and the connection that reads them. A property that fails traps, which the fuzzer reports with the input.
//
// 1. No crash, no read outside the input.
// 2. The way the bytes arrive changes neither tokens nor fault, nor what the connection makes of them.
// 3. Every request is answered exactly once: decided, failed, or when the connection ends.

import UringPolicy

private func check(_ condition: Bool, _ text: StaticString) {
    if !condition { fatalError("\(text)") }
}

/// Input in an allocation of exactly its size.
private func exactly<R>(_ bytes: ArraySlice<UInt8>, _ body: (Span<UInt8>) -> R) -> R {
    let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
    defer { memory.deallocate() }
    _ = memory.initialize(from: bytes)
    return body(Span(_unsafeElements: UnsafeBufferPointer(memory)))
}

private struct Tokens: Equatable {
    var tokens: [String] = []
    var fault: RESPParser.Fault?

    init(_ bytes: [UInt8], step: Int) {
        var parser = RESPParser(bulkBytesMax: 256)
        var (from, available) = (0, 0)
        while true {
            let end = available
            switch exactly(bytes[from..<end], { parser.next($0) }) {
            case .token(let token, let isLast, let consumed):
                check(consumed > 0 && consumed <= end - from, "consumed nothing, or more than the input")
                // Ranges say nothing between runs; lengths do.
                switch token {
                case .simple(let range), .error(let range), .bulk(let range), .double(let range), .bigNumber(let range), .verbatim(let range):
                    check(range.lowerBound >= 0 && range.upperBound <= consumed, "a range outside the input")
                    tokens.append("\(Array(bytes[from + range.lowerBound..<from + range.upperBound])) \(isLast)")
                default: tokens.append("\(token) \(isLast)")
                }
                from += consumed
            case .needMore:
                if available == bytes.count { return }
                available = min(bytes.count, available + step)
            case .malformed(let fault):
                self.fault = fault
                return
            }
        }
    }
}

private func converse(_ bytes: [UInt8], step: Int) -> [String] {
    var client = RedisClient(timeout: 10, pipelineMax: 8)
    let policy = RatePolicy(tokens: 10, per: 1_000_000_000, burst: 5)!
    let room = UnsafeMutablePointer<UInt8>.allocate(capacity: 65_536)
    defer { room.deallocate() }
    var sink = ByteSink(room, capacity: 65_536)
    client.connected(now: 0, to: &sink)
    var answered = [Int](repeating: 0, count: 4)
    let key: [UInt8] = [0x6b]
    for token in 0..<3 { check(client.check(key.span, policy, token: UInt64(token), now: 0, to: &sink) == .sent, "not sent") }
    check(client.eval("return 1", keys: 1, words: [key], token: 3, now: 0, to: &sink) == .sent, "not sent")
    var said: [String] = []
    var (from, available) = (0, 0)
    reading: while true {
        sink.rewind(to: 0)
        let (event, consumed) = exactly(bytes[from..<available]) { client.receive($0, to: &sink) }
        check(consumed <= available - from, "consumed more than the input")
        from += consumed
        switch event {
        case .needMore:
            if available == bytes.count { break reading }
            available = min(bytes.count, available + step)
        case .needRoom: check(false, "there is room")
        case .ready: check(false, "there was no login")
        case .decided(let token, _), .failed(let token, _):
            answered[Int(token)] += 1
            said.append("\(event)")
        case .answered(let token, let range):
            check(range.lowerBound >= 0 && range.upperBound <= consumed, "a range outside the input")
            answered[Int(token)] += 1
            let text = bytes[from - consumed + range.lowerBound..<from - consumed + range.upperBound]
            said.append("\(token) \(Array(text))")
            page(text)
        case .broken:
            said.append("\(event)")
            break reading
        }
    }
    while let token = client.disconnected() { answered[Int(token)] += 1 }
    check(answered.allSatisfy { $0 == 1 }, "a request is not answered once")
    return said
}

/// What stands in a fleet's list of bans comes from whoever may write to Redis.
private func page(_ text: ArraySlice<UInt8>) {
    guard let page = exactly(text, { RedisBanPage($0, now: 1_000_000_000) }) else { return }
    check(page.entries.count <= page.lines, "more bans than lines")
    check(page.entries.allSatisfy { $0.until > 1_000_000_000 && $0.reason.utf8.count <= BanEntry.reasonBytesMax }, "a ban that is over, or a reason that is too long")
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    guard let data, size > 0 else { return 0 }
    let step = 1 + Int(data[0]) % 7
    let bytes = Array(UnsafeBufferPointer(start: data + 1, count: size - 1))
    page(bytes[...])
    check(Tokens(bytes, step: step) == Tokens(bytes, step: max(bytes.count, 1)), "bytes that arrive in pieces give other tokens")
    check(converse(bytes, step: step) == converse(bytes, step: max(bytes.count, 1)), "bytes that arrive in pieces give other answers")
    return 0
}
