// DashboardHistory: the last minutes of samples, so that whoever opens the dashboard sees what has just happened. Filled once a second by a thread of the gateway's, read by the administration's loop.

internal import UringBase

final class DashboardHistory: Sendable {
    /// Five minutes of seconds.
    static let samplesMax = 300
    /// Of all of them together. A sample has a few hundred bytes for each loop, route and upstream.
    static let bytesMax = 8 << 20

    private struct State {
        var samples: [[UInt8]] = []
        /// The number of the first; they count up from 1.
        var first: UInt64 = 1
        var bytes = 0
    }

    private let state = Locked(State())

    /// Adds a sample, and forgets the oldest.
    func append(_ sample: [UInt8]) {
        state.withLock { state in
            state.samples.append(sample)
            state.bytes += sample.count
            var drop = 0
            while state.samples.count - drop > Self.samplesMax || (state.bytes > Self.bytesMax && state.samples.count - drop > 1) {
                state.bytes -= state.samples[drop].count
                drop += 1
            }
            state.samples.removeFirst(drop)
            state.first += UInt64(drop)
        }
    }

    /// The oldest sample that comes after number `last`, and its number; nil when there is none yet.
    func next(after last: UInt64) -> (number: UInt64, sample: [UInt8])? {
        state.withLock { state in
            let number = max(last < .max ? last + 1 : last, state.first)
            guard let place = Int(exactly: number - state.first), place < state.samples.count else { return nil }
            return (number, state.samples[place])
        }
    }

    /// Number of the newest; 0: there is none.
    var last: UInt64 { state.withLock { $0.first + UInt64($0.samples.count) - 1 } }
}
