// Strings of the rules as bytes in one block of memory, so that comparing with them retains nothing. Owned by a verifier.

@safe struct ByteStrings: ~Copyable {
    let count: Int
    // Owned: written in init only, freed in deinit. String i is text[ends[i]..<ends[i + 1]].
    private let text: UnsafeMutablePointer<UInt8>
    private let ends: UnsafeMutablePointer<Int>

    init(_ strings: [[UInt8]]) {
        count = strings.count
        unsafe text = .allocate(capacity: max(strings.reduce(0) { $0 + $1.count }, 1))
        unsafe ends = .allocate(capacity: strings.count + 1)
        var end = 0
        unsafe ends.initialize(to: 0)
        for (index, string) in strings.enumerated() {
            for byte in string {
                unsafe (text + end).initialize(to: byte)
                end += 1
            }
            unsafe (ends + index + 1).initialize(to: end)
        }
    }

    init(_ strings: [String]) { self.init(strings.map { Array($0.utf8) }) }

    deinit {
        unsafe text.deallocate()
        unsafe ends.deallocate()
    }

    /// Valid as long as this.
    subscript(index: Int) -> UnsafeBufferPointer<UInt8> {
        precondition(index >= 0 && index < count, "BUG: no such string")
        return unsafe UnsafeBufferPointer(start: text + ends[index], count: ends[index + 1] - ends[index])
    }
}
