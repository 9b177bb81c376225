// Handshakes of a real client as the hook and the figures have them: full, resumed in every way, fallen back, failed, left.

import Glibc
import TestSupport
import Testing
import UringBase
import UringServer

@Suite(.timeLimit(.minutes(3))) struct HandshakeRecordTests {
    /// One loop with two listeners, whose tickets are of no use to each other; the second gives out none.
    private final class Watched {
        /// Secrets and stores of sessions belong to the address as it is written.
        static let addresses = ["127.0.0.1:0", "127.0.0.2:0"]
        let server: RunningServer
        let endpoints: [Endpoint]
        let reports = Reports()
        private let records: Records
        private let directory: String

        init() throws {
            let records = Records()
            var application = Application { _, response in response.write("hello") }
            application.observeHandshake = { records.add($0) }
            application.reporter = reports
            let listeners = zip(Self.addresses, [TLSOptions.SessionTickets.Keys.generated, .off]).map { address, keys in
                var tls = TLSOptions.selfSigned(["localhost"])
                tls.sessionTickets = .init(keys)
                return Listener(address, tls: tls)
            }
            var options = ServerOptions()
            options.loops = .count(1)
            options.deferAccept = false
            server = try Server(listeners: listeners, options: options, application: application).start()
            endpoints = try server.addresses.map { try #require(Endpoint(line: "listening on https://\($0)")) }
            self.records = records
            directory = "/tmp/uring-handshakes-\(getpid())-\(UInt64.random(in: 0 ... .max))"
            _ = unsafe mkdir(directory, 0o700)
        }

        deinit {
            server.stop(within: .seconds(20))
            _ = unsafe unlink(session)
            _ = unsafe rmdir(directory)
        }

        var session: String { directory + "/session" }

        /// Does something that makes one handshake, and answers its record.
        func record(_ body: () throws -> Void) throws -> HandshakeRecord {
            let before = records.count
            try body()
            return try #require(records.next(after: before))
        }

        /// `openssl s_client` with a request; the record of its handshake.
        func ask(_ options: String, listener: Int = 0) throws -> HandshakeRecord {
            try record {
                let request = "GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n"
                let client = try ServerProcess(
                    ["-c", "printf '\(request)' | timeout 20 openssl s_client -connect \(endpoints[listener]) -ign_eof \(options) 2>&1"], listeners: 0,
                    binary: "/bin/sh")
                try client.waitForExit()
            }
        }
    }

    private final class Records: Sendable {
        private let all = Locked<[HandshakeRecord]>([])
        var count: Int { all.withLock { $0.count } }
        func add(_ record: HandshakeRecord) { all.withLock { $0.append(record) } }

        /// What a loop does in its own time after a client's process: nil when nothing came within 20 s.
        func next(after count: Int) -> HandshakeRecord? {
            let deadline = ContinuousClock.now + .seconds(20)
            while ContinuousClock.now < deadline {
                if let record = all.withLock({ $0.count > count ? $0[count] : nil }) { return record }
                sched_yield()
            }
            return nil
        }
    }

    /// What holds for every handshake that was completed.
    private func expectComplete(_ record: HandshakeRecord, _ result: HandshakeResult, _ version: String, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(record.result == result && record.version == version, sourceLocation: sourceLocation)
        let phases = record.phases
        #expect(phases.flightNs > 0 && phases.flightNs <= phases.computingNs, "\(phases)", sourceLocation: sourceLocation)
        #expect(phases.computingNs + phases.waitingNs == phases.totalNs, "\(phases)", sourceLocation: sourceLocation)
        #expect(phases.helloNs <= phases.waitingNs + phases.computingNs && phases.waitingNs > 0, "\(phases)", sourceLocation: sourceLocation)
        #expect(record.bytesReceived > 100 && record.bytesSent > 100, sourceLocation: sourceLocation)
        #expect(record.peer.hasPrefix("127.0.0.1:") && record.connectionID > 0 && record.loop == 0, sourceLocation: sourceLocation)
    }

    @Test func everyKind() throws {
        let watched = try Watched()
        let full = try watched.ask("-tls1_3 -alpn http/1.1 -servername a.example -sess_out \(watched.session)")
        expectComplete(full, .full, "TLSv1.3")
        #expect(full.listener == watched.server.addresses[0] && full.cipher?.hasPrefix("TLS_") == true)
        #expect(full.applicationProtocol == "http/1.1" && full.serverName == "a.example")
        expectComplete(try watched.ask("-tls1_3 -sess_in \(watched.session)"), .preSharedKey, "TLSv1.3")
        expectComplete(try watched.ask("-tls1_3 -sess_in \(watched.session)", listener: 1), .fallback, "TLSv1.3")

        expectComplete(try watched.ask("-tls1_2 -sess_out \(watched.session)"), .full, "TLSv1.2")
        let ticket = try watched.ask("-tls1_2 -sess_in \(watched.session)")
        expectComplete(ticket, .ticket, "TLSv1.2")
        #expect(ticket.cipher?.hasPrefix("ECDHE-") == true && ticket.applicationProtocol.isEmpty)

        expectComplete(try watched.ask("-tls1_2 -no_ticket -sess_out \(watched.session)"), .full, "TLSv1.2")
        expectComplete(try watched.ask("-tls1_2 -no_ticket -sess_in \(watched.session)"), .sessionID, "TLSv1.2")
        expectComplete(try watched.ask("-tls1_2 -no_ticket -sess_in \(watched.session)", listener: 1), .fallback, "TLSv1.2")

        let sums = try #require(watched.server.snapshots().first?.handshakes)
        #expect(sums.started == 8 && sums.full == 5 && sums.fallback == 2)
        #expect(sums.ticket == 1 && sums.sessionID == 1 && sums.preSharedKey == 1)
        #expect(sums.tls12 == 5 && sums.tls13 == 3 && sums.failed == 0 && sums.abandoned == 0)
        #expect(watched.reports.all == [])
    }

    @Test func failures() throws {
        let watched = try Watched()
        func failure(_ record: HandshakeRecord) -> HandshakeFailure? {
            guard case .failed(let failure) = record.result else { return nil }
            return failure
        }
        let plain = try watched.record {
            let client = try RawClient(watched.endpoints[0])
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readFinalResponse(toHead: false).status == 400)
        }
        #expect(failure(plain)?.reason == "plain-http" && plain.version == nil && plain.cipher == nil)
        #expect(plain.phases.flightNs == 0 && plain.phases.totalNs > 0)
        let old = try watched.ask("-tls1_1 -cipher DEFAULT@SECLEVEL=0")
        #expect(failure(old)?.reason == "unsupported-version")
        // The client knows no authority of the certificate, and says so.
        let alert = try watched.ask("-tls1_3 -verify_return_error -verify 1")
        #expect(failure(alert)?.reason == "alert-received" && failure(alert)?.alert == 48)
        #expect(alert.version == "TLSv1.3" && alert.phases.flightNs > 0)
        let protocols = try watched.ask("-alpn foo")
        #expect(failure(protocols)?.reason == "no-application-protocol")
        let left = try watched.record {
            let client = try RawClient(watched.endpoints[0])
            try client.send([0x16, 3, 1, 1, 0] as [UInt8])
            client.finishSending()
            _ = try client.readToEnd()
        }
        #expect(left.result == .abandoned && left.bytesReceived == 5 && left.bytesSent == 0)

        let sums = try #require(watched.server.snapshots().first?.handshakes)
        #expect(sums.started == 5 && sums.failed == 4 && sums.abandoned == 1 && sums.full == 0)
        let reasons = Dictionary(uniqueKeysWithValues: sums.failures.map { ($0.reason, $0.count) })
        #expect(reasons == ["plain-http": 1, "unsupported-version": 1, "alert-received": 1, "no-application-protocol": 1])
        let reports = watched.reports.all
        #expect(reports.count == 4 && reports.allSatisfy { $0.hasPrefix("handshake ") && $0.contains(" 127.0.0.1:") })
        #expect(reports.first?.hasPrefix("handshake plain-http") == true)
    }

    /// A reload brings another context: the counts go on.
    @Test func countsOutliveAContext() throws {
        let watched = try Watched()
        _ = try watched.ask("-tls1_2")
        // The text they were opened by: so they keep their sockets.
        let listeners = Watched.addresses.map { Listener($0, tls: .selfSigned(["other"])) }
        var options = ServerOptions()
        options.loops = .count(1)
        _ = try watched.server.reload(listeners: listeners, options: options, application: Application { _, response in response.write("again") })
        let client = try ServerProcess(
            ["-c", "timeout 20 openssl s_client -connect \(watched.endpoints[0]) </dev/null 2>&1"], listeners: 0, binary: "/bin/sh")
        try client.waitForExit()
        #expect(client.output.contains("CN = other"))
        #expect(try #require(watched.server.snapshots().first?.handshakes).full == 2)
        watched.server.stop(within: .seconds(20))
        #expect(watched.server.lastFigures.map(\.handshakes.full) == [2])
    }
}
