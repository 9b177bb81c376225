// Limits of this process (getrlimit(2)). Owns nothing. `raise` is called once at start-up, before listeners are opened.

internal import Glibc
package import UringRing

/// A soft and a hard limit; nil is "unlimited".
package struct ResourceLimit: Hashable, Sendable {
    package let soft: UInt64?
    package let hard: UInt64?

    package init(soft: UInt64?, hard: UInt64?) {
        self.soft = soft
        self.hard = hard
    }

    /// RLIMIT_NOFILE: one above the largest descriptor.
    package static func openFiles() -> ResourceLimit? { read(RLIMIT_NOFILE) }
    /// RLIMIT_MEMLOCK in bytes: registered buffers count against it, rings and provided buffers do not (Linux ≥ 5.12).
    package static func lockedMemory() -> ResourceLimit? { read(__RLIMIT_MEMLOCK) }

    /// Raises the soft limit of open files to the hard one and answers what holds afterwards. The soft limit of 1024 that
    /// distributions set protects programs that use select(2); this one does not.
    @discardableResult
    package static func raiseOpenFiles() throws(SystemError) -> ResourceLimit {
        var limit = rlimit()
        // The kernel reads and writes `limit` during each call only.
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            throw SystemError("getrlimit(RLIMIT_NOFILE)", code: errno)
        }
        limit.rlim_cur = limit.rlim_max
        guard unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            throw SystemError("setrlimit(RLIMIT_NOFILE, \(limit.rlim_max))", code: errno)
        }
        return ResourceLimit(limit)
    }

    private static func read(_ resource: __rlimit_resource) -> ResourceLimit? {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0 else { return nil }
        return ResourceLimit(limit)
    }

    private init(_ limit: rlimit) {
        // RLIM_INFINITY is all ones in every architecture's 64-bit interface.
        self.init(
            soft: limit.rlim_cur == rlim_t.max ? nil : UInt64(limit.rlim_cur),
            hard: limit.rlim_max == rlim_t.max ? nil : UInt64(limit.rlim_max))
    }
}
