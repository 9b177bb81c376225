// ServerOptions: what a server can be told, with defaults for each. Plain values; any thread.

internal import UringHTTP1
internal import UringHTTP2
internal import UringRing

/// Limits, timeouts and placement of a server. Every default is that of the configuration reference (docs/operators/configuration.md).
public struct ServerOptions: Sendable {
    /// How many loops, on which cores.
    public var loops = LoopSelection.automatic
    /// How long each party may keep a connection waiting.
    public var timeouts = Timeouts()
    /// What one client may take.
    public var limits = Limits()
    /// What HTTP/2 connections are allowed.
    public var http2 = HTTP2()
    /// A handler call that holds its loop longer than this is reported. `.zero` = never.
    public var stallThreshold = Duration.milliseconds(50)
    /// Events that each loop keeps of what it did last, 32 bytes each, for `RunningServer.flightRecords`; rounded up to a power of two. 0 = none, and nothing is kept.
    public var flightRecorderEvents = 0
    /// The `Server` field; empty = none.
    public var serverName = ""
    /// How long `run` waits for connections to finish after SIGTERM.
    public var drainTimeout = Duration.seconds(30)
    /// Most connections the kernel queues before a loop accepts them; capped by net.core.somaxconn.
    public var backlog = 4096
    /// TCP_DEFER_ACCEPT: a connection reaches a loop with its first bytes. Off where clients wait for the server to speak first.
    public var deferAccept = true
    /// What the loops wait with. The choice that is made is in `RunningServer.backend`.
    public var backend = Backend.automatic
    /// Whether loops stay on their cores, where the plan says so. Off for a server beside the main one.
    package var pinsLoops = true
    /// Off only to measure what looking at turns costs.
    package var samplesPhases = true

    /// The interface of Linux that loops use. Handlers and clients see no difference.
    public enum Backend: String, Sendable, Hashable, CaseIterable {
        /// io_uring where it is available, epoll otherwise. The environment variable `URING_BACKEND` may name another.
        case automatic
        /// io_uring: a server does not start where it is forbidden or too old (Linux 5.19), and says what to change.
        case uring
        /// epoll and plain system calls: for places that forbid io_uring, such as containers under Docker's default seccomp profile.
        case epoll
    }

    /// Zero switches a timeout off.
    public struct Timeouts: Sendable {
        /// From the first byte of a request head, or from accept, to its end.
        public var header = Duration.seconds(10)
        /// The longest pause within a request body.
        public var body = Duration.seconds(30)
        /// From the request to the response's first byte, and between pieces of a streamed response.
        public var handler = Duration.seconds(30)
        /// The longest pause in which the client takes no byte of a response.
        public var write = Duration.seconds(30)
        /// Between two requests of a connection.
        public var idle = Duration.seconds(75)
        /// How long a closed connection still reads, so that the client gets the last response.
        public var linger = Duration.seconds(5)
        /// Least rates, after a grace period, for slow request bodies and slow readers.
        public var bodyRate = MinimumRate(bytesPerSecond: 240, grace: .seconds(5))
        /// The same for clients that read slowly.
        public var writeRate = MinimumRate(bytesPerSecond: 240, grace: .seconds(5))
        /// The defaults.
        public init() {}
    }

    /// A minimum data rate; 0 bytes per second = off.
    public struct MinimumRate: Sendable, Equatable {
        /// Bytes per second, from 0 = off.
        public var bytesPerSecond: Int
        /// How long a transfer may go on before its rate counts.
        public var grace: Duration
        /// A rate, and how long it does not count yet.
        public init(bytesPerSecond: Int, grace: Duration) { (self.bytesPerSecond, self.grace) = (bytesPerSecond, grace) }
    }

    /// What HTTP/2 connections are allowed. Header limits are those of `limits`, where a field counts 32 bytes more and 256 KiB are the most
    /// (RFC 9113 section 6.5.2). New connections get what a reload changes.
    public struct HTTP2: Sendable {
        /// Requests under way on one connection, 1 to 16384. A client that has more is told to try them again.
        public var streams = 128
        /// Bytes of one request body that may be on their way, at most 2 GiB.
        public var streamWindowBytes = 64 * 1024
        /// The same of all bodies of a connection; 65,535 at least.
        public var connectionWindowBytes = 256 * 1024
        /// How long a client with requests under way may be silent before it is asked by PING whether it is there (RFC 9113 section 6.7).
        /// `.zero` = never.
        public var pingAfter = Duration.seconds(60)
        /// How long it may be silent after that before its connection is ended.
        public var pingTimeout = Duration.seconds(20)
        /// Tells clients that WebSockets may be asked for on HTTP/2 (extended CONNECT, RFC 8441). Off where no handler takes them so: clients then open a
        /// connection of HTTP/1.1 for each.
        public var webSockets = true
        /// The defaults.
        public init() {}
    }

    /// What one client may take. The status behind each is what it is answered beyond it.
    public struct Limits: Sendable {
        /// Open connections, over all loops. Lowered at start to what the descriptor limit allows.
        public var connections = 100_000
        /// Open connections of one peer address (IPv6: of one /64), over all loops; 0 = unlimited. Connections from this machine do not count.
        /// Beyond it a connection is reset.
        public var connectionsPerAddress = 1000
        /// Requests one connection may make; 0 = unlimited.
        public var requestsPerConnection = 0
        /// 414 beyond.
        public var requestLineBytes = 8 * 1024
        /// Request line and fields; 431 beyond.
        public var headerBytes = 32 * 1024
        /// 431 beyond.
        public var headerCount = 100
        /// 413 beyond.
        public var bodyBytes = 10 * 1024 * 1024
        /// The defaults.
        public init() {}
    }

    /// The defaults.
    public init() {}

    /// For one of `loops` loops.
    package func loopConfiguration(connectionsPerLoop: Int) -> LoopConfiguration {
        var configuration = LoopConfiguration()
        configuration.keepAlive.headerTimeoutNs = Self.nanoseconds(timeouts.header)
        configuration.keepAlive.bodyTimeoutNs = Self.nanoseconds(timeouts.body)
        configuration.keepAlive.handlerTimeoutNs = Self.nanoseconds(timeouts.handler)
        configuration.keepAlive.writeTimeoutNs = Self.nanoseconds(timeouts.write)
        configuration.keepAlive.idleTimeoutNs = Self.nanoseconds(timeouts.idle)
        configuration.keepAlive.lingerTimeoutNs = Self.nanoseconds(timeouts.linger)
        configuration.keepAlive.bodyRateMin = Self.rate(timeouts.bodyRate)
        configuration.keepAlive.drainRateMin = Self.rate(timeouts.writeRate)
        configuration.keepAlive.requestsPerConnectionMax = UInt32(clamping: limits.requestsPerConnection)
        configuration.parserLimits = ParserLimits(
            requestLineBytesMax: limits.requestLineBytes, headerBytesMax: limits.headerBytes, fieldCountMax: limits.headerCount)
        configuration.bodyBytesMax = UInt64(clamping: limits.bodyBytes)
        configuration.http2.local = HTTP2LocalSettings(
            maxConcurrentStreams: http2.streams, streamWindowBytes: http2.streamWindowBytes, connectionWindowBytes: http2.connectionWindowBytes,
            extendedConnect: http2.webSockets)
        configuration.http2.keepAlive.afterNs = Self.nanoseconds(http2.pingAfter)
        configuration.http2.keepAlive.timeoutNs = Self.nanoseconds(http2.pingTimeout)
        configuration.connectionsMax = connectionsPerLoop
        configuration.stallThresholdNs = Self.nanoseconds(stallThreshold)
        configuration.serverName = serverName
        configuration.flightEvents = flightRecorderEvents
        configuration.samplesPhases = samplesPhases
        return configuration
    }

    private static func rate(_ rate: MinimumRate) -> KeepAliveRate {
        KeepAliveRate(bytesPerSecond: UInt64(clamping: rate.bytesPerSecond), graceNs: nanoseconds(rate.grace))
    }

    /// Negative durations count as zero, those beyond 584 years as that.
    static func nanoseconds(_ duration: Duration) -> UInt64 {
        let (seconds, attoseconds) = duration.components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? .max : whole &+ UInt64(attoseconds / 1_000_000_000)
    }
}
