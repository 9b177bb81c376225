// Connection: what a loop keeps for one client. Lives in the loop's slab at a fixed address; only the loop's thread touches it.
//
// Who owns which memory:
//   carry        input of a request that has not arrived whole; a pool chunk, or malloc (counted by the pool) beyond 16 KiB; freed when the request is answered
//   batch…       output written since the last enter; the loop's batch arena; valid until the sends of that batch are settled
//   bulk         what a large body is received into; the kernel's until the completion of that receive
//   queue        output that outlives a batch; each segment owns its memory until its last byte is sent
//   exchange     closures and file of a response or body that outlives its handler call
//   tunnel       the protocol that a response has switched to, for the connection's life
//   tls          OpenSSL's session, for the connection's life; its own buffers are released while it is idle
//   http2        state of an HTTP/2 connection, for its life
//   trace        of a traced connection, for its life
// An idle HTTP/1.1 connection without TLS holds none of them.
//
// A request on HTTP/2 that cannot be answered at once has a slot of its own, with `.stream` set: the same structure, machine, timers and body
// handling as an HTTP/1.1 connection, whose transport is another connection (`carrier`) instead of a socket.

internal import UringBase
internal import UringHTTP1
internal import UringHTTP2
internal import UringRing

@unsafe
struct Connection {
    /// `bulk`: single, into memory of the connection's own (Loop+Bulk).
    enum Receive: UInt8 { case none, single, multishot, bulk, cancelling }
    /// `fast`: submitted in this batch, success posts no completion. `slow`: waits for room in the socket. `poll`: waits for room, for sendfile.
    /// `read`: the next bytes of a file are on their way from a disk.
    enum Sending: UInt8 { case none, fast, slow, poll, read }

    var handle: Handle
    var fd: Int32
    /// Completions that the kernel still owes us; the slot and the descriptor are kept until it is 0.
    var operations: UInt32 = 0
    var receive: Receive = .none
    var sending: Sending = .none
    var flags: Flags = []
    var listener: UInt16
    var coldRetries: UInt8 = 0
    /// A number unique in the process, for traces and logs.
    var id: UInt64
    var machine: KeepAliveMachine

    var carry: UnsafeMutablePointer<UInt8>?
    var carryCount = 0
    var carryCapacity = 0
    /// Bytes of the current head already searched for its end.
    var scanned = 0
    /// Memory that a receive for a large body fills: the kernel's until its completion.
    var bulk: UnsafeMutablePointer<UInt8>?
    var body = unsafe BodyProgress()

    var batchStart: UnsafeMutablePointer<UInt8>?
    var batchCount = 0
    /// How many bytes at the front of the batch are ciphertext already. 0 without TLS.
    var sealedCount = 0
    var queue = unsafe OutputQueue()
    /// Result of the fast send, when it posted one: it failed or came short.
    var sendResult: Int32 = 0
    /// What the fast send was given; after settling, what it sent.
    var fastBytes: UInt64 = 0

    var exchange: Unmanaged<Exchange>?
    /// Who is at the other end, once somebody has asked (`Request.peer`), or whom a preamble has named.
    var peer: RequestPeer?
    /// The protocol that a response has switched to, from then to the end.
    var tunnel: Unmanaged<TunnelBox>?
    var tls: UnsafeMutablePointer<TLSTransport>?
    var http2: UnsafeMutablePointer<HTTP2Transport>?
    /// Of a stream: the connection that carries it, and its place there.
    var carrier = Handle(index: 0, generation: 0)
    var streamSlot = StreamSlot.none
    /// The counters of the limit per address, when there is one.
    var addressTicket: AddressLimiter.Ticket?
    /// When a waiting producer is asked again, or a tunnel has something to do; .max = never.
    var producerWakeAt = UInt64.max
    var requestsServed: UInt64 = 0
    var bytesSent: UInt64 = 0
    /// Of a traced connection, and of the streams that it carries, whose memory it is; nil otherwise.
    var trace: UnsafeMutablePointer<ConnectionTrace>?
    var mark = TraceMark()

    struct Flags: OptionSet {
        let rawValue: UInt32
        static let open = Flags(rawValue: 1)
        /// In the loop's list of connections with output to send.
        static let dirty = Flags(rawValue: 2)
        /// Torn down; waits for its last completions.
        static let closing = Flags(rawValue: 4)
        static let resetOnClose = Flags(rawValue: 8)
        /// The fast send posted a completion: `sendResult` holds it.
        static let sendPosted = Flags(rawValue: 16)
        /// The peer sent its end; nothing more will be read.
        static let endOfInput = Flags(rawValue: 32)
        /// Input is not read for now: output or a body's consumer is behind.
        static let readingPaused = Flags(rawValue: 64)
        /// Waits for a cold file to be opened; its request lies in `carry`.
        static let opening = Flags(rawValue: 128)
        /// A request kept the connection open: receive by multishot from now on.
        static let keptAlive = Flags(rawValue: 256)
        /// In the loop's list of connections whose carried input is to be looked at again.
        static let resuming = Flags(rawValue: 512)
        /// In the loop's list of connections that wait for receive buffers.
        static let starved = Flags(rawValue: 1024)
        /// A 101 response is on its way; the connection is handed over when it has left.
        static let upgrading = Flags(rawValue: 2048)
        /// The kernel has closed the descriptor behind the last send; its number may be another connection's.
        static let descriptorClosed = Flags(rawValue: 8192)
        /// The receiver of the body under way takes no more for now.
        static let bodyPaused = Flags(rawValue: 16384)
        /// The fast send met an error: the connection is lost.
        static let sendFailed = Flags(rawValue: 4096)
        /// A request on an HTTP/2 connection, not a connection.
        static let stream = Flags(rawValue: 32768)
        /// Its listener has TLS.
        static let secure = Flags(rawValue: 131072)
        /// Of a stream: all of its response is queued.
        static let responseQueued = Flags(rawValue: 65536)
        /// The tunnel wants to be told when there is room in the output.
        static let awaitsRoom = Flags(rawValue: 262144)
        /// The tunnel was told that the client sends nothing more.
        static let tunnelInputEnded = Flags(rawValue: 524288)
        /// One of ours to a server.
        static let outgoing = Flags(rawValue: 1 << 20)
        /// An outgoing connection that is being made.
        static let connecting = Flags(rawValue: 1 << 21)
        /// The body under way comes faster than receive buffers are large.
        static let bulky = Flags(rawValue: 1 << 22)
        /// Its output leaves one turn later (`Loop.delayRelayed`).
        static let delayed = Flags(rawValue: 1 << 23)
        /// Its first bytes say who the client is, and have not all come.
        static let preamble = Flags(rawValue: 1 << 26)
        /// `peer` is whom a preamble has named.
        static let introduced = Flags(rawValue: 1 << 27)
    }
}

/// How far the body of the current request has come. Offsets count from the request's first byte, which is the first of `carry` or of the
/// received bytes: so they stay true when the request moves from a receive buffer into `carry`.
@unsafe
struct BodyProgress {
    enum Mode: UInt8 {
        /// No head was parsed yet.
        case none
        /// Kept until it is whole, then handed over in one piece.
        case buffer
        /// Handed over as it comes.
        case stream
        /// Thrown away as it comes.
        case discard
        /// No body: the protocol has changed, and bytes go to the connection's tunnel. On HTTP/2 `remaining` counts those that the window was not
        /// credited with.
        case tunnel
    }
    var mode: Mode = .none
    var headLength = 0
    var chunked = false
    /// Bytes of a counted body that are still to come.
    var remaining: UInt64 = 0
    /// End of the decoded bytes, chunked coding removed in place.
    var bodyEnd = 0
    /// First byte that is not decoded yet.
    var rawPosition = 0
    /// End of the bytes that the body's rate was credited with: the beginning of a trailer section is looked at again and again.
    var credited = 0
    var decoder = ChunkedDecoder()
}
