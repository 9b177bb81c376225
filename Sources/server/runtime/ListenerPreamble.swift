// ListenerPreamble: what connections of a listener begin with, before TLS and HTTP: a proxy's word on who its client is. How that is written is its maker's business; this
// layer keeps the bytes until it is whole. Called on loops' threads, by several at once.

// Safe: the bytes that `read` is given are its caller's, and are kept by nobody.
@safe
package struct ListenerPreamble: Sendable {
    package enum Outcome: Sendable, Equatable {
        case needMore
        /// It is `length` bytes long. `client` is whom it names; nil: who has connected speaks for itself.
        case complete(length: Int, client: RequestPeer?)
        case malformed
    }

    /// Why a connection is not taken.
    package enum Refusal: Sendable, CaseIterable {
        /// It comes from somebody who may not speak for others.
        case untrusted
        case malformed
        /// It ended, or the time for its first bytes, before the preamble was whole.
        case incomplete
    }

    /// Longer ones are malformed, whatever `read` says: the most that a stranger can make a loop keep.
    package static let bytesMax = 4096

    /// Whether a peer may say who its client is; others are reset at once.
    package var admits: @Sendable (RequestPeer) -> Bool
    /// Reads what has come so far, which is readable during the call.
    package var read: @Sendable (UnsafeBufferPointer<UInt8>) -> Outcome
    /// Told of each connection that is not taken, and who made it.
    package var refused: @Sendable (Refusal, RequestPeer) -> Void

    package init(
        admits: @escaping @Sendable (RequestPeer) -> Bool, read: @escaping @Sendable (UnsafeBufferPointer<UInt8>) -> Outcome,
        refused: @escaping @Sendable (Refusal, RequestPeer) -> Void
    ) {
        self.admits = admits
        unsafe self.read = unsafe read
        self.refused = refused
    }
}
