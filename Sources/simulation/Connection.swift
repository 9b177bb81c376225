// Connection: a simulated TCP connection, seen by the kernel as the socket beneath a descriptor and by a SimulatedClient as its peer.
// Each direction is one bounded queue that stands for the sender's and the receiver's socket buffers together.

internal import Glibc
package import UringRing

package final class Connection {
    unowned let simulation: Simulation
    unowned let client: SimulatedClient
    let serial: Int64
    package let clientAddress: SocketAddress
    package let serverAddress: SocketAddress
    /// Client to server.
    private(set) var inbound: ByteQueue
    private var inboundFinished = false
    /// Server to client.
    private(set) var outbound: ByteQueue
    private(set) var outboundFinished = false
    /// Error that the server's next call reports once, as sk_err does.
    private var pendingError: Int32 = 0
    private(set) var isReset = false
    /// The server's end is gone: what the client sends is answered by RST.
    private(set) var serverGone = false
    /// The client has closed both directions: what the server sends is answered by RST.
    private(set) var clientGone = false
    private var clientWaitsForRoom = false
    weak var file: SocketFile?
    weak var deferredAt: ListenerFile?

    init(_ client: SimulatedClient, to server: SocketAddress) {
        self.client = client
        simulation = client.simulation
        serial = client.serial
        clientAddress = client.address
        serverAddress = server
        inbound = ByteQueue(capacity: client.options.serverReceiveBytes)
        outbound = ByteQueue(capacity: client.options.serverSendBytes)
    }

    // MARK: the server's side

    var readiness: UInt32 {
        var mask: UInt32 = 0
        let readEnded = inboundFinished || isReset
        if inbound.count > 0 || readEnded || pendingError != 0 { mask |= PollEvents.input | PollEvents.normalInput }
        if readEnded { mask |= PollEvents.readHangUp }
        if readEnded && (outboundFinished || isReset) { mask |= PollEvents.hangUp }
        if pendingError != 0 { mask |= PollEvents.error }
        if outboundFinished || isReset || isWritable { mask |= PollEvents.output | PollEvents.normalOutput }
        return mask
    }

    /// A socket that ran full is writable again when a third of its buffer is free (sk_stream_is_writeable).
    private var isWritable: Bool { outbound.free * 2 >= outbound.count && outbound.free > 0 }

    /// Bytes that a receive would find now.
    var readableBytes: Int { inbound.count }

    /// Bytes that the server has sent and the client has not read.
    var unreadBytes: Int { outbound.count }

    /// What recv(2) with MSG_DONTWAIT answers.
    func receive(_ into: UnsafeMutableRawBufferPointer) -> Int {
        if inbound.count > 0 {
            let count = unsafe inbound.take(into)
            if clientWaitsForRoom {
                clientWaitsForRoom = false
                let client = client
                simulation.schedule(after: client.delay()) { client.pump() }
            }
            return count
        }
        if pendingError != 0 { return -Int(takeError()) }
        return inboundFinished || isReset || serverGone ? 0 : -Int(EAGAIN)
    }

    /// What send(2) with MSG_DONTWAIT answers: how many bytes fitted.
    func send(_ bytes: UnsafeRawBufferPointer) -> Int {
        if pendingError != 0 { return -Int(takeError()) }
        if isReset || outboundFinished { return -Int(EPIPE) }
        guard bytes.count > 0 else { return 0 }
        let count = unsafe outbound.append(bytes)
        guard count > 0 else { return -Int(EAGAIN) }
        if clientGone {
            // The peer's kernel answers the first segment with RST; until that arrives sends succeed.
            simulation.schedule(after: client.delay()) { [self] in reset() }
        } else {
            client.dataArrives()
        }
        return count
    }

    private func takeError() -> Int32 {
        defer { pendingError = 0 }
        return pendingError
    }

    func shutdownWrite() {
        guard !outboundFinished, !isReset else { return }
        outboundFinished = true
        client.dataArrives()
        file?.wake(PollEvents.all)
    }

    /// The last reference to the socket is gone. Unread bytes make it a reset (RFC 2525, 2.17): the client loses what it has not read.
    func serverReleased(reset resets: Bool) {
        serverGone = true
        file = nil
        if isReset { return }
        if resets || inbound.count > 0 {
            isReset = true
            outbound.removeAll()
            client.wasReset()
        } else {
            outboundFinished = true
            client.dataArrives()
        }
    }

    /// Never accepted: the listener went away.
    func serverDropped() {
        serverGone = true
        isReset = true
        client.wasReset()
    }

    // MARK: the client's side

    /// How many bytes went on their way, or nil when the connection is reset.
    func clientSends(_ bytes: ArraySlice<UInt8>) -> Int? {
        if isReset { return nil }
        if serverGone {
            // RST in answer to data: what the server sent and the client did not read yet is lost (RFC 9112, 9.6).
            isReset = true
            outbound.removeAll()
            return nil
        }
        let count = unsafe bytes.withUnsafeBytes { unsafe inbound.append($0) }
        if count < bytes.count { clientWaitsForRoom = true }
        if count > 0 {
            becomesAcceptable()
            file?.wake(PollEvents.input | PollEvents.normalInput)
        }
        return count
    }

    func clientFinishes() {
        guard !inboundFinished, !isReset else { return }
        inboundFinished = true
        becomesAcceptable()
        file?.wake(PollEvents.readable)
    }

    func becomesAcceptable() {
        guard let listener = deferredAt else { return }
        deferredAt = nil
        listener.firstByteArrived(self)
    }

    /// close(2) on the client: FIN, or RST when something is unread.
    func clientCloses() {
        guard !isReset, !clientGone else { return }
        clientGone = true
        if outbound.count > 0 { reset() } else { clientFinishes() }
    }

    /// RST from the client or the network. Bytes that the server's kernel already has stay readable.
    func reset() {
        guard !isReset else { return }
        isReset = true
        pendingError = inboundFinished ? EPIPE : ECONNRESET
        outbound.removeAll()
        if let listener = deferredAt {
            // Nobody ever hears of a deferred connection that was reset.
            deferredAt = nil
            listener.forget()
        }
        file?.wake(PollEvents.all)
    }

    /// Up to `limit` bytes for the client.
    func clientReads(_ limit: Int, to array: inout [UInt8]) -> Int {
        let wasWritable = isWritable
        let count = outbound.take(limit, to: &array)
        if count > 0, !wasWritable, isWritable { file?.wake(PollEvents.output | PollEvents.normalOutput) }
        return count
    }
}
