// `uringd doctor`: judges whether a machine is fit, and prints the judgement. Owns plain values; no I/O here; any thread.

/// What the server is going to need; the configuration's values where there is one.
package struct DoctorNeeds: Sendable {
    /// Connections of clients at once: `limits.connections`, whose default this is.
    package var connections: UInt64 = 100_000
    /// Connections to upstreams at once; 0 when nothing is proxied.
    package var upstreamConnections: UInt64 = 0
    /// The backlog given to listen(2). 4096 is what Linux itself allows by default since 5.4 (net.core.somaxconn).
    package var listenBacklog: UInt64 = 4096
    package var loops: LoopSelection = .automatic
    /// `uring`: without io_uring nothing starts; otherwise there is epoll.
    package var backend = ServerOptions.Backend.automatic
    /// Bytes per loop given to IORING_REGISTER_BUFFERS; 0 because sending from registered memory measured no gain.
    package var registeredBytesPerLoop: UInt64 = 0

    /// Half-open connections: what Linux itself chooses on a machine with a few GB; at 100 ms of round trip, 10,000 new ones a second.
    package static let synBacklogMin: UInt64 = 1024
    /// Per loop: the ring, two listeners' worth of sockets for each of IPv4, IPv6 and unix, an event descriptor.
    package static let descriptorsPerLoop: UInt64 = 8
    /// Standard streams, logs, configuration and certificate files during a reload, inherited sockets, with room to spare.
    package static let descriptorsReserved: UInt64 = 64
    /// Kernel memory of one idle TCP connection, one end: 8–9 KB for both ends measured over 9,000 connections; 1 KiB of it is ours.
    package static let bytesPerConnection: UInt64 = 6 << 10
    /// Program, stacks, rings and buffer pools of one loop.
    package static let bytesPerLoop: UInt64 = 32 << 20

    package init() {}
}

/// One line of the report.
package struct DoctorCheck: Hashable, Sendable {
    package enum State: String, Sendable {
        case ok, warning, failed
    }

    package let name: String
    package let state: State
    package let found: String
    package let needed: String
    /// What to do; nil exactly when the state is ok.
    package let remedy: String?

    static func ok(_ name: String, found: String, needed: String) -> DoctorCheck {
        DoctorCheck(name: name, state: .ok, found: found, needed: needed, remedy: nil)
    }

    static func warning(_ name: String, found: String, needed: String, remedy: String) -> DoctorCheck {
        DoctorCheck(name: name, state: .warning, found: found, needed: needed, remedy: remedy)
    }

    static func failed(_ name: String, found: String, needed: String, remedy: String) -> DoctorCheck {
        DoctorCheck(name: name, state: .failed, found: found, needed: needed, remedy: remedy)
    }
}

/// The judgement over one machine.
package struct DoctorReport: Sendable {
    package let checks: [DoctorCheck]

    /// The checks without which the server does not run: what `serve` prints when it cannot start.
    package var failures: [DoctorCheck] { checks.filter { $0.state == .failed } }

    /// The process's exit status: 1 when a check failed. Warnings leave 0, so that a start-up script may demand fitness, not perfection.
    package var exitCode: Int32 { failures.isEmpty ? 0 : 1 }

    /// Judges.
    package init(facts: DoctorFacts, needs: DoctorNeeds = DoctorNeeds()) {
        let judge = DoctorJudge(facts: facts, needs: needs)
        checks = judge.kernelChecks + judge.limitChecks + judge.machineChecks
    }

    /// This machine, probed now.
    package static func live(needs: DoctorNeeds = DoctorNeeds()) -> DoctorReport {
        DoctorReport(facts: .gatherLive(), needs: needs)
    }

    /// Aligned lines, each remedy below its check, and a closing count. Ends with a line end.
    package var text: String {
        DoctorReport.lines(of: checks) + countLine + "\n"
    }

    /// The given checks only, aligned.
    package static func lines(of checks: [DoctorCheck]) -> String {
        let nameWidth = checks.map(\.name.count).max() ?? 0
        let stateWidth = DoctorCheck.State.warning.rawValue.count
        return checks.map { check in
            let front = padded(check.state.rawValue, to: stateWidth) + "  " + padded(check.name, to: nameWidth) + "  "
            let line = "\(front)\(check.found) (needed: \(check.needed))\n"
            guard let remedy = check.remedy else { return line }
            return line + String(repeating: " ", count: stateWidth + 2) + "remedy: \(remedy)\n"
        }.joined()
    }

    /// One JSON object (RFC 8259) in one line, for programs. `remedy` is null where there is none.
    package var json: String {
        let items = checks.map { check in
            "{\"name\":\(quoted(check.name)),\"state\":\(quoted(check.state.rawValue)),\"found\":\(quoted(check.found)),"
                + "\"needed\":\(quoted(check.needed)),\"remedy\":\(check.remedy.map(quoted) ?? "null")}"
        }
        let counts = "\"ok\":\(count(.ok)),\"warnings\":\(count(.warning)),\"failed\":\(count(.failed))"
        return "{\(counts),\"checks\":[\(items.joined(separator: ","))]}\n"
    }

    private var countLine: String {
        "\(checks.count) checks: \(count(.ok)) ok, \(count(.warning)) warning\(count(.warning) == 1 ? "" : "s"), \(count(.failed)) failed"
    }

    private func count(_ state: DoctorCheck.State) -> Int {
        checks.count { $0.state == state }
    }

    private static func padded(_ text: String, to width: Int) -> String {
        text + String(repeating: " ", count: max(width - text.count, 0))
    }

    private func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\t": out += "\\t"
            case _ where scalar.value < 0x20:
                out += "\\u00" + (scalar.value < 0x10 ? "0" : "") + String(scalar.value, radix: 16)
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}

/// Applies needs to facts; its checks live in one extension per subject.
struct DoctorJudge {
    let facts: DoctorFacts
    let needs: DoctorNeeds
    /// The plan, or why there is none; checks that scale by loops use its size.
    let plan: Result<LoopPlan, LoopPlanError>

    init(facts: DoctorFacts, needs: DoctorNeeds) {
        self.facts = facts
        self.needs = needs
        do {
            plan = .success(try LoopPlan(needs.loops, machine: facts.machine))
        } catch {
            plan = .failure(error)
        }
    }

    var loops: UInt64 {
        switch plan {
        case .success(let plan): UInt64(plan.cores.count)
        case .failure: 1
        }
    }
}

/// Needs come from a configuration: sums and products stop at the largest number instead of trapping.
func saturatingSum(_ terms: UInt64...) -> UInt64 {
    terms.reduce(0) { sum, term in
        let (result, overflow) = sum.addingReportingOverflow(term)
        return overflow ? .max : result
    }
}

func saturatingProduct(_ left: UInt64, _ right: UInt64) -> UInt64 {
    let (result, overflow) = left.multipliedReportingOverflow(by: right)
    return overflow ? .max : result
}

/// `8 MiB`, `1.5 GiB`, `100 B`: one decimal at most, rounded down.
func byteText(_ bytes: UInt64) -> String {
    let units: [(String, UInt64)] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
    for (unit, size) in units where bytes >= size {
        let tenths = bytes % size * 10 / size
        return tenths == 0 ? "\(bytes / size) \(unit)" : "\(bytes / size).\(tenths) \(unit)"
    }
    return "\(bytes) B"
}
