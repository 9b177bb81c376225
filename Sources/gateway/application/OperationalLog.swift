// The server's own messages, on standard error through swift-log. Any thread.

package import Logging
internal import Glibc
internal import UringBase
package import UringServer

/// One logger, whose level a reload may change.
package final class OperationalLog: Sendable {
    /// What a line tells of, for the flight recorder.
    package enum Kind: String, Sendable {
        case message, breaker, ejection, health, reload, surge
    }

    /// A line that was written, for the dashboard, or that would have been, for the flight recorder.
    package struct Line: Sendable {
        /// Counts up from 1.
        package let number: UInt64
        /// Milliseconds since 1970.
        package let unixMs: UInt64
        /// `notice`, `warning` …
        package let level: String
        package let text: String
        package let kind: Kind
        /// Its level was high enough.
        package let isWritten: Bool
    }

    private struct Kept {
        var lines: [Line] = []
        var last: UInt64 = 0
    }

    /// Lines that are kept, and how much of each.
    static let keptMax = 50
    static let keptCharactersMax = 500

    private let logger: Locked<Logger>
    private let kept = Locked(Kept())

    package init(level: LogLevel) {
        var logger = Logger(label: "uringd") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = Logger.Level(level)
        self.logger = Locked(logger)
    }

    /// Writes lines elsewhere.
    /// - Parameter write: called on whichever thread has something to say, one at a time.
    package init(level: LogLevel, to write: @escaping @Sendable (String) -> Void) {
        var logger = Logger(label: "uringd") { _ in LineLogHandler(write: write) }
        logger.logLevel = Logger.Level(level)
        self.logger = Locked(logger)
    }

    package var level: LogLevel {
        get { LogLevel(rawValue: logger.withLock(\.logLevel).rawValue) ?? .info }
        set { logger.withLock { $0.logLevel = Logger.Level(newValue) } }
    }

    package func log(_ level: Logger.Level, _ text: String, _ kind: Kind = .message) {
        let isWritten = logger.withLock { logger in
            logger.log(level: level, "\(text)", source: "gateway")
            return level >= logger.logLevel
        }
        if isWritten && level >= .notice || kind != .message { keep(level, text, kind, isWritten) }
    }

    private func keep(_ level: Logger.Level, _ text: String, _ kind: Kind, _ isWritten: Bool) {
        kept.withLock { kept in
            kept.last &+= 1
            if kept.lines.count == Self.keptMax { kept.lines.removeFirst() }
            kept.lines.append(
                Line(
                    number: kept.last, unixMs: Gateway.wallNs() / 1_000_000, level: level.rawValue, text: String(text.prefix(Self.keptCharactersMax)), kind: kind,
                    isWritten: isWritten))
        }
    }

    /// The last lines from `notice` on, oldest first; those beyond number `last`.
    package func lines(after last: UInt64) -> [Line] { kept.withLock { $0.lines.filter { $0.number > last && $0.isWritten } } }

    /// The same, and events that the level kept from being written.
    var recorded: [Line] { kept.withLock { $0.lines } }

    package func info(_ text: String) { log(.info, text) }
    package func notice(_ text: String, _ kind: Kind = .message) { log(.notice, text, kind) }
    package func warning(_ text: String, _ kind: Kind = .message) { log(.warning, text, kind) }
    package func error(_ text: String, _ kind: Kind = .message) { log(.error, text, kind) }
}

extension Logger.Level {
    fileprivate init(_ level: LogLevel) { self = Logger.Level(rawValue: level.rawValue) ?? .info }
}

/// Hands on the text of each message.
private struct LineLogHandler: LogHandler {
    let write: @Sendable (String) -> Void
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { write("\(event.message)") }
}

/// What loops report, as log lines. A fault that every request meets must not turn into a flood that holds the loops up: beyond a few lines a
/// second they are counted instead.
package final class LogReporter: ServerReporter {
    /// Enough to see each kind of fault once a second; a page of log in ten.
    static let linesPerSecondMax = 10

    private struct Window {
        var second: Int = 0
        var lines = 0
        var suppressed = 0
    }

    let log: OperationalLog
    /// Dumps what happened last, when something goes wrong.
    package let flight: FlightRecorder
    /// What has held loops up.
    let stalls = StallTable()
    /// Whom failed handshakes are told; nil: nobody minds.
    let bans = Locked<BanWatch?>(nil)
    private let window = Locked(Window())
    private let handshakes = Locked(HandshakeFailures())
    private let clock: @Sendable () -> Int

    package convenience init(_ log: OperationalLog) {
        self.init(log) {
            var time = timespec()
            unsafe clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
            return time.tv_sec
        }
    }

    /// - Parameter clock: whole seconds.
    init(_ log: OperationalLog, clock: @escaping @Sendable () -> Int) {
        self.log = log
        self.clock = clock
        flight = FlightRecorder(log)
    }

    package func stalled(_ stall: LoopStall) {
        stalls.add(stall.route, nanoseconds: stall.nanoseconds, nowMs: Gateway.wallNs() / 1_000_000)
        report(.warning, "loop \(stall.loop) was held for \(stall.nanoseconds / 1_000_000) ms by \(stall.route): every connection of the loop waited")
        flight.dump(.stall)
    }
    package func handlerFailed(_ route: String, _ error: any Error) { report(.error, "the handler of \(route) failed: \(error)") }
    package func fieldRefused(_ route: String) {
        report(.error, "a response of \(route) became a 500: a header value contains a control character")
    }
    package func lengthMismatch() { report(.error, "a response was cut: its content is longer or shorter than announced") }

    package func certificatesNotTaken(listener: String, _ reason: String) {
        report(.error, "a loop could not take over the new certificates of \(listener), and goes on with the old ones: \(reason)")
    }

    /// What a filter has to say: a breaker that opened, a dry run. Such things are rare, or told seldom.
    func note(_ text: @autoclosure () -> String, _ kind: OperationalLog.Kind = .message) { report(.warning, text(), kind) }

    /// One line a second for each reason: whoever makes handshakes fail writes no more of the log than that, and hides no other reason.
    package func handshakeFailed(_ failure: HandshakeFailure, peer: String) {
        if !failure.isInternal { bans.withLock { $0 }?.handshakeFailed(peer) }
        let second = clock()
        guard let more = handshakes.withLock({ $0.admit(failure.number, at: second) }) else { return }
        let counted = more > 0 ? "; \(more) more since the last such line" : ""
        log.log(failure.isInternal ? .error : .notice, "a TLS handshake failed: \(failure)\(peer.isEmpty ? "" : ", client \(peer)")\(counted)")
    }

    private func report(_ level: Logger.Level, _ text: @autoclosure () -> String, _ kind: OperationalLog.Kind = .message) {
        let second = clock()
        let (isWritten, suppressed) = window.withLock { window -> (Bool, Int) in
            var before = 0
            if window.second != second {
                before = window.suppressed
                window = Window(second: second)
            }
            window.lines += 1
            if window.lines > Self.linesPerSecondMax { window.suppressed += 1 }
            return (window.lines <= Self.linesPerSecondMax, before)
        }
        if suppressed > 0 { log.warning("\(suppressed) more reports of loops were not written: too many in one second") }
        if isWritten { log.log(level, text(), kind) }
    }
}

/// When a failure of each kind was written last, and how many came since.
struct HandshakeFailures {
    private var written = [Int?](repeating: nil, count: HandshakeFailure.reasons.count)
    private var unwritten = [Int](repeating: 0, count: HandshakeFailure.reasons.count)

    /// nil: not now. Otherwise how many were not written since the last that was.
    mutating func admit(_ number: Int, at second: Int) -> Int? {
        guard written[number] != second else {
            unwritten[number] += 1
            return nil
        }
        defer { (written[number], unwritten[number]) = (second, 0) }
        return unwritten[number]
    }
}
