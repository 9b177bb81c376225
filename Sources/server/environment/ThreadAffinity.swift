// Reading and setting the cores of the calling thread. Owns nothing. `current` is called at start-up before any thread is pinned;
// `pin` is called by each loop's own thread, once, before it makes its ring.

internal import CUringBase
internal import Glibc
package import UringRing

package enum ThreadAffinity {
    /// 2^14 words hold a million cores; the kernel's largest mask is 8192 bits.
    private static let wordsMax = 1 << 14

    /// The cores that the calling thread may run on, ascending (sched_getaffinity(2)): taskset, cpuset and hot-unplug are all in it.
    package static func current() throws(SystemError) -> [Int] {
        var words = [UInt](repeating: 0, count: 16)
        while true {
            // The array owns the words through the call.
            let written = unsafe words.withUnsafeMutableBufferPointer { unsafe ur_sched_getaffinity(0, $0.baseAddress, $0.count) }
            if written >= 0 { return cores(of: words) }
            // EINVAL: the kernel's mask is longer than ours.
            guard written == -Int(EINVAL), words.count < wordsMax else {
                throw SystemError("sched_getaffinity", code: Int32(truncatingIfNeeded: -written))
            }
            words = [UInt](repeating: 0, count: words.count * 2)
        }
    }

    /// Confines the calling thread to one core, 0…`CoreList.coreIndexMax` (sched_setaffinity(2)).
    ///
    /// Fails with EINVAL when the core is offline or outside the process's cpuset.
    package static func pin(to core: Int) throws(SystemError) {
        precondition((0...CoreList.coreIndexMax).contains(core), "BUG: core \(core) was never validated")
        var words = [UInt](repeating: 0, count: core / UInt.bitWidth + 1)
        words[core / UInt.bitWidth] = 1 << UInt(core % UInt.bitWidth)
        // The array owns the words through the call.
        let result = unsafe words.withUnsafeBufferPointer { unsafe ur_sched_setaffinity(0, $0.baseAddress, $0.count) }
        guard result == 0 else { throw SystemError("sched_setaffinity to core \(core)", code: -result) }
    }

    /// The kernel's identity of the calling thread, as `ps -L` and `perf` print it.
    package static var currentThreadID: Int32 { ur_gettid() }

    private static func cores(of words: [UInt]) -> [Int] {
        var cores: [Int] = []
        for (index, word) in words.enumerated() {
            var word = word
            while word != 0 {
                cores.append(index * UInt.bitWidth + word.trailingZeroBitCount)
                word &= word - 1
            }
        }
        return cores
    }
}
