// InheritedSockets: listening sockets that another process has left to this one: its predecessor at an upgrade, a supervisor, a service manager. Adopted once, before a server starts; taken when
// its listeners are opened. Any thread.

internal import CUring
internal import Glibc
internal import UringBase
internal import UringRing

package enum InheritedSockets {
    private struct Entry {
        let address: String
        let descriptors: [Int32]
        /// From a service manager, by the name of its FDNAMES; nil: from a process of this program.
        var name: String?
    }

    private struct State {
        var waiting: [Entry] = []
        /// Unix sockets whose files a service manager has made, and removes.
        var kept: Set<String> = []
    }

    private static let state = Locked(State())
    /// Behind the descriptors of a unix socket whose file is a service manager's.
    private static let keepMark = "keep"

    // MARK: adopting

    /// Takes over what is written as a line for each address, `ADDRESS=3,4`. What is no listening socket is left alone and told.
    /// - Returns: a sentence about each that cannot be used.
    package static func adopt(_ text: String) -> [String] {
        var problems: [String] = []
        var (adopted, kept): ([Entry], Set<String>) = ([], [])
        for line in text.split(separator: "\n") {
            guard let equals = line.lastIndex(of: "="), equals > line.startIndex else {
                problems.append("`\(line)` is no ADDRESS=DESCRIPTORS")
                continue
            }
            let address = String(line[..<equals])
            var descriptors: [Int32] = []
            for number in line[line.index(after: equals)...].split(separator: ",") {
                if number == keepMark {
                    kept.insert(address)
                    continue
                }
                guard let descriptor = Int32(number), descriptor > 2, isListening(descriptor) else {
                    problems.append("descriptor \(number) for \(address) is no listening socket")
                    continue
                }
                // What this process starts must not have it.
                _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
                descriptors.append(descriptor)
            }
            if !descriptors.isEmpty { adopted.append(Entry(address: address, descriptors: descriptors)) }
        }
        state.withLock { state in
            state.waiting += adopted
            state.kept.formUnion(kept)
        }
        return problems
    }

    /// The first descriptor of a service manager's (sd_listen_fds(3)).
    package static let activatedFirst: Int32 = 3

    /// Takes over the sockets of a service manager: descriptors from `first` on. Their addresses are asked of the kernel.
    /// - Parameter names: of FDNAMES, in the order of the descriptors; told in messages alone.
    /// - Returns: a sentence about each that cannot be used; those are closed.
    package static func adoptActivated(first: Int32 = activatedFirst, count: Int, names: [String]) -> [String] {
        var problems: [String] = []
        for index in 0..<count {
            let descriptor = first + Int32(index)
            let name = names.indices.contains(index) ? names[index] : "unknown"
            guard isListening(descriptor), isStream(descriptor), let address = address(of: descriptor) else {
                problems.append("descriptor \(descriptor) (\(name)) of the service manager is no listening stream socket: ListenStream= and Accept=no are expected")
                close(descriptor)
                continue
            }
            prepare(descriptor, address)
            state.withLock { state in
                if address.hasPrefix("unix:") { state.kept.insert(address) }
                if let place = state.waiting.firstIndex(where: { $0.address == address }) {
                    let known = state.waiting[place]
                    state.waiting[place] = Entry(address: address, descriptors: known.descriptors + [descriptor], name: known.name)
                } else {
                    state.waiting.append(Entry(address: address, descriptors: [descriptor], name: name))
                }
            }
        }
        return problems
    }

    /// As this program's own listening sockets are.
    private static func prepare(_ descriptor: Int32, _ address: String) {
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        // With the flag a ring says "nothing there" in place of waiting.
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
        guard !address.hasPrefix("unix:") else { return }
        var on: Int32 = 1
        // The value lives through the call. Connections inherit it.
        _ = unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    /// A service manager's sockets whose address is none of these, a sentence each.
    /// - Parameter addresses: what is about to be listened on, as `take` will be asked.
    package static func unclaimed(besides addresses: [String]) -> [String] {
        let waiting = state.withLock { $0.waiting }
        return waiting.compactMap { entry in
            guard let name = entry.name, !addresses.contains(where: { isSame($0, entry.address) }) else { return nil }
            return "the service manager passes a socket for \(entry.address) (\(name)), which the configuration does not listen on (\(addresses.joined(separator: ", "))): ListenStream= of the socket unit and `listen` have to agree"
        }
    }

    // MARK: taking

    struct Taken {
        let descriptors: [Int32]
        /// The file of a unix socket is a service manager's.
        let keepsFile: Bool
    }

    /// The sockets of an address, as the configuration spells it or otherwise; they are the caller's from then on.
    static func take(_ address: String) -> Taken {
        state.withLock { state in
            guard let place = state.waiting.firstIndex(where: { $0.address == address }) ?? state.waiting.firstIndex(where: { isSame(address, $0.address) }) else {
                return Taken(descriptors: [], keepsFile: false)
            }
            return Taken(descriptors: state.waiting.remove(at: place).descriptors, keepsFile: state.kept.contains(address))
        }
    }

    /// All that nobody has taken, for a process that serves nothing and hands them on. They are the caller's from then on.
    package static func takeAll() -> [(address: String, descriptors: [Int32])] {
        state.withLock { state in
            defer { state.waiting = [] }
            return state.waiting.map { ($0.address, $0.descriptors) }
        }
    }

    private static func isSame(_ one: String, _ other: String) -> Bool {
        guard one != other else { return true }
        guard case .success(let first) = SocketAddress.parse(one), case .success(let second) = SocketAddress.parse(other) else { return false }
        return first == second
    }

    /// Closes those that nobody took, when all listeners are open: clients would wait in their queues for ever.
    package static func closeRest() {
        for entry in takeAll() { for descriptor in entry.descriptors { close(descriptor) } }
    }

    /// `adopt`'s form.
    package static func text(_ sockets: [(address: String, descriptors: [Int32])]) -> String {
        let kept = state.withLock { $0.kept }
        var lines: [String] = []
        for socket in sockets {
            let numbers = socket.descriptors.map { String($0) } + (kept.contains(socket.address) ? [keepMark] : [])
            lines.append(socket.address + "=" + numbers.joined(separator: ","))
        }
        return lines.joined(separator: "\n")
    }

    // MARK: what a descriptor is

    private static func isListening(_ descriptor: Int32) -> Bool { option(descriptor, SO_ACCEPTCONN) == 1 }
    private static func isStream(_ descriptor: Int32) -> Bool { option(descriptor, SO_TYPE) == Int32(SOCK_STREAM.rawValue) }

    private static func option(_ descriptor: Int32, _ name: Int32) -> Int32? {
        var (value, length) = (Int32(0), socklen_t(MemoryLayout<Int32>.size))
        // The kernel writes both during the call only.
        return unsafe getsockopt(descriptor, SOL_SOCKET, name, &value, &length) == 0 ? value : nil
    }

    /// As a configuration would spell it; nil for families that no configuration has.
    private static func address(of descriptor: Int32) -> String? {
        guard let address = UringKernel.boundAddress(descriptor) else { return nil }
        guard address.family == .unix else { return address.description }
        var unix = sockaddr_un()
        var length = socklen_t(MemoryLayout<sockaddr_un>.size)
        // The kernel writes both during the call only.
        return unsafe withUnsafeMutableBytes(of: &unix) { raw -> String? in
            guard unsafe getsockname(descriptor, raw.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length) == 0 else { return nil }
            let start = MemoryLayout<sa_family_t>.size
            var path = unsafe Array(raw[start..<max(start, min(Int(length), raw.count))])
            if path.first == 0 { path[0] = UInt8(ascii: "@") } else { path = Array(path.prefix { $0 != 0 }) }
            return path.isEmpty ? nil : "unix:" + String(decoding: path, as: UTF8.self)
        }
    }
}
