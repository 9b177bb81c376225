// RefusalCounters: requests that filters of routes did not let pass, by filter and reason. Each loop has words of its own, which it alone writes and anybody reads: being refused must stay cheap when many
// are. Outlives reloads.

internal import Synchronization

@safe
final class RefusalCounters: Sendable {
    enum Reason: Int, CaseIterable {
        /// 401.
        case unauthorized
        /// 403.
        case forbidden
        /// There are too many of them.
        case limited
        /// 503: what is needed to judge is not there.
        case unavailable
        /// A breaker is open; another route's answer included.
        case open
        case other

        init(_ kind: RouteFilterKind, status: UInt16) {
            self =
                switch (kind, status) {
                case (.rateLimitByAddress, _), (.rateLimitByClaim, _), (.surge, _): .limited
                case (.breaker, _): .open
                case (_, 401): .unauthorized
                case (_, 403): .forbidden
                case (_, 503): .unavailable
                default: .other
                }
        }
    }

    /// Whole lines of the cache.
    private static var wordsPerLoop: Int { (RouteFilterKind.allCases.count * Reason.allCases.count + 15) / 16 * 16 }

    private let loops: Int
    // Allocated in init, freed in deinit, never moved.
    nonisolated(unsafe) private let words: UnsafeMutablePointer<Atomic<UInt64>>

    init(loops: Int) {
        self.loops = loops
        let count = loops * Self.wordsPerLoop
        unsafe words = UnsafeMutableRawPointer.allocate(byteCount: count * 8, alignment: 128).bindMemory(to: Atomic<UInt64>.self, capacity: count)
        for index in 0..<count { unsafe (words + index).initialize(to: Atomic(0)) }
    }

    deinit {
        unsafe words.deinitialize(count: loops * Self.wordsPerLoop)
        unsafe UnsafeMutableRawPointer(words).deallocate()
    }

    private func place(_ kind: Int, _ reason: Reason, _ loop: Int) -> Int { loop * Self.wordsPerLoop + kind * Reason.allCases.count + reason.rawValue }

    /// On the loop's thread.
    func count(_ kind: RouteFilterKind, status: UInt16, loop: Int) {
        guard loop < loops, let number = RouteFilterKind.allCases.firstIndex(of: kind) else { return }
        let index = place(number, Reason(kind, status: status), loop)
        // By the only writer of the word.
        unsafe words[index].store(words[index].load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    }

    /// Those that there were. Any thread.
    var figures: [RefusalFigure] {
        var figures: [RefusalFigure] = []
        for (number, kind) in RouteFilterKind.allCases.enumerated() {
            for reason in Reason.allCases {
                let count = (0..<loops).reduce(UInt64(0)) { $0 &+ (unsafe words[place(number, reason, $1)].load(ordering: .relaxed)) }
                guard count > 0 else { continue }
                // Rate limits are two kinds, and one key.
                let name = kind.rawValue.prefix { $0 != " " }
                if let known = figures.firstIndex(where: { $0.filter == name && $0.reason == "\(reason)" }) { figures[known].count += count } else {
                    figures.append(RefusalFigure(filter: String(name), reason: "\(reason)", count: count))
                }
            }
        }
        return figures
    }
}

/// What filters have refused.
package struct RefusalFigure: Sendable, Equatable {
    /// The key of the route.
    package let filter: String
    package let reason: String
    package var count: UInt64
}
