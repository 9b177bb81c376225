// LoopClients: what a loop has for its own requests to servers: pools by server, and memory that all of them share. The loop's thread.
//
// Pointers: as long as this object, which the loop's executor holds.

internal import UringBase
internal import UringHTTP
internal import UringHTTP1
internal import UringRing

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

    /// Where a server may be, in the order to try.
    func resolve(_ key: ClientPool.Key, _ options: HTTPClientOptions) async throws -> [SocketAddress] {
        if let place = options.connectsTo {
            guard case .success(let address) = SocketAddress.parse(place) else { throw HTTPClientError(.resolve, "\(place) is no address") }
            return [address]
        }
        let text = key.host.utf8.contains(UInt8(ascii: ":")) ? "[\(key.host)]:\(key.port)" : "\(key.host):\(key.port)"
        guard case .success(let address) = SocketAddress.parse(text) else { throw HTTPClientError(.resolve, "\(key.host): no such host") }
        return [address]
    }

    /// The pool of a client for a server.
    func pool(_ key: ClientPool.Key, _ options: HTTPClientOptions) -> ClientPool {
        if let pool = pools[key] { return pool }
        let made = ClientPool(self, key, options)
        pools[key] = made
        return made
    }

    /// A pool has neither connections nor anybody who waits for one.
    func isEmpty(_ pool: ClientPool) { if pools[pool.key] === pool { pools[pool.key] = nil } }
}
