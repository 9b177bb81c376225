// Exchange: what a request keeps beyond its handler call. Allocated only for streamed bodies, produced content, files and upgrades; never
// on the fast path. The loop's thread.

internal import UringHTTP
internal import UringHTTP1

/// A producer, a body receiver, or both, of the request that a connection is working on.
final class Exchange {
    var producer: ResponseProducer?
    var receiver: RequestBodyReceiver?
    var upgrade: UpgradeHandler?
    /// An async handler that waits.
    var worker: AsyncWorker?
    /// Who answers, of a request that was left to one (`Response.leave`).
    var responder: Responder?
    /// Its answer has begun, and its content comes by `relay`.
    var isRelayed = false
    /// What that content goes through.
    var relayEncoder: RelayEncoder?
    /// The body that it reads.
    var body: AsyncBodySource?
    /// Where an outgoing connection is going.
    var address: SystemAddress?
    /// What the handler had set when it chose to receive the body piece by piece.
    var pendingResponse: PendingResponse?
    /// Bytes of the announced length that are not produced yet; nil = chunked or until the close.
    var remaining: UInt64?
    var isChunked = false
    /// On HTTP/2: fields to send behind the content, a line each.
    var trailers: [UInt8] = []
    /// A request that waits for a cold file, whole, with where its body lies.
    var coldPath: ColdPath?
    var suspendedRequest: [UInt8]?
    var suspendedBody = (0, 0)
    /// What the access log needs, when there is one.
    var logged: LoggedExchange?
    /// A responder or a worker keeps it for its next request: what is in it would not go with its connection.
    var isKept = false

    /// The same exchange for the next request, when nobody else has it any more; else one of its own.
    static func fresh(_ last: inout Exchange?) -> Exchange {
        if isKnownUniquelyReferenced(&last), let exchange = last {
            exchange.reuse()
            return exchange
        }
        let exchange = Exchange()
        exchange.isKept = true
        last = exchange
        return exchange
    }

    /// It begins anew for the next request; nobody else has it any more. However the last one ended (a fault in the middle of a body, another producer in place of the
    /// responder), nothing of it is left. Tests instead of stores: nearly always there is nothing to release.
    func reuse() {
        (isRelayed, isChunked, remaining, suspendedBody) = (false, false, nil, (0, 0))
        if relayEncoder != nil { relayEncoder = nil }
        if producer != nil { producer = nil }
        if receiver != nil { receiver = nil }
        if upgrade != nil { upgrade = nil }
        if worker != nil { worker = nil }
        if responder != nil { responder = nil }
        if body != nil { body = nil }
        if address != nil { address = nil }
        if pendingResponse != nil { pendingResponse = nil }
        if !trailers.isEmpty { trailers = [] }
        if coldPath != nil { coldPath = nil }
        if suspendedRequest != nil { suspendedRequest = nil }
        if logged != nil { logged = nil }
    }
}

/// A response under construction that is set aside while the rest of the request arrives. It has a state of its own, which changes places
/// with the loop's: nothing is copied, whatever was written.
@safe
final class PendingResponse {
    let head: RequestHead
    private var state = unsafe ResponseState()

    /// Sets the loop's response aside.
    init(_ response: UnsafeMutablePointer<ResponseState>, head: RequestHead) {
        self.head = head
        unsafe exchange(response)
    }

    deinit { unsafe state.destroy() }

    /// Puts this response into the loop's state, or back here.
    func exchange(_ response: UnsafeMutablePointer<ResponseState>) { unsafe swap(&response.pointee, &state) }
}
