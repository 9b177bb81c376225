// LoopMeter: a loop's own figures (M11, M12). Written by the loop alone; others read a snapshot that the loop makes when it is asked by
// message, so nothing here is atomic.

internal import UringBase
internal import UringHTTP1
internal import UringHTTP2
internal import UringRing
internal import UringTLS

@unsafe
struct LoopMeter: ~Copyable {
    var connectionsAccepted: UInt64 = 0
    var connectionsClosed: UInt64 = 0
    var connectionsAborted: UInt64 = 0
    var connectionsRefused: UInt64 = 0
    var connectionsShed: UInt64 = 0
    var requests: UInt64 = 0
    var requestFaults: UInt64 = 0
    var handlerErrors: UInt64 = 0
    var stalls: UInt64 = 0
    var acceptErrors: UInt64 = 0
    var receiveErrors: UInt64 = 0
    var staleCompletions: UInt64 = 0
    var buffersExhausted: UInt64 = 0
    var submissionQueueFull: UInt64 = 0
    var coldReads: UInt64 = 0
    var handshakesRefused: UInt64 = 0
    /// Contexts that could not be made on a reload.
    var contextFailures: UInt64 = 0
    /// Protocols that responses have switched to.
    var tunnels: UInt64 = 0
    var http2Connections: UInt64 = 0
    var http2Failures: UInt64 = 0
    var http2Silent: UInt64 = 0
    var streamsRefused: UInt64 = 0
    var streamsReset: UInt64 = 0
    var http2Streams: UInt64 = 0
    var resetsSent: UInt64 = 0
    var resetsReceived: UInt64 = 0
    var goAwaysReceived: UInt64 = 0
    /// By code; the server says only those that have a name (RFC 9113 section 7).
    var goAwaysSent: InlineArray<14, UInt64> = .init(repeating: 0)
    static let goAwayCodes = 14
    /// By `KeepAliveTimeout`.
    var timeouts: InlineArray<8, UInt64> = .init(repeating: 0)

    /// Completions found by one reap.
    var depth = Histogram()
    /// Requests handled between two enters.
    var batch = Histogram()
    /// Nanoseconds from the return of enter to the end of the turn: how long a completion that arrives meanwhile waits.
    var lag = Histogram()
    /// Where the time goes.
    var phases = unsafe PhaseMeter()
    /// Over the last 1024 turns or so.
    var depthMean = SlidingMean(windowShift: 10)
    var batchMean = SlidingMean(windowShift: 10)
    var lagMean = SlidingMean(windowShift: 10)

    mutating func record(depth completions: UInt64, handled: UInt64, lagNs: UInt64) {
        unsafe requests &+= handled
        unsafe depth.record(completions)
        unsafe batch.record(handled)
        unsafe lag.record(lagNs)
        unsafe depthMean.record(completions)
        unsafe batchMean.record(handled)
        unsafe lagMean.record(lagNs)
    }
}

/// The distribution of one quantity, as a loop counted it. Values are exact below 64 and within 1/32 above.
public struct LoopDistribution: Sendable {
    /// How many samples lay in a range.
    public struct Bucket: Sendable {
        /// From its lower to its upper bound, both inclusive.
        public let range: ClosedRange<UInt64>
        /// Number of samples.
        public let count: UInt64
    }
    /// Number of samples.
    public let count: UInt64
    /// Sum of all samples.
    public let sum: UInt64
    /// The largest sample; 0 when there is none.
    public let max: UInt64
    /// Exponentially weighted over about 1024 turns, in thousandths.
    public let slidingMeanThousandths: UInt64
    /// Those that are not empty, ascending.
    public let buckets: [Bucket]
    private let permilles: [UInt64]

    /// The value that half, 90 %, 99 % and 99.9 % of the samples do not exceed.
    public var p50: UInt64 { permilles[0] }
    /// What 90 % of the samples do not exceed, to the precision of a bucket.
    public var p90: UInt64 { permilles[1] }
    /// What 99 % of the samples do not exceed, to the precision of a bucket.
    public var p99: UInt64 { permilles[2] }
    /// What 99.9 % of the samples do not exceed, to the precision of a bucket.
    public var p999: UInt64 { permilles[3] }

    /// - Parameter mean: nil where none is kept: then it is that of all samples.
    init(_ histogram: borrowing Histogram, _ mean: SlidingMean? = nil) {
        (count, sum, max) = (histogram.count, histogram.sum, histogram.max)
        let whole = histogram.count == 0 ? 0 : histogram.sum / histogram.count
        slidingMeanThousandths = mean?.thousandths ?? Self.thousandths(whole)
        var found: [Bucket] = []
        histogram.forEachBucket { range, count in if count > 0 { found.append(Bucket(range: range, count: count)) } }
        buckets = found
        permilles = [histogram.percentile(permille: 500), histogram.percentile(permille: 900), histogram.percentile(permille: 990), histogram.percentile(permille: 999)]
    }

    private static func thousandths(_ value: UInt64) -> UInt64 {
        let (product, overflow) = value.multipliedReportingOverflow(by: 1000)
        return overflow ? .max : product
    }
}

/// One loop's figures at one moment. Counts are since its start.
public struct LoopSnapshot: Sendable {
    /// The loop's number, from 0.
    public let loop: Int
    /// Open now.
    public let connections: Int
    /// The most connections that were ever open at once.
    public let connectionsHighWater: Int
    /// Connections accepted so far.
    public let connectionsAccepted: UInt64
    /// Connections closed so far.
    public let connectionsClosed: UInt64
    /// Ended with a reset: a failed transport, a timeout in the middle of a response, a drain that took too long.
    public let connectionsAborted: UInt64
    /// Closed at once because every slot was taken.
    public let connectionsRefused: UInt64
    /// Ended because memory for their bytes was refused.
    public let connectionsShed: UInt64
    /// Requests answered so far.
    public let requests: UInt64
    /// Malformed or refused before a handler saw them.
    public let requestFaults: UInt64
    /// Handlers that threw.
    public let handlerErrors: UInt64
    /// Handler calls that held the loop longer than the threshold.
    public let stalls: UInt64
    /// Accepts that failed.
    public let acceptErrors: UInt64
    /// Receives that failed.
    public let receiveErrors: UInt64
    /// Completions that named a connection which was gone.
    public let staleCompletions: UInt64
    /// Receives that found no buffer and were armed again.
    public let buffersExhausted: UInt64
    /// Times the submission queue was full.
    public let submissionQueueFull: UInt64
    /// Pieces of files that a disk was waited for, by the ring.
    public let coldReads: UInt64
    /// TLS handshakes so far, by how they ended.
    public let handshakes: LoopHandshakes
    /// Connections refused because too many others were in their handshake.
    public let handshakesRefused: UInt64
    /// Certificates and keys that were loaded anew and that this loop could not take over: it goes on with the old ones.
    public let contextFailures: UInt64
    /// Connections that spoke HTTP/2.
    public let http2Connections: UInt64
    /// Those of them that violated HTTP/2.
    public let http2Failures: UInt64
    /// Those that had streams open and did not answer a PING.
    public let http2Silent: UInt64
    /// Requests that came on them.
    public let http2Streams: UInt64
    /// RST_STREAM frames that were sent, and those of clients that ended a stream.
    public let http2ResetsSent: UInt64
    /// RST_STREAM frames received.
    public let http2ResetsReceived: UInt64
    /// GOAWAY frames that were sent, by error code, those that were: `NO_ERROR` once or twice for each connection that is drained. And clients' own.
    public let http2GoAwaysSent: [(code: String, count: UInt64)]
    /// GOAWAY frames received.
    public let http2GoAwaysReceived: UInt64
    /// Streams refused for want of a slot.
    public let streamsRefused: UInt64
    /// Streams under way that were reset, by their client or for breaking a rule.
    public let streamsReset: UInt64
    /// Connections ended by each clock: idle, header, body, bodyRate, handler, write, writeRate, linger.
    public let timeouts: [(name: String, count: UInt64)]
    /// Completions found by one reap.
    public let queueDepth: LoopDistribution
    /// Requests handled per turn.
    public let batchSize: LoopDistribution
    /// Nanoseconds of work per turn.
    public let lagNs: LoopDistribution
    /// Blocks of 16 KiB that are out now, and the most that ever were.
    public let chunksOutstanding: Int
    /// The most pool chunks that connections ever held at once.
    public let chunksHighWater: Int
    /// Scratch bytes of one request, at most, so far, and how many pieces were larger than a block and came from malloc.
    public let arenaHighWater: Int
    /// Allocations in request arenas that were larger than a chunk.
    public let arenaOversized: UInt64
    /// Bytes of one batch's output, at most, so far.
    public let outputHighWater: Int
    /// Where the loop's time goes, by layer, from a sample of its turns.
    public let phases: LoopPhases
    /// What its connections are doing, from a sample of them.
    public let census: LoopCensus
}

extension Loop {
    private var goAwaysSent: [(code: String, count: UInt64)] {
        (0..<(unsafe LoopMeter.goAwayCodes)).compactMap { code in
            let count = unsafe meter.pointee.goAwaysSent[code]
            return count > 0 ? (HTTP2ErrorCode(rawValue: UInt32(code)).description, count) : nil
        }
    }

    func snapshot() -> LoopSnapshot {
        let names: [KeepAliveTimeout] = KeepAliveTimeout.allCases
        return unsafe LoopSnapshot(
            loop: index, connections: connectionCount, connectionsHighWater: connections.pointee.highWater,
            connectionsAccepted: meter.pointee.connectionsAccepted, connectionsClosed: meter.pointee.connectionsClosed,
            connectionsAborted: meter.pointee.connectionsAborted, connectionsRefused: meter.pointee.connectionsRefused,
            connectionsShed: meter.pointee.connectionsShed, requests: meter.pointee.requests, requestFaults: meter.pointee.requestFaults,
            handlerErrors: meter.pointee.handlerErrors, stalls: meter.pointee.stalls, acceptErrors: meter.pointee.acceptErrors,
            receiveErrors: meter.pointee.receiveErrors, staleCompletions: meter.pointee.staleCompletions,
            buffersExhausted: meter.pointee.buffersExhausted, submissionQueueFull: meter.pointee.submissionQueueFull,
            coldReads: meter.pointee.coldReads,
            handshakes: handshakes, handshakesRefused: meter.pointee.handshakesRefused,
            contextFailures: meter.pointee.contextFailures, http2Connections: meter.pointee.http2Connections,
            http2Failures: meter.pointee.http2Failures, http2Silent: meter.pointee.http2Silent, http2Streams: meter.pointee.http2Streams,
            http2ResetsSent: meter.pointee.resetsSent, http2ResetsReceived: meter.pointee.resetsReceived,
            http2GoAwaysSent: goAwaysSent, http2GoAwaysReceived: meter.pointee.goAwaysReceived, streamsRefused: meter.pointee.streamsRefused, streamsReset: meter.pointee.streamsReset,
            timeouts: names.map { ("\($0)", unsafe meter.pointee.timeouts[Int($0.rawValue)]) },
            queueDepth: LoopDistribution(meter.pointee.depth, meter.pointee.depthMean),
            batchSize: LoopDistribution(meter.pointee.batch, meter.pointee.batchMean),
            lagNs: LoopDistribution(meter.pointee.lag, meter.pointee.lagMean), chunksOutstanding: chunksHeld,
            chunksHighWater: chunksHighWater, arenaHighWater: arena.pointee.highWater, arenaOversized: arena.pointee.oversized, outputHighWater: batch.pointee.highWater,
            phases: meter.pointee.phases.snapshot(kernel.nanoseconds), census: census())
    }
}
