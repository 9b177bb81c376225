// Handle and Slab: fixed-address slots with generation-checked handles. Owned by a loop and used on its thread only.

/// Names a slot of a `Slab` at one point of its life. A handle whose generation is not the slot's is stale: what it named is gone,
/// and a completion that carries it belongs to nobody any more.
@frozen
package struct Handle: Equatable, Sendable {
    package let index: UInt32
    /// 24 bits, so that it fits a completion's user data beside the index and the operation's kind.
    package let generation: UInt32

    @inlinable
    package init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation & 0xFF_FFFF
    }
}

/// Slots of `Element` at fixed addresses, in blocks that are never moved, so that the kernel and intrusive lists may hold pointers.
///
/// The caller initialises a slot after `claim` and deinitialises it before `release`. Used slots are found again by index; the slab
/// does not touch the elements itself.
@safe
package struct Slab<Element>: ~Copyable {
    @usableFromInline static var blockBits: UInt32 { 8 }
    @usableFromInline static var blockMask: UInt32 { 255 }

    /// Address of each block of 256 slots; a fixed table, so that looking a slot up takes two loads and no bounds bookkeeping.
    @usableFromInline let blocks: UnsafeMutablePointer<UnsafeMutablePointer<Element>?>
    @usableFromInline let generations: UnsafeMutablePointer<UInt32>
    private let nextFree: UnsafeMutablePointer<UInt32>
    private var freeHead = UInt32.max
    private var fresh: UInt32 = 0
    package let capacity: UInt32
    /// Slots `0..<slotsEver` were claimed at least once, so their memory was initialised by the caller.
    package var slotsEver: UInt32 { fresh }
    /// Slots in use.
    package private(set) var count = 0
    package private(set) var highWater = 0

    /// - Parameter capacity: most slots ever, 1…2²⁴. Tables of 8 bytes a slot are reserved now (untouched pages cost nothing), slots
    ///   themselves in blocks of 256 as they are needed.
    package init(capacity: Int) {
        precondition(capacity > 0 && capacity <= 1 << 24, "BUG: slab capacity out of range")
        self.capacity = UInt32(capacity)
        let blockCount = (capacity + 255) / 256
        unsafe blocks = .allocate(capacity: blockCount)
        unsafe blocks.initialize(repeating: nil, count: blockCount)
        unsafe generations = .allocate(capacity: capacity)
        unsafe generations.initialize(repeating: 1, count: capacity)
        unsafe nextFree = .allocate(capacity: capacity)
    }

    deinit {
        for block in 0..<Int((capacity + 255) / 256) { unsafe blocks[block]?.deallocate() }
        unsafe blocks.deallocate()
        unsafe generations.deallocate()
        unsafe nextFree.deallocate()
    }

    /// Takes a slot, uninitialised. nil when all `capacity` slots are in use.
    package mutating func claim() -> Handle? {
        let index: UInt32
        if freeHead != .max {
            index = freeHead
            unsafe freeHead = nextFree[Int(index)]
        } else {
            guard fresh < capacity else { return nil }
            index = fresh
            fresh &+= 1
            let block = Int(index >> Self.blockBits)
            if unsafe blocks[block] == nil { unsafe blocks[block] = .allocate(capacity: 256) }
        }
        count &+= 1
        if count > highWater { highWater = count }
        return unsafe Handle(index: index, generation: generations[Int(index)])
    }

    /// Ends the life that `handle` names; every copy of it is stale from now on.
    package mutating func release(_ handle: Handle) {
        precondition(isCurrent(handle), "BUG: a slot was released twice or by a stale handle")
        let index = Int(handle.index)
        // Never 0, so that user data of all zeroes names nothing.
        unsafe generations[index] = max(1, (generations[index] &+ 1) & 0xFF_FFFF)
        unsafe nextFree[index] = freeHead
        freeHead = handle.index
        count &-= 1
    }

    @inlinable
    package func isCurrent(_ handle: Handle) -> Bool {
        unsafe handle.index < capacity && generations[Int(handle.index)] == handle.generation
            && blocks[Int(handle.index >> Self.blockBits)] != nil
    }

    /// The slot's address, or nil when the handle is stale. Valid until `release`.
    @inlinable
    package func pointer(_ handle: Handle) -> UnsafeMutablePointer<Element>? {
        guard isCurrent(handle) else { return nil }
        return unsafe blocks[Int(handle.index >> Self.blockBits)]! + Int(handle.index & Self.blockMask)
    }

    /// The address of a slot that the caller knows to be in use.
    @inlinable
    package func pointer(at index: UInt32) -> UnsafeMutablePointer<Element> {
        unsafe blocks[Int(index >> Self.blockBits)]! + Int(index & Self.blockMask)
    }
}
