// The client's side of an HTTP/2 connection (RFC 9113): bytes in, events and bytes out. It owns the state of the connection and of its streams;
// it has no socket and no clock. Called by whoever owns the connection, on one thread only. Its parts (frames, windows, stream table, send queue,
// budgets, compression) are those of the server's side, HTTP2Connection.
//
//           the caller                                 output
//   open, writeDataHeader, writeTrailers ──────────▶ bytes into caller's memory
//   setReady, nextSendable, consumed, reset
//                 ▲                                    input
//   interim, response, data, trailers, ended ◀── next ◀── bytes
//                                                  └────▶ control output (preface, acknowledgements, updates, resets, GOAWAY) ──▶ takeControl
//
// Order. What `takeControl`, `open`, `writeDataHeader` and `writeTrailers` write goes to the server in the order of these calls: identifiers rise, and the
// compression state is in that order. The preface is in the control output from the beginning and has to be taken first. Take control output after each
// call that may have made some, ahead of what is written next.
//
// Life of a slot. It begins with `open`. It ends
//   - when request and response have both ended: in the call that writes the request's end if the response has ended before, or else with the event that
//     brings the response's end (`endStream`, `trailers`). A response may end first: then the request may go on, or the caller gives it up by `reset`;
//   - with the event `ended`, from `nextUnprocessed` and `nextLost`: it is dead already when the caller reads it;
//   - in `reset`.
// A dead slot is given to another stream by a later call of `open` only. Calls that name a dead slot do nothing.
//
// +Input: frames. +Headers, +Data: responses. +Control: the frames of the connection itself. +Requests, +FlowControl, +Life: what the caller does.

internal import UringHPACK

/// One HTTP/2 connection to a server, for a fixed place behind a pointer. Its parts free what they own when it is destroyed.
@safe package struct HTTP2ClientConnection: ~Copyable {
    /// How far the connection has come.
    enum Phase: Equatable {
        /// The server's first SETTINGS frame is still to come (RFC 9113 3.4). Requests need not wait for it.
        case settings
        case open
        case failed(HTTP2ErrorCode)
    }

    package let settings: HTTP2ClientSettings
    package let limits: HTTP2Limits

    var phase = Phase.settings
    /// Of the last call of `next`.
    var now: UInt64
    var decoder: HPACKDecoder
    var encoder: HPACKEncoder
    var peer = HTTP2ServerSettings()
    /// Whether the server has acknowledged our settings.
    var settingsInForce = false
    /// The receive window that streams begin with.
    var streamWindow: Int32

    var table = StreamTable()
    var queue = SendQueue()
    /// Streams that the caller has bytes for.
    var readyCount = 0
    var sendWindow = SendWindow(Int32(HTTP2LocalSettings.defaultWindowBytes))
    var receiveWindow: ReceiveWindow
    /// Some stream's window update found no room in the control output.
    var owesUpdates = false

    var control: ControlOutput
    /// Bytes of the preface that have not been taken.
    var prefaceRest: Int
    var block = HeaderBlock()
    var progress = FrameProgress()
    var budget: AbuseBudget
    var recentResets = RecentResets()

    /// The last stream that was opened; 0 before the first.
    var lastStreamID: UInt32 = 0
    /// What the server's GOAWAY said: streams above this it has not seen, and will not (RFC 9113 6.8).
    var lastProcessedID: UInt32?
    /// Where `nextUnprocessed` and `nextLost` go on.
    var sweep = 0
    /// Our own GOAWAY is written.
    var isDraining = false
    var pings = PingState()
    var tally = HTTP2Tally()

    /// A new connection, with the client's preface in the control output.
    ///
    /// - Parameter now: nanoseconds of a monotonic clock.
    package init(settings: HTTP2ClientSettings, limits: HTTP2Limits, now: UInt64) {
        self.settings = settings
        self.limits = limits
        self.now = now
        decoder = HPACKDecoder(tableBytesMax: settings.headerTableBytes)
        encoder = HPACKEncoder()
        // Until it acknowledges, the server may act on the protocol's initial window (RFC 9113 6.9.2).
        streamWindow = Int32(truncatingIfNeeded: max(settings.streamWindowBytes, HTTP2LocalSettings.defaultWindowBytes))
        receiveWindow = ReceiveWindow(Int32(truncatingIfNeeded: settings.connectionWindowBytes))
        control = ControlOutput(countMax: max(limits.controlBytesMax, HTTP2ClientSettings.prefaceBytesMax))
        budget = AbuseBudget(limits: limits, now: now)
        prefaceRest = 0
        if let out = unsafe control.append(HTTP2ClientSettings.prefaceBytesMax) {
            // Control memory, just appended.
            prefaceRest = unsafe settings.writePreface(to: out, headerListBytesMax: limits.headerListBytesMax)
            control.retract(HTTP2ClientSettings.prefaceBytesMax - prefaceRest)
        }
    }

    // MARK: questions

    /// Streams between `open` and their end.
    package var activeStreams: Int { table.active }

    /// How many streams may be opened now.
    package var streamsToSpare: Int {
        isEnding ? 0 : max(min(settings.streamsMax, Int(peer.streamsMax)) &- table.active, 0)
    }

    /// Whether this connection opens no more streams: after GOAWAY of either side, after a failure, when all identifiers are used up. It is to be
    /// closed when `activeStreams` is 0.
    package var isEnding: Bool { isDraining || lastProcessedID != nil || isFailed || lastStreamID >= FrameHeader.max31 }

    /// Whether the server's settings are here: until then its limits are guesses.
    package var hasServerSettings: Bool { phase == .open }

    var isFailed: Bool {
        if case .failed = phase { return true }
        return false
    }

    /// Whether the server takes an extended CONNECT (RFC 8441).
    package var knowsConnectProtocol: Bool { peer.knowsConnectProtocol }

    /// Whether the slot belongs to a stream that has not ended.
    @inline(__always) package func isLive(_ slot: StreamSlot) -> Bool {
        guard let streams = unsafe table.streams, Int(slot.index) < table.capacity else { return false }
        // The table's memory; the index is below its capacity.
        return unsafe streams[Int(slot.index)].isLive
    }

    /// The stream's identifier; 0 when the slot is dead.
    package func streamID(_ slot: StreamSlot) -> UInt32 { unsafe stream(slot)?.pointee.id ?? 0 }

    /// Whether all of the request is written.
    package func requestEnded(_ slot: StreamSlot) -> Bool { unsafe stream(slot)?.pointee.requestEnded ?? true }

    /// Whether all of the response has arrived.
    package func responseEnded(_ slot: StreamSlot) -> Bool { unsafe stream(slot)?.pointee.responseEnded ?? true }

    /// How far the server has come with a request, if its stream ended now.
    package func processing(_ slot: StreamSlot) -> HTTP2Processing {
        guard let stream = unsafe stream(slot) else { return .unknown }
        // The table's memory, not changed here.
        return unsafe processing(stream.pointee)
    }

    func processing(_ stream: HTTP2Stream) -> HTTP2Processing {
        if stream.answer.contains(.begun) { return .begun }
        if let last = lastProcessedID, stream.id > last { return .none }
        return .unknown
    }

    /// The live stream of a slot. The pointer is good until the table changes.
    @inline(__always) func stream(_ slot: StreamSlot) -> UnsafeMutablePointer<HTTP2Stream>? {
        isLive(slot) ? unsafe table.streams! + Int(slot.index) : nil
    }

    /// Gives back memory that only streams need. For a connection that has become idle.
    package mutating func trim() { table.trim() }
}
