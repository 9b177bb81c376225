// WireFrame: a frame of a WebSocket (RFC 6455 section 5.2) as tests write and read it. Shares no code with the server. A plain value; any thread.

/// A frame as a server sends it, and by `masked` as a client does.
package struct WireFrame: Equatable, Sendable, CustomStringConvertible {
    package var isFinal = true
    package var isCompressed = false
    package var opcode: UInt8
    package var payload: [UInt8]
    /// Of a frame that was read: never, from a server.
    package var isMasked = false

    package init(isFinal: Bool = true, isCompressed: Bool = false, opcode: UInt8, payload: [UInt8]) {
        (self.isFinal, self.isCompressed, self.opcode, self.payload) = (isFinal, isCompressed, opcode, payload)
    }

    package var text: String { String(decoding: payload, as: UTF8.self) }
    /// Of a Close; 1005 without one.
    package var closeCode: Int { payload.count < 2 ? 1005 : Int(payload[0]) << 8 | Int(payload[1]) }
    package var description: String { "\(isFinal ? "" : "part of ")\(opcode)\(isCompressed ? " compressed" : ""): \(payload.count < 100 ? text : "\(payload.count) bytes")" }

    package static func text(_ text: String) -> WireFrame { WireFrame(opcode: 1, payload: Array(text.utf8)) }

    /// As a client sends it.
    package func masked(_ key: [UInt8]? = [0x37, 0xfa, 0x21, 0x3d], extraBits: UInt8 = 0) -> [UInt8] {
        var bytes = [(isFinal ? 0x80 : 0) | (isCompressed ? 0x40 : 0) | extraBits | opcode]
        let mask: UInt8 = key == nil ? 0 : 0x80
        switch payload.count {
        case ..<126: bytes.append(mask | UInt8(payload.count))
        case ..<65_536: bytes += [mask | 126, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
        default:
            bytes.append(mask | 127)
            bytes += (0..<8).map { UInt8(truncatingIfNeeded: payload.count >> (56 - 8 * $0)) }
        }
        guard let key else { return bytes + payload }
        return bytes + key + payload.enumerated().map { $1 ^ key[$0 & 3] }
    }

    /// Reads the frame in front of `bytes`; nil when it is not whole.
    package static func parse(_ bytes: inout [UInt8]) -> WireFrame? {
        guard bytes.count >= 2 else { return nil }
        var head = 2
        var length = Int(bytes[1])
        let isMasked = length >= 128
        length &= 127
        if length == 126 {
            (head, length) = (4, bytes.count < 4 ? Int.max : Int(bytes[2]) << 8 | Int(bytes[3]))
        } else if length == 127 {
            (head, length) = (10, bytes.count < 10 ? Int.max : bytes[2..<10].reduce(0) { $0 << 8 | Int($1) })
        }
        guard length != .max, bytes.count >= head + length else { return nil }
        var frame = WireFrame(
            isFinal: bytes[0] & 0x80 != 0, isCompressed: bytes[0] & 0x40 != 0, opcode: bytes[0] & 15, payload: Array(bytes[head..<head + length]))
        frame.isMasked = isMasked
        bytes.removeFirst(head + length)
        return frame
    }
}
