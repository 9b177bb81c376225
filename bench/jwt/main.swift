// Verification of whole tokens, this layer against OpenSSL's signature alone, interleaved; best and median of the rounds. See `run`.

import CAllocationCount
import CUringJWT
import Glibc
import UringJWT

setvbuf(stdout, nil, _IOLBF, 0)
// Before OpenSSL allocates anything.
precondition(ac_separate_openssl(), "OpenSSL has allocated already")

let isSmoke = CommandLine.arguments.contains("--smoke")
let rounds = CommandLine.arguments.dropFirst().compactMap { Int($0) }.first ?? (isSmoke ? 1 : 15)

func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// What an access token says (RFC 9068 2.2).
let payload = #"{"iss":"https://issuer.example/","sub":"auth0|5f7c8ec7c33c6c004bbafe82","aud":["https://api.example.com/orders","https://issuer.example/userinfo"],"iat":1799999000,"#
    + #""exp":1800003600,"azp":"my_client_id","scope":"openid profile orders:read orders:write","jti":"dbe39bf3a3ba4238a513f51d6e1691c4"}"#

var rules = JWTRules(audience: .oneOf(["https://api.example.com/orders"]))
rules.issuers = ["https://issuer.example/"]

/// One algorithm: its token, its verifier and the same signature for OpenSSL alone.
func compare(_ signer: Signer, repeats: Int) throws {
    let header = #"{"alg":"\#(signer.algorithm.name)","typ":"at+jwt","kid":"2024-01-key"}"#
    let input = base64URL(header.utf8) + [UInt8(ascii: ".")] + base64URL(payload.utf8)
    let signature = signer.sign(input)
    let token = input + [UInt8(ascii: ".")] + base64URL(signer.asToken(signature))
    var verifier = try JWTVerifier(keys: signer.keys(), rules: rules)
    let room = verifier.memoryBytes
    let memory = JWTMemory(base: .allocate(byteCount: room, alignment: 16), capacity: room)
    var times: (ours: [Double], plain: [Double]) = ([], [])
    var counts: (ours: ac_counts, plain: ac_counts) = (ac_counts(), ac_counts())
    var checksum = 0
    token.withUnsafeBufferPointer { token in
        input.withUnsafeBufferPointer { input in
            signature.withUnsafeBufferPointer { signature in
                func ours() { for _ in 0..<repeats { if verifier.verify(token.baseAddress!, count: token.count, nowSeconds: 1_800_000_000, memory: memory).claims != nil { checksum += 1 } } }
                func plain() { for _ in 0..<repeats { checksum += signer.verifyPlainly(input, signature) } }
                ours()
                plain()
                for _ in 0..<rounds {
                    let first = (nanoseconds(), ac_read())
                    ours()
                    let second = (nanoseconds(), ac_read())
                    plain()
                    let third = (nanoseconds(), ac_read())
                    times.ours.append(Double(second.0 - first.0) / Double(repeats))
                    times.plain.append(Double(third.0 - second.0) / Double(repeats))
                    counts = (difference(first.1, second.1), difference(second.1, third.1))
                }
            }
        }
    }
    precondition(checksum == 2 * repeats * (rounds + 1), "\(signer.name): a good signature was refused")
    report(signer.name, token.count, times, counts, repeats)
}

func difference(_ from: ac_counts, _ to: ac_counts) -> ac_counts {
    var counts = ac_counts()
    counts.allocations = to.allocations - from.allocations
    counts.retains = to.retains - from.retains
    counts.openssl = to.openssl - from.openssl
    return counts
}

func pad(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }

func report(_ name: String, _ bytes: Int, _ times: (ours: [Double], plain: [Double]), _ counts: (ours: ac_counts, plain: ac_counts), _ repeats: Int) {
    let (ours, plain) = (times.ours.sorted(), times.plain.sorted())
    func number(_ values: [Double]) -> String { "\(Int(values[0])) (\(Int(values[values.count / 2])))" }
    func per(_ count: UInt64) -> String { "\((Double(count) / Double(repeats) * 100).rounded() / 100)" }
    print(
        name + pad("\(bytes)", 22 - name.count) + pad(number(plain), 18) + pad(number(ours), 18) + pad("\(Int(ours[0] - plain[0]))", 9)
            + pad(per(counts.ours.allocations), 12) + pad(per(counts.ours.retains), 9) + pad(per(counts.ours.openssl), 12) + pad(per(counts.plain.openssl), 10))
}

print("\(String(cString: OpenSSL_version(OPENSSL_VERSION)!)), \(rounds) rounds: best (median) ns")
print("token            bytes     OpenSSL alone      whole, ours   differ. our mallocs  retains  OpenSSL's      alone")
let scale = isSmoke ? 100 : 1
for algorithm in [JWTAlgorithm.hs256, .hs384, .hs512] { try compare(Signer(algorithm), repeats: 20_000 / scale) }
for algorithm in [JWTAlgorithm.rs256, .rs512, .ps256, .ps512] { try compare(Signer(algorithm), repeats: 1000 / scale) }
try compare(Signer(.rs256, bits: 4096), repeats: 500 / scale)
try compare(Signer(.es256), repeats: 1000 / scale)
try compare(Signer(.es384), repeats: 100 / scale)
try compare(Signer(.es512), repeats: 100 / scale)
try compare(Signer(.edDSA), repeats: 500 / scale)
try compare(Signer(.edDSA, is448: true), repeats: 100 / scale)
