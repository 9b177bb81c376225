// The release number of a kernel, for comparing. Owns no state; any thread.

/// `major.minor` of a Linux release: io_uring's abilities come with minor releases, so the rest does not matter.
package struct KernelVersion: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// 5.19 brought provided-buffer rings and multishot accept, which the loop is built on.
    package static let floor = KernelVersion(5, 19)
    /// Where io_uring is not used: openat2(2), without which files cannot be kept beneath their directory.
    package static let epollFloor = KernelVersion(5, 6)
    /// 6.1 brought DEFER_TASKRUN, the base of the fast path: measured 4.9 against 5.2 µs of CPU per request with COOP_TASKRUN.
    package static let recommended = KernelVersion(6, 1)

    package let major: Int
    package let minor: Int

    package init(_ major: Int, _ minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// Reads the front of /proc/sys/kernel/osrelease: `6.1.0-13-amd64`, `6.18-rc1`; nil when it does not begin with two numbers.
    package init?(release: String) {
        let fields = release.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
        guard fields.count >= 2, let major = Self.leadingNumber(fields[0]), let minor = Self.leadingNumber(fields[1]) else { return nil }
        self.init(major, minor)
    }

    package static func < (left: KernelVersion, right: KernelVersion) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }

    package var description: String { "\(major).\(minor)" }

    private static func leadingNumber(_ text: Substring) -> Int? {
        Int(text.prefix { $0.isASCII && $0.isNumber })
    }
}
