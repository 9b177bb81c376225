// Trace: what happened, in order, as a hash that two runs of one seed share and as text for whoever looks for the difference.

/// What a line of the trace is about.
package enum TraceEvent: UInt8, Sendable {
    case submit = 1
    case complete
    case overflow
    case enter
    case accept
    case receive
    case send
    case close
    case connect
    case clientSend
    case clientRead
    case clientEnd
    case fault
    case open
    case time
    case violation
}

/// No address, no real time and no order of a hash table enters it, so it depends on the seed and on the program alone.
package struct Trace: Sendable {
    /// FNV-1a over every event and its numbers.
    package private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    package private(set) var count = 0
    /// Text costs time: off unless a test is about to be looked at.
    package var keepsText = false
    /// The last `textLinesMax` events.
    package private(set) var text: [String] = []
    package static let textLinesMax = 20_000

    mutating func add(_ event: TraceEvent, at time: UInt64, _ a: Int64 = 0, _ b: Int64 = 0, _ c: Int64 = 0) {
        count += 1
        mix(UInt64(event.rawValue))
        mix(time)
        mix(UInt64(bitPattern: a))
        mix(UInt64(bitPattern: b))
        mix(UInt64(bitPattern: c))
        if keepsText {
            if text.count >= Self.textLinesMax * 2 { text.removeFirst(Self.textLinesMax) }
            text.append("\(time) \(event) \(a) \(b) \(c)")
        }
    }

    private mutating func mix(_ word: UInt64) {
        hash = (hash ^ word) &* 0x0000_0100_0000_01B3
        // The multiplication alone never carries high bits down.
        hash ^= hash >> 29
    }
}
