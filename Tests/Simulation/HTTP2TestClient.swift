// HTTP2TestClient: a well-behaved HTTP/2 client with a list of exchanges, several at once. It checks every response as it ends.

import CNGHTTP2
import UringRing
import UringSimulation

final class HTTP2TestClient: CheckedClient {
    let wire: ClientWire
    private let session: HTTP2Session
    private let simulation: Simulation
    private let exchanges: [Exchange]
    private let tolerance: TestClient.Tolerance
    private let streamsMax: Int
    private var random: RandomSource
    /// Which exchange a stream is.
    private var indexOf: [Int32: Int] = [:]
    /// Streams that are reset when so many bytes of their body have come.
    private var resetAfter: [Int32: Int] = [:]
    private var submitted = 0
    /// Exchanges that were refused and are tried again.
    private var again: [Int] = []
    private var refusals = 0
    private var changes = 0
    private var window: Int
    private var ended = 0
    private(set) var answered = 0
    private(set) var wasCut = false
    private(set) var problem: String?
    private var hasLeft = false
    private var flushes = false
    private var hasComplained = false
    private let resets: Bool
    private let refusalsMax: Int

    init(
        _ simulation: Simulation, to address: SocketAddress, _ exchanges: [Exchange], _ options: ClientOptions, _ random: RandomSource,
        tolerance: TestClient.Tolerance = .nothing, tls: ClientTLSOptions? = nil, resets: Bool = true, refusalsMax: Int = 0
    ) {
        var random = random
        (self.simulation, self.exchanges, self.tolerance) = (simulation, exchanges, tolerance)
        streamsMax = random.chance(0.2) ? 1 : random.within(2...20)
        window =
            switch random.below(4) {
            case 0: random.within(300...3000)
            case 1: random.within(10_000...200_000)
            default: 65_535
            }
        session = HTTP2Session(
            window: UInt32(window), connectionWindow: random.chance(0.3) ? Int32(random.within(66_000...400_000)) : nil,
            frameBytesMax: random.chance(0.3) ? UInt32(random.within(16_384...100_000)) : 16_384,
            tableBytes: random.chance(0.3) ? UInt32(random.within(0...8192)) : 4096)
        wire = ClientWire(simulation, to: address, options, tls: tls)
        self.random = random
        (self.resets, self.refusalsMax) = (resets, refusalsMax)
        let uploadsSlowly = self.random.chance(0.4)
        session.uploadBytes = { [unowned self] most in
            guard uploadsSlowly else { return most }
            return self.random.chance(0.1) ? 0 : self.random.within(1...most)
        }
        session.onUploadWaits = { [unowned self] stream in
            simulation.schedule(after: self.random.within(1000...2_000_000)) { [weak self] in
                guard let self, client.isOpen else { return }
                session.resumeUpload(stream)
                flush()
            }
        }
        session.onStream = { [unowned self] stream in changed(stream) }
        wire.onReceive = { [unowned self] in received() }
        submit()
        flush()
    }

    var isDone: Bool { problem != nil || wasCut || ended == exchanges.count }

    // MARK: requests

    private func submit() {
        while let index = again.last ?? (submitted < exchanges.count ? submitted : nil), indexOf.count < streamsMax, session.goAway == nil, problem == nil {
            let exchange = exchanges[index]
            let isUpload = exchange.hasBody
            let stream = session.request(fields(exchange), body: isUpload ? exchange.content : nil, trailers: exchange.requestTrailers)
            guard stream > 0 else { return }
            indexOf[stream] = index
            if again.popLast() == nil { submitted += 1 }
            if resets, random.chance(0.05) { resetAfter[stream] = random.below(3000) }
        }
    }

    /// The fields of an HTTP/1.1 head, as HTTP/2 has them.
    private func fields(_ exchange: Exchange) -> [(String, String)] {
        var lines = String(decoding: exchange.request.prefix { $0 != 0 }, as: UTF8.self).split(separator: "\r\n", omittingEmptySubsequences: false)[...]
        let parts = lines.removeFirst().split(separator: " ")
        var result = [(":method", String(parts[0])), (":scheme", wire.tls == nil ? "http" : "https"), (":authority", "sim.example"), (":path", String(parts[1]))]
        for line in lines.prefix(while: { !$0.isEmpty }) {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let name = line[..<colon].lowercased()
            if ["host", "connection", "transfer-encoding"].contains(name) { continue }
            if name == "content-length", random.chance(0.5) { continue }
            // Spaces around a value, which HTTP/1.1 takes off, are malformed here (RFC 9113 8.2.1).
            let value = line[line.index(after: colon)...].drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()
            result.append((name, String(value)))
        }
        return result
    }

    private func flush() {
        // The library is not re-entered from its own callbacks.
        guard !flushes else { return }
        flushes = true
        defer { flushes = false }
        while true {
            let bytes = session.output()
            if bytes.isEmpty { return }
            wire.send(bytes)
            // A stream that was reset has made room for another.
            submit()
        }
    }

    // MARK: responses

    private func received() {
        if problem == nil, !wasCut || client.isOpen {
            flushes = true
            session.receive(wire.received)
            flushes = false
            wire.consume(wire.received.count)
        }
        if let complaint = session.complaints.first, !hasComplained {
            hasComplained = true
            problem = complaint + (problem.map { "; \($0)" } ?? "")
        }
        guard problem == nil else { return }
        if !wire.isOpen, !isDone { judgeEnd() }
        guard client.isOpen else { return }
        if changes < 10, random.chance(0.04) {
            changes += 1
            if random.chance(0.5) {
                session.ping()
            } else {
                // Only ever larger: libnghttp2 1.52 takes what it has received itself for a violation when a smaller window comes into force.
                window += random.within(1...50_000)
                session.setWindow(UInt32(window))
            }
        }
        for (stream, bytes) in resetAfter.sorted(by: { $0.key < $1.key }) where session.streams[stream]?.body.count ?? 0 >= bytes && session.streams[stream]?.status ?? 0 > 0 {
            resetAfter[stream] = nil
            session.reset(stream)
        }
        submit()
        if isDone, !hasLeft {
            hasLeft = true
            if random.chance(0.3) { session.terminate() }
            flush()
            wire.leave()
        } else if session.goAway != nil, indexOf.isEmpty, !isDone {
            wasCut = true
        }
        flush()
    }

    private func changed(_ stream: Int32) {
        guard let seen = session.streams[stream], let code = seen.closedWith, let index = indexOf.removeValue(forKey: stream) else { return }
        session.forget(stream)
        if code == UInt32(NGHTTP2_REFUSED_STREAM.rawValue), session.goAway == nil, refusals < refusalsMax {
            // Sent before the server's limit was known.
            refusals += 1
            again.append(index)
            return
        }
        ended += 1
        guard problem == nil else { return }
        let exchange = exchanges[index]
        if resetAfter.removeValue(forKey: stream) == nil, code == UInt32(NGHTTP2_CANCEL.rawValue) { return }  // by us
        if tolerance == .closeBetween, session.goAway != nil, code == UInt32(NGHTTP2_REFUSED_STREAM.rawValue) {
            wasCut = true
            return
        }
        if tolerance == .breaks, code == UInt32(NGHTTP2_INTERNAL_ERROR.rawValue) || code == UInt32(NGHTTP2_REFUSED_STREAM.rawValue) { return }
        if let why = difference(seen, exchange) {
            problem = "'\(exchange.name)' (stream \(stream), \(index) of \(exchanges.count)), closed with \(code): \(why)"
            return
        }
        answered += 1
    }

    /// The connection ended before all was answered.
    private func judgeEnd() {
        let isTolerated =
            switch tolerance {
            case .nothing: false
            // Whatever the last GOAWAY left open must have been answered.
            case .closeBetween: client.sentIntoClosed || indexOf.isEmpty || client.state == .refused
            case .breaks: client.state == .reset
            }
        if isTolerated {
            wasCut = true
        } else {
            let open = indexOf.sorted { $0.key < $1.key }.map { "\($0.key) '\(exchanges[$0.value].name)' \(session.streams[$0.key]?.body.count ?? 0) bytes" }
            problem = "cut off: \(client.state), \(ended) of \(exchanges.count) ended, GOAWAY \(session.goAway.map { "\($0)" } ?? "none"), tls \(wire.tls?.end.map { "\($0)" } ?? ""), open: \(open)"
        }
    }

    private func difference(_ seen: HTTP2StreamSeen, _ expected: Exchange) -> String? {
        guard seen.closedWith == 0 else { return "not closed regularly, status \(seen.status), \(seen.body.count) bytes" }
        guard seen.status == expected.status else { return "status \(seen.status), not \(expected.status)" }
        guard seen.dates == 1 else { return "\(seen.dates) Date fields" }
        for field in expected.fields where !seen.fields.contains(field) { return "no '\(field)' in \(seen.fields)" }
        guard isSame(seen.body, expected.body) else {
            let same = zip(seen.body, expected.body).prefix { $0 == $1 }.count
            return "\(seen.body.count) bytes, not \(expected.body.count); equal up to \(same)"
        }
        guard seen.trailers == expected.trailers else { return "trailers \(seen.trailers)" }
        return nil
    }
}

extension Exchange {
    /// Its request has a body, if perhaps an empty one.
    var hasBody: Bool { !content.isEmpty || request.starts(with: Array("POST".utf8)) || request.starts(with: Array("PUT".utf8)) }
}
