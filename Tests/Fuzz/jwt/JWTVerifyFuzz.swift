// Fuzz target: tokens and key sets. A property that fails traps, which the fuzzer reports with the input.
//
// The first byte chooses what the rest is.
// 0: a token. It is accepted only when its three parts are what a straightforward reading makes of them and the code is HMAC's.
// 1: header and claims, divided by a byte 0xff, which are signed here, so that the claims are read. Verified twice, the second time by the known header,
//    with the same outcome; a copy of the claims says what the claims say; a changed code is refused.
// 2: a JWKS document, from which verifiers are made, and a token is shown to them.

import CUringJWT
import UringJWT

private func check(_ condition: Bool, _ text: StaticString) {
    if !condition { fatalError("\(text)") }
}

private let secret = (0..<64).map { UInt8($0) &* 7 &+ 3 }
private let now: Int64 = 1_800_000_000

private func code(_ text: ArraySlice<UInt8>) -> [UInt8] {
    var out = [UInt8](repeating: 0, count: 64)
    var count: UInt32 = 0
    let input = Array(text)
    HMAC(EVP_sha256(), secret, CInt(secret.count), input, input.count, &out, &count)
    return Array(out.prefix(Int(count)))
}

private func encode(_ bytes: some Sequence<UInt8>) -> [UInt8] {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
    var (text, bits, count) = ([UInt8](), 0, 0)
    for byte in bytes {
        bits = (bits << 8 | Int(byte)) & 0xffff
        count += 8
        while count >= 6 {
            text.append(alphabet[bits >> (count - 6) & 63])
            count -= 6
        }
    }
    if count > 0 { text.append(alphabet[bits << (6 - count) & 63]) }
    return text
}

private func rules() -> JWTRules {
    var rules = JWTRules(audience: .ignored)
    rules.requiredClaims = []
    return rules
}

/// A verifier with memory of exactly the size that a token needs.
private final class Peer {
    var verifier: JWTVerifier

    init?(_ keys: JWTKeySet) {
        guard let made = try? JWTVerifier(keys: keys, rules: rules()) else { return nil }
        verifier = made
    }

    func verify(_ token: [UInt8], _ body: (JWTVerdict) -> Void) {
        let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: token.count)
        let room = JWTMemory.bytes(forTokenBytes: token.count)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: room, alignment: 16)
        defer {
            copy.deallocate()
            memory.deallocate()
        }
        _ = copy.initialize(from: token)
        guard let base = copy.baseAddress else { return }
        body(verifier.verify(base, count: token.count, nowSeconds: now, memory: JWTMemory(base: memory, capacity: room)))
    }
}

private func hmacKeys() -> JWTKeySet {
    var set = JWTKeySet()
    guard let key = secret.withUnsafeBufferPointer({ try? JWTKey.secret($0, algorithms: JWTAlgorithms(.hs256)) }), (try? set.add(key)) != nil else { fatalError("no key") }
    return set
}

/// Everything that a value says, in an order of its own.
private func digest(_ value: JSONValue, _ sum: inout UInt64) {
    func add(_ bytes: UnsafeBufferPointer<UInt8>) { for byte in bytes { sum = (sum ^ UInt64(byte)) &* 0x100_0000_01b3 } }
    sum = (sum ^ UInt64(value.kind.rawValue)) &* 0x100_0000_01b3
    add(value.name)
    add(value.bytes)
    if value.kind == .number { sum ^= UInt64(bitPattern: value.dateSeconds ?? -1) }
    var seen = 0
    var next = value.first
    while let inner = next {
        digest(inner, &sum)
        if value.kind == .object { check(value.member(inner.name) != nil, "a member is not found by its name") }
        seen += 1
        next = inner.next(in: value)
    }
    check(seen == value.count, "another number of values than it says")
}

private func token(_ data: [UInt8]) {
    guard let peer = Peer(hmacKeys()) else { fatalError("no verifier") }
    peer.verify(data) { verdict in
        guard verdict.claims != nil else { return }
        let parts = data.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        check(parts.count == 3, "accepted what has not three parts")
        check(encode(code(data[..<parts[1].endIndex])) == Array(parts[2]), "accepted a code that is not HMAC's")
    }
}

private func signed(_ data: [UInt8]) {
    guard let peer = Peer(hmacKeys()) else { fatalError("no verifier") }
    let middle = data.firstIndex(of: 0xff)
    let header = middle.map { Array(data[..<$0]) } ?? Array(#"{"alg":"HS256"}"#.utf8)
    let payload = middle.map { Array(data[($0 + 1)...]) } ?? data
    let input = encode(header) + [UInt8(ascii: ".")] + encode(payload)
    let good = code(input[...])
    let token = input + [UInt8(ascii: ".")] + encode(good)
    var outcomes: [JWTRefusal?] = []
    for _ in 0..<2 {
        peer.verify(token) { verdict in
            outcomes.append(verdict.refusal)
            check(verdict.refusal != .badSignature, "refused a code that is HMAC's")
            if let claims = verdict.claims { compare(claims) }
        }
    }
    check(outcomes.count == 2 && outcomes[0] == outcomes[1], "another outcome the second time")
    var bad = good
    bad[payload.count % bad.count] ^= UInt8(1 << (header.count % 8))
    peer.verify(input + [UInt8(ascii: ".")] + encode(bad)) { check($0.claims == nil, "accepted a changed code") }
}

private func compare(_ claims: JWTClaims) {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: claims.copyBytes, alignment: 16)
    defer { memory.deallocate() }
    var (first, second): (UInt64, UInt64) = (1, 1)
    digest(claims.all, &first)
    digest(claims.copy(to: memory).all, &second)
    check(first == second, "a copy says something else")
    if let expires = claims.expires?.dateSeconds { check(expires > now - 60, "accepted an expired token") }
    if let subject = claims.subject { check(String(validating: subject.bytes, as: UTF8.self) != nil, "accepted what is not UTF-8") }
}

private func document(_ data: [UInt8]) {
    var warnings: [JWTKeyWarning] = []
    guard let set = data.withUnsafeBufferPointer({ try? JWTKeySet.jwks($0, acceptsSecrets: true, source: "", warnings: &warnings) }) else { return }
    check(!set.keys.isEmpty && set.keys.allSatisfy { !$0.algorithms.isEmpty }, "a key without use")
    guard let peer = Peer(set) else { fatalError("keys of a document make no verifier") }
    for algorithm in set.algorithms.members {
        let text = Array(#"{"alg":"\#(algorithm.name)"}"#.utf8)
        peer.verify(encode(text) + Array(".e30.".utf8) + encode([UInt8](repeating: 7, count: 64))) { check($0.claims == nil, "accepted no signature at all") }
    }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    guard let data, size > 0 else { return 0 }
    let rest = Array(UnsafeBufferPointer(start: data + 1, count: size - 1))
    switch data[0] % 3 {
    case 0: token(rest)
    case 1: signed(rest)
    default: document(rest)
    }
    return 0
}
