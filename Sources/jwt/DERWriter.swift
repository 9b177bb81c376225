// Enough DER (X.690) to say a public key or an ECDSA signature. The keys' side is called at load time, the signature's on the request path.

enum DERWriter {
    // MARK: SubjectPublicKeyInfo from the members of a JWK

    /// RFC 3279 2.3.1: modulus and exponent, big-endian.
    static func rsa(modulus: [UInt8], exponent: [UInt8]) -> [UInt8] {
        let key = element(0x30, element(0x02, unsigned(modulus)) + element(0x02, unsigned(exponent)))
        // rsaEncryption, NULL.
        let algorithm: [UInt8] = [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00]
        return element(0x30, algorithm + element(0x03, [0] + key))
    }

    /// RFC 5480 2: an uncompressed point; `x` and `y` have the full length of the curve's field.
    static func ec(_ kind: JWTKeyKind, x: [UInt8], y: [UInt8]) -> [UInt8] {
        let curve: [UInt8]
        switch kind {
        case .p384: curve = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22]
        case .p521: curve = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23]
        default: curve = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]
        }
        let ecPublicKey: [UInt8] = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]
        return element(0x30, element(0x30, ecPublicKey + curve) + element(0x03, [0, 4] + x + y))
    }

    /// RFC 8410 4.
    static func edwards(_ kind: JWTKeyKind, _ point: [UInt8]) -> [UInt8] {
        element(0x30, [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, kind == .ed448 ? 0x71 : 0x70] + element(0x03, [0] + point))
    }

    private static func element(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        var length: [UInt8] = [UInt8(truncatingIfNeeded: content.count)]
        if content.count > 0x7f { length = [0x81] + length }
        if content.count > 0xff { length = [0x82, UInt8(truncatingIfNeeded: content.count >> 8)] + length.suffix(1) }
        return [tag] + length + content
    }

    private static func unsigned(_ bytes: [UInt8]) -> [UInt8] {
        let significant = Array(bytes.drop { $0 == 0 })
        return (significant.first ?? 0x80) & 0x80 != 0 ? [0] + significant : significant
    }

    // MARK: ECDSA-Sig-Value from r and s of a token

    /// A sequence of two integers of 66 bytes, each with a leading zero.
    static let signatureBytesMax = 3 + 2 * (2 + 1 + 66)

    /// Writes r‖s, each of `half` bytes, as OpenSSL takes it; answers the length. `out` has room for `signatureBytesMax`.
    static func signature(_ raw: UnsafePointer<UInt8>, half: Int, to out: UnsafeMutablePointer<UInt8>) -> Int {
        // The caller's memory during this call: 2 * half bytes, apart from `out`.
        let r = unsafe leadingZeros(raw, half)
        let s = unsafe leadingZeros(raw + half, half)
        let content = unsafe integerBytes(raw, half, r) &+ integerBytes(raw + half, half, s)
        var to = unsafe out
        unsafe to[0] = 0x30
        if content > 0x7f {
            unsafe to[1] = 0x81
            unsafe to += 1
        }
        unsafe to[1] = UInt8(truncatingIfNeeded: content)
        unsafe to += 2
        unsafe integer(raw, half, r, &to)
        unsafe integer(raw + half, half, s, &to)
        return unsafe to - out
    }

    /// At most half - 1: zero keeps one byte.
    private static func leadingZeros(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        var zeros = 0
        while zeros < count &- 1, unsafe bytes[zeros] == 0 { zeros &+= 1 }
        return zeros
    }

    private static func integerBytes(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ zeros: Int) -> Int {
        unsafe 2 &+ count &- zeros &+ Int(bytes[zeros] >> 7)
    }

    private static func integer(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ zeros: Int, _ to: inout UnsafeMutablePointer<UInt8>) {
        let sign = unsafe Int(bytes[zeros] >> 7)
        unsafe to[0] = 0x02
        unsafe to[1] = UInt8(truncatingIfNeeded: count &- zeros &+ sign)
        if sign > 0 { unsafe to[2] = 0 }
        unsafe (to + 2 + sign).update(from: bytes + zeros, count: count &- zeros)
        unsafe to += 2 &+ sign &+ count &- zeros
    }
}
