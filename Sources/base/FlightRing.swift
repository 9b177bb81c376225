// FlightRing: the memory of a flight recorder: the last events of one thread. One thread writes; any other may copy, at any time, without the writer's help: also while that one is stuck.

package import CUringBase
internal import Glibc

/// A ring of events of four words. Its memory is taken once and touched as it fills.
@safe
package final class FlightRing: Sendable {
    /// More would be hundreds of MB a loop.
    package static let eventsMax = 1 << 22

    /// Freed with this object, which writer and readers hold.
    nonisolated(unsafe) package let ring: UnsafeMutablePointer<ur_flight_ring>
    package let capacity: Int
    /// When it was made, by the counter that events are dated with and by CLOCK_MONOTONIC: the longer ago, the better their rate is known.
    private let made: (ticks: UInt64, ns: UInt64)

    /// - Parameter events: rounded up to a power of two, 2 at least.
    package init(events: Int) {
        var capacity = 2
        while capacity < min(events, Self.eventsMax) { capacity *= 2 }
        self.capacity = capacity
        made = Self.moment()
        unsafe ring = .allocate(capacity: 1)
        // Untouched: the kernel gives a page when it is written first, for rings of a size that malloc maps.
        unsafe ring.initialize(to: ur_flight_ring(written: 0, mask: UInt64(capacity - 1), events: .allocate(capacity: capacity)))
    }

    deinit {
        unsafe ring.pointee.events.deallocate()
        unsafe ring.deallocate()
    }

    private static func moment() -> (ticks: UInt64, ns: UInt64) {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return (ur_ticks(), UInt64(clamping: time.tv_sec) &* 1_000_000_000 &+ UInt64(clamping: time.tv_nsec))
    }

    /// CLOCK_MONOTONIC in ns at a count of ticks (`Kernel.ticks` of a system kernel), between when this ring was made and now.
    package func clock() -> (_ ticks: UInt64) -> UInt64 {
        let (from, to) = (made, Self.moment())
        let (ticks, ns) = (to.ticks &- from.ticks, to.ns &- from.ns)
        return { moment in
            guard moment > from.ticks, moment < to.ticks, ticks > 0 else { return moment >= to.ticks ? to.ns : from.ns }
            let product = (moment &- from.ticks).multipliedFullWidth(by: ns)
            return product.high >= ticks ? to.ns : from.ns &+ ticks.dividingFullWidth(product).quotient
        }
    }

    /// Events ever written.
    package var written: UInt64 { unsafe ur_flight_written(ring) }

    /// On the writer's thread alone.
    @inline(__always)
    package func write(_ a: UInt64, _ b: UInt64, _ c: UInt64, _ d: UInt64) { unsafe ur_flight_write(ring, a, b, c, d) }

    /// What is left, oldest first. None is torn; while the writer writes on, the oldest may be missing.
    package func copy() -> [(UInt64, UInt64, UInt64, UInt64)] {
        let events = unsafe [ur_flight_event](unsafeUninitializedCapacity: capacity) { buffer, count in
            guard let base = buffer.baseAddress else { return }
            // SAFETY: the array's own memory, during this call; this object keeps the ring.
            unsafe count = ur_flight_copy(ring, base)
        }
        return events.map(\.words)
    }
}
