// LoopClients: what a loop has for its own requests to servers: pools by server, and memory that all of them share. The loop's thread.
//
// Pointers: as long as this object, which the loop's executor holds.

internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringHTTP2
internal import UringRing
internal import UringTLS

typealias NameResolverAnswer = ResolutionRequest.Body

@safe
final class LoopClients {
    /// The most field lines that a response may have.
    static let fieldsMax = 256
    static let trailersMax = ParserLimits.trailerCountMax

    /// Not to be touched when it is over.
    unowned let loop: Loop
    /// The loop goes, with all connections that it still has: no other is made, and whoever waits for one is refused.
    private(set) var isOver = false
    /// No connection may stay behind what is under way.
    var isDraining: Bool { unsafe isOver || loop.state.pointee.phase == .draining }
    /// For the head that is being parsed.
    let head: UnsafeMutablePointer<ResponseHead>
    let fields: UnsafeMutablePointer<FieldSlot>
    let trailers: UnsafeMutablePointer<FieldSlot>
    let noBytes: UnsafeMutablePointer<UInt8>
    /// The same for HTTP/2, which decodes to memory of its own; made when it is first spoken.
    private(set) var http2Head: HTTP2ResponseHead!
    private var http2Slots: UnsafeMutablePointer<FieldSlot>?
    private var http2TextBytes = 0
    /// Field lines of a request to HTTP/2, before they are compressed; rewritten by the next.
    private(set) var fieldText: UnsafeMutablePointer<UInt8>
    private var fieldTextBytes = 4096
    private var pools: [ClientPool.Key: ClientPool] = [:]

    init(_ loop: Loop) {
        self.loop = loop
        unsafe head = .allocate(capacity: 1)
        unsafe head.initialize(to: ResponseHead())
        unsafe fields = .allocate(capacity: Self.fieldsMax)
        unsafe trailers = .allocate(capacity: Self.trailersMax)
        unsafe noBytes = .allocate(capacity: 1)
        unsafe noBytes.initialize(to: 0)
        unsafe fieldText = .allocate(capacity: fieldTextBytes)
    }

    deinit {
        unsafe head.deallocate()
        unsafe fields.deallocate()
        unsafe trailers.deallocate()
        unsafe noBytes.deallocate()
        unsafe fieldText.deallocate()
        dropHTTP2Head()
    }

    /// Room for heads within these limits. Not while one is looked at: connections are made from their own completions.
    func makeHTTP2Head(_ limits: HTTP2Limits) {
        let bytes = unsafe HTTP2ResponseHead.textBytes(limits: limits)
        guard bytes > http2TextBytes else { return }
        dropHTTP2Head()
        http2TextBytes = bytes
        let response = UnsafeMutablePointer<HTTP2Response>.allocate(capacity: 1)
        unsafe response.initialize(to: HTTP2Response())
        unsafe http2Slots = .allocate(capacity: HTTP2ResponseHead.slots(limits: limits))
        unsafe http2Head = unsafe HTTP2ResponseHead(
            response: response, slots: http2Slots!, slotCapacity: HTTP2ResponseHead.slots(limits: limits), text: .allocate(capacity: bytes), textCapacity: bytes)
    }

    private func dropHTTP2Head() {
        guard let head = unsafe http2Head else { return }
        unsafe head.response.deallocate()
        unsafe http2Slots?.deallocate()
        unsafe head.text.deallocate()
        unsafe http2Head = nil
    }

    /// Writes field lines to `fieldText`; answers how many bytes.
    func writeFields(about bytes: Int, isTrailers: Bool = false, _ body: (inout ClientFieldWriter) -> Void) -> (Int, RequestEncodeFault?) {
        var needed = bytes
        while true {
            if needed > fieldTextBytes {
                unsafe fieldText.deallocate()
                fieldTextBytes = needed
                unsafe fieldText = .allocate(capacity: needed)
            }
            var writer = unsafe ClientFieldWriter(fieldText, capacity: fieldTextBytes, isTrailers: isTrailers)
            body(&writer)
            if let fault = writer.fault { return (0, fault) }
            if let count = writer.count { return (count, nil) }
            needed = writer.needed
        }
    }

    /// Nanoseconds from now on the loop's clock.
    func deadline(in ns: UInt64) -> UInt64 {
        let (sum, overflow) = unsafe loop.state.pointee.now.addingReportingOverflow(ns)
        return overflow ? .max : sum
    }

    /// The most clients whose TLS sessions are kept; programs have a few, made once, a gateway up to three for each upstream. One beyond pays with full handshakes.
    private static let contextsMax = 256
    /// In the order they were made.
    private var contexts: [(client: UInt64, context: TLSClientContext)] = []

    /// How connections of a pool are secured.
    func security(_ key: ClientPool.Key, _ options: HTTPClientOptions) throws(HTTPClientError) -> OutgoingSecurity? {
        guard key.scheme == .https else { return nil }
        let name = options.tls.serverName ?? key.host
        if let known = contexts.first(where: { $0.client == key.client }) { return OutgoingSecurity(context: known.context, host: name, port: key.port) }
        let context: TLSClientContext
        do {
            context = try TLSClientContext(options.tls.configuration(options.protocols), nowSeconds: loop.kernel.unixTime())
        } catch {
            throw HTTPClientError(.tls, "\(error)")
        }
        if contexts.count >= Self.contextsMax { contexts.removeFirst() }
        contexts.append((key.client, context))
        return OutgoingSecurity(context: context, host: name, port: key.port)
    }

    /// Where a server is, when nobody has to be asked; nil: ask (`resolve`).
    func known(_ key: ClientPool.Key, _ options: HTTPClientOptions) throws(HTTPClientError) -> [SocketAddress]? {
        guard let place = options.connectsTo else { return NameResolver.literal(key.host, port: key.port).map { [$0] } }
        guard case .success(let address) = SocketAddress.parse(place) else { throw HTTPClientError(.resolve, "\(place) is no address") }
        return [address]
    }

    /// Looks the server's name up. The answer comes within the call or in a later turn; nobody can take the question back.
    func resolve(_ key: ClientPool.Key, _ body: @escaping NameResolverAnswer) {
        switch NameResolver.shared.resolve(key.host, port: key.port, for: loop.port, body) {
        case .now(let result): body(result)
        case .later: break
        }
    }

    func loopEnds() { isOver = true }

    // MARK: pools

    /// The pool of a client for a server.
    func pool(_ key: ClientPool.Key, _ options: HTTPClientOptions) -> ClientPool {
        if let pool = pools[key] { return pool }
        let made = ClientPool(self, key, options)
        pools[key] = made
        return made
    }

    /// A pool has neither connections nor anybody who waits for one.
    func isEmpty(_ pool: ClientPool) { if pools[pool.key] === pool { pools[pool.key] = nil } }
    /// Somebody has kept it, and it is needed again.
    func isUsed(_ pool: ClientPool) { if pools[pool.key] == nil { pools[pool.key] = pool } }
}
