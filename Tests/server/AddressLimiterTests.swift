// The limit of connections per address: counting, the limit itself, who is exempt.

import Testing
import UringRing

@testable import UringServer

@Suite struct AddressLimiterTests {
    private func v4(_ text: String) throws -> SocketAddress { try SocketAddress.parse("\(text):1000").get() }
    private func v6(_ text: String) throws -> SocketAddress { try SocketAddress.parse("[\(text)]:1000").get() }

    @Test func anAddressMeetsItsLimitAndGetsRoomBack() throws {
        let limiter = AddressLimiter(limit: 3)
        let address = try v4("192.0.2.1")
        let first = try #require(limiter.enter(address))
        for _ in 0..<2 { #expect(limiter.enter(address) != nil) }
        #expect(limiter.enter(address) == nil)
        #expect(limiter.enter(address) == nil)  // a refusal leaves no trace
        limiter.leave(first)
        #expect(limiter.enter(address) != nil)
        #expect(limiter.enter(address) == nil)
    }

    @Test func portsOfAnAddressCountTogetherOtherAddressesApart() throws {
        let limiter = AddressLimiter(limit: 1)
        #expect(limiter.enter(try SocketAddress.parse("192.0.2.1:1").get()) != nil)
        #expect(limiter.enter(try SocketAddress.parse("192.0.2.1:2").get()) == nil)
        // Two of 50 sharing both counters has a chance of about 1 in 4 million.
        for host in 2...50 { #expect(limiter.enter(try v4("192.0.2.\(host)")) != nil) }
    }

    @Test func anIPv6PeerIsItsPrefixAndAMappedAddressIsIPv4() throws {
        let limiter = AddressLimiter(limit: 1)
        #expect(limiter.enter(try v6("2001:db8:1:1::1")) != nil)
        #expect(limiter.enter(try v6("2001:db8:1:1::2")) == nil)
        #expect(limiter.enter(try v6("2001:db8:1:2::1")) != nil)
        #expect(limiter.enter(try v6("::ffff:192.0.2.1")) != nil)
        #expect(limiter.enter(try v6("::ffff:192.0.2.2")) != nil)
    }

    @Test func theLimitCanBeChanged() throws {
        let limiter = AddressLimiter(limit: 1)
        let address = try v4("192.0.2.9")
        #expect(limiter.enter(address) != nil)
        limiter.limit = 2
        #expect(limiter.enter(address) != nil)
        #expect(limiter.enter(address) == nil)
    }

    @Test(arguments: ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "unix:/tmp/x"])
    func thisMachineIsExempt(_ text: String) throws { #expect(try SocketAddress.parse(text).get().isLocal) }

    @Test(arguments: ["128.0.0.1:1", "10.0.0.1:1", "[::2]:1", "[2001:db8::1]:1", "[::ffff:10.0.0.1]:1"])
    func othersAreNot(_ text: String) throws { #expect(try !SocketAddress.parse(text).get().isLocal) }
}
