// LoneLoop: a loop on a kernel of the caller's, without a thread or a server around it. Made and driven by UringTesting, on the thread of the test.

package import UringRing

package enum LoneLoop {
    /// Receive buffers of such a loop: few, because each test makes one.
    private static let receiveBuffers: UInt32 = 64
    /// Most connections at once: a slab of the default size would be made for every test.
    private static let connectionsMax = 2000
    /// A nanosecond: timers fire exactly when they are due, and a loop that never really waits loses nothing by waking often.
    private static let timerTickShift: UInt64 = 0

    /// - Parameter listener: a listening descriptor of `kernel`, bound to `address`; closed with the loop.
    package static func make(
        kernel: Kernel, listener: Int32, address: SocketAddress, options: ServerOptions, application: Application
    ) throws(SystemError) -> Loop {
        var configuration = options.loopConfiguration(connectionsPerLoop: max(1, min(options.limits.connections, connectionsMax)))
        configuration.receiveBuffers = receiveBuffers
        configuration.timerTickShift = timerTickShift
        configuration.addressLimiter = AddressLimiter(limit: UInt32(clamping: options.limits.connectionsPerAddress))
        return try Loop(
            index: 0, kernel: kernel, listeners: [LoopListener(fd: listener, address: address, closesWithLoop: true, transport: ListenerTransport())],
            configuration: configuration, handler: application.box)
    }
}
