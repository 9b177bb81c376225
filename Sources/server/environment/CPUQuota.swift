// One CPU bandwidth limit of a cgroup, compared and rounded. Owns no state; used while the loops are planned and by `uringd doctor`.

/// CFS bandwidth: the group may run `quotaUs` of CPU time in every `periodUs` (kernel: Documentation/scheduler/sched-bwc.rst).
package struct CPUQuota: Hashable, Sendable {
    /// Which interface of the kernel said it.
    package enum Version: String, Hashable, Sendable {
        case v1, v2
    }

    /// 10^12 µs: the kernel refuses periods above one second and quotas above 203 days; within this bound no product below overflows.
    package static let microsecondsMax: UInt64 = 1_000_000_000_000

    package let version: Version
    package let quotaUs: UInt64
    package let periodUs: UInt64
    /// The cgroup's directory, as this process sees it.
    package let directory: String

    /// nil unless both are within 1…`microsecondsMax`.
    package init?(version: Version, quotaUs: UInt64, periodUs: UInt64, directory: String) {
        guard (1...Self.microsecondsMax).contains(quotaUs), (1...Self.microsecondsMax).contains(periodUs) else { return nil }
        self.version = version
        self.quotaUs = quotaUs
        self.periodUs = periodUs
        self.directory = directory
    }

    /// Loops for this quota: the quota in CPUs, rounded up, so at least 1.
    ///
    /// Up, as Go 1.25 and the JVM do, rather than down as Rust's `available_parallelism` does: with 1.5 CPUs, one loop can never use
    /// the half that was paid for, and at a demand of 1.2 its queue grows without end; two loops serve that demand and are throttled
    /// only when demand exceeds what the quota allows, where every choice is. Go's further minimum of 2 exists so that
    /// its collector runs beside the program; nothing here needs a second thread, so 0.5 CPUs give one loop.
    package var loops: Int {
        // In Int's range: the quotient is at most microsecondsMax.
        Int((quotaUs + periodUs - 1) / periodUs)
    }

    /// Whether the quota is a whole number of CPUs.
    package var isWhole: Bool { quotaUs % periodUs == 0 }

    /// `1.5`, `0.25`, `2`: two decimals at most, never shown as 0.
    package var cpusText: String {
        let hundredths = max(quotaUs * 100 / periodUs, 1)
        let (whole, fraction) = hundredths.quotientAndRemainder(dividingBy: 100)
        if fraction == 0 { return "\(whole)" }
        if fraction % 10 == 0 { return "\(whole).\(fraction / 10)" }
        return fraction < 10 ? "\(whole).0\(fraction)" : "\(whole).\(fraction)"
    }

    /// `cgroup v2 quota 1.5 CPUs in /sys/fs/cgroup/a`.
    package var summary: String {
        "cgroup \(version.rawValue) quota \(cpusText) CPU\(cpusText == "1" ? "" : "s") in \(directory)"
    }

    /// Whether this limit allows less CPU time than the other.
    package func isTighter(than other: CPUQuota) -> Bool {
        // quota/period < quota'/period', cross-multiplied at full width.
        let left = quotaUs.multipliedFullWidth(by: other.periodUs)
        let right = other.quotaUs.multipliedFullWidth(by: periodUs)
        return (left.high, left.low) < (right.high, right.low)
    }
}
