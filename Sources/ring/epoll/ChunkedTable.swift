// ChunkedTable: a table that grows and never moves. Owned by EpollKernel, on its loop's thread.

/// Elements lie in chunks that are allocated once, so that an element's address holds for as long as the table does, however much it grows
/// meanwhile. Nothing is given back before the end: what was needed once is needed again.
@safe
struct ChunkedTable<Element>: ~Copyable {
    private static var shift: Int { 8 }
    private static var perChunk: Int { 1 << shift }

    /// How many elements there are; always whole chunks.
    private(set) var count = 0
    private let initial: Element
    private var chunks: UnsafeMutablePointer<UnsafeMutablePointer<Element>>
    private var capacity = 64

    init(repeating initial: Element) {
        self.initial = initial
        unsafe chunks = .allocate(capacity: capacity)
    }

    deinit {
        for n in 0..<(count >> Self.shift) { unsafe chunks[n].deallocate() }
        unsafe chunks.deallocate()
    }

    /// Makes elements 0…index exist.
    mutating func reach(_ index: Int) {
        while index >= count {
            let used = count >> Self.shift
            if used == capacity { growDirectory() }
            let chunk = UnsafeMutablePointer<Element>.allocate(capacity: Self.perChunk)
            unsafe chunk.initialize(repeating: initial, count: Self.perChunk)
            unsafe chunks[used] = unsafe chunk
            count += Self.perChunk
        }
    }

    private mutating func growDirectory() {
        let larger = UnsafeMutablePointer<UnsafeMutablePointer<Element>>.allocate(capacity: capacity * 2)
        unsafe larger.moveInitialize(from: chunks, count: capacity)
        unsafe chunks.deallocate()
        unsafe chunks = unsafe larger
        capacity *= 2
    }

    /// - Parameter index: below `count`.
    func pointer(_ index: Int) -> UnsafeMutablePointer<Element> {
        assert(index >= 0 && index < count, "BUG: beyond the table")
        return unsafe chunks[index &>> Self.shift] + index & (Self.perChunk &- 1)
    }
}
