// LoopCache: what a loop's requests have in common, so that they do not make it each: names of fields, channels of connections. Its loop's thread only.

#if Hummingbird
internal import UringHTTPTypes
internal import UringServer

@safe
final class LoopCache {
    /// A connection's channel is found while fewer than this many newer ones have come; then it is made again.
    private static let channels = 1024

    let names = FieldNameCache()
    private var channels = [(id: UInt64, channel: ConnectionChannel)?](repeating: nil, count: LoopCache.channels)

    /// The channel of the request's connection. Making one asks the kernel for the client's address.
    func channel(_ request: borrowing UringServer.Request) -> ConnectionChannel {
        let id = request.connectionID
        let place = Int(truncatingIfNeeded: id % UInt64(Self.channels))
        if let known = channels[place], known.id == id { return known.channel }
        let channel = ConnectionChannel(local: nil, remote: ListenAddress.socketAddress(request.peer))
        channels[place] = (id, channel)
        return channel
    }
}

/// The caches of all loops.
@safe
final class LoopCaches: @unchecked Sendable {
    /// Loops beyond this many, of which no machine has enough cores, make things anew for each request.
    private static let loopsMax = 4096
    /// Each element is its loop's own: no other thread reads or writes it while loops run.
    private let caches: UnsafeMutablePointer<LoopCache?>

    init() {
        unsafe caches = .allocate(capacity: Self.loopsMax)
        unsafe caches.initialize(repeating: nil, count: Self.loopsMax)
    }

    deinit {
        unsafe caches.deinitialize(count: Self.loopsMax)
        unsafe caches.deallocate()
    }

    /// Of the loop that this request came to, on whose thread this is called.
    func cache(_ request: borrowing UringServer.Request) -> LoopCache {
        // The number of the loop is the upper part of its connections' numbers.
        let loop = Int(truncatingIfNeeded: request.connectionID >> 48)
        guard loop < Self.loopsMax else { return LoopCache() }
        if let known = unsafe caches[loop] { return known }
        let made = LoopCache()
        unsafe caches[loop] = made
        return made
    }
}
#endif
