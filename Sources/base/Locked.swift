// Locked: a value that threads take turns at. Whoever shares the value owns it; any thread.

internal import Synchronization

/// `Mutex`, visible to ThreadSanitizer. Swift's Mutex is a priority-inheriting futex on Linux: a contended one is passed by the kernel from one
/// thread to the next without an atomic operation in the process, so that the sanitizer sees two threads at one value and nothing between
/// them. Here each turn begins by reading an atomic that the turn before has written: two plain instructions on x86-64, and no false report.
///
/// Not for the request path, where nothing is shared.
package struct Locked<Value: ~Copyable>: ~Copyable {
    private let mutex: Mutex<Value>
    private let turns = Atomic<UInt8>(0)

    package init(_ value: consuming sending Value) { mutex = Mutex(value) }

    /// Waits for its turn, then runs `body` with the value. Not within itself: that thread would wait for ever.
    package borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        try mutex.withLock { value throws(Failure) in
            _ = turns.load(ordering: .acquiring)
            defer { turns.store(0, ordering: .releasing) }
            return try body(&value)
        }
    }

    /// Runs `body` if nobody holds the lock, and does not wait. Nil: somebody does.
    package borrowing func withLockIfAvailable<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result? {
        try mutex.withLockIfAvailable { value throws(Failure) in
            _ = turns.load(ordering: .acquiring)
            defer { turns.store(0, ordering: .releasing) }
            return try body(&value)
        }
    }
}

// Sound as Mutex is: one thread at a time reaches the value, which came in as `sending`.
extension Locked: @unchecked Sendable where Value: ~Copyable {}
