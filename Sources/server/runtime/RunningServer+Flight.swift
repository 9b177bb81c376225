// The flight recorders of a server's loops, read. Any thread; no loop is asked or held up, so that one that is stuck can be looked at too.

internal import UringBase

extension RunningServer {
    /// What each loop's recorder has now; empty when `ServerOptions.flightRecorderEvents` is 0. Any thread, handlers too. It takes some milliseconds for each 10,000 events.
    public func flightRecords() -> [FlightRecord] {
        threads.enumerated().compactMap { loop, thread in
            guard let recorder = thread.recorder else { return nil }
            let words = recorder.copy()
            return FlightRecord(loop: loop, written: recorder.written, events: FlightWords.events(words, loop: loop, clock: recorder.clock()))
        }
    }

    /// Events that all loops ever wrote.
    package var flightEventsWritten: UInt64 { threads.reduce(0) { $0 &+ ($1.recorder?.written ?? 0) } }
}
