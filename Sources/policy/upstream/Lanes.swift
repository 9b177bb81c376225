// Lanes: an array of 32-bit numbers, one for each server of an upstream, read one by one or in passes over all. Owned by one value of one loop (Balancer). Here and in
// SharedServers lies the memory of the upstream policies; everything else works on it through checked subscripts.

/// Fixed memory for `count` numbers, a multiple of eight, so that passes need no rest.
@safe
struct Lanes: ~Copyable, @unchecked Sendable {
    /// Owned: allocated in `init`, freed in `deinit`, never handed out. Hence sendable: whoever has the value alone has the memory.
    private let memory: UnsafeMutableRawPointer
    let count: Int

    /// The number of lanes that hold `count` numbers.
    static func padded(_ count: Int) -> Int { (count + 7) & ~7 }

    init(count: Int, repeating value: Int32) {
        precondition(count >= 0 && count % 8 == 0, "BUG: lanes come in eights")
        self.count = count
        unsafe memory = .allocate(byteCount: max(count, 8) * 4, alignment: 64)
        unsafe memory.initializeMemory(as: Int32.self, repeating: value, count: max(count, 8))
    }

    deinit { unsafe memory.deallocate() }

    subscript(index: Int) -> Int32 {
        get {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "BUG: no such lane")
            // Within the value's own memory: just checked.
            return unsafe memory.load(fromByteOffset: index &* 4, as: Int32.self)
        }
        set {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "BUG: no such lane")
            unsafe memory.storeBytes(of: newValue, toByteOffset: index &* 4, as: Int32.self)
        }
    }

    // MARK: Passes over all lanes
    //
    // Loops over 32-bit numbers without calls and with one exit, which LLVM turns into vectors of the baseline instruction set. `SIMD8<Int32>` with masks was ten times slower: its comparisons and
    // `replacing` work lane by lane (Swift 6.3).

    private func check(_ range: Range<Int>) { precondition(range.lowerBound >= 0 && range.upperBound <= count && range.count % 8 == 0, "BUG: no such lanes") }

    /// The lanes' memory, as numbers: bound to them in `init`, valid as long as the value.
    private var numbers: UnsafeMutablePointer<Int32> { unsafe memory.assumingMemoryBound(to: Int32.self) }

    /// Adds `steps` and returns the greatest sum.
    func advance(_ range: Range<Int>, by steps: borrowing Lanes) -> Int32 {
        check(range)
        steps.check(range)
        // Within both values' memory, which no other has: just checked.
        let lags = unsafe numbers
        let steps = unsafe steps.numbers
        var greatest = Int32.min
        var index = range.lowerBound
        while index < range.upperBound {
            let lag = unsafe lags[index] &+ steps[index]
            unsafe lags[index] = lag
            greatest = lag > greatest ? lag : greatest
            index &+= 1
        }
        return greatest
    }

    func least(_ range: Range<Int>) -> Int32 {
        check(range)
        // As above.
        let numbers = unsafe numbers
        var least = Int32.max
        var index = range.lowerBound
        while index < range.upperBound {
            let number = unsafe numbers[index]
            least = number < least ? number : least
            index &+= 1
        }
        return least
    }

    /// As `advance`, for the lanes in which `keys` has `key`: the greatest sum among them, and the sum of their steps.
    func advance(_ range: Range<Int>, by steps: borrowing Lanes, where keys: borrowing Lanes, are key: Int32, most: Int32) -> (greatest: Int32, sum: Int32) {
        check(range)
        steps.check(range)
        keys.check(range)
        // As above.
        let lags = unsafe numbers
        let steps = unsafe steps.numbers
        let keys = unsafe keys.numbers
        var greatest = Int32.min
        var sum: Int32 = 0
        var index = range.lowerBound
        while index < range.upperBound {
            // All ones where it is meant: with branches there would be no vectors.
            let mask: Int32 = unsafe keys[index] == key ? -1 : 0
            let step = unsafe steps[index] & mask
            let grown = unsafe lags[index] &+ step
            let lag = grown < most ? grown : most
            unsafe lags[index] = lag
            sum &+= step
            let seen = lag & mask | Int32.min & ~mask
            greatest = seen > greatest ? seen : greatest
            index &+= 1
        }
        return (greatest, sum)
    }

    /// The first lane that has `number`, and where `keys` has `key`; −1: none.
    func first(_ range: Range<Int>, _ number: Int32, where keys: borrowing Lanes, are key: Int32) -> Int {
        check(range)
        keys.check(range)
        // As above.
        let numbers = unsafe numbers
        let keys = unsafe keys.numbers
        var index = range.lowerBound
        while index < range.upperBound {
            // Eight without a branch: whether there is one among them.
            var differences = Int32(-1)
            var lane = 0
            while lane < 8 {
                let difference = unsafe (numbers[index &+ lane] ^ number) | (keys[index &+ lane] ^ key)
                differences = difference == 0 ? 0 : differences
                lane &+= 1
            }
            if differences == 0 {
                for lane in index..<index &+ 8 where unsafe numbers[lane] == number && keys[lane] == key { return lane }
            }
            index &+= 8
        }
        return -1
    }

    /// The first lane that has `number`; −1: none.
    func first(_ range: Range<Int>, _ number: Int32) -> Int { first(range, number, where: self, are: number) }
}
