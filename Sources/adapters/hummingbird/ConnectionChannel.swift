// ConnectionChannel: what request contexts get where Hummingbird's own server gives them the connection's channel. One per connection, cached by its loop; any thread.

#if Hummingbird
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOPosix
internal import UringServer

/// Tells the addresses of a connection, and has an event loop for whoever needs one. It has no socket: reading, writing and closing fail.
final class ConnectionChannel: Channel, Sendable {
    let localAddress: SocketAddress?
    let remoteAddress: SocketAddress?
    private let own = NIOLockedValueBox<(any EventLoop)?>(nil)

    init(local: SocketAddress?, remote: SocketAddress?) { (localAddress, remoteAddress) = (local, remote) }

    var allocator: ByteBufferAllocator { ByteBufferAllocator() }
    /// Of NIO's threads, which start with the first who asks.
    var eventLoop: any EventLoop {
        own.withLockedValue { own in
            if let own { return own }
            let chosen = MultiThreadedEventLoopGroup.singleton.next()
            own = chosen
            return chosen
        }
    }
    /// Never fulfilled for a connection that a loop serves: a request's task is cancelled when its client goes.
    var closeFuture: EventLoopFuture<Void> { NoSocket.shared.closed.futureResult }
    var pipeline: ChannelPipeline { NoSocket.shared.pipeline }
    var parent: (any Channel)? { nil }
    var isWritable: Bool { true }
    var isActive: Bool { true }
    var _channelCore: any ChannelCore { NoSocket.shared }

    func setOption<Option: ChannelOption>(_ option: Option, value: Option.Value) -> EventLoopFuture<Void> {
        eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
    }
    func getOption<Option: ChannelOption>(_ option: Option) -> EventLoopFuture<Option.Value> {
        eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
    }
}

/// The part of a channel that acts: it fails. One for all channels, for the life of the process.
private final class NoSocket: ChannelCore, Sendable {
    static let shared = NoSocket()

    private let channel: ConnectionChannel
    let pipeline: ChannelPipeline
    let closed: EventLoopPromise<Void>

    private init() {
        channel = ConnectionChannel(local: nil, remote: nil)
        pipeline = ChannelPipeline(channel: channel)
        closed = channel.eventLoop.makePromise()
    }

    func localAddress0() throws -> SocketAddress { throw ChannelError.operationUnsupported }
    func remoteAddress0() throws -> SocketAddress { throw ChannelError.operationUnsupported }
    func register0(promise: EventLoopPromise<Void>?) { promise?.fail(ChannelError.operationUnsupported) }
    func registerAlreadyConfigured0(promise: EventLoopPromise<Void>?) { promise?.fail(ChannelError.operationUnsupported) }
    func bind0(to: SocketAddress, promise: EventLoopPromise<Void>?) { promise?.fail(ChannelError.operationUnsupported) }
    func connect0(to: SocketAddress, promise: EventLoopPromise<Void>?) { promise?.fail(ChannelError.operationUnsupported) }
    func write0(_ data: NIOAny, promise: EventLoopPromise<Void>?) { promise?.fail(ChannelError.operationUnsupported) }
    func flush0() {}
    func read0() {}
    func close0(error: any Error, mode: CloseMode, promise: EventLoopPromise<Void>?) { promise?.fail(ChannelError.operationUnsupported) }
    func triggerUserOutboundEvent0(_ event: Any, promise: EventLoopPromise<Void>?) { promise?.fail(ChannelError.operationUnsupported) }
    func channelRead0(_ data: NIOAny) {}
    func errorCaught0(error: any Error) {}
}
#endif
