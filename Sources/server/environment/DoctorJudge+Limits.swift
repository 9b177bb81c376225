// The doctor's checks of limits: descriptors, locked memory, backlogs, ports, memory. Pure; any thread.

extension DoctorJudge {
    var limitChecks: [DoctorCheck] {
        [openFiles, lockedMemory, listenBacklog, synBacklog] + localPorts + [memory]
    }

    // MARK: Descriptors

    /// Descriptors beside the connections.
    private var descriptorsBesides: UInt64 {
        saturatingSum(saturatingProduct(loops, DoctorNeeds.descriptorsPerLoop), DoctorNeeds.descriptorsReserved)
    }

    private var openFiles: DoctorCheck {
        let name = "open files"
        let total = saturatingSum(needs.connections, needs.upstreamConnections, descriptorsBesides)
        let needed = "\(total) for \(saturatingSum(needs.connections, needs.upstreamConnections)) connections"
        guard let limit = facts.openFiles else {
            return .warning(name, found: "limit cannot be read", needed: needed, remedy: "set LimitNOFILE=\(total)")
        }
        let found = "soft \(text(limit.soft)), hard \(text(limit.hard))"
        // The server raises its soft limit to the hard one at start.
        guard let hard = limit.hard, hard < total else { return .ok(name, found: found, needed: needed) }
        let remedy = "set LimitNOFILE=\(total) (ulimit -n, docker --ulimit nofile=\(total))" + ceilingRemedy(total)
        if hard <= descriptorsBesides {
            return .failed(name, found: "\(found): no connection fits", needed: needed, remedy: remedy)
        }
        let fit = hard - descriptorsBesides
        return .warning(name, found: found, needed: needed, remedy: remedy + ", or lower limits.connections to \(fit)")
    }

    private func ceilingRemedy(_ total: UInt64) -> String {
        guard let ceiling = facts.openFilesCeiling, ceiling < total else { return "" }
        return " after sysctl -w fs.nr_open=\(total), which is \(ceiling)"
    }

    // MARK: Locked memory

    private var lockedMemory: DoctorCheck {
        let name = "memlock"
        let bytes = saturatingProduct(loops, needs.registeredBytesPerLoop)
        let needed = bytes == 0 ? "0 B: no buffers are registered, rings count as cgroup memory" : "\(byteText(bytes)) of registered buffers"
        if facts.process.has(.lockMemory) {
            return .ok(name, found: "not limited (CAP_IPC_LOCK)", needed: needed)
        }
        guard let limit = facts.lockedMemory else {
            return bytes == 0
                ? .ok(name, found: "limit cannot be read", needed: needed)
                : .warning(name, found: "limit cannot be read", needed: needed, remedy: "set LimitMEMLOCK=\(bytes)")
        }
        // The soft limit is what the kernel compares with.
        guard let soft = limit.soft, soft < bytes else {
            return .ok(name, found: limit.soft.map(byteText) ?? "unlimited", needed: needed)
        }
        return .failed(
            name, found: byteText(soft), needed: needed, remedy: "set LimitMEMLOCK=\(bytes) (ulimit -l, docker --ulimit memlock=\(bytes))")
    }

    // MARK: Backlogs

    private var listenBacklog: DoctorCheck {
        backlog("listen backlog", found: facts.listenBacklogMax, needed: needs.listenBacklog, sysctl: "net.core.somaxconn")
    }

    /// Half-open connections only, which last one round trip: above it the kernel answers with SYN cookies, or drops where those are off.
    private var synBacklog: DoctorCheck {
        backlog(
            "SYN backlog", found: facts.synBacklogMax, needed: min(needs.listenBacklog, DoctorNeeds.synBacklogMin),
            sysctl: "net.ipv4.tcp_max_syn_backlog")
    }

    private func backlog(_ name: String, found: UInt64?, needed: UInt64, sysctl: String) -> DoctorCheck {
        let remedy = "sysctl -w \(sysctl)=\(needed)"
        guard let found else { return .warning(name, found: "\(sysctl) cannot be read", needed: "\(needed)", remedy: remedy) }
        return found >= needed
            ? .ok(name, found: "\(found)", needed: "\(needed)")
            : .warning(name, found: "\(sysctl) is \(found)", needed: "\(needed)", remedy: remedy)
    }

    // MARK: Ports

    /// Only a proxy connects out, and a port is needed once per upstream address: one address is assumed, the worst case.
    private var localPorts: [DoctorCheck] {
        guard needs.upstreamConnections > 0 else { return [] }
        let name = "local ports"
        let needed = "\(needs.upstreamConnections) if all upstream connections lead to one address"
        let remedy = "sysctl -w net.ipv4.ip_local_port_range='1024 65535', or more upstream addresses"
        guard let ports = facts.localPorts else {
            return [.warning(name, found: "net.ipv4.ip_local_port_range cannot be read", needed: needed, remedy: remedy)]
        }
        let found = "\(ports.count) (\(ports.lowerBound)-\(ports.upperBound))"
        return [
            UInt64(ports.count) >= needs.upstreamConnections
                ? .ok(name, found: found, needed: needed) : .warning(name, found: found, needed: needed, remedy: remedy)
        ]
    }

    // MARK: Memory

    private var memory: DoctorCheck {
        let name = "memory"
        let connections = saturatingSum(needs.connections, needs.upstreamConnections)
        let bytes = saturatingSum(
            saturatingProduct(loops, DoctorNeeds.bytesPerLoop), saturatingProduct(connections, DoctorNeeds.bytesPerConnection))
        let needed = "about \(byteText(bytes)) for \(connections) idle connections"
        guard let limit = facts.memoryLimit else { return .ok(name, found: "no cgroup limit", needed: needed) }
        let found = "\(byteText(limit.bytes)) in \(limit.file)"
        return limit.bytes >= bytes
            ? .ok(name, found: found, needed: needed)
            : .warning(name, found: found, needed: needed, remedy: "raise MemoryMax= (docker --memory), or lower limits.connections")
    }

    private func text(_ limit: UInt64?) -> String { limit.map { "\($0)" } ?? "unlimited" }
}
