// LoopClients: what a loop has for its own requests to servers: pools by server, and memory that all of them share. The loop's thread.
//
// Pointers: as long as this object, which the loop's executor holds.

internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringRing
internal import UringTLS

typealias NameResolverAnswer = ResolutionRequest.Body

@safe
final class LoopClients {
    /// The most field lines that a response may have.
    static let fieldsMax = 256
    static let trailersMax = ParserLimits.trailerCountMax

    unowned let loop: Loop
    /// For the head that is being parsed.
    let head: UnsafeMutablePointer<ResponseHead>
    let fields: UnsafeMutablePointer<FieldSlot>
    let trailers: UnsafeMutablePointer<FieldSlot>
    let noBytes: UnsafeMutablePointer<UInt8>
    private var pools: [ClientPool.Key: ClientPool] = [:]

    init(_ loop: Loop) {
        self.loop = loop
        unsafe head = .allocate(capacity: 1)
        unsafe head.initialize(to: ResponseHead())
        unsafe fields = .allocate(capacity: Self.fieldsMax)
        unsafe trailers = .allocate(capacity: Self.trailersMax)
        unsafe noBytes = .allocate(capacity: 1)
        unsafe noBytes.initialize(to: 0)
    }

    deinit {
        unsafe head.deallocate()
        unsafe fields.deallocate()
        unsafe trailers.deallocate()
        unsafe noBytes.deallocate()
    }

    /// Nanoseconds from now on the loop's clock.
    func deadline(in ns: UInt64) -> UInt64 {
        let (sum, overflow) = unsafe loop.state.pointee.now.addingReportingOverflow(ns)
        return overflow ? .max : sum
    }

    /// The most clients whose TLS sessions are kept; programs have a few, made once.
    private static let contextsMax = 64
    /// In the order they were made.
    private var contexts: [(client: UInt64, context: TLSClientContext)] = []

    /// How connections of a pool are secured.
    func security(_ key: ClientPool.Key, _ options: HTTPClientOptions) throws(HTTPClientError) -> OutgoingSecurity? {
        guard key.scheme == .https else { return nil }
        if let known = contexts.first(where: { $0.client == key.client }) { return OutgoingSecurity(context: known.context, host: key.host, port: key.port) }
        let context: TLSClientContext
        do {
            context = try TLSClientContext(options.tls.configuration(), nowSeconds: loop.kernel.unixTime())
        } catch {
            throw HTTPClientError(.tls, "\(error)")
        }
        if contexts.count >= Self.contextsMax { contexts.removeFirst() }
        contexts.append((key.client, context))
        return OutgoingSecurity(context: context, host: key.host, port: key.port)
    }

    private static let resolver = NameResolver()

    /// Where a server is, when nobody has to be asked; nil: ask (`resolve`).
    func known(_ key: ClientPool.Key, _ options: HTTPClientOptions) throws(HTTPClientError) -> [SocketAddress]? {
        guard let place = options.connectsTo else { return NameResolver.literal(key.host, port: key.port).map { [$0] } }
        guard case .success(let address) = SocketAddress.parse(place) else { throw HTTPClientError(.resolve, "\(place) is no address") }
        return [address]
    }

    /// Looks the server's name up. The answer comes within the call or in a later turn; nobody can take the question back.
    func resolve(_ key: ClientPool.Key, _ body: @escaping NameResolverAnswer) {
        switch Self.resolver.resolve(key.host, port: key.port, for: loop.port, body) {
        case .now(let result): body(result)
        case .later: break
        }
    }

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
