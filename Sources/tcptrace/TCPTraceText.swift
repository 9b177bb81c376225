// What `uringd tcptrace` prints of a trace: lines for people, with the round trips as a strip, or one JSON object a line. Stateless; any thread.

internal import UringBase

package enum TCPTraceText {
    /// Buckets of one character of the strip: 64 characters from 0.1 ms to 1 s.
    private static let bucketsPerCell = 4
    private static let shades = Array(" .:-=+*#%@")

    /// Which tenth of the fullest cell each cell is: nothing for none, never nothing for some.
    package static func strip(_ roundTrips: [UInt64]) -> String {
        let cells = stride(from: 0, to: roundTrips.count, by: bucketsPerCell).map { start in
            roundTrips[start..<min(start + bucketsPerCell, roundTrips.count)].reduce(0, &+)
        }
        let most = cells.max() ?? 0
        return String(
            cells.map { count in
                guard count > 0 else { return shades[0] }
                return shades[min(shades.count - 1, 1 + Int(Double(count) / Double(most) * Double(shades.count - 2)))]
            })
    }

    /// `0.12 ms`; `–` without any.
    package static func duration(_ nanoseconds: UInt64?) -> String {
        guard let nanoseconds else { return "–" }
        let hundredths = (nanoseconds + 5_000) / 10_000
        return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100) ms"
    }

    /// Two lines a port.
    package static func lines(_ ports: [TCPTrace.Port]) -> String {
        ports.map { port in
            let what = "\(port.side.rawValue) port \(name(port))"
            let counts = "begun \(port.begun)  established \(port.established)  closed \(port.closed)  failed \(port.failed)  retransmits \(port.retransmits)"
            let times = "round trips \(port.samples), half within \(duration(port.roundTrip(permille: 500))), 99 % within \(duration(port.roundTrip(permille: 990)))"
            return "\(what): \(counts)  \(times)\n  0.1 ms |\(strip(port.roundTrips))| 1 s\n"
        }.joined()
    }

    /// Port 0 is no server's: `busiest` adds the others up under it.
    package static func name(_ port: TCPTrace.Port) -> String { port.number == 0 ? "other" : "\(port.number)" }

    /// - Parameter unixMs: when it was read.
    package static func json(_ ports: [TCPTrace.Port], lost: UInt64, unixMs: UInt64, source: String) -> String {
        let items = ports.map { port in
            let buckets = port.roundTrips.enumerated().filter { $0.element > 0 }.map { "[\($0.offset),\($0.element)]" }.joined(separator: ",")
            return
                "{\"side\":\"\(port.side.rawValue)\",\"port\":\(port.number),\"begun\":\(port.begun),\"established\":\(port.established),\"closed\":\(port.closed),\"failed\":\(port.failed),\"retransmits\":\(port.retransmits),\"round_trips\":[\(buckets)]}"
        }
        return "{\"time\":\(unixMs),\"source\":\"\(source)\",\"lost\":\(lost),\"ports\":[\(items.joined(separator: ","))]}\n"
    }
}
