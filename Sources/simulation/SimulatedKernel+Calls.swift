// The calls of the seam that do not go through the ring: clocks, immediate socket calls, files, set-up.

package import CUring
internal import Glibc
package import UringRing

extension SimulatedKernel {
    package func now() -> UInt64 { simulation.now }
    package func unixTime() -> Int64 { simulation.unixTime }
    package func ticks() -> UInt64 { simulation.now }
    package var ticksPerSecond: UInt64 { 1_000_000_000 }
    package var messageTarget: Int32 { ringDescriptor }

    // MARK: sockets

    package func listen(_ address: SocketAddress, backlog: Int32, deferAcceptSeconds: Int32) -> Result<Int32, SystemError> {
        let bound = address.family != .unix && address.port == 0 ? address.with(port: simulation.freePort()) : address
        // SO_REUSEPORT lets loops share an inet address; a unix path belongs to one.
        if bound.family == .unix && simulation.isTaken(bound) {
            return .failure(SystemError("bind \(address.description)", code: EADDRINUSE))
        }
        let listener = ListenerFile(
            simulation, address: bound, backlog: Int(backlog), deferAcceptSeconds: bound.family == .unix ? 0 : Int(deferAcceptSeconds))
        guard let fd = simulation.descriptors.add(listener) else {
            return .failure(SystemError("socket for \(address.description)", code: EMFILE))
        }
        simulation.addListener(listener)
        return .success(fd)
    }

    /// Nobody to connect to is simulated.
    package func socket(_ family: SocketAddress.Family) -> Int32 { -EAFNOSUPPORT }
    package func localAddress(_ fd: Int32) -> SocketAddress? {
        switch simulation.descriptors[fd] {
        case let listener as ListenerFile: listener.address
        case let socket as SocketFile: socket.connection.serverAddress
        default: nil
        }
    }

    package func peerAddress(_ fd: Int32) -> SocketAddress? {
        // As getpeername: not connected any more, no name.
        guard let socket = socket(fd, "peerAddress"), !socket.connection.isReset else { return nil }
        return socket.connection.clientAddress
    }

    package func acceptWaiting(_ fd: Int32) -> Int32 {
        guard let listener = simulation.descriptors[fd] as? ListenerFile else {
            simulation.violation("accept on descriptor \(fd), which is not a listener")
            return -EBADF
        }
        if simulation.descriptors.isFull { return -EMFILE }
        guard let connection = listener.next() else { return -EAGAIN }
        guard let accepted = simulation.descriptors.add(SocketFile(simulation, connection)) else { return -EMFILE }
        simulation.trace(.accept, Int64(accepted), connection.serial)
        return accepted
    }

    private func socket(_ fd: Int32, _ call: String) -> SocketFile? {
        if let socket = simulation.descriptors[fd] as? SocketFile { return socket }
        simulation.violation("\(call) on descriptor \(fd), which is not a connection")
        return nil
    }

    package func send(_ fd: Int32, _ bytes: UnsafeRawPointer, _ count: Int, more: Bool) -> Int {
        guard let socket = socket(fd, "send") else { return -Int(EBADF) }
        if simulation.fault(\.sendAgain) { return -Int(EAGAIN) }
        let limit = count > 1 && simulation.fault(\.shortSend) ? simulation.random.within(1...(count - 1)) : count
        let sent = unsafe socket.connection.send(UnsafeRawBufferPointer(start: bytes, count: limit))
        simulation.trace(.send, socket.serial, Int64(sent), more ? 1 : 0)
        return sent
    }

    package func sendFile(_ fd: Int32, file: Int32, offset: UInt64, count: Int) -> Int {
        guard let socket = socket(fd, "sendfile") else { return -Int(EBADF) }
        guard let node = simulation.descriptors[file] as? NodeFile else {
            simulation.violation("sendfile from descriptor \(file), which is not an open file")
            return -Int(EBADF)
        }
        guard let bytes = node.node.bytes else { return -Int(EINVAL) }
        guard offset < UInt64(bytes.count), count > 0 else { return 0 }
        if simulation.fault(\.sendAgain) { return -Int(EAGAIN) }
        var size = min(count, bytes.count - Int(offset))
        if size > 1, simulation.fault(\.shortSendFile) { size = simulation.random.within(1...(size - 1)) }
        let sent = unsafe bytes.withUnsafeBytes { unsafe socket.connection.send(UnsafeRawBufferPointer(rebasing: $0[Int(offset)...].prefix(size))) }
        simulation.trace(.send, socket.serial, Int64(sent), 2)
        return sent
    }

    package func unacknowledgedBytes(_ fd: Int32) -> Int { socket(fd, "ioctl")?.connection.unreadBytes ?? 0 }
    package func shutdownWrite(_ fd: Int32) { socket(fd, "shutdown")?.connection.shutdownWrite() }
    package func resetOnClose(_ fd: Int32) { socket(fd, "setsockopt")?.resetsOnClose = true }
    package func close(_ fd: Int32) { _ = closeDescriptor(fd, by: "close") }

    // MARK: files

    package func openFile(directory: Int32, path: UnsafePointer<CChar>, cachedOnly: Bool, resolve: UInt64) -> Int32 {
        if cachedOnly, simulation.fault(\.openNotCached) {
            simulation.trace(.fault, 9)
            return -EAGAIN
        }
        return unsafe openNow(directory: directory, path: String(cString: path), flags: Kernel.openFlags)
    }

    package func fileStatus(_ fd: Int32) -> Result<FileStatus, SystemError> {
        guard let file = simulation.descriptors[fd] as? NodeFile else {
            simulation.violation("fstat of descriptor \(fd), which is not an open file")
            return .failure(SystemError("fstat", code: EBADF))
        }
        let node = file.node
        return .success(
            FileStatus(
                size: UInt64(node.bytes?.count ?? (node.isDirectory ? 4096 : 0)), modifiedSeconds: node.modifiedSeconds,
                modifiedNanoseconds: node.modifiedNanoseconds, inode: node.inode, isRegular: node.bytes != nil,
                isDirectory: node.isDirectory))
    }

    package func readCached(_ fd: Int32, into: UnsafeMutableRawPointer, count: Int, offset: UInt64) -> Int {
        if simulation.fault(\.readNotCached) {
            simulation.trace(.fault, 10)
            return -Int(EAGAIN)
        }
        return unsafe readNow(fd, into: into, count: count, offset: offset)
    }

    // MARK: set-up

    package func registerBufferRing(_ memory: UnsafeMutablePointer<ur_buf_ring>, entries: UInt32, group: Int32) -> Int32 {
        guard features.bufferRings, entries > 0, entries <= 32768, entries & (entries - 1) == 0 else { return -EINVAL }
        guard bufferGroups[group] == nil else { return -EEXIST }
        bufferGroups[group] = unsafe ProvidedBuffers(memory, entries: entries) { [unowned simulation] in simulation.violation($0) }
        return 0
    }
}
