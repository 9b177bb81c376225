// Accept, receive, send, shutdown: the ring's socket operations, after io_uring/net.c of Linux 6.12 to 6.18.

internal import CUring
internal import Glibc

extension SimulatedKernel {
    // MARK: accept

    func accept(_ operation: PendingOperation) {
        guard let file = file(of: operation) else { return }
        guard let listener = file as? ListenerFile else { return finish(operation, file is SocketFile ? -EINVAL : -ENOTSOCK) }
        while true {
            // Linux takes the number before it looks for a connection, so at the limit an accept fails without one.
            if simulation.descriptors.isFull { return finish(operation, -EMFILE) }
            guard listener.waiting > 0 else { return arm(operation, PollEvents.input) }
            if simulation.fault(\.acceptFails) { return finish(operation, acceptError()) }
            if simulation.fault(\.acceptAborted) {
                listener.next()?.serverDropped()
                return finish(operation, -ECONNABORTED)
            }
            let connection = listener.next()!
            let socket = SocketFile(simulation, connection)
            guard let fd = simulation.descriptors.add(socket) else { return finish(operation, -EMFILE) }
            simulation.trace(.accept, Int64(fd), connection.serial)
            let flags = listener.waiting > 0 ? Bits.socketNotEmpty : 0
            let goesOn = operation.isMultishot && !simulation.fault(\.endMultishotAccept)
            guard goesOn, postMore(operation.entry.userData, fd, flags) else { return finish(operation, fd, flags: flags) }
        }
    }

    private func acceptError() -> Int32 {
        let codes = [EMFILE, ENFILE, ENOBUFS, ENOMEM]
        let code = codes[simulation.random.below(codes.count)]
        simulation.trace(.fault, 5, Int64(code))
        return -code
    }

    // MARK: receive

    func receive(_ operation: PendingOperation) {
        guard let file = file(of: operation) else { return }
        guard let socket = file as? SocketFile else { return finish(operation, file is ListenerFile ? -ENOTCONN : -ENOTSOCK) }
        if operation.entry.priority & Bits.pollFirst != 0 && !operation.hasWaited { return arm(operation, PollEvents.readable) }
        guard operation.entry.flags & Bits.bufferSelect != 0 else {
            return operation.isMultishot ? finish(operation, -EINVAL) : receiveIntoMemory(operation, socket)
        }
        guard let group = bufferGroups[Int32(operation.entry.bufferGroup)] else { return finish(operation, -ENOBUFS) }
        while true {
            // Linux picks the buffer before it looks for data, so an empty ring ends a receive that has none.
            if simulation.fault(\.noBuffers) {
                simulation.trace(.fault, 6)
                return finish(operation, -ENOBUFS)
            }
            guard var buffer = unsafe group.peek() else { return finish(operation, -ENOBUFS) }
            if operation.entry.length > 0 { unsafe buffer = UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(Int(operation.entry.length))) }
            let available = socket.connection.readableBytes
            if available > 1, simulation.fault(\.shortReceive) {
                let part = simulation.random.within(1...min(available, buffer.count))
                unsafe buffer = UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(part))
            }
            let count = unsafe socket.connection.receive(buffer)
            if count == -Int(EAGAIN) { return arm(operation, PollEvents.readable) }
            simulation.trace(.receive, socket.serial, Int64(count))
            // At the end, and on an error, the buffer stays the kernel's and a multishot is over.
            guard count > 0 else { return finish(operation, Int32(count)) }
            var flags = Bits.buffer | UInt32(group.commit()) << Bits.bufferShift
            if socket.connection.readableBytes > 0 { flags |= Bits.socketNotEmpty }
            let goesOn = operation.isMultishot && !simulation.fault(\.endMultishotReceive)
            guard goesOn, postMore(operation.entry.userData, Int32(count), flags) else { return finish(operation, Int32(count), flags: flags) }
        }
    }

    private func receiveIntoMemory(_ operation: PendingOperation, _ socket: SocketFile) {
        // The program keeps this memory until the completion.
        let memory = unsafe UnsafeMutableRawBufferPointer(
            start: UnsafeMutableRawPointer(bitPattern: UInt(operation.entry.address)), count: Int(operation.entry.length))
        let count = unsafe socket.connection.receive(memory)
        guard count != -Int(EAGAIN) else {
            if operation.entry.operationFlags & UInt32(MSG_DONTWAIT) != 0 { return finish(operation, -EAGAIN) }
            return arm(operation, PollEvents.readable)
        }
        simulation.trace(.receive, socket.serial, Int64(count))
        finish(operation, Int32(count))
    }

    // MARK: send

    func send(_ operation: PendingOperation) {
        guard let file = file(of: operation) else { return }
        guard let socket = file as? SocketFile else { return finish(operation, file is ListenerFile ? -EPIPE : -ENOTSOCK) }
        checkSnapshot(operation)
        let flags = operation.entry.operationFlags
        let mayWait = flags & UInt32(MSG_DONTWAIT) == 0
        let wantsAll = flags & UInt32(MSG_WAITALL) != 0
        if operation.entry.priority & Bits.pollFirst != 0 && !operation.hasWaited {
            return mayWait ? wait(operation) : finish(operation, -EAGAIN)
        }
        if !mayWait, simulation.fault(\.sendAgain) {
            simulation.trace(.fault, 7)
            return finish(operation, -EAGAIN)
        }
        var total = 0
        for unsafe part in unsafe operation.parts { total += part.count }
        let isCutShort = total - operation.done > 1 && simulation.fault(\.shortSend)
        let limit = isCutShort ? simulation.random.within(1...(total - operation.done - 1)) : .max
        let sent = sendParts(operation, socket, limit)
        if sent < 0 {
            if sent == -Int(EAGAIN) && mayWait { return wait(operation) }
            return finish(operation, operation.done > 0 ? Int32(clamping: operation.done) : Int32(sent), failed: true)
        }
        operation.done += sent
        simulation.trace(.send, socket.serial, Int64(sent), Int64(total - operation.done))
        if operation.done < total && wantsAll && mayWait && !isCutShort { return wait(operation) }
        // A short send breaks its chain only when all was asked for.
        finish(operation, Int32(clamping: operation.done), failed: wantsAll && operation.done < total)
    }

    private func wait(_ operation: PendingOperation) {
        keepSnapshot(operation)
        arm(operation, PollEvents.writable)
    }

    /// Bytes that went, or a negative errno when none did.
    private func sendParts(_ operation: PendingOperation, _ socket: SocketFile, _ limit: Int) -> Int {
        var skipped = operation.done
        var sent = 0
        for unsafe part in unsafe operation.parts {
            if skipped >= part.count {
                skipped -= part.count
                continue
            }
            let rest = unsafe UnsafeRawBufferPointer(rebasing: part[skipped...].prefix(limit - sent))
            skipped = 0
            guard rest.count > 0 else { break }
            let count = unsafe socket.connection.send(rest)
            if count < 0 { return sent > 0 ? sent : count }
            sent += count
            if count < rest.count { break }
        }
        return sent
    }

    func shutdown(_ operation: PendingOperation) {
        guard let file = file(of: operation) else { return }
        guard let socket = file as? SocketFile else { return finish(operation, -ENOTSOCK) }
        guard operation.entry.length == UInt32(SHUT_WR) else {
            simulation.violation("shutdown \(operation.entry.length): only SHUT_WR is simulated")
            return finish(operation, -EINVAL)
        }
        if socket.connection.isReset { return finish(operation, -ENOTCONN) }
        socket.connection.shutdownWrite()
        finish(operation, 0)
    }
}
