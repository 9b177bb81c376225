// A server of HTTP/2 written by hand, frame by frame, on a raw socket: what it says is what a test wants it to, right or wrong.

import Glibc
import TestSupport

/// One connection of such a server. On a thread of its own.
final class HTTP2Peer {
    struct Frame {
        let type: UInt8
        let flags: UInt8
        let stream: UInt32
        let payload: [UInt8]
        var endsStream: Bool { (type == 0 || type == 1) && flags & 1 != 0 }
    }
    private let socket: Int32
    private var input: [UInt8] = []

    /// - Parameter script: has each connection when the client's preface was read.
    static func serve(_ script: @escaping @Sendable (HTTP2Peer) -> Void) throws -> ScriptedPeer {
        try ScriptedPeer { socket in
            let peer = HTTP2Peer(socket)
            guard peer.readPreface() else { return }
            script(peer)
        }
    }

    init(_ socket: Int32) { self.socket = socket }

    private func fill(_ count: Int) -> Bool {
        var chunk = [UInt8](repeating: 0, count: 65536)
        while input.count < count {
            let got = unsafe recv(socket, &chunk, chunk.count, 0)
            guard got > 0 else { return false }
            input += chunk.prefix(got)
        }
        return true
    }

    private func readPreface() -> Bool {
        guard fill(24) else { return false }
        input.removeFirst(24)
        return true
    }

    /// nil at the end of the connection.
    func next() -> Frame? {
        guard fill(9) else { return nil }
        let length = Int(input[0]) << 16 | Int(input[1]) << 8 | Int(input[2])
        guard fill(9 + length) else { return nil }
        let stream = UInt32(input[5]) << 24 | UInt32(input[6]) << 16 | UInt32(input[7]) << 8 | UInt32(input[8])
        let frame = Frame(type: input[3], flags: input[4], stream: stream, payload: Array(input[9..<9 + length]))
        input.removeFirst(9 + length)
        return frame
    }

    /// Skips frames up to one of that type; nil at the end.
    func next(_ type: UInt8) -> Frame? {
        while let frame = next() { if frame.type == type { return frame } }
        return nil
    }
    /// The next request's stream.
    func request() -> UInt32? { next(1)?.stream }
    /// Reads until the client has closed.
    func untilClosed() { while next() != nil {} }

    func send(_ type: UInt8, _ flags: UInt8 = 0, _ stream: UInt32 = 0, _ payload: [UInt8] = []) {
        let count = payload.count
        let header = [UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255), type, flags, UInt8(stream >> 24), UInt8(stream >> 16 & 255), UInt8(stream >> 8 & 255), UInt8(stream & 255)]
        raw(header + payload)
    }
    func raw(_ bytes: [UInt8]) {
        var at = 0
        while at < bytes.count {
            let piece = Array(bytes[at...])
            let sent = unsafe Glibc.send(socket, piece, piece.count, Int32(MSG_NOSIGNAL))
            guard sent > 0 else { return }
            at += sent
        }
    }
    func settings(_ values: [(UInt16, UInt32)] = []) {
        send(4, 0, 0, values.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 255)] + Self.bytes($0.1) })
    }
    static func bytes(_ value: UInt32) -> [UInt8] { [UInt8(value >> 24), UInt8(value >> 16 & 255), UInt8(value >> 8 & 255), UInt8(value & 255)] }
    /// A whole response: `:status: 200` and a body.
    func answer(_ stream: UInt32, _ text: String) {
        send(1, 4, stream, [0x88])
        send(0, 1, stream, Array(text.utf8))
    }
    func goAway(_ last: UInt32, _ code: UInt32 = 0) { send(7, 0, 0, Self.bytes(last) + Self.bytes(code)) }
    func reset(_ stream: UInt32, _ code: UInt32) { send(3, 0, stream, Self.bytes(code)) }
}
