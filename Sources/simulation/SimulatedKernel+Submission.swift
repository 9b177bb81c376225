// Submission: consuming entries, building chains, and handing each operation to whoever performs it.

internal import CUring
internal import Glibc

extension SimulatedKernel {
    /// Consumes the first `count` queued entries. A chain that is still open at the end of the batch ends there, as in Linux.
    func submit(_ count: UInt32) {
        var head: PendingOperation?
        var last: PendingOperation?
        for offset in 0..<count {
            let operation = PendingOperation(unsafe Entry(ur_sim_sq_at(ring, offset)), self)
            simulation.trace(.submit, Int64(bitPattern: operation.entry.userData), Int64(operation.entry.opcode), Int64(operation.entry.descriptor))
            prepare(operation)
            if let previous = last {
                previous.next = operation
            } else {
                head = operation
            }
            last = operation
            if operation.entry.flags & (Bits.link | Bits.hardLink) == 0 {
                start(head!)
                (head, last) = (nil, nil)
            }
        }
        if let head { start(head) }
        unsafe ur_sim_sq_consume(ring, count)
    }

    /// What Linux copies from the program's memory at submission: message headers and paths. Payload is not copied.
    private func prepare(_ operation: PendingOperation) {
        let entry = operation.entry
        switch operation.opcode {
        case .send:
            unsafe operation.parts = [
                UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: UInt(entry.address)), count: Int(entry.length))
            ]
        case .sendMessage:
            // The program keeps header and vectors until this enter returns (IORING_FEAT_SUBMIT_STABLE), the bytes until the completion.
            guard let header = unsafe UnsafePointer<msghdr>(bitPattern: UInt(entry.address)) else { return }
            for n in 0..<Int(unsafe header.pointee.msg_iovlen) {
                let part = unsafe header.pointee.msg_iov[n]
                if unsafe part.iov_len > 0 { unsafe operation.parts.append(UnsafeRawBufferPointer(start: part.iov_base, count: part.iov_len)) }
            }
        case .open:
            if let path = unsafe UnsafePointer<CChar>(bitPattern: UInt(entry.address)) { unsafe operation.path = String(cString: path) }
            if let how = unsafe UnsafePointer<open_how>(bitPattern: UInt(entry.offset)) { operation.openFlags = unsafe how.pointee.flags }
        default: break
        }
    }

    private func start(_ head: PendingOperation) {
        guard let wrong = firstUnacceptable(head) else {
            // Later links run from the work queue; until then their bytes must not change.
            var link = head.next
            while let operation = link {
                keepSnapshot(operation)
                register(operation)
                link = operation.next
            }
            return perform(head)
        }
        // One bad entry: nothing of its chain is carried out.
        var link = Optional(head)
        let silently = head.skipsCompletion
        while let operation = link {
            link = operation.next
            operation.next = nil
            operation.state = .done
            if operation === head || !silently { post(operation.entry.userData, operation === wrong ? -EINVAL : -ECANCELED, 0) }
        }
    }

    /// The first of a chain that Linux refuses before carrying anything out: an unknown operation, or one this simulation cannot do.
    private func firstUnacceptable(_ head: PendingOperation) -> PendingOperation? {
        var link = Optional(head)
        while let operation = link {
            if operation.opcode == nil { return operation }
            if operation.entry.flags & (Bits.fixedFile | Bits.drain) != 0 {
                simulation.violation("entry with flags \(operation.entry.flags): fixed files and drain are not simulated")
                return operation
            }
            link = operation.next
        }
        return nil
    }

    /// Carries an operation out as far as it goes now: at submission, in its turn of a chain, or because its file is ready.
    func perform(_ operation: PendingOperation) {
        switch operation.opcode {
        case .nop: finish(operation, 0)
        case .accept: accept(operation)
        case .receive: receive(operation)
        case .send, .sendMessage: send(operation)
        case .shutdown: shutdown(operation)
        case .pollAdd: poll(operation)
        case .cancel: cancel(operation)
        case .close: finish(operation, closeDescriptor(operation.entry.descriptor, by: "a queued close"))
        case .open: open(operation)
        case .read: read(operation)
        case .messageRing: message(operation)
        case nil: finish(operation, -EINVAL)
        }
    }

    /// The operation's file, from its descriptor when it is carried out for the first time. nil: the operation has failed.
    func file(of operation: PendingOperation) -> OpenFile? {
        if let file = operation.file { return file }
        guard let file = simulation.descriptors[operation.entry.descriptor] else {
            simulation.violation("operation \(operation.entry.opcode) on descriptor \(operation.entry.descriptor), which is not open")
            finish(operation, -EBADF)
            return nil
        }
        operation.file = file
        file.operations += 1
        return file
    }

    // MARK: memory of sends

    /// Remembers what the operation is to send, to find out at the end whether the program left it alone.
    func keepSnapshot(_ operation: PendingOperation) {
        guard operation.snapshot.isEmpty else { return }
        for unsafe part in unsafe operation.parts { unsafe operation.snapshot.append(contentsOf: part) }
    }

    func checkSnapshot(_ operation: PendingOperation) {
        guard !operation.snapshot.isEmpty else { return }
        var offset = 0
        for unsafe part in unsafe operation.parts {
            let isSame = unsafe operation.snapshot.withUnsafeBytes { kept in
                unsafe part.count == 0 || memcmp(kept.baseAddress! + offset, part.baseAddress!, part.count) == 0
            }
            if !isSame {
                simulation.violation("the bytes of a send on descriptor \(operation.entry.descriptor) changed while it was in flight")
                operation.snapshot = []
                return
            }
            offset += part.count
        }
    }
}
