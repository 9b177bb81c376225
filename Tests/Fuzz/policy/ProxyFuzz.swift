// Fuzz target: what a proxy says of a request: PROXY protocol, Forwarded, X-Forwarded-For, traceparent, tracestate; what a collector of spans answers. A property that fails traps, which the fuzzer reports with the input.
//
// 1. No crash, no read outside the input.
// 2. A header that is complete is complete with the same meaning when more follows, and needs more at every byte before its end.
// 3. Addresses that were read, written again, read the same.

import UringPolicy

private func check(_ condition: Bool, _ text: StaticString) {
    if !condition { fatalError("\(text)") }
}

private func exactly<R>(_ bytes: ArraySlice<UInt8>, _ body: (Span<UInt8>) -> R) -> R {
    let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
    defer { memory.deallocate() }
    _ = memory.initialize(from: bytes)
    return body(Span(_unsafeElements: UnsafeBufferPointer(memory)))
}

private func written(_ body: (inout ByteSink) -> Void) -> [UInt8] {
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 4096)
    defer { memory.deallocate() }
    var sink = ByteSink(memory, capacity: 4096)
    body(&sink)
    check(!sink.isTruncated, "no room")
    return Array(UnsafeBufferPointer(start: memory, count: sink.count))
}

private func header(_ bytes: [UInt8]) {
    guard case .complete(let header) = exactly(bytes[...], { ProxyHeader.parse($0) }) else { return }
    check(header.length > 0 && header.length <= bytes.count && header.length <= ProxyHeader.bytesMax, "a length outside the input")
    check(header.tlvs.upperBound <= header.length, "fields outside the header")
    check(exactly(bytes[..<header.length], { ProxyHeader.parse($0) }) == .complete(header), "what follows changes the header")
    for end in stride(from: 0, to: header.length, by: 1 + header.length / 40) {
        check(exactly(bytes[..<end], { ProxyHeader.parse($0) }) == .needMore, "a beginning is not enough")
    }
    _ = exactly(bytes[..<header.length]) { ProxyTLVs.tls($0, header) }
    guard let addresses = header.addresses else { return }
    let again = written { ProxyEncoder.appendBinary(addresses, hasChecksum: true, to: &$0) }
    guard case .complete(let second) = exactly(again[...], { ProxyHeader.parse($0) }) else { return check(false, "what is written does not read") }
    check(second.addresses == addresses, "other addresses")
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    guard let data, size > 0 else { return 0 }
    let bytes = Array(UnsafeBufferPointer(start: data, count: size))
    header(bytes)
    let trusted = PrefixSet([Prefix(IPAddress(ipv4: 0x0a00_0000), length: 104)])
    var walk = ForwardedWalk(peer: IPAddress(ipv4: 0x0a00_0001), trusted: trusted)
    exactly(bytes[...]) { walk.take(forwarded: $0, trusted: trusted) }
    check([walk.proto, walk.host].allSatisfy { $0.map { $0.upperBound <= size } ?? true }, "a range outside the line")
    var second = ForwardedWalk(peer: IPAddress(ipv4: 0x0a00_0001), trusted: trusted)
    exactly(bytes[...]) { second.take(xForwardedFor: $0, trusted: trusted) }
    for address in [walk.client, second.client] {
        let text = written { address.append(to: &$0) }
        check(exactly(text[...]) { IPAddress($0) } == address, "an address reads differently")
    }
    if let context = exactly(bytes[...], { TraceContext($0) }) {
        let text = written { context.append(to: &$0) }
        check(exactly(text[...]) { TraceContext($0) }?.trace == context.trace, "a trace reads differently")
    }
    let answer = exactly(bytes[...]) { OTLPAnswer($0) }
    check(answer.message.count <= size && exactly(bytes[...], { OTLPAnswer.statusMessage($0) }).map { $0.count <= size } ?? true, "a message longer than its answer")
    var members = 0
    _ = exactly(bytes[...]) { TraceState.isValid($0, members: &members) }
    check(members <= TraceState.membersMax, "too many members")
    return 0
}
