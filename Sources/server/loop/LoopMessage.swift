// LoopMessage: what other threads may ask of a loop. Posted through IORING_OP_MSG_RING; taken up on the loop's thread.

internal import CUring
internal import Synchronization
internal import UringBase
internal import UringHTTP1
internal import UringRing

/// A message in flight is retained by its sender's `post` and released by the loop that takes it up.
package final class LoopMessage: Sendable {
    package enum Content: Sendable {
        /// Stop accepting, finish what is under way.
        /// `sparesIdle`: idle connections may send one more request.
        case drain(sparesIdle: Bool)
        /// Close whoever is still connected.
        case abort
        /// Take over these settings and this handler; connections stay.
        case replace(LoopConfiguration, HandlerBox)
        /// Call back on the loop's thread with its figures.
        case snapshot(@Sendable (LoopSnapshot) -> Void)
        /// Accept on these as well.
        case listen([LoopListener])
        /// Speak this to whoever connects from now on, by listening descriptor: certificates and keys were loaded anew.
        case transport([Int32: ListenerTransport])
        /// Stop accepting on these descriptors; their connections stay.
        case unlisten([Int32])
        /// A waiting producer or a paused body goes on.
        case resume(ExchangeHandle)
        /// Tasks of this loop can go on.
        case jobs
        /// For tunnels of this loop.
        case tunnel([ExchangeHandle], any TunnelOrder)
        /// Run on the loop's thread.
        case run(@Sendable () -> Void)
        /// The same, with the loop as tasks see it.
        case runOn(@Sendable (ServerLoop) -> Void)
    }

    package let content: Content
    /// Orders what the sender wrote before what the loop reads. The kernel does so too, but neither Swift's memory model nor a sanitizer knows it.
    private let isPosted = Atomic<Bool>(false)
    package init(_ content: Content) { self.content = content }

    /// User data of the completion that carries the message; keeps the message alive until `init(taking:)`. Addresses have at most 56 bits.
    package var userData: UInt64 {
        isPosted.store(true, ordering: .releasing)
        let address = unsafe UInt64(UInt(bitPattern: Unmanaged.passRetained(self).toOpaque()))
        precondition(address >> 56 == 0, "BUG: an object's address does not fit a message")
        return UInt64(OperationKind.message.rawValue) << 56 | address
    }

    static func take(_ userData: UInt64) -> LoopMessage {
        let address = UInt(userData & 0xFF_FFFF_FFFF_FFFF)
        let message = unsafe Unmanaged<LoopMessage>.fromOpaque(UnsafeRawPointer(bitPattern: address)!).takeRetainedValue()
        precondition(message.isPosted.load(ordering: .acquiring), "BUG: a message that nobody posted")
        return message
    }

    /// A message that could not be delivered.
    package static func discard(_ userData: UInt64) { _ = take(userData) }
}

extension Loop {
    func message(_ userData: UInt64, _ result: Int32) { deliver(LoopMessage.take(userData)) }

    /// What was posted between the last turn and the closing of the door. Only answers matter now: nothing is connected any more.
    package func takeLastMessages() {
        _ = kernel.enter(waitFor: 0, timeoutNs: 0)
        while unsafe ur_cq_ready(ring) > 0 {
            let completion = unsafe ur_cq_at(ring, 0)!.pointee
            unsafe ur_cq_advance(ring, 1)
            if Operation(raw: completion.user_data).kind == .message { message(completion.user_data, completion.res) }
        }
    }

    /// Takes a message up. On the loop's thread: simulations call it directly.
    package func deliver(_ message: LoopMessage) {
        switch message.content {
        case .drain(let sparesIdle): drain(sparesIdle: sparesIdle)
        case .abort: abortAll()
        case .replace(let configuration, let handler): replace(configuration, handler)
        case .snapshot(let body): body(snapshot())
        case .listen(let added): listen(added)
        case .transport(let changes): changeTransports(changes)
        case .unlisten(let removed): unlisten(removed)
        case .resume(let exchange): resumeExchange(exchange)
        case .jobs: executor.takeRemote()
        case .tunnel(let handles, let order): self.deliver(order, to: handles)
        case .run(let body): body()
        case .runOn(let body): body(ServerLoop(executor: executor))
        }
    }

    private func replace(_ configuration: LoopConfiguration, _ handler: HandlerBox) {
        // What the old application collected belongs to its log.
        flushObserver()
        unsafe settings.pointee.destroy()
        unsafe settings.pointee = unsafe LoopSettings(configuration, fieldCapacity: settings.pointee.fieldCapacity)
        unsafe state.pointee.install(handler, ticksPerSecond: kernel.ticksPerSecond, stallNs: configuration.stallThresholdNs, isRecorded: flight != nil)
        note(.replaced)
        applicationReplaced()
    }
}
