// AdminContext: what the administration's pages know: whether the server is ready, who may ask, and the gateway itself once it runs. Set by the thread that starts
// and reloads the gateway, read by the administration's loop.

internal import Synchronization
internal import UringBase
internal import UringJWT
package import UringServer

/// What `/readyz` says. Set by the thread that starts and stops the server, read by the administration's loop.
package final class Readiness: Sendable {
    package enum Phase: UInt8, Sendable { case starting, serving, draining }

    private let phase = Atomic<UInt8>(Phase.starting.rawValue)

    package init() {}

    package var current: Phase {
        get { Phase(rawValue: phase.load(ordering: .acquiring)) ?? .starting }
        set { phase.store(newValue.rawValue, ordering: .releasing) }
    }
}

package final class AdminContext: Sendable {
    private struct State {
        var tokens: [Secret] = []
        /// The gateway owns the administration's server, which owns this.
        weak var gateway: Gateway?
        var redis: [RedisServer] = []
    }

    package let readiness: Readiness
    private let state = Locked(State())

    package init(_ readiness: Readiness) { self.readiness = readiness }

    /// nil until it serves.
    package var gateway: Gateway? {
        get { state.withLock { $0.gateway } }
        set { state.withLock { $0.gateway = newValue } }
    }

    /// Empty: whoever reaches the address may.
    package var tokens: [Secret] {
        get { state.withLock { $0.tokens } }
        set { state.withLock { $0.tokens = newValue } }
    }

    /// Those that /readyz tells of: the gateway goes on without them.
    var redis: [RedisServer] {
        get { state.withLock { $0.redis } }
        set { state.withLock { $0.redis = newValue } }
    }

    /// What a request shows of who it is from.
    package enum Admission: Sendable { case granted, missing, wrong }

    /// Whether a request carries one of the tokens.
    package func admits(_ request: borrowing Request) -> Admission {
        let tokens = tokens
        if tokens.isEmpty { return .granted }
        guard let value = request.headers["authorization"] else { return .missing }
        // SAFETY: the request's bytes, during this call.
        return unsafe value.span.withUnsafeBufferPointer { bytes -> Admission in
            switch unsafe BearerCredentials.find(bytes) {
            case .absent: return .missing
            case .malformed: return .wrong
            case .token(let range):
                let given = unsafe Array(bytes[range])
                var isOne = false
                // All of them, so that the time does not tell which one was nearly right.
                for token in tokens { isOne = Self.isEqual(token.bytes, given) || isOne }
                return isOne ? .granted : .wrong
            }
        }
    }

    /// In a time that depends on the length of what was given alone.
    static func isEqual(_ token: [UInt8], _ given: [UInt8]) -> Bool {
        guard !token.isEmpty else { return false }
        var difference = token.count ^ given.count
        for index in given.indices { difference |= Int(token[index % token.count] ^ given[index]) }
        return difference == 0
    }
}
