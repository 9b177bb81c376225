// Exchange: what a request keeps beyond its handler call. Allocated only for streamed bodies, produced content, files and upgrades; never
// on the fast path. The loop's thread.

internal import UringHTTP
internal import UringHTTP1

/// A producer, a body receiver, or both, of the request that a connection is working on.
final class Exchange {
    var producer: ResponseProducer?
    var receiver: RequestBodyReceiver?
    var upgrade: UpgradeHandler?
    /// What the handler had set when it chose to receive the body piece by piece.
    var pendingResponse: PendingResponse?
    /// Bytes of the announced length that are not produced yet; nil = chunked or until the close.
    var remaining: UInt64?
    var isChunked = false
    /// A request that waits for a cold file, whole, with where its body lies.
    var coldPath: ColdPath?
    var suspendedRequest: [UInt8]?
    var suspendedBody = (0, 0)
    /// What the access log needs, when there is one.
    var logged: LoggedExchange?
}

/// A response under construction that is set aside while the rest of the request arrives.
final class PendingResponse {
    private(set) var head: RequestHead
    private var fields: [UInt8] = []
    private var body: [UInt8] = []
    private var status: HTTPStatus = .ok
    private var content: ResponseContent = .written
    private var hasSpecialContent = false
    private var setFields: ResponseState.SetFields = []
    private var closes = false
    private var routeName: RouteName?

    init(_ response: UnsafeMutablePointer<ResponseState>, head: RequestHead) {
        self.head = head
        unsafe save(response)
    }

    /// Copies the loop's response state here; the loop's is free for the next request.
    func save(_ response: UnsafeMutablePointer<ResponseState>) {
        let state = unsafe response.pointee
        fields = unsafe Array(UnsafeBufferPointer(start: state.fields.base, count: state.fields.count))
        // What was written before stays; only what is new is copied.
        unsafe body.append(contentsOf: UnsafeBufferPointer(start: state.body.base + body.count, count: state.body.count - body.count))
        (status, content, hasSpecialContent) = unsafe (state.status, state.content, state.hasSpecialContent)
        (setFields, closes, routeName) = unsafe (state.setFields, state.closesConnection, state.routeName)
    }

    /// Puts it back into the loop's response state.
    func restore(_ response: UnsafeMutablePointer<ResponseState>) {
        unsafe response.pointee.begin(isHead: head.method == .head, streaming: true)
        unsafe fields.withUnsafeBufferPointer { if $0.count > 0 { unsafe response.pointee.fields.append($0.baseAddress!, $0.count) } }
        unsafe body.withUnsafeBufferPointer { if $0.count > 0 { unsafe response.pointee.body.append($0.baseAddress!, $0.count) } }
        unsafe (response.pointee.status, response.pointee.content, response.pointee.hasSpecialContent) = (status, content, hasSpecialContent)
        unsafe (response.pointee.setFields, response.pointee.closesConnection, response.pointee.routeName) = (setFields, closes, routeName)
    }
}
