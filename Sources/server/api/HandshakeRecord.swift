// HandshakeRecord: a TLS handshake that has ended, for trace hooks. Made by the loop when somebody asked for it; plain values, any thread.

internal import UringTLS

/// How a handshake came out.
public enum HandshakeResult: Sendable, Equatable {
    /// With key exchange and certificate; the client had nothing to resume.
    case full
    /// The same, although the client offered to resume: its ticket or session is unknown here, or too old.
    case fallback
    /// Resumed: TLS 1.2 by a ticket, TLS 1.2 by a session id, TLS 1.3 by a pre-shared key (a ticket, mostly).
    case ticket, sessionID, preSharedKey
    /// It failed, for this reason.
    case failed(HandshakeFailure)
    /// The connection ended first: closed by the client, or its time was up.
    case abandoned
}

/// Why a handshake failed.
public struct HandshakeFailure: Sendable, Equatable, CustomStringConvertible {
    private let failure: TLSFailure

    init(_ failure: TLSFailure) { self.failure = failure }

    /// A fixed word, as counters have it: `plain-http`, `no-shared-cipher`, …. docs/operators/tls.md has the list and what each asks for.
    public var reason: String { failure.cause.label }
    /// The same as a number, as the probe `tls_failed` has it: 0…16.
    public var number: Int { Int(failure.cause.rawValue) }
    /// The alert that the client gave up with (RFC 8446 section 6); nil when it sent none.
    public var alert: UInt8? { failure.alert }
    /// Nothing the client did: memory, or OpenSSL itself.
    public var isInternal: Bool { failure.cause == .internalError }
    /// The reason, and OpenSSL's words where it has some.
    public var description: String { failure.description }

    /// Every reason, at its number.
    package static let reasons = TLSFailure.Cause.allCases.map(\.label)
}

/// What a handshake's time went to, in nanoseconds of a clock that never jumps. It begins with the client's first bytes; from accept to there the connection
/// costs nothing.
public struct HandshakePhases: Sendable, Equatable {
    /// From the first bytes to the call that made our flight: the rest of a ClientHello that came in pieces, and the round trip of a HelloRetryRequest.
    /// Below a µs for a client that sends its hello at once.
    public internal(set) var helloNs: UInt64 = 0
    /// The call that made our flight: key exchange, certificate and signature, or what resumption takes instead. 0 when it ended before.
    public internal(set) var flightNs: UInt64 = 0
    /// All our work, the flight and the end of the handshake included.
    public internal(set) var computingNs: UInt64 = 0
    /// All the rest: for the client and the network, and for this loop while it served others.
    public internal(set) var waitingNs: UInt64 = 0
    /// From the first bytes to the end. `computingNs` and `waitingNs` add up to it.
    public internal(set) var totalNs: UInt64 = 0
}

/// A handshake that has ended.
public struct HandshakeRecord: Sendable {
    /// How it ended.
    public let result: HandshakeResult
    /// As `Request.connectionID`, and as the probes have it.
    public let connectionID: UInt64
    /// The number of the loop, from 0.
    public let loop: Int
    /// The address that was listened on.
    public let listener: String
    /// The client's address, as `Request.remoteAddress`; empty when it has left meanwhile.
    public let peer: String
    /// `TLSv1.2` or `TLSv1.3`; nil when it ended before one was agreed on.
    public let version: String?
    /// The cipher suite's name as OpenSSL gives it; nil when none was agreed on.
    public let cipher: String?
    /// What ALPN chose, `h2` or `http/1.1`; empty when the client did not ask.
    public let applicationProtocol: String
    /// The server name that the client asked for, as it wrote it; empty when it named none.
    public let serverName: String
    /// How long each phase took.
    public let phases: HandshakePhases
    /// Bytes of TLS that the client sent for it, records and alerts included.
    public let bytesReceived: UInt64
    /// Bytes that the server sent for it.
    public let bytesSent: UInt64
}
