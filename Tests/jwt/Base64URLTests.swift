// base64url: one text for each byte string.

import Testing
@testable import UringJWT

@Suite struct Base64URLTests {
    private func decode(_ text: String) -> [UInt8]? {
        let bytes = Array(text.utf8)
        return unsafe bytes.withUnsafeBufferPointer { unsafe Base64URL.decode($0) }
    }

    @Test(arguments: ["", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"])
    func vectorsOfTheRFC(text: String) {
        let expected = "foobar".prefix(text.count * 3 / 4)
        #expect(decode(text) == Array(expected.utf8))
    }

    @Test func everyLengthAndValueComesBack() {
        var random = SystemRandomNumberGenerator()
        for count in 0..<200 {
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
            #expect(decode(base64URL(bytes)) == bytes)
        }
    }

    /// Padding, white space, the other alphabet, bytes above 127, and lengths that no encoding has.
    @Test(arguments: ["Zg=", "Zg==", "Zm8=", "Zm 9v", "Zm9v\n", "+/+/", "Zm9v ", "A", "AAAAA", "AAAA=AAA", ".", "Zm9.", "Zmé", "Zm9v\0"])
    func refuses(text: String) {
        #expect(decode(text) == nil)
    }

    /// Of two and three characters, some bits belong to no byte.
    @Test func trailingBitsMustBeZero() {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
        for (value, last) in alphabet.enumerated() {
            #expect((decode("A\(last)") != nil) == (value & 0xf == 0))
            #expect((decode("AA\(last)") != nil) == (value & 0x3 == 0))
        }
    }

    @Test func everyByteThatIsNoCharacterIsRefused() {
        let alphabet = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        for byte in UInt8.min...UInt8.max {
            for place in 0..<8 {
                var text = Array("AAAAAAAA".utf8)
                text[place] = byte
                let decoded = unsafe text.withUnsafeBufferPointer { unsafe Base64URL.decode($0) }
                #expect((decoded != nil) == alphabet.contains(byte))
            }
        }
    }
}
