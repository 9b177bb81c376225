// ConcurrencyLimiter: how many requests at once an upstream can take, found out from its latency. One value per loop and upstream; sans-I/O. Option of an upstream: a fixed bound is the balancer's.

package struct ConcurrencySettings: Sendable, Equatable {
    /// What it begins with, and its bounds.
    package var initial: UInt32 = 20
    package var least: UInt32 = 4
    package var most: UInt32 = 1000
    /// Latencies are looked at once per window, ns, and when there are `samplesMin`.
    package var windowNs: UInt64 = 100_000_000
    package var samplesMin: Int = 10
    /// Latency may be above that without queue by this, per cent, before the limit falls: below it is noise.
    package var tolerancePercent: UInt32 = 25
    /// How often the latency without queue is measured anew, ns, ± 15 %.
    package var probeIntervalNs: UInt64 = 30_000_000_000

    package init() {}
}

/// How a request ended.
package enum ConcurrencyOutcome: UInt8, Sendable {
    /// Its latency counts.
    case answered
    /// The upstream says, or shows, that it has too much: 429, 503, a timeout, a refused connection.
    case overloaded
    /// Neither: its client left, it was repeated.
    case unknown
}

/// Envoy's gradient controller: limit ← limit · clamp(latency without queue · (1 + tolerance) / latency, ½, 1) + √limit, once per window. Where requests do not queue, the quotient is 1 and the limit
/// grows by its root, room for a small queue that shows whether more is possible; where they do, it falls in proportion. It settles where the queue is about as long as the root.
///
/// The latency without queue is the least median of a window, measured anew every `probeIntervalNs` by halving the limit for a moment; several loops probe at different times. Rejected: Netflix' Gradient2, which takes a long-term
/// mean for it: under an overload that lasts, the mean follows the latency and the limit grows without end. AIMD over a latency bound, which somebody would have to know for each upstream. Envoy's own probe goes down to
/// three requests, a hole that clients see.
///
/// Each loop has its own limit for its own part of the load: the limits' sum settles at the upstream's capacity with room of about √loops times the root.
package struct ConcurrencyLimiter: Sendable {
    private static var samplesMax: Int { 64 }

    package let settings: ConcurrencySettings
    package private(set) var inFlight: UInt32 = 0
    /// Requests that were refused.
    package private(set) var refused: UInt64 = 0
    /// The median latency without queue, ns; 0: not known yet.
    package private(set) var baseNs: UInt64 = 0
    private var exact: Double
    private var window: Window
    /// When the probe under way began; nil: none.
    private var probeBegan: UInt64?
    private var nextProbe: UInt64
    private var random: PolicyRandom

    private struct Window: Sendable {
        var end: UInt64
        /// The last ones of the window.
        var samples = InlineArray<64, UInt64>(repeating: 0)
        var count = 0
        var peak: UInt32 = 0
        var hasOverload = false
    }

    package init(_ settings: ConcurrencySettings, now: UInt64, random: inout PolicyRandom) {
        precondition(settings.least > 0 && settings.least <= settings.initial && settings.initial <= settings.most, "BUG: bounds of a limit out of order")
        precondition(settings.samplesMin > 0 && settings.samplesMin <= Self.samplesMax, "BUG: a window has 1 to 64 samples")
        self.settings = settings
        self.random = PolicyRandom(seed: random.next())
        exact = Double(settings.initial)
        window = Window(end: now.saturatingSum(settings.windowNs))
        nextProbe = .max
        nextProbe = jitteredProbe(after: now)
    }

    /// Requests that may be under way at once.
    package var limit: UInt32 { probeBegan == nil ? UInt32(exact) : max(UInt32(exact) / 2, settings.least) }

    package var isProbing: Bool { probeBegan != nil }

    /// Begins a request; false when there are enough.
    package mutating func acquire() -> Bool {
        guard inFlight < limit else {
            refused &+= 1
            window.peak = max(window.peak, inFlight)
            return false
        }
        inFlight &+= 1
        window.peak = max(window.peak, inFlight)
        return true
    }

    /// A request has ended.
    ///
    /// - Parameter latencyNs: from its beginning to the head of the response, ns.
    package mutating func release(_ outcome: ConcurrencyOutcome, latencyNs: UInt64, now: UInt64) {
        precondition(inFlight > 0, "BUG: more requests ended than began")
        inFlight &-= 1
        switch outcome {
        case .answered: take(latencyNs, now)
        case .overloaded: window.hasOverload = true
        case .unknown: break
        }
        if now >= window.end && (window.count >= settings.samplesMin || window.hasOverload) { adapt(now) }
    }

    private mutating func take(_ latencyNs: UInt64, _ now: UInt64) {
        // What began before the probe has waited in the queue that the probe does without.
        if let probeBegan, now < latencyNs || now - latencyNs < probeBegan { return }
        window.samples[window.count % Self.samplesMax] = max(latencyNs, 1)
        window.count &+= 1
    }

    // MARK: Once per window

    private mutating func adapt(_ now: UInt64) {
        if window.count >= settings.samplesMin { adapt(to: median(), now) }
        if window.hasOverload { set(exact * 0.9) }
        window = Window(end: now.saturatingSum(settings.windowNs), peak: inFlight)
    }

    private mutating func adapt(to latency: UInt64, _ now: UInt64) {
        if probeBegan != nil {
            probeBegan = nil
            baseNs = latency
            nextProbe = jitteredProbe(after: now)
            return
        }
        // Not half of the limit was used: there is no queue of ours, this is the latency without one, and nothing says that more would do.
        let isIdle = window.peak * 2 < limit
        if isIdle && now >= nextProbe {
            baseNs = latency
            nextProbe = jitteredProbe(after: now)
        }
        baseNs = baseNs == 0 ? latency : min(baseNs, latency)
        let quotient = Double(baseNs) * Double(100 + settings.tolerancePercent) / 100 / Double(latency)
        let next = exact * min(max(quotient, 0.5), 1) + exact.squareRoot()
        // Half of the way: medians of some ten samples are noisy.
        if next < exact || !isIdle { set((exact + next) / 2) }
        // At its least and still slow: the upstream has become slower by itself.
        let isStuck = quotient < 1 && UInt32(exact) <= settings.least + 2
        if !isIdle && (now >= nextProbe || isStuck) { probeBegan = now }
    }

    private mutating func set(_ value: Double) { exact = min(max(value, Double(settings.least)), Double(settings.most)) }

    private mutating func jitteredProbe(after now: UInt64) -> UInt64 {
        let interval = settings.probeIntervalNs
        return now.saturatingSum(interval - interval / 100 * 15).saturatingSum(random.below(interval / 100 * 30 + 1))
    }

    /// By insertion, in place: some 64 numbers ten times a second.
    private mutating func median() -> UInt64 {
        let count = min(window.count, Self.samplesMax)
        for index in 1..<max(count, 1) {
            let value = window.samples[index]
            var place = index
            while place > 0 && window.samples[place - 1] > value {
                window.samples[place] = window.samples[place - 1]
                place -= 1
            }
            window.samples[place] = value
        }
        return window.samples[count / 2]
    }
}
