// Poll, cancel, close and messages between rings.

internal import CUring
internal import Glibc

extension SimulatedKernel {
    // MARK: poll

    func poll(_ operation: PendingOperation) {
        guard let file = file(of: operation) else { return }
        let wanted = operation.entry.operationFlags | PollEvents.always
        var events = file.readiness() & wanted
        if events == 0, simulation.fault(\.spuriousPoll) {
            simulation.trace(.fault, 8)
            events = operation.entry.operationFlags & PollEvents.all
        }
        guard events != 0 else { return armPoll(operation, file) }
        guard operation.isMultishot, postMore(operation.entry.userData, Int32(events), 0) else { return finish(operation, Int32(events)) }
        armPoll(operation, file)
    }

    /// Unlike `arm` it does not look at what holds already: a multishot poll speaks of changes.
    private func armPoll(_ operation: PendingOperation, _ file: OpenFile) {
        operation.waitEvents = operation.entry.operationFlags | PollEvents.always
        operation.state = .armed
        register(operation)
        if !file.waiters.contains(where: { $0 === operation }) { file.waiters.append(operation) }
    }

    // MARK: cancel

    func cancel(_ operation: PendingOperation) {
        let entry = operation.entry
        let all = entry.operationFlags & (Bits.cancelAll | Bits.cancelAny) != 0
        var targets: [PendingOperation]
        if entry.operationFlags & Bits.cancelDescriptor != 0 {
            guard let file = simulation.descriptors[entry.descriptor] else {
                simulation.violation("cancel by descriptor \(entry.descriptor), which is not open")
                return finish(operation, -EBADF)
            }
            targets = inFlight { $0.file === file && $0 !== operation }
        } else if entry.operationFlags & Bits.cancelAny != 0 {
            targets = inFlight { $0.file != nil && $0 !== operation }
        } else {
            targets = inFlight { $0.entry.userData == entry.address && ($0.file != nil || $0.state == .asynchronous) && $0 !== operation }
        }
        // What is being carried out by a worker thread cannot be stopped any more (-EALREADY).
        let busy = targets.contains { $0.state == .asynchronous }
        targets.removeAll { $0.state == .asynchronous }
        if !all, targets.count > 1 { targets.removeLast(targets.count - 1) }
        for target in targets {
            target.isCancelled = true
            queueWork(target)
        }
        if all { return finish(operation, Int32(targets.count)) }
        finish(operation, targets.isEmpty ? busy ? -EALREADY : -ENOENT : 0)
    }

    // MARK: close

    /// Frees the number. The file goes when its last operation has gone.
    func closeDescriptor(_ fd: Int32, by who: String) -> Int32 {
        guard let file = simulation.descriptors[fd], !(file is RingFile) else {
            simulation.violation("\(who) of descriptor \(fd), which is not open")
            return -EBADF
        }
        if file.operations > 0 { simulation.closedWhileArmed += 1 }
        _ = simulation.descriptors.remove(fd)
        simulation.trace(.close, Int64(fd), file.serial, Int64(file.operations))
        file.releaseIfUnused()
        return 0
    }

    // MARK: messages

    func message(_ operation: PendingOperation) {
        // IORING_MSG_DATA is 0; passing descriptors (1) is not simulated.
        guard operation.entry.address == 0 else { return finish(operation, -EINVAL) }
        guard let file = file(of: operation) else { return }
        guard let target = file as? RingFile, let kernel = target.kernel else { return finish(operation, -EBADFD) }
        kernel.receiveMessage(value: Int32(truncatingIfNeeded: operation.entry.length), data: operation.entry.offset)
        finish(operation, 0)
    }
}
