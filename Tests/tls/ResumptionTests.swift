// Tickets, session ids and pre-shared keys: with counters, across contexts, across time, and back to full handshakes.

import CUringTLS
import Testing
import UringTLS

private func options(_ version: CInt, _ session: TestSession? = nil, tickets: Bool = true) -> ClientOptions {
    var options = ClientOptions()
    options.minimumVersion = version
    options.maximumVersion = version
    options.session = session
    if !tickets { options.options = urtls_op_no_ticket }
    return options
}

/// A connection that has ended; its client keeps the sessions.
private func connect(_ context: TLSContext, _ options: ClientOptions) -> (client: TestClient, resumption: TLSResumption) {
    let pair = Pair(context, options)
    #expect(pair.handshake())
    _ = pair.client.read()
    return unsafe (pair.client, pair.session.resumption)
}

private let rotate: Int64 = 1000

private func fleet(_ seed: UInt8, at seconds: Int64) throws -> TLSContext {
    var configuration = try TLSConfiguration.selfSigned(nowSeconds: now)
    configuration.sessionTickets = .derived(secret: secret(Array(repeating: seed, count: 32)), rotateSeconds: rotate)
    return try TLSContext(configuration, nowSeconds: seconds)
}

@Suite struct ResumptionTests {
    @Test func ticketsOfTLS12() throws {
        let context = try TLSContext.make()
        let first = connect(context, options(TLS1_2_VERSION))
        #expect(first.client.sessions.count == 1)
        #expect(connect(context, options(TLS1_2_VERSION, first.client.sessions[0])).resumption == .ticket)
        #expect(context.counters.full == 1 && context.counters.ticket == 1 && context.counters.fallback == 0 && context.counters.tls12 == 2)
    }

    @Test func sessionIDsOfTLS12() throws {
        let cache = TLSSessionCache()
        let contexts = try (0..<2).map { _ in try TLSContext.make { $0.sessionCache = cache } }
        let first = connect(contexts[0], options(TLS1_2_VERSION, tickets: false))
        #expect(cache.usage.sessions == 1)
        // The other loop knows it too.
        for context in contexts {
            #expect(connect(context, options(TLS1_2_VERSION, first.client.sessions[0], tickets: false)).resumption == .sessionID)
            #expect(context.counters.sessionID == 1)
        }
        // Its time is over.
        contexts[0].update(nowSeconds: now + cache.lifetimeSeconds)
        #expect(connect(contexts[0], options(TLS1_2_VERSION, first.client.sessions[0], tickets: false)).resumption == .full)
    }

    @Test func preSharedKeysOfTLS13() throws {
        let context = try TLSContext.make()
        let first = connect(context, options(TLS1_3_VERSION))
        #expect(first.client.sessions.count == 2)
        let second = connect(context, options(TLS1_3_VERSION, first.client.sessions[1]))
        #expect(second.resumption == .preSharedKey && second.client.sessions.count == 1)
        #expect(context.counters.preSharedKey == 1 && context.counters.full == 1 && context.counters.tls13 == 2)
    }

    @Test func ticketsOffUsesTheCache() throws {
        let context = try TLSContext.make { $0.sessionTickets = .off }
        let old = connect(context, options(TLS1_2_VERSION))
        #expect(connect(context, options(TLS1_2_VERSION, old.client.sessions[0])).resumption == .sessionID)
        let new = connect(context, options(TLS1_3_VERSION))
        #expect(connect(context, options(TLS1_3_VERSION, new.client.sessions[0])).resumption == .preSharedKey)
    }

    @Test func nothingIsGivenOutWithoutTicketsAndCache() throws {
        let context = try TLSContext.make {
            $0.sessionTickets = .off
            $0.sessionCache = nil
        }
        #expect(connect(context, options(TLS1_3_VERSION)).client.sessions.isEmpty)
        #expect(connect(context, options(TLS1_2_VERSION)).resumption == .full)
    }

    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func aFleetSharesASecret(version: CInt) throws {
        let first = connect(try fleet(1, at: 5 * rotate), options(version))
        let session = first.client.sessions[0]
        let resumed: TLSResumption = version == TLS1_3_VERSION ? .preSharedKey : .ticket
        // Same time, a clock one epoch behind, a clock one epoch ahead; then too far, and another secret.
        for (seed, epoch, expected) in [(1, 5, resumed), (1, 4, resumed), (1, 6, resumed), (1, 3, .full), (1, 7, .full), (2, 5, .full)] {
            let context = try fleet(UInt8(seed), at: Int64(epoch) * rotate)
            #expect(connect(context, options(version, session)).resumption == expected, "secret \(seed), epoch \(epoch)")
            #expect(context.counters.fallback == (expected == .full ? 1 : 0))
        }
    }

    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func keysRotateWithTime(version: CInt) throws {
        let context = try fleet(1, at: 10 * rotate)
        let first = connect(context, options(version))
        context.update(nowSeconds: 10 * rotate + rotate - 1)
        #expect(context.counters.ticketKeyRotations == 0)
        context.update(nowSeconds: 11 * rotate)
        #expect(context.counters.ticketKeyRotations == 1)
        // The previous key still opens, and the client gets a new ticket.
        let second = connect(context, options(version, first.client.sessions[0]))
        #expect(second.resumption != .full)
        // By then the client holds a ticket of the new key.
        let renewed = version == TLS1_3_VERSION ? second.client.sessions[0] : second.client.currentSession!
        #expect(renewed.ticket != first.client.sessions[0].ticket)
        context.update(nowSeconds: 12 * rotate)
        #expect(connect(context, options(version, first.client.sessions[0])).resumption == .full)
        #expect(connect(context, options(version, renewed)).resumption != .full)
    }

    @Test(arguments: [48, 80])
    func keyFilesAsNginxHasThem(count: Int) throws {
        let old = TicketKey(secret(.sample(count, seed: 1)))!
        let new = TicketKey(secret(.sample(count, seed: 2)))!
        #expect(TicketKey(secret(.sample(47))) == nil)
        func context(_ keys: [TicketKey]) throws -> TLSContext { try TLSContext.make { $0.sessionTickets = .keys(keys, lifetimeSeconds: 3600) } }
        for version in [TLS1_2_VERSION, TLS1_3_VERSION] {
            let first = connect(try context([old]), options(version))
            #expect(connect(try context([new, old]), options(version, first.client.sessions[0])).resumption != .full)
            #expect(connect(try context([new]), options(version, first.client.sessions[0])).resumption == .full)
        }
    }

    @Test func aChangedTicketFallsBack() throws {
        let context = try TLSContext.make()
        let first = connect(context, options(TLS1_2_VERSION))
        // The ticket is changed in the hello.
        let pair = Pair(context, options(TLS1_2_VERSION, first.client.sessions[0]))
        _ = pair.client.handshake()
        let hello = pair.client.takeOutgoing()
        let wanted = first.client.sessions[0].ticket
        let at = hello.indices.first { hello[$0...].starts(with: wanted) }!
        var changed = hello
        changed[at + wanted.count - 1] ^= 1
        // The server goes on with a full handshake, that is with its certificate.
        #expect(pair.handshakeStep(changed) == .more)
        #expect(pair.sent.count > 500)
    }

    @Test func theCacheIsBounded() throws {
        let cache = TLSSessionCache(bytesMax: 16 * 4096)
        let context = try TLSContext.make { $0.sessionCache = cache }
        for _ in 0..<300 { _ = connect(context, options(TLS1_2_VERSION, tickets: false)) }
        #expect(cache.usage.bytes <= 16 * 4096)
        #expect(cache.usage.sessions > 16)
    }

    @Test func anOtherClientAuthenticationIsAnotherContext() throws {
        let authority = try TLSAuthorities.load(pem: Array(TestIdentity("ca", isAuthority: true).certificatePEM.utf8), name: "ca")
        let tickets = SessionTickets.generated()
        let open = try TLSContext.make { $0.sessionTickets = tickets }
        let closed = try TLSContext.make {
            $0.sessionTickets = tickets
            $0.clientAuthentication = .optional(authorities: authority)
        }
        let first = connect(open, options(TLS1_3_VERSION))
        #expect(connect(closed, options(TLS1_3_VERSION, first.client.sessions[0])).resumption == .full)
    }
}
