// Listeners, and how they come and go while a loop runs (reload, drain). The loop's thread.

internal import CUring
internal import Glibc
internal import UringBase
package import UringRing

/// A listening socket as a loop is given it.
package struct LoopListener: Sendable {
    package let fd: Int32
    package let address: SocketAddress
    /// Loops that share the socket (unix) leave closing it to its owner.
    package let closesWithLoop: Bool

    package init(fd: Int32, address: SocketAddress, closesWithLoop: Bool) {
        (self.fd, self.address, self.closesWithLoop) = (fd, address, closesWithLoop)
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
}

extension Loop {
    func listen(_ added: [LoopListener]) {
        guard unsafe state.pointee.phase == .serving else { return }
        for listener in added {
            unsafe state.pointee.listeners.append(ListenerState(listener: listener))
            unsafe armAccept(state.pointee.listeners.count - 1)
        }
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
        while unsafe connections.pointee.count < Int(connections.pointee.capacity) {
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
