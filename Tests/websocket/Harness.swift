// One engine with memory around it: tests give bytes and read what happened as text. The other side's frames, and what the engine sent.

import CUringZ
@testable import UringWebSocket

/// Frames as a client makes them.
enum ClientFrame {
    static let text: UInt8 = 1
    static let binary: UInt8 = 2
    static let continuation: UInt8 = 0
    static let close: UInt8 = 8
    static let ping: UInt8 = 9
    static let pong: UInt8 = 10

    enum LengthForm { case shortest, two, eight }

    static func make(
        _ opcode: UInt8, _ payload: [UInt8] = [], final: Bool = true, reserved: UInt8 = 0, mask: [UInt8]? = [0x37, 0xfa, 0x21, 0x3d],
        form: LengthForm = .shortest
    ) -> [UInt8] {
        var bytes = [(final ? 0x80 : 0) | reserved << 4 | opcode]
        bytes += length(payload.count, form, masked: mask != nil)
        guard let mask else { return bytes + payload }
        return bytes + mask + payload.enumerated().map { $1 ^ mask[$0 & 3] }
    }

    static func length(_ count: Int, _ form: LengthForm = .shortest, masked: Bool = true) -> [UInt8] {
        let bit: UInt8 = masked ? 0x80 : 0
        if form == .shortest, count < 126 { return [bit | UInt8(count)] }
        if form == .two || form == .shortest && count < 65_536 { return [bit | 126, UInt8(count >> 8), UInt8(count & 255)] }
        return [bit | 127] + (0..<8).map { UInt8(truncatingIfNeeded: count >> (56 - 8 * $0)) }
    }

    static func text(_ string: String, final: Bool = true) -> [UInt8] { make(text, Array(string.utf8), final: final) }
    static func close(_ code: UInt16, _ reason: [UInt8] = []) -> [UInt8] { make(close, [UInt8(code >> 8), UInt8(code & 255)] + reason) }
}

/// A frame that the engine wrote.
struct ServerFrame: Equatable, CustomStringConvertible {
    var final: Bool
    var compressed: Bool
    var opcode: UInt8
    var payload: [UInt8]

    var code: UInt16? { payload.count >= 2 ? UInt16(payload[0]) << 8 | UInt16(payload[1]) : nil }
    var description: String { "\(final ? "" : "…")\(compressed ? "z" : "")\(opcode):\(payload.count < 200 ? String(decoding: payload, as: UTF8.self) : "\(payload.count)")" }

    /// Whole frames, in their shortest form and without mask; nil otherwise.
    static func parse(_ bytes: [UInt8]) -> [ServerFrame]? {
        var frames: [ServerFrame] = []
        var at = 0
        while at < bytes.count {
            guard bytes.count - at >= 2, bytes[at + 1] & 0x80 == 0, bytes[at] & 0x30 == 0 else { return nil }
            var length = Int(bytes[at + 1])
            var head = 2
            if length > 125 {
                let width = length == 126 ? 2 : 8
                guard bytes.count - at >= 2 + width else { return nil }
                length = bytes[(at + 2)..<(at + 2 + width)].reduce(0) { $0 << 8 | Int($1) }
                guard length > (width == 2 ? 125 : 65_535) else { return nil }
                head += width
            }
            guard bytes.count - at >= head + length else { return nil }
            let first = bytes[at]
            frames.append(ServerFrame(final: first & 0x80 != 0, compressed: first & 0x40 != 0, opcode: first & 15, payload: Array(bytes[(at + head)..<(at + head + length)])))
            at += head + length
        }
        return frames
    }
}

/// The loop's compression, at a fixed place.
@safe final class Compression {
    let place: UnsafeMutablePointer<WebSocketCompression>

    init(_ options: WebSocketCompressionOptions = WebSocketCompressionOptions(), roomBytes: Int = 65_536) {
        unsafe place = .allocate(capacity: 1)
        unsafe place.initialize(to: WebSocketCompression(options: options, roomBytes: roomBytes))
    }
    deinit {
        unsafe place.deinitialize(count: 1)
        unsafe place.deallocate()
    }
    /// Inflaters and deflaters.
    var lent: [Int] { unsafe [place.pointee.lentInflaters, place.pointee.lentDeflaters] }
    var bytes: Int { unsafe place.pointee.bytes }
}

/// An engine, its caller's storage, and a transcript. Input is handed over in an allocation of exactly its size.
@safe final class Harness {
    let engine: UnsafeMutablePointer<WebSocketConnection>
    private let compression: Compression?
    private let out: UnsafeMutablePointer<UInt8>
    private let outCapacity = 1 << 20

    var now: UInt64 = 1_000_000_000
    private var pending: [UInt8] = []
    private var content: [UInt8] = []
    /// Messages and everything else as text. What the pieces were is in `parts`.
    private(set) var events: [String] = []
    private(set) var messages: [[UInt8]] = []
    private(set) var kinds: [WebSocketMessageKind] = []
    private(set) var parts: [WebSocketPart] = []
    private(set) var output: [UInt8] = []
    /// Whether control output is taken after each event.
    var drains = true
    /// Whether content of messages is kept.
    var keepsContent = true
    private(set) var contentBytes = 0

    init(limits: WebSocketLimits = WebSocketLimits(), deflate: WebSocketDeflateParameters = .off, compression: Compression? = nil) {
        self.compression = compression
        unsafe out = .allocate(capacity: outCapacity)
        unsafe engine = .allocate(capacity: 1)
        unsafe engine.initialize(to: WebSocketConnection(limits: limits, deflate: deflate, compression: compression?.place, now: now))
    }

    deinit {
        unsafe engine.deinitialize(count: 1)
        unsafe engine.deallocate()
        unsafe out.deallocate()
    }

    /// Gives bytes in pieces of `piece` bytes, or at once.
    func receive(_ bytes: [UInt8], piece: Int = .max) {
        var at = 0
        repeat {
            let end = at + min(piece, bytes.count - at)
            receive(slice: bytes[at..<end])
            at = end
        } while at < bytes.count
    }

    func receive(slice: ArraySlice<UInt8>) {
        pending += slice
        let input = UnsafeMutablePointer<UInt8>.allocate(capacity: max(pending.count, 1))
        defer { unsafe input.deallocate() }
        for (index, byte) in pending.enumerated() { unsafe input[index] = byte }
        var at = 0
        while true {
            let step = unsafe engine.pointee.next(input + at, count: pending.count - at, now: now)
            precondition(step.used >= 0 && step.used <= pending.count - at, "more used than given")
            unsafe note(step.event, input + at, count: pending.count - at)
            at += step.used
            if drains { drain() }
            if let broken = unsafe engine.pointee.brokenInvariant() { preconditionFailure("\(broken)") }
            if step.event == .needMore { break }
            if case .failed = step.event { break }
            precondition(step.event != .nothing || step.used > 0, "no progress")
        }
        // What is left may have lost its mask.
        pending = (at..<pending.count).map { unsafe input[$0] }
    }

    private func note(_ event: WebSocketEvent, _ input: UnsafePointer<UInt8>, count: Int) {
        func string(_ offset: Int32, _ length: Int32) -> String {
            precondition(offset >= 0 && length >= 0 && Int(offset) + Int(length) <= count, "bytes outside the input")
            return unsafe String(decoding: UnsafeBufferPointer(start: input + Int(offset), count: Int(length)), as: UTF8.self)
        }
        switch event {
        case .needMore, .nothing: break
        case .data(let part): unsafe note(part, input, count: count)
        case .ping(let offset, let length): events.append("ping \(string(offset, length))")
        case .pong(let offset, let length): events.append("pong \(string(offset, length))")
        case .close(let code, let offset, let length): events.append("close \(code)" + (length > 0 ? " \(string(offset, length))" : ""))
        case .failed(let code): if events.last != "failed \(code)" { events.append("failed \(code)") }
        }
    }

    private func note(_ part: WebSocketPart, _ input: UnsafePointer<UInt8>, count: Int) {
        precondition(part.begins == content.isEmpty || !keepsContent || !part.begins, "a message begins twice")
        let length = Int(part.count)
        let bytes = unsafe part.isInflated ? UnsafePointer(compression!.place.pointee.room) : input
        precondition(part.isInflated || Int(part.offset) + length <= count, "content outside the input")
        contentBytes += length
        if parts.count < 100_000 { parts.append(part) }
        if keepsContent { for index in 0..<length { unsafe content.append(bytes[Int(part.offset) + index]) } }
        guard part.ends else { return }
        messages.append(content)
        kinds.append(part.kind)
        let text = content.count < 300 ? String(decoding: content, as: UTF8.self) : "\(content.count) bytes"
        events.append("\(part.kind) \(text)")
        content = []
    }

    // MARK: output

    func drain() {
        let count = unsafe engine.pointee.takeControl(into: out, capacity: outCapacity)
        for index in 0..<count { unsafe output.append(out[index]) }
    }

    func takeBytes() -> [UInt8] {
        drain()
        defer { output = [] }
        return output
    }
    func takeFrames() -> [ServerFrame] {
        drain()
        defer { output = [] }
        guard let frames = ServerFrame.parse(output) else { preconditionFailure("the engine wrote no frames") }
        return frames
    }
    func takeEvents() -> [String] {
        defer { events = [] }
        return events
    }

    @discardableResult func send(_ kind: WebSocketMessageKind, _ content: [UInt8]) -> Bool {
        let head = unsafe engine.pointee.writeMessageHead(kind, count: content.count, into: out)
        for index in 0..<head { unsafe output.append(out[index]) }
        if head > 0 { output += content }
        return head > 0
    }
    @discardableResult func sendFragment(_ kind: WebSocketMessageKind, _ content: [UInt8], last: Bool) -> Bool {
        let head = unsafe engine.pointee.writeFragmentHead(kind, count: content.count, isLast: last, into: out)
        for index in 0..<head { unsafe output.append(out[index]) }
        if head > 0 { output += content }
        return head > 0
    }
    @discardableResult func sendDeflated(_ kind: WebSocketMessageKind, _ content: [UInt8], last: Bool = true) -> WebSocketDeflated {
        precondition(WebSocketConnection.deflatedBytesMax(content.count) <= outCapacity, "the harness has no room")
        let result = unsafe content.withUnsafeBufferPointer { bytes in
            let empty = UnsafeMutablePointer<UInt8>.allocate(capacity: 1)
            defer { unsafe empty.deallocate() }
            return unsafe engine.pointee.writeDeflated(kind, bytes.baseAddress ?? UnsafePointer(empty), count: bytes.count, isLast: last, into: out)
        }
        if case .written(let count) = result { for index in 0..<count { unsafe output.append(out[index]) } }
        return result
    }
    func close(_ code: WebSocketCloseCode, _ reason: String = "") {
        let bytes = Array(reason.utf8)
        unsafe bytes.withUnsafeBufferPointer { bytes in
            unsafe engine.pointee.close(code, reason: bytes.baseAddress, count: bytes.count, now: now)
        }
    }
    var isOver: Bool { unsafe engine.pointee.isOver }
    var holdsState: Bool { unsafe engine.pointee.holdsCompressionState }
}

/// zlib as a client has it. With context takeover, unless `reset` is called between messages.
@safe final class PeerDeflate {
    private let deflater: UnsafeMutablePointer<curing_z>
    private let inflater: UnsafeMutablePointer<curing_z>

    init(level: Int32 = 6, bits: Int32 = 15) {
        unsafe deflater = curing_z_open_deflate(level, bits, 8)!
        unsafe inflater = curing_z_open_inflate(15)!
    }
    deinit {
        unsafe curing_z_close_deflate(deflater)
        unsafe curing_z_close_inflate(inflater)
    }

    func reset() {
        _ = unsafe curing_z_reset_deflate(deflater)
        _ = unsafe curing_z_reset_inflate(inflater, 15)
    }

    /// A message's payload (RFC 7692 7.2.1).
    func deflate(_ content: [UInt8]) -> [UInt8] {
        var bytes = unsafe run(deflater, curing_z_deflate, content)
        // A flush behind a flush says nothing.
        if bytes.isEmpty { return [0] }
        precondition(bytes.suffix(4) == [0, 0, 255, 255])
        bytes.removeLast(4)
        return bytes.isEmpty ? [0] : bytes
    }
    func inflate(_ payload: [UInt8]) -> [UInt8] { unsafe run(inflater, curing_z_inflate, payload + [0, 0, 255, 255]) }

    private typealias Call = (
        UnsafeMutablePointer<curing_z>, UnsafeMutablePointer<UnsafePointer<UInt8>?>, UnsafeMutablePointer<Int>,
        UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>, UnsafeMutablePointer<Int>
    ) -> CInt

    private func run(_ z: UnsafeMutablePointer<curing_z>, _ call: Call, _ content: [UInt8]) -> [UInt8] {
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: 65_536)
        defer { unsafe room.deallocate() }
        var result: [UInt8] = []
        unsafe content.withUnsafeBufferPointer { bytes in
            var next = bytes.baseAddress
            var left = bytes.count
            var space = 0
            repeat {
                var place: UnsafeMutablePointer<UInt8>? = unsafe room
                space = 65_536
                let status = unsafe call(z, &next, &left, &place, &space)
                precondition(status == Z_OK || status == Z_BUF_ERROR, "zlib: \(status)")
                unsafe result += Array(UnsafeBufferPointer(start: room, count: 65_536 - space))
            } while left > 0 || space == 0
        }
        return result
    }
}

/// xorshift: the same numbers every time.
struct Random {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next() >> 24) } }
}

/// Runs the same bytes whole, cut in two at every place, and byte by byte: events must be the same. Answers them.
func story(
    _ bytes: [UInt8], limits: WebSocketLimits = WebSocketLimits(), deflate: WebSocketDeflateParameters = .off, roomBytes: Int = 65_536,
    differs: (String) -> Void
) -> [String] {
    var limits = limits
    func run(_ pieces: [ArraySlice<UInt8>]) -> [String] {
        let compression = Compression(roomBytes: roomBytes)
        let harness = Harness(limits: limits, deflate: deflate, compression: compression)
        for piece in pieces { harness.receive(slice: piece) }
        return harness.events + harness.takeFrames().map { "\($0)" }
    }
    let whole = run([bytes[...]])
    for most in [limits.wholeFrameBytesMax, 0] {
        limits.wholeFrameBytesMax = most
        for cut in 0...bytes.count {
            let parts = run([bytes[..<cut], bytes[cut...]])
            if parts != whole { differs("cut at \(cut): \(parts) and not \(whole)") }
        }
        let single = run(bytes.indices.map { bytes[$0...$0] })
        if single != whole { differs("byte by byte: \(single) and not \(whole)") }
    }
    return whole
}
