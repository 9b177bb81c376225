// HTTP/2: a connection's frames become requests, and what the engine has to say goes into its output. The loop's thread.
//
// The engine (UringHTTP2) knows frames, streams and windows and does no I/O. Requests that can be answered at once, nearly all, never exist
// outside of it; the others get a slot of the slab (Loop+HTTP2Streams), and their output is cut into frames when the connection has its turn
// (Loop+HTTP2Output).
//
// Pointers: a connection's slot stays valid until the turn that ends it is over, its engine until its slot is released, the loop's own memory
// until the loop ends.

internal import CUring
internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringHTTP2
internal import UringRing

extension Loop {
    // MARK: begin

    /// What the first bytes of a connection in clear are.
    enum FirstBytes { case http1, http2, unclear }

    /// HTTP/2 with prior knowledge begins with a preface that no HTTP/1.1 request begins with (RFC 9113 section 3.4). Where nothing else is spoken, the
    /// engine judges it: what is no preface gets a GOAWAY.
    static func firstBytes(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ mode: HTTP2Mode) -> FirstBytes {
        switch mode {
        case .off: return .http1
        case .only: return .http2
        case .on: break
        }
        let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        let compared = min(count, preface.utf8CodeUnitCount)
        guard unsafe memcmp(bytes, preface.utf8Start, compared) == 0 else { return .http1 }
        return compared == preface.utf8CodeUnitCount ? .http2 : .unclear
    }

    func beginHTTP2(_ connection: UnsafeMutablePointer<Connection>) {
        let settings = unsafe self.settings.pointee.http2
        let http2 = UnsafeMutablePointer<HTTP2Transport>.allocate(capacity: 1)
        unsafe http2.initialize(
            to: HTTP2Transport(
                engine: HTTP2Connection(settings: settings.local, limits: settings.limits, now: state.pointee.now),
                streamsMax: Int(settings.local.maxConcurrentStreams)))
        unsafe connection.pointee.http2 = unsafe http2
        unsafe connection.pointee.machine.multiplexed(now: state.pointee.now, self.settings.pointee.policy)
        // It will make many requests: receive by multishot from now on.
        unsafe connection.pointee.flags.insert(.keptAlive)
        unsafe meter.pointee.http2Connections &+= 1
        if ur_probe_http2_begin() { unsafe ur_fire_http2_begin(connection.pointee.id, connection.pointee.tls == nil ? 0 : 1, kernel.now()) }
        unsafe flushControl(connection, http2)
        if unsafe state.pointee.phase == .draining { unsafe goAway(connection) }
        unsafe armTimer(connection)
    }

    func endHTTP2(_ connection: UnsafeMutablePointer<Connection>) {
        guard let http2 = unsafe connection.pointee.http2 else { return }
        unsafe connection.pointee.http2 = nil
        unsafe http2.deinitialize(count: 1)
        unsafe http2.deallocate()
    }

    // MARK: input

    /// Takes up frames while there is room for what they cause; answers how many bytes are used. What is left is the beginning of a frame, or
    /// waits for room.
    func processHTTP2(
        _ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Int {
        var start = 0
        let before = unsafe connection.pointee.requestsServed
        frames: while start < count {
            if unsafe connection.pointee.flags.contains(.closing) { return count }
            if unsafe http2.pointee.hasFailed || connection.pointee.machine.isEnding { return unsafe discardInput(connection, count &- start, count) }
            guard unsafe connection.pointee.machine.hasRoom(settings.pointee.policy) else { break }
            let input = unsafe bytes + start
            let step = unsafe http2.pointee.engine.next(input, count: count &- start, now: state.pointee.now, head: http2Head)
            start &+= step.used
            switch step.event {
            case .nothing: break
            case .needMore: break frames
            case .request(let slot, let endStream): unsafe takeRequest(connection, http2, slot, endStream)
            case .data(let slot, let offset, let length, let endStream):
                unsafe takeData(connection, http2, slot, input + Int(offset), Int(length), endStream)
            case .trailers(let slot): unsafe takeTrailers(connection, http2, slot)
            case .headTooLarge(let slot, let endStream): unsafe refuseHead(connection, http2, slot, endStream)
            case .reset(let slot, _):
                unsafe countEnds(connection, http2)
                unsafe streamReset(connection, http2, slot)
            case .windowOpened: if unsafe http2.pointee.engine.hasSendable { unsafe markDirty(connection) }
            case .goAwayReceived:
                unsafe meter.pointee.goAwaysReceived &+= 1
                unsafe http2.pointee.isEnding = true
            case .failed: unsafe http2Failed(connection, http2)
            }
            // At once and in order: a reset must not overtake the head of its stream's response, which is in the output already.
            if unsafe http2.pointee.engine.controlCount > 0 { unsafe flushControl(connection, http2) }
        }
        let taken = unsafe connection.pointee.requestsServed &- before
        if taken > 0 {
            unsafe meter.pointee.http2Streams &+= taken
            unsafe http2.pointee.lastRequestsAt = unsafe state.pointee.now
            if unsafe taken > 1 || http2.pointee.engine.activeStreams > 1 { unsafe http2.pointee.asksAhead = true }
        }
        // The limit of requests per connection ends it as a drain does. Behind the batch: what came with the last request is answered too, and when
        // nothing is under way then, the answers are in front of GOAWAY.
        let limit = unsafe settings.pointee.policy.requestsPerConnectionMax
        if limit > 0, unsafe connection.pointee.requestsServed >= UInt64(limit) && !http2.pointee.isEnding && !http2.pointee.hasFailed {
            unsafe goAway(connection)
        } else {
            unsafe settleStreams(connection, http2)
        }
        return start
    }

    /// After anything that may have ended streams: the idle clock, and the connection's end when it waits for the last of them.
    func settleStreams(_ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>) {
        guard unsafe !connection.pointee.flags.contains(.closing) else { return }
        let active = unsafe http2.pointee.engine.activeStreams
        unsafe connection.pointee.machine.streamsChanged(any: active > 0, now: state.pointee.now, settings.pointee.policy)
        if unsafe http2.pointee.isEnding, active == 0, unsafe http2.pointee.engine.isDrained || http2.pointee.inputEnded {
            unsafe perform(connection, connection.pointee.machine.multiplexedEnded(now: state.pointee.now, settings.pointee.policy))
        }
        unsafe armTimer(connection)
    }

    /// Moves the engine's own frames (settings, acknowledgements, window updates, resets) to the output.
    func flushControl(_ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>) {
        let count = unsafe http2.pointee.engine.controlCount
        guard count > 0, unsafe !connection.pointee.flags.contains(.closing), unsafe !connection.pointee.machine.isEnding else { return }
        guard let out = unsafe reserve(connection, count) else { return }
        let written = unsafe http2.pointee.engine.takeControl(into: out, capacity: count)
        unsafe commit(connection, written)
        unsafe connection.pointee.machine.outputQueued(UInt64(written), now: state.pointee.now, settings.pointee.policy)
        unsafe countEnds(connection, http2)
    }

    /// Takes up what the engine counted: resets, and GOAWAY that is in the output now.
    private func countEnds(_ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>) {
        let tally = unsafe http2.pointee.engine.takeTally()
        guard tally != .none else { return }
        unsafe meter.pointee.resetsSent &+= UInt64(tally.resetsSent)
        unsafe meter.pointee.resetsReceived &+= UInt64(tally.resetsReceived)
        for _ in 0..<tally.goAways { unsafe wentAway(connection, .noError) }
        if let code = tally.failure { unsafe wentAway(connection, code) }
    }

    private func wentAway(_ connection: UnsafeMutablePointer<Connection>, _ code: HTTP2ErrorCode) {
        unsafe meter.pointee.goAwaysSent[min(Int(code.rawValue), LoopMeter.goAwayCodes - 1)] &+= 1
        if ur_probe_http2_goaway() { unsafe ur_fire_http2_goaway(connection.pointee.id, code.rawValue, kernel.now()) }
    }

    // MARK: silence

    /// When the connection's timer must come by for its client's silence; nil nearly always: what is armed already is early enough.
    func silenceToArm(_ http2: UnsafeMutablePointer<HTTP2Transport>) -> UInt64? {
        let deadline = unsafe http2.pointee.engine.silenceDeadline(settings.pointee.http2.keepAlive)
        guard unsafe deadline < http2.pointee.silenceArmedAt else { return nil }
        unsafe http2.pointee.silenceArmedAt = deadline
        return deadline
    }

    /// The timer fired: a client of open streams that has been silent for long is asked whether it is there, and one that does not answer is gone.
    func watchSilence(_ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>) {
        unsafe http2.pointee.silenceArmedAt = .max
        guard unsafe http2.pointee.engine.silenceDeadline(settings.pointee.http2.keepAlive) <= state.pointee.now else { return }
        if unsafe http2.pointee.engine.pingOutstandingSince != nil {
            unsafe meter.pointee.http2Silent &+= 1
            unsafe because(connection, .timeout)
            unsafe perform(connection, connection.pointee.machine.abort())
            return
        }
        // Behind bytes that a slow client has not read yet the question would come too late; the write timeout and TCP watch over those.
        guard unsafe connection.pointee.machine.pendingBytes == 0, unsafe kernel.unacknowledgedBytes(connection.pointee.fd) == 0 else {
            unsafe http2.pointee.engine.postponePing(now: state.pointee.now)
            return
        }
        unsafe http2.pointee.engine.ping(now: state.pointee.now)
        unsafe flushControl(connection, http2)
    }

    // MARK: end

    /// How long after its last requests a client that asks ahead is taken to have more on their way: beyond any round trip worth waiting for. 1 s.
    private static var aheadNanoseconds: UInt64 { 1_000_000_000 }

    /// Carries out `KeepAliveStep.goAway`: no new streams, and the connection ends behind the last.
    func goAway(_ connection: UnsafeMutablePointer<Connection>) {
        guard let http2 = unsafe connection.pointee.http2 else { return }
        unsafe http2.pointee.isEnding = true
        unsafe note(.goAway, connection: connection.pointee.id)
        // Nobody is owed the round trip of the first warning when nothing is under way. Answers of a moment ago bring the next requests of a client
        // that asks ahead: those are on their way while no stream is open here.
        let isBusy = unsafe http2.pointee.asksAhead && state.pointee.now &- http2.pointee.lastRequestsAt < Self.aheadNanoseconds
        if unsafe http2.pointee.engine.activeStreams == 0 && !(isBusy && !http2.pointee.engine.isDraining) {
            unsafe http2.pointee.engine.drainAtOnce()
        } else {
            unsafe http2.pointee.engine.drain()
        }
        unsafe connection.pointee.machine.goAwaySaid(now: state.pointee.now, settings.pointee.policy)
        unsafe flushControl(connection, http2)
        unsafe settleStreams(connection, http2)
    }

    /// The peer violated the protocol: GOAWAY is in the output, and nothing follows it.
    private func http2Failed(_ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>) {
        unsafe meter.pointee.http2Failures &+= 1
        unsafe because(connection, .refused)
        unsafe http2.pointee.hasFailed = true
        unsafe flushControl(connection, http2)
        unsafe dropStreams(http2)
        unsafe perform(connection, connection.pointee.machine.multiplexedEnded(now: state.pointee.now, settings.pointee.policy))
    }

    /// The peer sends nothing more. Requests that are whole are answered as on HTTP/1.1, but only as far as the windows reach: nobody opens them
    /// any more (`resetBlockedStreams`).
    func http2InputEnded(_ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>) {
        guard unsafe !http2.pointee.inputEnded, unsafe !connection.pointee.flags.contains(.closing) else { return }
        // Frames in front of the end that wait for room: they may be requests, ends of bodies, windows. The end is reported behind them.
        if unsafe connection.pointee.carryCount > 0, unsafe !connection.pointee.machine.hasRoom(settings.pointee.policy) { return }
        unsafe (http2.pointee.inputEnded, http2.pointee.isEnding) = (true, true)
        _ = unsafe connection.pointee.machine.peerHalfClosed(now: state.pointee.now, settings.pointee.policy)
        for unsafe case let handle? in unsafe http2.pointee.streamHandles {
            // A body that is all here and whose receiver has paused is whole.
            guard let stream = unsafe connections.pointee.pointer(handle), unsafe stream.pointee.body.mode != .none,
                unsafe !stream.pointee.flags.contains(.endOfInput)
            else { continue }
            unsafe perform(stream, stream.pointee.machine.abort())
        }
        // The streams that are blocked already are looked at when the connection has its turn.
        unsafe markDirty(connection)
        unsafe settleStreams(connection, http2)
    }

    /// After the end of input: streams with more than their windows take can never finish, and nothing tells them from those of a client that is
    /// gone. Without this each would hold its memory, and all of them the connection, until the write timeout.
    func resetBlockedStreams(_ connection: UnsafeMutablePointer<Connection>, _ http2: UnsafeMutablePointer<HTTP2Transport>) {
        var found = false
        for unsafe case let handle? in unsafe http2.pointee.streamHandles {
            guard let stream = unsafe connections.pointee.pointer(handle), unsafe !stream.pointee.queue.isEmpty,
                unsafe http2.pointee.engine.sendWindow(stream.pointee.streamSlot) <= 0
            else { continue }
            found = true
            unsafe http2.pointee.engine.reset(stream.pointee.streamSlot, .cancel)
            unsafe flushControl(connection, http2)
            unsafe endStream(stream)
        }
        if found { unsafe settleStreams(connection, http2) }
    }

    /// Every stream of a connection that is over.
    func dropStreams(_ http2: UnsafeMutablePointer<HTTP2Transport>) {
        for unsafe case let handle? in unsafe http2.pointee.streamHandles {
            if let stream = unsafe connections.pointee.pointer(handle) { unsafe endStream(stream) }
        }
    }
}
