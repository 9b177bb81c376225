// The server's side of an HTTP/2 connection (RFC 9113): bytes in, events and bytes out. It owns the state of the connection and of its
// streams; it has no socket and no clock. Called by a connection of a loop, on the loop's thread only.
//
//             input                                  the caller                                     output
//   bytes ──▶ next ──▶ request, data, trailers ──▶  handler  ──▶ writeHead, writeDataHeader ──▶ bytes into caller's memory
//               │      reset, windowOpened      ◀── consumed, setReady, nextSendable, stopReading, reset
//               └────▶ control output (acknowledgements, window updates, resets, GOAWAY) ──▶ takeControl
//
// Life of a slot. It begins with the event `request` or `headTooLarge`. It ends
//   - with the event `reset`: it is dead already when the caller reads the event;
//   - when request and response have both ended: in the call that writes the response's end if the request has ended before, or else with the event
//     that brings the request's end (`endStream`, `trailers`);
//   - in `stopReading` after a response that ended early, and in `reset`.
// A dead slot is given to another stream by a later call of `next` only, so `isLive` tells the truth in between. Calls that name a dead slot do
// nothing.
//
// +Input: frames. +Headers, +Data: requests. +Control: the frames of the connection itself. +FlowControl, +Output, +Life: what the caller does. HTTP2KeepAlive: silent clients.

internal import UringHPACK
internal import UringHTTP

/// One HTTP/2 connection, for a fixed place behind a pointer. Its parts free what they own when it is destroyed.
@safe package struct HTTP2Connection: ~Copyable {
    /// How far the connection has come.
    enum Phase: Equatable {
        /// The client's 24 bytes are still to come (RFC 9113 3.4).
        case preface
        /// Its first SETTINGS frame is.
        case settings
        case open
        case failed(HTTP2ErrorCode)
    }

    /// What has been said about the end of the connection (RFC 9113 6.8).
    enum GoingAway: Equatable {
        case no
        /// GOAWAY with the highest number: new streams may still be under way.
        case announced
        /// Streams above this are ignored.
        case final(UInt32)
    }

    package let settings: HTTP2LocalSettings
    package let limits: HTTP2Limits

    var phase = Phase.preface
    /// Of the last call of `next`.
    var now: UInt64
    var decoder: HPACKDecoder
    var encoder: HPACKEncoder
    var peer = HTTP2PeerSettings()
    /// Whether the client has acknowledged our settings.
    var settingsInForce = false
    /// The receive window that streams begin with.
    var streamWindow: Int32

    var table = StreamTable()
    var queue = SendQueue()
    /// Streams that the server has bytes for.
    var readyCount = 0
    var sendWindow = SendWindow(Int32(HTTP2LocalSettings.defaultWindowBytes))
    var receiveWindow: ReceiveWindow
    /// Some stream's window update found no room in the control output.
    var owesUpdates = false

    var control: ControlOutput
    var block = HeaderBlock()
    var progress = FrameProgress()
    var budget: AbuseBudget
    var recentResets = RecentResets()
    var earlyPriorities = EarlyPriorities()

    /// The highest stream that the client has opened.
    var lastStreamID: UInt32 = 0
    /// Bit n: whether the stream n places below `lastStreamID` was opened, or passed over.
    var openedHistory: UInt64 = 0

    var goingAway = GoingAway.no
    var pings = PingState()
    var tally = HTTP2Tally()

    /// A new connection, with the server's preface in the control output.
    package init(settings: HTTP2LocalSettings, limits: HTTP2Limits, now: UInt64) {
        self.settings = settings
        self.limits = limits
        self.now = now
        decoder = HPACKDecoder(tableBytesMax: settings.headerTableBytes)
        encoder = HPACKEncoder()
        // Until it acknowledges, the client may act on the protocol's initial window (RFC 9113 6.9.2).
        streamWindow = Int32(truncatingIfNeeded: max(settings.streamWindowBytes, HTTP2LocalSettings.defaultWindowBytes))
        receiveWindow = ReceiveWindow(Int32(truncatingIfNeeded: settings.connectionWindowBytes))
        control = ControlOutput(countMax: limits.controlBytesMax)
        budget = AbuseBudget(limits: limits, now: now)
        if let out = unsafe control.append(HTTP2LocalSettings.prefaceBytesMax) {
            let written = unsafe settings.writePreface(to: out, headerListBytesMax: limits.headerListBytesMax)
            control.retract(HTTP2LocalSettings.prefaceBytesMax - written)
        }
    }

    // MARK: questions

    /// Streams between their request and their end.
    package var activeStreams: Int { table.active }

    /// Whether the slot belongs to a stream that has not ended.
    @inline(__always) package func isLive(_ slot: StreamSlot) -> Bool {
        guard let streams = unsafe table.streams, Int(slot.index) < table.capacity else { return false }
        // The table's memory; the index is below its capacity.
        return unsafe streams[Int(slot.index)].isLive
    }

    /// The stream's identifier; 0 when the slot is dead.
    package func streamID(_ slot: StreamSlot) -> UInt32 { unsafe stream(slot)?.pointee.id ?? 0 }

    /// Whether all of the request has arrived.
    package func requestEnded(_ slot: StreamSlot) -> Bool { unsafe stream(slot)?.pointee.requestEnded ?? true }

    /// How soon the client wants the response.
    package func priority(_ slot: StreamSlot) -> StreamPriority { unsafe stream(slot)?.pointee.priority ?? StreamPriority() }

    /// The live stream of a slot. The pointer is good until the table changes.
    @inline(__always) func stream(_ slot: StreamSlot) -> UnsafeMutablePointer<HTTP2Stream>? {
        isLive(slot) ? unsafe table.streams! + Int(slot.index) : nil
    }

    /// Gives back memory that only streams need. For a connection that has become idle.
    package mutating func trim() { table.trim() }
}

/// Ends that were said, for counters.
package struct HTTP2Tally: Equatable, Sendable {
    /// RST_STREAM frames that were written, and those that ended a stream of the client.
    package internal(set) var resetsSent: UInt32 = 0
    package internal(set) var resetsReceived: UInt32 = 0
    /// GOAWAY frames that were written without an error: a drain may say it twice.
    package internal(set) var goAways: UInt32 = 0
    /// The code of the GOAWAY with an error.
    package internal(set) var failure: HTTP2ErrorCode?

    package static let none = HTTP2Tally()
}

/// A frame whose payload is used up as it arrives.
struct FrameProgress {
    /// Payload of a DATA frame that is still to come, without padding.
    var data: Int32 = 0
    var padding: Int32 = 0
    /// Payload of any other frame, to be skipped.
    var skip: Int32 = 0
    /// Whose the data is; none when the stream is gone.
    var slot = StreamSlot.none
    var endsStream = false

    @inline(__always) var isUnderWay: Bool { data | padding | skip != 0 }
}
