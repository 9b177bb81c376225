// Client certificates in the simulated world: asked for or not, good, of a wrong issuer, or missing, with every fault; and what handlers see of
// them. A failure prints its seed.

import CUringTLS
import Testing
import UringHTTP
import UringServer
import UringSimulation
import UringTLS

@Suite struct ClientCertificateSimulationTests {
    enum Mode: CaseIterable { case none, optional, required }
    private enum Sent: CaseIterable { case nothing, good, wrongIssuer }

    /// Answers with the subject.
    private static let handler = HandlerBox(handle: { request, response in
        guard let tls = request.tls else { return response.write("in clear") }
        response.write("<\(String(tls.clientSubject))>")
    })

    private struct Visit {
        let sent: Sent
        let version: ClientTLSOptions.Version
        let isHTTP2: Bool
        var session: ClientSession?
    }

    /// A client that has come, and what it came as.
    private struct Visitor {
        let visit: Visit
        let client: any CheckedClient
    }

    private let subject = "<CN=Anna\\, the client>"

    private func cause(_ mode: Mode, _ sent: Sent) -> TLSFailure.Cause? {
        switch (mode, sent) {
        case (.none, _), (_, .good), (.optional, .nothing): nil
        case (.required, .nothing): .certificateRequired
        // Its issuer bears the authority's name: it is the signature that is wrong.
        case (_, .wrongIssuer): .badCertificate
        }
    }

    private func exchanges(_ answer: String, _ count: Int) -> [Exchange] {
        (0..<count).map { number in
            Exchange(
                name: "subject \(number)", request: Array("GET /\(number) HTTP/1.1\r\nHost: a\r\n\r\n".utf8), status: 200, fields: [], body: Array(answer.utf8))
        }
    }

    private func come(_ simulation: Simulation, _ server: SimulatedServer, _ mode: Mode, _ visit: Visit, _ random: inout RandomSource) -> Visitor {
        var tls = ClientTLSOptions(version: visit.version, protocols: visit.isHTTP2 ? ["h2"] : [])
        tls.session = visit.session
        switch visit.sent {
        case .nothing: break
        case .good: tls.identity = SimulatedCertificate.client
        case .wrongIssuer: tls.identity = SimulatedCertificate.stranger
        }
        var options = ClientOptions()
        options.delayNs = 0...random.within(0...200_000)
        if random.chance(0.3) { options.serverSendBytes = random.within(200...2000) }
        let exchanges = exchanges(mode != .none && visit.sent == .good ? subject : "<>", random.within(1...5))
        guard visit.isHTTP2 else { return Visitor(visit: visit, client: TestClient(simulation, to: server.address, exchanges, .oneByOne, options, tls: tls)) }
        let source = RandomSource(seed: random.next())
        return Visitor(visit: visit, client: HTTP2TestClient(simulation, to: server.address, exchanges, options, source, tls: tls, resets: false))
    }

    private func judge(_ visitor: Visitor, _ mode: Mode) -> String? {
        let (visit, client) = (visitor.visit, visitor.client)
        let tls = client.wire.tls
        guard let cause = cause(mode, visit.sent) else {
            if let problem = client.problem { return "\(visit.sent): \(problem)" }
            if visit.session != nil, tls?.isResumed != true { return "\(visit.sent): not resumed" }
            return nil
        }
        if client.answered > 0 { return "\(visit.sent): answered" }
        // TLS 1.2 has no alert of its own for a certificate that is missing (RFC 8446 appendix B.2).
        let alerts: [Int32] = cause == .badCertificate ? [SSL_R_TLSV1_ALERT_DECRYPT_ERROR] : [SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE]
        guard case .failed(let reason) = tls?.end, alerts.contains(reason) else { return "\(visit.sent): ended with \(String(describing: tls?.end)), not an alert" }
        return nil
    }

    @Test(arguments: Mode.allCases, seeds(5)) func everyClient(_ mode: Mode, _ seed: UInt64) {
        var faults = FaultPlan.chaos
        faults.clockStep = 0
        let simulation = Simulation(seed: seed, faults: faults)
        var transport = ListenerTransport()
        var tls = SimulatedCertificate.configuration
        switch mode {
        case .none: break
        case .optional: tls.clientAuthentication = .optional(authorities: SimulatedCertificate.authority.authorities)
        case .required: tls.clientAuthentication = .required(authorities: SimulatedCertificate.authority.authorities)
        }
        transport.tls = tls
        let server = SimulatedServer(simulation, handler: Self.handler, transport: transport)
        var random = RandomSource(seed: seed &* 31)
        var visitors: [Visitor] = []
        for version in [ClientTLSOptions.Version.tls12, .tls13] {
            for sent in Sent.allCases {
                for isHTTP2 in [false, true] {
                    visitors.append(come(simulation, server, mode, Visit(sent: sent, version: version, isHTTP2: isHTTP2), &random))
                }
            }
        }
        server.run { visitors.allSatisfy { $0.client.isDone } }
        // Who was let in comes back: a resumed session knows its client, though no certificate is sent.
        let again = visitors.filter { cause(mode, $0.visit.sent) == nil }.map { visitor in
            var visit = visitor.visit
            visit.session = visitor.client.wire.tls?.sessions.last
            return come(simulation, server, mode, visit, &random)
        }
        server.run { again.allSatisfy { $0.client.isDone } }
        for problem in (visitors + again).compactMap({ judge($0, mode) }) { Issue.record("\(mode), seed \(seed): \(problem)") }
        #expect(again.allSatisfy { $0.visit.session != nil }, "seed \(seed)")
        let context = server.loops[0].tlsContext()
        for cause in [TLSFailure.Cause.certificateRequired, .badCertificate] {
            let expected = visitors.count { self.cause(mode, $0.visit.sent) == cause }
            #expect(context?.counters.failed(cause) == UInt64(expected), "\(mode), seed \(seed)")
        }
        server.stop()
        #expect(context?.sessionCount == 0)
        #expect(server.problems == [], "seed \(seed)")
        // The network calls them until the end.
        withExtendedLifetime((visitors, again)) {}
    }
}
