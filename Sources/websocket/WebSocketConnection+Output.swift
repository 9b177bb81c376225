// Frames that the caller sends (RFC 6455 5.2, 5.4): heads into its memory, in front of content that it writes itself. See WebSocketConnection.swift.

extension WebSocketConnection {
    /// Writes the head of a message in one frame; `count` bytes of content follow. Answers its length, `WebSocketFrame.headBytes(count)`; 0 when nothing
    /// may be sent: Close was said, or a fragmented message is under way. The content of text is UTF-8; that is the caller's business.
    @inline(__always)
    package mutating func writeMessageHead(_ kind: WebSocketMessageKind, count: Int, into out: UnsafeMutablePointer<UInt8>) -> Int {
        precondition(count >= 0, "BUG: content of negative length")
        guard phase == .open, outgoing == .none else { return 0 }
        // Caller's memory: room for the head, for this call.
        return unsafe WebSocketFrame.writeHead(WebSocketBits.final | kind.rawValue, count: count, to: out)
    }

    /// Writes the head of the next frame of a message in fragments, whose first one begins it; `count` bytes of content follow. Answers as
    /// `writeMessageHead`; 0 also when the message under way is compressed.
    package mutating func writeFragmentHead(
        _ kind: WebSocketMessageKind, count: Int, isLast: Bool, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        precondition(count >= 0, "BUG: content of negative length")
        guard phase == .open, outgoing != .compressed else { return 0 }
        let opcode = outgoing == .none ? kind.rawValue : WebSocketOpcode.continuation
        outgoing = isLast ? .none : .plain
        // Caller's memory: room for the head, for this call.
        return unsafe WebSocketFrame.writeHead((isLast ? WebSocketBits.final : 0) | opcode, count: count, to: out)
    }

    /// Whether a message in fragments is under way, and another cannot begin.
    package var isSendingFragments: Bool { outgoing != .none }
}
