// Listeners, and how they come and go while a loop runs (reload, drain). The loop's thread.

internal import CUring
internal import Glibc
internal import UringBase
package import UringRing
internal import UringTLS

/// A listening socket as a loop is given it.
package struct LoopListener: Sendable {
    package let fd: Int32
    package let address: SocketAddress
    /// Loops that share the socket (unix) leave closing it to its owner.
    package let closesWithLoop: Bool
    package let transport: ListenerTransport

    package init(fd: Int32, address: SocketAddress, closesWithLoop: Bool, transport: ListenerTransport = ListenerTransport()) {
        (self.fd, self.address, self.closesWithLoop, self.transport) = (fd, address, closesWithLoop, transport)
    }
}

/// A listening socket and what a loop is doing with it. Its number is the accept operation's slot, so entries are never removed.
struct ListenerState {
    let listener: LoopListener
    /// The kernel owes us completions of an accept.
    var armed = false
    /// Accepts no more; closed when nothing is armed.
    var retired = false
    var closed = false
    /// With TLS: what this loop makes sessions of, a context of its own.
    var context: TLSContext?
    var handshakeTimeoutNs: UInt64 = 0
    var handshakesMax = 0
    var http2 = HTTP2Mode.on
    /// nil: connections begin with TLS or HTTP.
    var preamble: ListenerPreamble?

    init(listener: LoopListener) { self.listener = listener }
}

extension Loop {
    func listen(_ added: [LoopListener]) {
        guard unsafe state.pointee.phase == .serving else { return }
        for listener in added {
            unsafe state.pointee.listeners.append(ListenerState(listener: listener))
            let number = unsafe state.pointee.listeners.count - 1
            changeTransport(number, listener.transport)
            armAccept(number)
        }
    }

    // MARK: TLS

    /// What a listener's next connections speak; with TLS the context that they make their sessions of.
    func setTransport(_ number: Int, _ transport: ListenerTransport) throws(SystemError) {
        var context: TLSContext?
        if let tls = transport.tls {
            do throws(TLSLoadError) {
                context = try unsafe TLSContext(tls, nowSeconds: state.pointee.unixSeconds)
            } catch {
                throw SystemError("TLS of a listener", code: EINVAL, remedy: "\(error)")
            }
        }
        if let former = unsafe state.pointee.listeners[number].context { unsafe state.pointee.formerContexts.append(former) }
        unsafe state.pointee.listeners[number].context = context
        unsafe state.pointee.listeners[number].handshakeTimeoutNs = ServerOptions.nanoseconds(transport.handshakeTimeout)
        unsafe state.pointee.listeners[number].handshakesMax = transport.handshakesMax
        unsafe state.pointee.listeners[number].http2 = transport.http2
        unsafe state.pointee.listeners[number].preamble = transport.preamble
    }

    /// The same while the loop runs. A configuration was tried when it was loaded: what fails now is memory, and the old context goes on.
    func changeTransport(_ number: Int, _ transport: ListenerTransport) {
        do throws(SystemError) {
            try setTransport(number, transport)
        } catch {
            unsafe meter.pointee.contextFailures &+= 1
            unsafe state.pointee.reporter?.certificatesNotTaken(listener: state.pointee.listeners[number].listener.address.description, "\(error)")
        }
    }

    /// Takes over certificates and keys that were loaded anew; connections keep what they began with.
    func changeTransports(_ changes: [Int32: ListenerTransport]) {
        for number in unsafe 0..<state.pointee.listeners.count {
            if let transport = unsafe changes[state.pointee.listeners[number].listener.fd] { changeTransport(number, transport) }
        }
    }

    /// Once a second: ticket keys have their epochs.
    func updateTLS(_ seconds: Int64) {
        for number in unsafe 0..<state.pointee.listeners.count { unsafe state.pointee.listeners[number].context?.update(nowSeconds: seconds) }
    }

    func unlisten(_ removed: [Int32]) {
        for number in unsafe 0..<state.pointee.listeners.count where unsafe removed.contains(state.pointee.listeners[number].listener.fd) {
            retireListener(number)
        }
    }

    /// Cancels the accept; the descriptor is closed when its last completion has come.
    func retireListener(_ number: Int) {
        guard unsafe !state.pointee.listeners[number].retired else { return }
        unsafe state.pointee.listeners[number].retired = true
        guard unsafe state.pointee.listeners[number].armed else { return closeRetired(number) }
        cancelAccept(number)
    }

    /// Clients whom the kernel has accepted on our behalf would be reset by the close: they are served, as those are who came before.
    private func takeBacklog(_ number: Int) {
        while connectionCount < connectionsMax {
            let fd = unsafe kernel.acceptWaiting(state.pointee.listeners[number].listener.fd)
            // One that has left meanwhile says nothing about the next; anything else ends the queue.
            if fd == -ECONNABORTED || fd == -EINTR { continue }
            guard fd >= 0 else { return }
            open(fd, number)
        }
    }

    func closeRetired(_ number: Int) {
        let entry = unsafe state.pointee.listeners[number]
        guard entry.retired, !entry.armed, !entry.closed else { return }
        unsafe state.pointee.listeners[number].closed = true
        takeBacklog(number)
        if entry.listener.closesWithLoop { kernel.close(entry.listener.fd) }
    }
}
