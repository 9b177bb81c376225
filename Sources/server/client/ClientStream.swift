// ClientStream: what an HTTP/2 connection to a server keeps for one exchange. Plain values, in HTTP2ClientTransport's table. The loop's thread.

internal import UringHTTP
internal import UringHTTP1
internal import UringHTTP2

/// One exchange on a shared connection. It may outlive its stream: when the response came whole while its consumer had paused.
struct ClientStream {
    /// Of the exchange; 0: nobody's.
    var number: UInt64 = 0
    /// `none` when the stream has ended.
    var slot = StreamSlot.none
    var consumer: (any ClientConsumer)?

    // The request.
    /// What is left of a counted body; `.max`: not counted.
    var bodyLeft = UInt64.max
    /// The body's producer may go on.
    var takesBody = false
    /// Bytes of the body that wait for a window or for room, from `pendingAt` on.
    var pending: [UInt8] = []
    var pendingAt = 0
    /// Behind them the request ends.
    var endsBehind = false
    /// With these field lines.
    var trailers: [UInt8] = []
    /// The producer waits for `maySend`.
    var wantsRoom = false

    // The response.
    var hasHead = false
    var interims: UInt8 = 0
    var bodyBytes: UInt64 = 0
    var isPaused = false
    /// Bytes that came while the consumer had paused: at most a stream's window.
    var held: [UInt8] = []
    /// Bytes that the server may send anew when the consumer goes on.
    var uncredited = 0
    /// All of it came, behind `held`.
    var hasEnded = false
    var heldTrailers: HeldFields?

    // What is waited for, and until when; `.max`: it is not the server's turn.
    var deadline = UInt64.max
    var clock = ClientTimeout.head

    var pendingCount: Int { pending.count - pendingAt }
}

/// Fields that outlive the memory they were decoded to.
struct HeldFields {
    var text: [UInt8] = []
    var slots: [FieldSlot] = []
}
