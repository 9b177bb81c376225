// InheritedSockets: listening sockets that another process has left to this one: its predecessor at an upgrade, a supervisor, a service manager. Adopted once, before a server starts; taken when
// its listeners are opened. Any thread.

internal import Glibc
internal import UringBase

package enum InheritedSockets {
    private static let waiting = Locked<[(address: String, descriptors: [Int32])]>([])

    /// Takes over what is written as a line for each address, `ADDRESS=3,4`. What is no listening socket is left alone and told.
    /// - Returns: a sentence about each that cannot be used.
    package static func adopt(_ text: String) -> [String] {
        var problems: [String] = []
        var adopted: [(address: String, descriptors: [Int32])] = []
        for line in text.split(separator: "\n") {
            guard let equals = line.lastIndex(of: "="), equals > line.startIndex else {
                problems.append("`\(line)` is no ADDRESS=DESCRIPTORS")
                continue
            }
            var descriptors: [Int32] = []
            for number in line[line.index(after: equals)...].split(separator: ",") {
                guard let descriptor = Int32(number), descriptor > 2, isListening(descriptor) else {
                    problems.append("descriptor \(number) for \(line[..<equals]) is no listening socket")
                    continue
                }
                // What this process starts must not have it.
                _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
                descriptors.append(descriptor)
            }
            if !descriptors.isEmpty { adopted.append((String(line[..<equals]), descriptors)) }
        }
        waiting.withLock { $0 += adopted }
        return problems
    }

    /// The sockets of an address, as the configuration spells it; they are the caller's from then on.
    static func take(_ address: String) -> [Int32] {
        waiting.withLock { waiting in
            guard let place = waiting.firstIndex(where: { $0.address == address }) else { return [] }
            return waiting.remove(at: place).descriptors
        }
    }

    /// Closes those that nobody took, when all listeners are open: clients would wait in their queues for ever.
    package static func closeRest() {
        waiting.withLock { waiting in
            for entry in waiting { for descriptor in entry.descriptors { close(descriptor) } }
            waiting = []
        }
    }

    /// `adopt`'s form.
    package static func text(_ sockets: [(address: String, descriptors: [Int32])]) -> String {
        var lines: [String] = []
        for socket in sockets {
            let numbers = socket.descriptors.map { String($0) }.joined(separator: ",")
            lines.append(socket.address + "=" + numbers)
        }
        return lines.joined(separator: "\n")
    }

    private static func isListening(_ descriptor: Int32) -> Bool {
        var (value, length) = (Int32(0), socklen_t(MemoryLayout<Int32>.size))
        // The kernel writes both during the call only.
        return unsafe getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0 && value == 1
    }
}
