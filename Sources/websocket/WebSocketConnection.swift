// The server's side of a WebSocket (RFC 6455) after its handshake: bytes in, events and bytes out. It has no socket and no clock, and does not know
// what carries it: a connection of HTTP/1.1 with or without TLS, or a stream of HTTP/2 (RFC 8441). Called by a connection of a loop, on the loop's
// thread only.
//
//             input                                  the caller                                    output
//   bytes ──▶ next ──▶ data, ping, pong, close ──▶  handler  ──▶ writeMessageHead, writeFragmentHead, writeDeflated ──▶ bytes into caller's memory
//               │                               ◀── close, ping
//               └────▶ control output (PONG, PING, Close) ──▶ takeControl
//
//                 close()                    the client's Close
//   open ─────────────────────▶ closing ─────────────────────────┐
//     │  the client's Close: ours is put in the control output   ▼
//     ├──────────────────────────────────────────────────────▶ closed
//     │  a rule is broken: Close with its code
//     └──────────────────────────────────────────────────────▶ failed
//
// Payload is unmasked in place and not copied; compressed messages are inflated into memory of the loop (`WebSocketCompression`). An idle
// connection owns no memory but this value, unless context takeover was agreed upon.
//
// +Input: frame heads. +Payload, +Inflation: messages. +Control: PING, PONG, Close. +Output, +Deflation: what the caller sends. WebSocketKeepAlive: silent clients.

/// One WebSocket, for a fixed place behind a pointer.
@safe package struct WebSocketConnection: ~Copyable {
    /// How far the connection has come.
    enum Phase: Equatable {
        case open
        /// Our Close was said first; the client's is awaited.
        case closing
        /// Both were said.
        case closed
        case failed(WebSocketCloseCode)
    }

    package let limits: WebSocketLimits
    /// What the handshake agreed upon.
    package let deflate: WebSocketDeflateParameters
    /// The loop's, which outlives its connections; nil when nothing is compressed.
    let compression: UnsafeMutablePointer<WebSocketCompression>?

    var phase = Phase.open
    /// Of the last call of `next`.
    var now: UInt64
    /// When our Close was put into the control output.
    var closeSaidAt: UInt64 = 0

    var progress = FrameProgress()
    var message = IncomingMessage()
    var utf8 = UTF8Validator()
    var inflater = ZState.none

    var outgoing = OutgoingMessage.none
    var deflater = ZState.none

    var control = ControlFrames()
    var budget: WebSocketBudget
    var pings = WebSocketPings()

    /// A connection whose handshake has been answered. `deflate` is what `WebSocketAgreement` says; `compression` has to be there when it is on, and
    /// has to outlive the connection.
    package init(
        limits: WebSocketLimits, deflate: WebSocketDeflateParameters = .off, compression: UnsafeMutablePointer<WebSocketCompression>? = nil, now: UInt64
    ) {
        if deflate.isOn, unsafe compression == nil { preconditionFailure("BUG: compression was agreed upon and nobody can inflate") }
        self.limits = limits
        self.deflate = deflate
        unsafe self.compression = compression
        self.now = now
        budget = WebSocketBudget(now: now)
    }

    deinit {
        // Lent by the loop's compression, which outlives its connections.
        if let compression = unsafe compression {
            if let state = unsafe inflater.state { unsafe compression.pointee.giveBackInflater(state) }
            if let state = unsafe deflater.state { unsafe compression.pointee.giveBackDeflater(state) }
        }
    }

    // MARK: questions

    /// Whether messages can be sent: nobody has said Close.
    @inline(__always) package var isOpen: Bool { phase == .open }

    /// Whether all is said and has been taken: send what was taken, and close. The server closes first (7.1.1), so that it is not the client who
    /// waits for the last segment.
    package var isOver: Bool {
        switch phase {
        case .open, .closing: false
        case .closed, .failed: control.count == 0
        }
    }

    /// Whether zlib's memory is held for this connection between two calls.
    package var holdsCompressionState: Bool { unsafe inflater.state != nil || deflater.state != nil }
}

/// A frame whose payload is used up as it arrives.
struct FrameProgress {
    /// Payload that is still to come or to be inflated.
    var remaining = 0
    /// The key for its first byte, lowest.
    var mask: UInt32 = 0
    /// Bytes at the front of the next input that have no mask any more: inflation stopped in front of them because its room was full.
    var clear = 0
    /// FIN: the message ends with this frame.
    var isFinal = false
    /// Bytes of the marker at a compressed message's end (RFC 7692 7.2.2) that inflation has not read.
    var marker: UInt8 = 0
    /// Inflation has filled its room, and may have more to say.
    var isInflating = false

    @inline(__always) var isUnderWay: Bool { remaining != 0 || isInflating }
}

/// The message that is arriving.
struct IncomingMessage {
    var kind = WebSocketMessageKind.binary
    /// Its first frame has come, its last has not ended.
    var isOpen = false
    /// A piece of it was passed on.
    var hasBegun = false
    var isCompressed = false
    var frames: UInt32 = 0
    /// Content so far; without compression that of the frames whose heads have come.
    var bytes = 0
    /// As it is sent; compressed messages only.
    var compressedBytes = 0
}

/// The fragmented message that is being sent.
enum OutgoingMessage: UInt8 {
    case none, plain, compressed
}
