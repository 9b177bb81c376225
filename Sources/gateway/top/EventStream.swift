// EventStream: server-sent events as they come (HTML Living Standard, section 9.2): bytes in, events out. Sans-I/O; for commands.

package struct EventStream {
    package struct Event: Sendable, Equatable {
        package let type: String
        package let data: [UInt8]
    }

    /// A longer line is no sample of ours.
    package static let lineBytesMax = 8 << 20

    private var line: [UInt8] = []
    private var type = ""
    private var data: [UInt8] = []
    private var hasData = false
    /// What a line that is too long makes of the stream.
    package private(set) var isBroken = false

    package init() {}

    /// - Returns: events that have become whole.
    package mutating func feed(_ bytes: [UInt8]) -> [Event] {
        var events: [Event] = []
        for byte in bytes where !isBroken {
            guard byte == UInt8(ascii: "\n") else {
                line.append(byte)
                isBroken = line.count > Self.lineBytesMax
                continue
            }
            if line.last == UInt8(ascii: "\r") { line.removeLast() }
            if let event = endLine() { events.append(event) }
            line.removeAll(keepingCapacity: true)
        }
        return events
    }

    private mutating func endLine() -> Event? {
        if line.isEmpty {
            defer { (type, data, hasData) = ("", [], false) }
            return hasData ? Event(type: type.isEmpty ? "message" : type, data: data) : nil
        }
        let colon = line.firstIndex(of: UInt8(ascii: ":")) ?? line.count
        var value = line[min(colon + 1, line.count)...]
        if value.first == UInt8(ascii: " ") { value = value.dropFirst() }
        switch String(decoding: line[..<colon], as: UTF8.self) {
        case "event": type = String(decoding: value, as: UTF8.self)
        case "data":
            if hasData { data.append(UInt8(ascii: "\n")) }
            data += value
            hasData = true
        // Comments, numbers, and how long to wait before coming again.
        default: break
        }
        return nil
    }
}
