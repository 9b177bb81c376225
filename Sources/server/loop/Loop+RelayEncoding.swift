// Content that another server makes and this one encodes: pieces go through the encoder as they come, and what it holds at the end of a turn leaves then, so that a client has what the server
// has sent without a flush for each piece. The loop's thread.

internal import UringBase
internal import UringHTTP

/// The encoder of one response, begun. Ends it when nobody has it any more, however the response ended.
final class RelayEncoder {
    fileprivate let encoder: any ContentEncoder
    /// It has taken bytes that the client does not have.
    fileprivate var holds = false
    fileprivate var isListed = false

    init(_ encoder: any ContentEncoder) { self.encoder = encoder }
    deinit { encoder.end() }
}

extension Loop {
    /// Encodes a piece, and queues what comes of it.
    /// - Returns: false when the stream is lost: the response cannot be completed.
    func encodeRelayed(
        _ encoder: RelayEncoder, _ connection: UnsafeMutablePointer<Connection>, _ exchange: Exchange, _ bytes: UnsafePointer<UInt8>?, _ count: Int, _ piece: ContentPiece
    ) -> Bool {
        // The loop's buffer for producers' pieces: none is at work while something is relayed.
        unsafe scratch.pointee.count = 0
        guard unsafe encoder.encoder.encode(UnsafeBufferPointer(start: bytes, count: count), piece, into: &scratch.pointee) else { return false }
        encoder.holds = piece == .part
        if piece == .part, !encoder.isListed {
            encoder.isListed = true
            unsafe state.pointee.hasWork = true
            unsafe state.pointee.heldRelays.append(connection.pointee.handle)
        }
        return unsafe queuePiece(connection, exchange, scratch.pointee.base, scratch.pointee.count)
    }

    /// At the end of a turn.
    func flushHeldRelays() {
        guard unsafe !state.pointee.heldRelays.isEmpty else { return }
        let handles = unsafe state.pointee.heldRelays
        unsafe state.pointee.heldRelays.removeAll(keepingCapacity: true)
        for handle in handles {
            guard let connection = unsafe connections.pointee.pointer(handle), unsafe !connection.pointee.flags.contains(.closing),
                let exchange = unsafe connection.pointee.exchange?.takeUnretainedValue(), let encoder = exchange.relayEncoder
            else { continue }
            encoder.isListed = false
            guard encoder.holds, unsafe !encodeRelayed(encoder, connection, exchange, nil, 0, .pause), let responder = exchange.responder else { continue }
            unsafe lost(responder, connection)
        }
    }
}
