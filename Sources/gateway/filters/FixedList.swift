// FixedList: several texts of the configuration that requests are compared with, without a reference to count. Made at start and on reloads; read by all loops.

/// Owned lists of bytes that never change.
@safe
struct FixedList: ~Copyable, @unchecked Sendable {
    let count: Int
    // Written in init only, freed in deinit.
    private let items: UnsafeMutablePointer<UnsafeMutableBufferPointer<UInt8>>

    init(_ texts: [String]) { self.init(texts.map { Array($0.utf8) }) }

    init(_ texts: [[UInt8]]) {
        count = texts.count
        unsafe items = .allocate(capacity: max(texts.count, 1))
        for (index, text) in texts.enumerated() {
            let item = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.count)
            _ = unsafe item.initialize(from: text)
            unsafe (items + index).initialize(to: item)
        }
    }

    deinit {
        for index in 0..<count { unsafe items[index].deallocate() }
        unsafe items.deallocate()
    }

    /// SAFETY: readable as long as this value lives.
    @unsafe func buffer(_ index: Int) -> UnsafeBufferPointer<UInt8> {
        precondition(index >= 0 && index < count, "BUG: no such text")
        return unsafe UnsafeBufferPointer(items[index])
    }
}
