// Client certificates: none, optional, required, against good, foreign, expired and missing ones; OCSP stapling.

import CUringTLS
import Testing
import UringTLS

private enum Sent: CaseIterable { case nothing, good, foreign, expired }

private enum Mode: CaseIterable { case none, optional, required }

@Suite struct ClientAuthenticationTests {
    private let authority = TestIdentity("clients", isAuthority: true)
    private let foreign = TestIdentity("others", isAuthority: true)

    private func context(_ mode: Mode) throws -> TLSContext {
        let authorities = try TLSAuthorities.load(pem: Array(authority.certificatePEM.utf8), name: "ca")
        return try TLSContext.make {
            switch mode {
            case .none: break
            case .optional: $0.clientAuthentication = .optional(authorities: authorities)
            case .required: $0.clientAuthentication = .required(authorities: authorities)
            }
        }
    }

    private func identity(_ sent: Sent) -> TestIdentity? {
        switch sent {
        case .nothing: nil
        case .good: TestIdentity("Jörg, \"the\" client\n", issuer: authority)
        case .foreign: TestIdentity("stranger", issuer: foreign)
        case .expired: TestIdentity("late", issuer: authority, days: -10 ... -1)
        }
    }

    private func expected(_ mode: Mode, _ sent: Sent) -> TLSFailure.Cause? {
        switch (mode, sent) {
        case (.none, _), (_, .good), (.optional, .nothing): nil
        case (.required, .nothing): .certificateRequired
        case (_, .foreign): .unknownAuthority
        case (_, .expired): .certificateExpired
        }
    }

    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func everyModeWithEveryCertificate(version: CInt) throws {
        for mode in Mode.allCases {
            for sent in Sent.allCases {
                let context = try context(mode)
                var options = ClientOptions()
                options.minimumVersion = version
                options.maximumVersion = version
                let identity = identity(sent)
                options.certificate = identity
                let pair = Pair(context, options)
                let done = pair.handshake()
                let cause = expected(mode, sent)
                #expect(pair.failure?.cause == cause, "\(mode) \(sent)")
                #expect(done == (cause == nil), "\(mode) \(sent)")
                let isKnown = mode != .none && sent == .good
                #expect(unsafe pair.session.hasClientCertificate == isKnown)
                #expect(unsafe pair.session.clientSubject == (isKnown ? #"CN=J\C3\B6rg\, \"the\" client\0A"# : nil))
                #expect(unsafe pair.session.clientPEM == (isKnown ? identity?.certificatePEM : nil))
                #expect(unsafe (pair.session.clientFingerprint != nil) == isKnown)
                if let cause { #expect(context.counters.failed(cause) == 1) }
            }
        }
    }

    @Test func aResumedSessionKnowsItsClient() throws {
        for version in [TLS1_2_VERSION, TLS1_3_VERSION] {
            let context = try context(.required)
            var options = ClientOptions()
            options.minimumVersion = version
            options.maximumVersion = version
            options.certificate = identity(.good)
            let first = Pair(context, options)
            #expect(first.handshake())
            _ = first.client.read()
            options.session = first.client.sessions[0]
            let second = Pair(context, options)
            #expect(second.handshake())
            #expect(unsafe second.session.resumption != .full)
            #expect(unsafe second.session.clientSubject == first.session.clientSubject)
        }
    }

    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION], [true, false])
    func stapling(version: CInt, asks: Bool) throws {
        let response: [UInt8] = .sample(300)
        var certificate = try TestIdentity("a", names: ["a.example"]).loaded()
        certificate.ocspResponse = response
        let context = try TLSContext(TLSConfiguration(certificates: [certificate]), nowSeconds: now)
        var options = ClientOptions()
        options.minimumVersion = version
        options.maximumVersion = version
        options.asksForStatus = asks
        let pair = Pair(context, options)
        #expect(pair.handshake())
        var bytes: UnsafePointer<UInt8>?
        let count = unsafe urtls_get_ocsp_response(pair.client.ssl, &bytes)
        #expect(unsafe (count > 0 ? Array(UnsafeBufferPointer(start: bytes, count: count)) : []) == (asks ? response : []))
    }
}
