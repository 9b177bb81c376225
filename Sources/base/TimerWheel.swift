// A timer wheel for one loop: deadlines of connections and other slots the loop numbers.
//
// Owned by a loop and touched by its thread only. It knows no clock: the loop says what time it is. Timers are named by
// the caller's own slot index, one timer per index, so arming and cancelling are a few stores into memory that was
// allocated before; memory grows by doubling when an index is seen that is higher than any before.
//
// Five levels of 64 slots. A slot of level n covers 64ⁿ ticks; a timer lies in the lowest level whose slots tell it from the
// present, and moves down a level when its slot is reached, at most four times. The next occupied slot comes from one
// bitmap per level. This is the layout of Linux 2.6 to 4.7 and of Tokio, with the horizon made endless: a deadline
// beyond the top level waits in its furthest slot and is placed again when that comes round.

/// Timers of one loop thread, each named by an index; O(1) arm and cancel without allocation.
///
/// Timers never fire early, and late by less than one tick after the loop wakes for them.
@safe
package struct TimerWheel: ~Copyable {
    /// 2²⁶ ns, 67 ms: the shortest timeout of the contract's defaults is the minimum-rate grace of 5 s, against which 67 ms
    /// are 1.3 %, and a loop with thousands of idle connections wakes at most 15 times a second for timers.
    /// Timers that need better (a handler's sleep) are the ring's.
    package static var defaultTickShift: UInt64 { 26 }

    private struct Entry: BitwiseCopyable {
        /// The tick at which the timer fires.
        var tick: UInt64
        var next: UInt32
        var previous: UInt32
        /// The list it is in: `level * 64 + slot`, `expiredList` or `noList`.
        var list: UInt16

        static var unarmed: Entry {
            Entry(tick: 0, next: none, previous: none, list: noList)
        }
    }

    private static var none: UInt32 { .max }
    private static var levels: Int { 5 }
    private static var expiredList: UInt16 { 320 }
    private static var noList: UInt16 { .max }

    /// Owned: allocated in `grow`, freed in `deinit`, never handed out.
    private var entries: UnsafeMutableBufferPointer<Entry>
    /// First entry of each slot, then of the expired list.
    private var heads = InlineArray<321, UInt32>(repeating: none)
    /// Per level, which slots have entries.
    private var occupied = InlineArray<5, UInt64>(repeating: 0)
    /// Last entry of the expired list: timers are handed out in the order of their ticks.
    private var lastExpired = none
    /// Every timer of this tick and before has left the slots.
    private var elapsed: UInt64
    package let tickShift: UInt64
    /// Timers armed, those that are expired and not handed out included.
    package private(set) var count = 0

    /// - Parameters:
    ///   - now: the present, ns on the clock of all later calls.
    ///   - tickShift: the tick is 2^tickShift ns; 0 (for clocks that do not really pass) to 40 (18 min).
    ///   - capacity: indices below this need no growth later.
    package init(now: UInt64, tickShift: UInt64 = defaultTickShift, capacity: Int = 256) {
        precondition((0...40).contains(tickShift), "BUG: the tick is 2^0 to 2^40 ns")
        self.tickShift = tickShift
        elapsed = now >> tickShift
        // Empty until `grow` gives it memory.
        unsafe entries = UnsafeMutableBufferPointer(start: nil, count: 0)
        grow(to: max(capacity, 1))
    }

    deinit {
        // The wheel's own memory, of trivial elements; nothing outside refers to it.
        unsafe entries.deallocate()
    }

    // MARK: Arming

    /// Arms or moves the timer `index` to `deadline`, ns. A deadline in the past fires at the next tick; `.max` means never
    /// and cancels.
    ///
    /// - Parameter index: the caller's slot, below `UInt32.max`; keep indices dense, memory is 24 bytes for each up to
    ///   the highest.
    package mutating func arm(_ index: UInt32, deadline: UInt64) {
        precondition(index != Self.none, "BUG: this index means no timer")
        if Int(index) >= capacity { grow(to: Int(index) + 1) }
        cancel(index)
        guard deadline != .max else { return }
        let mask = (UInt64(1) << tickShift) - 1
        let tick = (deadline >> tickShift) + (deadline & mask == 0 ? 0 : 1)
        place(index, tick: max(tick, elapsed + 1))
        count += 1
    }

    /// Disarms the timer `index`; nothing happens when it is not armed. A timer that is expired but not handed out is cancelled too.
    package mutating func cancel(_ index: UInt32) {
        guard isArmed(index) else { return }
        unlink(index)
        count -= 1
    }

    /// Whether the timer `index` is armed and was not handed out.
    package func isArmed(_ index: UInt32) -> Bool {
        Int(index) < capacity && entry(index).list != Self.noList
    }

    // MARK: Time passing

    /// A time before which no timer expires, ns; 0 when an expired one waits, `.max` when none is armed.
    ///
    /// It may lie before the earliest deadline (by up to the slot that timer lies in); waking then costs a look and
    /// at most four such wake-ups per timer.
    package var nextExpiry: UInt64 {
        if heads[Int(Self.expiredList)] != Self.none { return 0 }
        guard let slot = nextSlot else { return .max }
        // A tick beyond the clock is never.
        return slot.start > (UInt64.max >> tickShift) ? .max : slot.start << tickShift
    }

    /// Moves every timer due at `now` to the expired ones; `popExpired` then hands them out. A clock that stands
    /// still or goes back does nothing.
    package mutating func expire(to now: UInt64) {
        let target = now >> tickShift
        guard target > elapsed else { return }
        while let slot = nextSlot, slot.start <= target {
            elapsed = slot.start
            empty(level: slot.level, slot: slot.slot)
        }
        elapsed = target
    }

    /// Hands out an expired timer, earliest tick first, disarmed; nil when there is none left.
    ///
    /// Between two calls timers may be armed and cancelled at will, expired ones too. What is armed then does not expire
    /// before the next `expire`, so the loop over this call ends.
    package mutating func popExpired() -> UInt32? {
        let index = heads[Int(Self.expiredList)]
        guard index != Self.none else { return nil }
        unlink(index)
        count -= 1
        return index
    }

    /// `expire`, then `body` once for every expired timer. The body gets the wheel, to arm and cancel.
    package mutating func advance(to now: UInt64, _ body: (inout TimerWheel, UInt32) -> Void) {
        expire(to: now)
        while let index = popExpired() { body(&self, index) }
    }

    // MARK: Slots

    /// The first occupied slot and the tick at which it begins. Slots of a lower level all begin before those of a higher
    /// one, because they cut up the present slot of that.
    private var nextSlot: (level: Int, slot: Int, start: UInt64)? {
        for level in 0..<Self.levels where occupied[level] != 0 {
            let shift = UInt64(6 * level)
            let present = elapsed >> shift
            let offset = present & 63
            let fromPresent = (occupied[level] &>> offset) | (occupied[level] &<< (64 &- offset))
            // Never 0: what the present slot holds lies in lower levels.
            let distance = UInt64(fromPresent.trailingZeroBitCount)
            return (level, Int((present &+ distance) & 63), (present &+ distance) << shift)
        }
        return nil
    }

    /// Empties a slot whose time has come: into lower levels what lies ahead, else to the expired.
    private mutating func empty(level: Int, slot: Int) {
        let list = level * 64 + slot
        while heads[list] != Self.none {
            let index = heads[list]
            let tick = entry(index).tick
            unlink(index)
            if tick <= elapsed { appendExpired(index) } else { place(index, tick: tick) }
        }
    }

    /// Puts an unlinked entry into the slot of its tick, which lies after `elapsed`.
    private mutating func place(_ index: UInt32, tick: UInt64) {
        var level = (63 - (elapsed ^ tick).leadingZeroBitCount) / 6
        var slotTick = tick
        if level >= Self.levels {
            level = Self.levels - 1
            // At most 63 slots ahead: the 64th is the present one.
            slotTick = min(tick, elapsed + (63 << UInt64(6 * level)))
        }
        let slot = Int((slotTick >> UInt64(6 * level)) & 63)
        let list = level * 64 + slot
        let first = heads[list]
        setEntry(index, Entry(tick: tick, next: first, previous: Self.none, list: UInt16(list)))
        if first != Self.none { withEntry(first) { $0.previous = index } }
        heads[list] = index
        occupied[level] |= 1 << UInt64(slot)
    }

    private mutating func appendExpired(_ index: UInt32) {
        let tick = entry(index).tick
        setEntry(index, Entry(tick: tick, next: Self.none, previous: lastExpired, list: Self.expiredList))
        if lastExpired == Self.none {
            heads[Int(Self.expiredList)] = index
        } else {
            withEntry(lastExpired) { $0.next = index }
        }
        lastExpired = index
    }

    /// Takes an entry out of its list and leaves it unarmed.
    private mutating func unlink(_ index: UInt32) {
        let old = entry(index)
        let list = Int(old.list)
        if old.next != Self.none {
            withEntry(old.next) { $0.previous = old.previous }
        } else if old.list == Self.expiredList {
            lastExpired = old.previous
        }
        if old.previous != Self.none {
            withEntry(old.previous) { $0.next = old.next }
        } else {
            heads[list] = old.next
            if old.next == Self.none, old.list != Self.expiredList { occupied[list >> 6] &= ~(1 << UInt64(list & 63)) }
        }
        setEntry(index, .unarmed)
    }

    // MARK: Memory. Every index that gets here is below `capacity`; the buffer is the wheel's own and lives as long.

    private var capacity: Int { unsafe entries.count }

    private func entry(_ index: UInt32) -> Entry { unsafe entries[Int(index)] }

    private mutating func setEntry(_ index: UInt32, _ entry: Entry) { unsafe entries[Int(index)] = entry }

    private mutating func withEntry(_ index: UInt32, _ change: (inout Entry) -> Void) {
        unsafe change(&entries[Int(index)])
    }

    /// Doubles the memory until `needed` indices fit.
    private mutating func grow(to needed: Int) {
        var count = max(capacity, 1)
        while count < needed { count *= 2 }
        let larger = UnsafeMutableBufferPointer<Entry>.allocate(capacity: count)
        unsafe larger.initialize(repeating: .unarmed)
        for index in 0..<capacity { unsafe larger[index] = entries[index] }
        // The old memory has no other owner, and its elements are trivial.
        unsafe entries.deallocate()
        unsafe entries = larger
    }
}
