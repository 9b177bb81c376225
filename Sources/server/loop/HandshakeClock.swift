// HandshakeClock: where the time of one TLS handshake goes, from the ends of each call that works on it. The loop's thread.
//
// The loop measures and not TLS, for it has the kernel's counter (a simulation has another), and both ends of every call: what lies between the calls is the
// client's time.

/// Ticks in, phases out. One that was never begun costs its holder a comparison.
struct HandshakeClock {
    private var began: UInt64 = 0
    private var flightBegan: UInt64 = 0
    private var flight: UInt64 = 0
    private var computing: UInt64 = 0

    /// Somebody looks at this handshake.
    private(set) var isRunning = false

    /// The client's first bytes are there.
    mutating func begin(at now: UInt64) { (isRunning, began) = (true, now) }

    /// A call worked on the handshake. What `wroteFlight` says last is our flight: a HelloRetryRequest before it belongs to the hello.
    mutating func step(from start: UInt64, to end: UInt64, wroteFlight: Bool) {
        computing &+= Self.span(start, end)
        if wroteFlight { (flightBegan, flight) = (start, Self.span(start, end)) }
    }

    /// What it comes to when the handshake ends now. All 0 when nobody looked from its beginning.
    func phases(endingAt now: UInt64, nanoseconds: (UInt64) -> UInt64) -> HandshakePhases {
        guard isRunning else { return HandshakePhases() }
        var phases = HandshakePhases()
        if flightBegan != 0 { phases.helloNs = nanoseconds(Self.span(began, flightBegan)) }
        phases.flightNs = nanoseconds(flight)
        phases.totalNs = nanoseconds(Self.span(began, now))
        phases.computingNs = min(nanoseconds(computing), phases.totalNs)
        phases.waitingNs = phases.totalNs &- phases.computingNs
        return phases
    }

    /// A thread that is not pinned may read another core's counter, which may be a little behind.
    private static func span(_ from: UInt64, _ to: UInt64) -> UInt64 { to > from ? to &- from : 0 }
}
