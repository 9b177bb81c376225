// Counts of one context, in its memory: written by its sessions, read by its loop, no atomics.

/// What happened in a context since it was made. Monotonic.
package struct TLSCounters: Sendable {
    package internal(set) var started: UInt64 = 0
    /// Handshakes with key exchange and certificate.
    package internal(set) var full: UInt64 = 0
    /// TLS 1.2, resumed by a ticket.
    package internal(set) var ticket: UInt64 = 0
    /// TLS 1.2, resumed by a session id.
    package internal(set) var sessionID: UInt64 = 0
    /// TLS 1.3, resumed by a pre-shared key: a ticket, or with tickets off the session cache.
    package internal(set) var preSharedKey: UInt64 = 0
    /// Full handshakes of clients that offered to resume; part of `full`.
    package internal(set) var fallback: UInt64 = 0
    package internal(set) var tls12: UInt64 = 0
    package internal(set) var tls13: UInt64 = 0
    /// Handshakes whose connection ended before they did, without a failure that TLS could see.
    package internal(set) var abandoned: UInt64 = 0
    package internal(set) var ticketKeyRotations: UInt64 = 0

    /// Handshakes that failed, by `TLSFailure.Cause.rawValue`: a tuple would need a switch, an array a reference.
    private var failures = InlineArray<18, UInt64>(repeating: 0)

    package init() {}

    package func failed(_ cause: TLSFailure.Cause) -> UInt64 { failures[Int(cause.rawValue)] }
    package var failedTotal: UInt64 { TLSFailure.Cause.allCases.reduce(0) { $0 &+ failed($1) } }

    /// The sum of both.
    package mutating func add(_ other: TLSCounters) {
        started &+= other.started
        full &+= other.full
        ticket &+= other.ticket
        sessionID &+= other.sessionID
        preSharedKey &+= other.preSharedKey
        fallback &+= other.fallback
        tls12 &+= other.tls12
        tls13 &+= other.tls13
        abandoned &+= other.abandoned
        ticketKeyRotations &+= other.ticketKeyRotations
        for index in failures.indices { failures[index] &+= other.failures[index] }
    }

    mutating func count(_ failure: TLSFailure.Cause) { failures[Int(failure.rawValue)] &+= 1 }

    mutating func countFinished(_ resumption: TLSResumption, isTLS13: Bool, offeredResumption: Bool) {
        switch resumption {
        case .full: full &+= 1
        case .ticket: ticket &+= 1
        case .sessionID: sessionID &+= 1
        case .preSharedKey: preSharedKey &+= 1
        }
        if resumption == .full && offeredResumption { fallback &+= 1 }
        if isTLS13 { tls13 &+= 1 } else { tls12 &+= 1 }
    }
}

/// How a handshake came about.
package enum TLSResumption: UInt8, Sendable { case full, ticket, sessionID, preSharedKey }
