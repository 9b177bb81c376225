// LoopFigure: the table of what each loop counts, one row a metric with the label `loop`. For MetricsPage; values without state.

internal import UringServer

struct LoopFigure: Sendable {
    let name: StaticString
    var isGauge = false
    var unit: StaticString = ""
    let help: StaticString
    let value: @Sendable (LoopSnapshot) -> UInt64

    static func counter(_ name: StaticString, _ help: StaticString, _ value: @escaping @Sendable (LoopSnapshot) -> UInt64) -> LoopFigure {
        LoopFigure(name: name, help: help, value: value)
    }

    static func gauge(_ name: StaticString, unit: StaticString = "", _ help: StaticString, _ value: @escaping @Sendable (LoopSnapshot) -> Int) -> LoopFigure {
        LoopFigure(name: name, isGauge: true, unit: unit, help: help) { UInt64(max(0, value($0))) }
    }
}

extension MetricsPage {
    static let loopFigures: [LoopFigure] = [
        .gauge("uringd_connections", "Connections that are open.") { $0.connections },
        .gauge("uringd_connections_high_water", "The most connections that were ever open at once.") { $0.connectionsHighWater },
        .counter("uringd_connections_accepted", "Connections that were accepted.") { $0.connectionsAccepted },
        .counter("uringd_connections_closed", "Connections that have ended.") { $0.connectionsClosed },
        .counter("uringd_connections_aborted", "Connections that were reset: a failed transport, a time limit within a response, a drain that took too long.") { $0.connectionsAborted },
        .counter("uringd_connections_refused", "Connections that were closed at once because every slot was taken.") { $0.connectionsRefused },
        .counter("uringd_connections_shed", "Connections that were ended for want of memory.") { $0.connectionsShed },
        .counter("uringd_loop_requests", "Requests that a handler answered.") { $0.requests },
        .counter("uringd_request_faults", "Requests that were malformed or beyond a limit, and reached no handler.") { $0.requestFaults },
        .counter("uringd_handler_errors", "Handlers that threw.") { $0.handlerErrors },
        .counter("uringd_loop_stalls", "Handler calls that held a loop longer than the threshold.") { $0.stalls },
        .counter("uringd_accept_errors", "Accepts that failed.") { $0.acceptErrors },
        .counter("uringd_receive_errors", "Receives that failed.") { $0.receiveErrors },
        .counter("uringd_stale_completions", "Completions of connections that were gone.") { $0.staleCompletions },
        .counter("uringd_receive_buffers_exhausted", "Receives that found no buffer and were armed again.") { $0.buffersExhausted },
        .counter("uringd_submission_queue_full", "Times that the submission queue was full.") { $0.submissionQueueFull },
        .counter("uringd_cold_reads", "Pieces of files that a disk was waited for.") { $0.coldReads },
        .counter("uringd_tls_handshakes_started", "TLS handshakes that were begun.") { $0.handshakes.started },
        .counter("uringd_tls_handshakes_refused", "Connections that were refused because too many others were in their handshake.") { $0.handshakesRefused },
        .counter("uringd_tls_reload_failures", "Certificates and keys that a loop could not take over.") { $0.contextFailures },
        .counter("uringd_http2_connections", "Connections that spoke HTTP/2.") { $0.http2Connections },
        .counter("uringd_http2_failures", "HTTP/2 connections that were ended for breaking the protocol.") { $0.http2Failures },
        .counter("uringd_http2_silent", "HTTP/2 connections that did not answer a PING.") { $0.http2Silent },
        .counter("uringd_http2_streams", "Requests that came on HTTP/2.") { $0.http2Streams },
        .counter("uringd_http2_streams_refused", "HTTP/2 streams that were refused for want of a slot.") { $0.streamsRefused },
        .counter("uringd_http2_streams_reset", "HTTP/2 streams under way that were reset.") { $0.streamsReset },
        .counter("uringd_http2_resets_sent", "RST_STREAM frames that were sent.") { $0.http2ResetsSent },
        .counter("uringd_http2_resets_received", "RST_STREAM frames that were received.") { $0.http2ResetsReceived },
        .counter("uringd_http2_goaways_received", "GOAWAY frames that were received.") { $0.http2GoAwaysReceived },
        .gauge("uringd_chunks", "Blocks of 16 KiB that connections hold.") { $0.chunksOutstanding },
        .gauge("uringd_chunks_high_water", "The most blocks that connections ever held at once.") { $0.chunksHighWater },
        .gauge("uringd_arena_high_water_bytes", unit: "bytes", "The most scratch memory that one request took.") { $0.arenaHighWater },
        .counter("uringd_arena_oversized", "Pieces of scratch memory that were larger than a block.") { $0.arenaOversized },
        .gauge("uringd_output_high_water_bytes", unit: "bytes", "The most output that one batch made.") { $0.outputHighWater },
    ]
}
