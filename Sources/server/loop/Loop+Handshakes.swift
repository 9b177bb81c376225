// Handshakes as others see them: probes, the application's hook, the reporter. Called at their beginning and end by Loop+TLS; the loop's thread.
//
// Nobody looks, nearly always: then a handshake costs a few tests more, and no clock is read. The counts are kept by TLS itself (TLSCounters).
//
// Pointers: as in Loop+TLS.swift.

internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringRing
internal import UringTLS

extension Loop {
    /// The first `count` bytes of a connection with TLS are there.
    func handshakeBegan(_ connection: UnsafeMutablePointer<Connection>, _ tls: UnsafeMutablePointer<TLSTransport>, _ count: Int) {
        if ur_probe_tls_start() { unsafe ur_fire_tls_start(connection.pointee.id, UInt64(count), kernel.now()) }
        if unsafe state.pointee.observesHandshakes || ur_probe_tls_handshake() || tracesHandshake(connection) { unsafe tls.pointee.clock.begin(at: kernel.ticks()) }
        if unsafe connection.pointee.trace != nil { unsafe traceHandshakeBegan(connection) }
    }

    /// When a call that works on the handshake begins; 0 when nobody looks.
    func handshakeTicks(_ tls: UnsafeMutablePointer<TLSTransport>) -> UInt64 { unsafe tls.pointee.clock.isRunning ? kernel.ticks() : 0 }

    /// The call that began at `start` has ended.
    func handshakeStepped(_ connection: UnsafeMutablePointer<Connection>, _ tls: UnsafeMutablePointer<TLSTransport>, from start: UInt64, wroteFlight: Bool) {
        if wroteFlight, unsafe connection.pointee.trace != nil { unsafe traceHandshakeFlight(connection) }
        guard unsafe tls.pointee.clock.isRunning else { return }
        unsafe tls.pointee.clock.step(from: start, to: kernel.ticks(), wroteFlight: wroteFlight)
    }

    /// The handshake is complete, or has failed, or its connection has ended; once for each.
    func handshakeEnded(_ connection: UnsafeMutablePointer<Connection>, _ tls: UnsafeMutablePointer<TLSTransport>) {
        if unsafe flight != nil { unsafe note(.handshake, connection: connection.pointee.id, value: UInt64(Self.result(of: tls.pointee.session).probeNumber)) }
        if unsafe ur_probe_tls_handshake() || state.pointee.observesHandshakes || tracesHandshake(connection) { unsafe tellHandshake(connection, tls) }
        if let failure = unsafe tls.pointee.session.failure { unsafe tellFailure(connection, failure) }
    }

    @inline(never)
    private func tellHandshake(_ connection: UnsafeMutablePointer<Connection>, _ tls: UnsafeMutablePointer<TLSTransport>) {
        let session = unsafe tls.pointee.session
        let phases = unsafe tls.pointee.clock.phases(endingAt: kernel.ticks()) { kernel.nanoseconds(ticks: $0) }
        let result = unsafe Self.result(of: session)
        // "(NONE)" as long as none is agreed on.
        let cipher = unsafe session.cipherName.flatMap { unsafe $0[0] == 0x28 ? nil : $0 }
        if ur_probe_tls_handshake() {
            let version = unsafe cipher == nil ? 0 : UInt32(session.version.rawValue)
            unsafe ur_fire_tls_handshake(
                connection.pointee.id, version << 8 | result.probeNumber, phases.helloNs, phases.flightNs, phases.computingNs, phases.totalNs)
        }
        guard unsafe state.pointee.observesHandshakes || tracesHandshake(connection) else { return }
        let version = unsafe cipher == nil ? nil : session.version == .tls13 ? "TLSv1.3" : "TLSv1.2"
        let chosen = unsafe session.applicationProtocol
        let record = unsafe HandshakeRecord(
            result: result, connectionID: connection.pointee.id, loop: index,
            listener: state.pointee.listeners[Int(connection.pointee.listener)].listener.address.description, peer: peerText(connection),
            version: version, cipher: cipher.map { unsafe String(cString: $0) },
            applicationProtocol: String(decoding: chosen, as: UTF8.self), serverName: session.serverName.map { unsafe String(cString: $0) } ?? "",
            phases: phases, bytesReceived: session.bytesIn, bytesSent: session.bytesOut)
        unsafe state.pointee.handler._withUnsafeGuaranteedRef { $0.observeHandshake?(record) }
        unsafe traceHandshakeEnded(connection, record)
    }

    @inline(never)
    private func tellFailure(_ connection: UnsafeMutablePointer<Connection>, _ failure: TLSFailure) {
        if ur_probe_tls_failed() {
            unsafe ur_fire_tls_failed(connection.pointee.id, UInt32(failure.cause.rawValue), UInt32(failure.alert ?? 0), kernel.now())
        }
        unsafe state.pointee.reporter?.handshakeFailed(HandshakeFailure(failure), peer: peerText(connection))
    }

    private static func result(of session: TLSSession) -> HandshakeResult {
        if let failure = unsafe session.failure { return .failed(HandshakeFailure(failure)) }
        guard unsafe session.isEstablished else { return .abandoned }
        return switch unsafe session.resumption {
        case .full: unsafe session.offeredResumption ? .fallback : .full
        case .ticket: .ticket
        case .sessionID: .sessionID
        case .preSharedKey: .preSharedKey
        }
    }

    /// Empty when the client has left, or the descriptor is somebody else's already.
    private func peerText(_ connection: UnsafeMutablePointer<Connection>) -> String {
        guard unsafe !connection.pointee.flags.contains(.descriptorClosed) else { return "" }
        return unsafe peerAddress(connection)?.description ?? ""
    }
}

extension HandshakeResult {
    /// As the probe `tls_handshake` tells it.
    var probeNumber: UInt32 {
        switch self {
        case .full: 0
        case .fallback: 1
        case .ticket: 2
        case .sessionID: 3
        case .preSharedKey: 4
        case .failed: 5
        case .abandoned: 6
        }
    }
}

// MARK: counts

/// TLS handshakes of one loop since its start.
public struct LoopHandshakes: Sendable {
    /// Connections that began TLS. `full`, `ticket`, `sessionID`, `preSharedKey`, `failed`, `abandoned` and those under way add up to it.
    public internal(set) var started: UInt64 = 0
    /// With key exchange and certificate.
    public internal(set) var full: UInt64 = 0
    /// Resumed by a TLS 1.2 ticket, a TLS 1.2 session id, a TLS 1.3 pre-shared key.
    public internal(set) var ticket: UInt64 = 0
    /// Resumed by session id.
    public internal(set) var sessionID: UInt64 = 0
    /// Resumed by TLS 1.3's pre-shared key.
    public internal(set) var preSharedKey: UInt64 = 0
    /// Of the full ones: those whose client offered to resume.
    public internal(set) var fallback: UInt64 = 0
    /// Complete ones by version.
    public internal(set) var tls12: UInt64 = 0
    /// Finished with TLS 1.3.
    public internal(set) var tls13: UInt64 = 0
    /// Handshakes that failed.
    public internal(set) var failed: UInt64 = 0
    /// The failed ones by `HandshakeFailure.reason`, those that happened.
    public internal(set) var failures: [(reason: String, count: UInt64)] = []
    /// Ended by their connection before they were complete.
    public internal(set) var abandoned: UInt64 = 0

    init(_ counters: TLSCounters) {
        (started, full, ticket, sessionID) = (counters.started, counters.full, counters.ticket, counters.sessionID)
        (preSharedKey, fallback, tls12, tls13) = (counters.preSharedKey, counters.fallback, counters.tls12, counters.tls13)
        (failed, abandoned) = (counters.failedTotal, counters.abandoned)
        failures = TLSFailure.Cause.allCases.map { ($0.label, counters.failed($0)) }.filter { $0.1 > 0 }
    }
}

extension Loop {
    /// Of every context that there was.
    var handshakes: LoopHandshakes {
        var sum = unsafe state.pointee.formerContexts.counters
        for listener in unsafe state.pointee.listeners { if let context = listener.context { sum.add(context.counters) } }
        return LoopHandshakes(sum)
    }
}

/// Contexts that a reload replaced: counted as long as connections still begin or end handshakes with them.
struct FormerContexts {
    private var ended = TLSCounters()
    private var contexts: [TLSContext] = []

    mutating func append(_ context: TLSContext) {
        contexts.append(context)
        settle()
    }

    /// Forgets those without sessions, but not their counts.
    mutating func settle() {
        // Nearly always: walking even an empty array costs a reference count.
        guard !contexts.isEmpty else { return }
        for context in contexts where context.sessionCount == 0 { ended.add(context.counters) }
        contexts.removeAll { $0.sessionCount == 0 }
    }

    var counters: TLSCounters { contexts.reduce(into: ended) { $0.add($1.counters) } }
}
