// WebSocketPeer: a client of a simulated server that sends messages on a WebSocket, over HTTP/1.1 or on a stream of HTTP/2, and expects each of them back.

import TestSupport
import UringServer
import UringSimulation

final class WebSocketPeer {
    let wire: ClientWire
    private let isHTTP2: Bool
    private let messages: [WireFrame]
    private let requiresClose: Bool
    private let closesWhenDone: Bool
    private var hasSaidClose = false
    private var read = 0
    /// Bytes of the server's frames.
    private var input: [UInt8] = []
    private var hasAnswer = false
    private(set) var received: [WireFrame] = []
    private(set) var closeCode: Int?
    private(set) var problem: String?
    /// Answers Close, and PING.
    var answers = true

    /// - Parameters:
    ///   - closes: says Close behind the last message.
    ///   - whenDone: only when everything has come back.
    init(
        _ simulation: Simulation, to server: SimulatedServer, http2: Bool, _ messages: [WireFrame], closes: Bool = true, whenDone: Bool = false, options: ClientOptions = ClientOptions(),
        tls: ClientTLSOptions? = nil, cut: ClientWire.Cut? = nil
    ) {
        (isHTTP2, self.messages, requiresClose, closesWhenDone) = (http2, messages.filter { $0.opcode < 8 }, closes, closes && whenDone)
        wire = ClientWire(simulation, to: server.address, options, tls: tls, cut: cut)
        wire.onReceive = { [unowned self] in arrived() }
        var bytes = messages.flatMap { frame in Self.pieces(frame, simulation) }
        if closes, !whenDone { bytes += WireFrame(opcode: 8, payload: [3, 232]).masked() }
        if http2 {
            wire.send(FrameClient.preface + HTTP2Frame(HTTP2Frame.Kind.settings, [0, 1, 0, 0, 0, 0, 0, 4, 0, 16, 0, 0]).bytes
                + HTTP2Frame(HTTP2Frame.Kind.windowUpdate, HTTP2Frame.number(1 << 24)).bytes + Self.connect.bytes)
        } else {
            wire.send(Array(Self.request.utf8))
        }
        if !bytes.isEmpty { send(bytes) }
    }

    /// All is back, and Close is answered.
    var isDone: Bool { problem != nil || (received.count == messages.count && (closeCode != nil || !requiresClose)) }

    private static let request =
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    private static let connect = HTTP2Frame(
        HTTP2Frame.Kind.headers, flags: 4, stream: 1,
        FrameClient.block([
            (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/"), (":authority", "a"), ("sec-websocket-version", "13"),
        ]))

    /// Whole or in fragments.
    private static func pieces(_ frame: WireFrame, _ simulation: Simulation) -> [UInt8] {
        guard frame.opcode < 8, simulation.random.chance(0.3) else { return frame.masked() }
        var bytes: [UInt8] = []
        var rest = frame.payload[...]
        var opcode = frame.opcode
        repeat {
            let count = simulation.random.below(rest.count + 1)
            bytes += WireFrame(isFinal: false, opcode: opcode, payload: Array(rest.prefix(count))).masked()
            rest = rest.dropFirst(count)
            opcode = 0
        } while simulation.random.chance(0.5)
        return bytes + WireFrame(opcode: 0, payload: Array(rest)).masked()
    }

    /// Bytes of frames, on HTTP/2 in DATA frames: within the stream's window, which the server's tests leave large.
    func send(_ bytes: [UInt8]) {
        guard isHTTP2 else { return wire.send(bytes) }
        var rest = bytes[...]
        var data: [UInt8] = []
        while !rest.isEmpty {
            let piece = rest.prefix(4000)
            data += FrameClient.data(1, Array(piece)).bytes
            rest = rest.dropFirst(piece.count)
        }
        wire.send(data)
    }

    private func arrived() {
        if isHTTP2 { takeFrames() } else { takeHead() }
        while problem == nil, let frame = WireFrame.parse(&input) { take(frame) }
        if closesWhenDone, hasAnswer, !hasSaidClose, received.count == messages.count {
            hasSaidClose = true
            send(WireFrame(opcode: 8, payload: [3, 232]).masked())
        }
    }

    private func takeHead() {
        if !hasAnswer {
            let text = wire.received.count < 12 ? "" : String(decoding: wire.received, as: UTF8.self)
            guard let end = text.firstRange(of: "\r\n\r\n") else { return }
            guard text.hasPrefix("HTTP/1.1 101 ") else { return fail("answered \(text.prefix(20))") }
            hasAnswer = true
            wire.consume(text.utf8.distance(from: text.startIndex, to: end.upperBound))
        }
        input += wire.received
        wire.consume(wire.received.count)
    }

    private func takeFrames() {
        let frames = HTTP2Frame.all(in: wire.received)
        wire.consume(frames.reduce(0) { $0 + $1.bytes.count })
        for frame in frames {
            switch frame.kind {
            case HTTP2Frame.Kind.settings where frame.flags & 1 == 0: wire.send(HTTP2Frame(HTTP2Frame.Kind.settings, flags: 1).bytes)
            case HTTP2Frame.Kind.ping where frame.flags & 1 == 0: wire.send(HTTP2Frame(HTTP2Frame.Kind.ping, flags: 1, frame.payload).bytes)
            case HTTP2Frame.Kind.headers: hasAnswer = true
            case HTTP2Frame.Kind.data: input += frame.payload
            default: break
            }
        }
    }

    private func take(_ frame: WireFrame) {
        if frame.isMasked { return fail("a frame with a mask") }
        switch frame.opcode {
        case 8:
            closeCode = frame.closeCode
            if answers, !requiresClose { send(WireFrame(opcode: 8, payload: Array(frame.payload.prefix(2))).masked()) }
            if answers { wire.leave() }
        case 9: if answers { send(WireFrame(opcode: 10, payload: frame.payload).masked()) }
        case 10: break
        default:
            guard received.count < messages.count, frame == messages[received.count] else { return fail("message \(received.count) is \(frame)") }
            received.append(frame)
        }
    }

    private func fail(_ text: String) { problem = problem ?? text }

    /// What has happened, for a failure's text.
    var state: String { problem ?? "\(received.count) of \(messages.count) back, close \(closeCode.map(String.init) ?? "none"), \(wire.client.state)" }
}
