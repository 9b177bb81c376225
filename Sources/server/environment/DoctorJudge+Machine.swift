// The doctor's checks of cores, clock and pages. Pure; any thread.

extension DoctorJudge {
    var machineChecks: [DoctorCheck] {
        [loopPlan, clockSource, hugePages]
    }

    private var loopPlan: DoctorCheck {
        let name = "loops"
        let needed = "\(needs.loops)"
        switch plan {
        case .failure(let error):
            return .failed(name, found: error.description, needed: needed, remedy: "choose --loops auto or other cores")
        case .success(let plan) where plan.notes.isEmpty:
            return .ok(name, found: plan.summary, needed: needed)
        case .success(let plan):
            // Siblings in use are a fact, not a fault; every other note is one.
            let faults = plan.notes.filter { $0 != facts.machine.siblingNote.first }
            let found = ([plan.summary] + plan.notes).joined(separator: "; ")
            return faults.isEmpty
                ? .ok(name, found: found, needed: needed)
                : .warning(name, found: found, needed: needed, remedy: "choose --loops to fit the cores and the quota, repair ignored files")
        }
    }

    /// Timers and latency counters read the clock many times per request; these sources are read in user space, the others
    /// cost a system call each.
    private static let clocksInUserSpace: Set<String> = [
        "tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "riscv_clocksource",
    ]

    private var clockSource: DoctorCheck {
        let name = "clock source"
        let needed = "one that is read without a system call"
        let remedy = "boot with clocksource=tsc, or tsc=reliable if the kernel marked it unstable (journalctl -k -g clocksource)"
        guard let source = facts.clockSource else {
            return .warning(name, found: "cannot be read", needed: needed, remedy: "mount /sys, or ignore this inside a sandbox")
        }
        return Self.clocksInUserSpace.contains(source)
            ? .ok(name, found: source, needed: needed) : .warning(name, found: source, needed: needed, remedy: remedy)
    }

    /// No setting is wrong; it explains memory figures, because `always` lets pools grow in steps of 2 MiB.
    private var hugePages: DoctorCheck {
        .ok("transparent huge pages", found: facts.transparentHugePages ?? "not offered", needed: "any")
    }
}
