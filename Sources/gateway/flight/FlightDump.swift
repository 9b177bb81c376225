// FlightDump: what recorders and the log have, as lines of JSON in the order of time: a head, then an event a line. Any thread; no loop is asked.

internal import Glibc
internal import UringServer

struct FlightDump: Sendable {
    let bytes: [UInt8]
    /// Lines behind the head.
    let events: Int

    /// - Parameter withinNs: older events are left out.
    static func make(_ gateway: Gateway, reason: String, withinNs: UInt64) -> FlightDump {
        let records = gateway.server.flightRecords()
        let (wall, monotonic) = (Gateway.wallNs(), MonotonicClock.now)
        // Both clocks at one moment: what is between them dates everything.
        let offset = wall > monotonic ? wall - monotonic : 0
        let oldest = wall > withinNs ? wall - withinNs : 0
        var lines: [(ns: UInt64, line: Line)] = []
        for record in records {
            for event in record.events where event.nanoseconds &+ offset >= oldest { lines.append((event.nanoseconds &+ offset, .event(event))) }
        }
        for message in gateway.log.recorded where message.unixMs.multipliedReportingOverflow(by: 1_000_000).partialValue >= oldest {
            lines.append((message.unixMs &* 1_000_000, .message(message)))
        }
        // Stable: events of a loop stay in their order.
        lines.sort { $0.ns < $1.ns }
        var writer = Writer()
        writer.head(reason, wall, records, count: lines.count, withinNs: withinNs)
        for (ns, line) in lines {
            switch line {
            case .event(let event): writer.event(event, ns)
            case .message(let message): writer.message(message, ns)
            }
        }
        return FlightDump(bytes: writer.bytes, events: lines.count)
    }

    private enum Line { case event(FlightEvent), message(OperationalLog.Line) }

    /// Writes lines into memory that grows; a line is some 120 bytes.
    private struct Writer {
        var bytes: [UInt8] = []

        private mutating func text(_ text: StaticString) {
            // SAFETY: literals are immortal.
            unsafe bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
        }

        private mutating func number(_ value: UInt64) { bytes += String(value).utf8 }

        /// `"name":value`, behind a comma.
        private mutating func member(_ name: StaticString, _ value: UInt64) {
            text(",\"")
            text(name)
            text("\":")
            number(value)
        }

        private mutating func member(_ name: StaticString, _ value: String) {
            text(",\"")
            text(name)
            text("\":")
            bytes += JSONValue.string(value).compactBytes
        }

        /// Seconds, or µs, with `digits` behind the point.
        private mutating func decimal(_ name: StaticString, _ value: UInt64, digits: Int) {
            text(",\"")
            text(name)
            text("\":")
            fixed(value, digits: digits)
        }

        private mutating func fixed(_ value: UInt64, digits: Int) {
            var power: UInt64 = 1
            for _ in 0..<digits { power *= 10 }
            number(value / power)
            bytes.append(UInt8(ascii: "."))
            let rest = String(value % power)
            bytes.append(contentsOf: repeatElement(UInt8(ascii: "0"), count: digits - rest.utf8.count))
            bytes += rest.utf8
        }

        /// Unix time with microseconds: as many digits as a double has.
        private mutating func begin(_ ns: UInt64, _ event: String) {
            text("{\"time\":")
            fixed(ns / 1000, digits: 6)
            member("event", event)
        }

        private mutating func end() { text("}\n") }

        mutating func head(_ reason: String, _ ns: UInt64, _ records: [FlightRecord], count: Int, withinNs: UInt64) {
            begin(ns, "dump")
            member("reason", reason)
            member("version", GatewayVersion.current)
            member("pid", UInt64(getpid()))
            member("loops", UInt64(records.count))
            member("events", UInt64(count))
            member("written", records.reduce(0) { $0 &+ $1.written })
            decimal("within", withinNs / 1000, digits: 6)
            end()
        }

        mutating func message(_ line: OperationalLog.Line, _ ns: UInt64) {
            begin(ns, line.kind.rawValue)
            member("level", line.level)
            member("text", line.text)
            end()
        }

        mutating func event(_ event: FlightEvent, _ ns: UInt64) {
            begin(ns, event.kind.name)
            member("loop", UInt64(event.loop))
            if event.connection != 0 { member("connection", event.connection) }
            switch event.kind {
            case .request:
                member("status", UInt64(event.status))
                decimal("us", event.value, digits: 3)
            case .begun, .stall: decimal("us", event.value, digits: 3)
            case .close:
                member("reason", event.end.map { "\($0)" } ?? "unknown")
                member("sent", event.value)
            case .turn:
                decimal("us", event.value, digits: 3)
                member("completions", UInt64(event.completions))
                member("requests", UInt64(event.requests))
            case .layers:
                member("requests", UInt64(event.requests))
                for (phase, spent) in zip(LoopPhase.allCases, event.layers) where spent > 0 { decimal(phase.member, UInt64(spent), digits: 3) }
            case .acceptFailed: member("error", UInt64(event.value))
            case .timeout: member("clock", event.timeoutName)
            case .handshake: member("result", event.handshakeName)
            case .accept, .noBuffers, .refused, .backlog, .goAway, .replaced, .drain, .queueFull: break
            }
            if let route = event.route { member("route", route) }
            end()
        }
    }
}

extension FlightEvent.Kind {
    /// As dumps have it.
    var name: String {
        switch self {
        case .accept: "accept"
        case .close: "close"
        case .begun: "begun"
        case .request: "request"
        case .turn: "turn"
        case .layers: "layers"
        case .stall: "stall"
        case .noBuffers: "no-buffers"
        case .refused: "refused"
        case .acceptFailed: "accept-failed"
        case .backlog: "backlog"
        case .timeout: "timeout"
        case .handshake: "handshake"
        case .goAway: "go-away"
        case .replaced: "replaced"
        case .drain: "drain"
        case .queueFull: "queue-full"
        }
    }
}

extension LoopPhase {
    /// Its member of `layers`, µs.
    fileprivate var member: StaticString {
        switch self {
        case .kernel: "kernel"
        case .dispatch: "dispatch"
        case .handshake: "handshake"
        case .decrypt: "decrypt"
        case .parse: "parse"
        case .handler: "handler"
        case .serialise: "serialise"
        case .encrypt: "encrypt"
        case .send: "send"
        }
    }
}
