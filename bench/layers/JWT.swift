// Tokens: the whole verification for each algorithm; of HS256 also libcrypto's HMAC alone, over the same bytes.

import UringJWT

/// What an access token says (RFC 9068 2.2).
private let payload = #"{"iss":"https://issuer.example/","sub":"auth0|5f7c8ec7c33c6c004bbafe82","aud":["https://api.example.com/orders","https://issuer.example/userinfo"],"iat":1799999000,"#
    + #""exp":1800003600,"azp":"my_client_id","scope":"openid profile orders:read orders:write","jti":"dbe39bf3a3ba4238a513f51d6e1691c4"}"#

func jwtBenchmarks() -> [Benchmark] {
    [
        JWTAlgorithm.hs256, .hs384, .hs512, .rs256, .rs384, .rs512, .ps256, .ps384, .ps512, .es256, .es384, .es512, .edDSA,
    ].flatMap { benchmarks(Signer($0)) }
}

private func benchmarks(_ signer: Signer) -> [Benchmark] {
    var rules = JWTRules(audience: .oneOf(["https://api.example.com/orders"]))
    rules.issuers = ["https://issuer.example/"]
    let header = #"{"alg":"\#(signer.algorithm.name)","typ":"at+jwt","kid":"2024-01-key"}"#
    let input = bytes(base64URL(header.utf8) + [UInt8(ascii: ".")] + base64URL(payload.utf8))
    let signature = bytes(signer.sign(Array(input)))
    let token = bytes(Array(input) + [UInt8(ascii: ".")] + base64URL(signer.asToken(Array(signature))))
    guard let keys = try? signer.keys(), let made = try? JWTVerifier(keys: keys, rules: rules) else { fatalError("no verifier of \(signer.name)") }
    let room = made.memoryBytes
    let verifier = place(made)
    let memory = JWTMemory(base: .allocate(byteCount: room, alignment: 16), capacity: room)
    let isFast = JWTAlgorithms.hmac.contains(signer.algorithm)
    func verified(_ count: Int) -> UInt64 {
        var sum: UInt64 = 0
        for _ in 0..<count {
            guard verifier.pointee.verify(UnsafePointer(token.baseAddress!), count: token.count, nowSeconds: 1_800_000_000, memory: memory).claims != nil else { fatalError("\(signer.name): a good token is refused") }
            sum &+= 1
        }
        return sum
    }
    var list = [Benchmark(name: "jwt.\(signer.algorithm.name)", size: token.count, checks: isFast ? 64 : 4) { verified($0) }]
    if signer.algorithm == .hs256 {
        list.append(
            Benchmark(name: "jwt.HS256.hmac-alone", size: input.count, checks: 64) { count in
                var sum: UInt64 = 0
                for _ in 0..<count { sum &+= UInt64(signer.verifyPlainly(UnsafeBufferPointer(input), UnsafeBufferPointer(signature))) }
                return sum
            })
    }
    return list
}
