// Operation: what a completion belongs to, packed into the 64 bits that the kernel hands back. Used by whoever submits.

package import UringBase

/// The kinds of operation that the server submits. The kind decides who looks at the completion.
@frozen
package enum OperationKind: UInt8, Sendable {
    case accept = 1
    case receive
    case send
    case close
    /// A close whose link was lost and which was therefore not carried out.
    case closeDropped
    case poll
    case open
    case read
    case cancel
    /// Posted by another loop or by the control thread (IORING_OP_MSG_RING).
    case message
    /// A send whose success posts nothing. Its failure is looked up before completions are worked off, by when a `send` of the same
    /// connection may be under way: the kind keeps the two apart.
    case batchSend
    /// An operation that a task waits for.
    case task
}

/// User data of an operation: kind (8 bits), generation (24 bits), slot index (32 bits). A completion whose generation is not
/// its slot's is stale and is dropped: what it named has been closed and its descriptor may already be somebody else's.
@frozen
package struct Operation: Equatable, Sendable {
    package let raw: UInt64

    @inlinable
    package init(raw: UInt64) { self.raw = raw }

    @inlinable
    package init(_ kind: OperationKind, _ handle: Handle) {
        raw = UInt64(kind.rawValue) << 56 | UInt64(handle.generation) << 32 | UInt64(handle.index)
    }

    /// nil for bits that this process never put there.
    @inlinable
    package var kind: OperationKind? { OperationKind(rawValue: UInt8(truncatingIfNeeded: raw >> 56)) }

    @inlinable
    package var handle: Handle {
        Handle(index: UInt32(truncatingIfNeeded: raw), generation: UInt32(truncatingIfNeeded: raw >> 32) & 0xFF_FFFF)
    }
}
