// LoopRandom: a generator of random numbers for each loop. Each is used on its loop's thread only; made when an application is. Not for secrets.

internal import UringPolicy

@safe
final class LoopRandom: Sendable {
    /// One cache line each.
    private static let stride = 8

    private let loops: Int
    /// Freed in deinit, when no loop reaches this object any more.
    nonisolated(unsafe) private let generators: UnsafeMutablePointer<PolicyRandom>

    init(loops: Int) {
        self.loops = loops
        unsafe generators = .allocate(capacity: loops * Self.stride)
        for index in 0..<loops * Self.stride { unsafe (generators + index).initialize(to: PolicyRandom(seed: .random(in: .min ... .max))) }
    }

    deinit { unsafe generators.deallocate() }

    /// On the loop's thread.
    func with<Result>(_ loop: Int, _ body: (inout PolicyRandom) -> Result) -> Result {
        precondition(loop < loops, "BUG: a loop that the gateway did not start")
        return body(&(unsafe generators[loop * Self.stride]))
    }
}
