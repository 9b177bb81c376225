// How many lines failed handshakes may write.

import Testing
@testable import UringGateway

@Suite struct HandshakeFailuresTests {
    @Test func oneLineASecondForEachReason() {
        var failures = HandshakeFailures()
        #expect(failures.admit(0, at: 7) == 0)
        for _ in 0..<1000 { #expect(failures.admit(0, at: 7) == nil) }
        // Another reason is not hidden by that.
        #expect(failures.admit(16, at: 7) == 0)
        #expect(failures.admit(16, at: 7) == nil)
        #expect(failures.admit(0, at: 8) == 1000)
        #expect(failures.admit(0, at: 8) == nil)
        #expect(failures.admit(16, at: 90) == 1)
        #expect(failures.admit(0, at: 91) == 1)
        #expect(failures.admit(0, at: 92) == 0)
    }
}
