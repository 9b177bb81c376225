// Traces: hooks for bench/async/run: every one of them doing nothing, and those that a histogram of handlers' times takes. The one loop's thread.

import UringBase
import UringServer

/// Every hook of requests and connections is there: what the calls cost.
func emptyTrace() -> ServerTrace {
    var trace = ServerTrace()
    trace.connectionAccepted = { _ in }
    trace.requestParsed = { _, _, _ in }
    trace.requestRefused = { _, _ in }
    trace.handlerBegan = { _, _ in }
    trace.routeChosen = { _, _ in }
    trace.handlerEnded = { _, _ in }
    trace.responseBegan = { _, _ in }
    trace.responseSent = { _ in }
    trace.responseAborted = { _, _ in }
    trace.connectionClosed = { _, _ in }
    return trace
}

/// Of the one loop, whose thread alone touches it. Never freed.
@safe private final class HandlerTimes: @unchecked Sendable {
    var histogram = Histogram()
    var began: TraceMoment?
}

/// How long handlers run, in a histogram: sync handlers, of which one runs at a time.
func histogramTrace() -> ServerTrace {
    let times = HandlerTimes()
    var trace = ServerTrace()
    trace.handlerBegan = { request, _ in times.began = request.moment }
    trace.handlerEnded = { request, _ in if let began = times.began { times.histogram.record(request.moment.nanoseconds(since: began)) } }
    return trace
}
