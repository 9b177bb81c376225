// Lanes: an array of 32-bit numbers, one for each server of an upstream, read one by one or eight at a time. Owned by one value of one loop (Balancer). Here and in
// SharedServers lies the memory of the upstream policies; everything else works on it through checked subscripts.

/// Fixed memory for `count` numbers, a multiple of eight, so that vectors need no rest.
@safe
struct Lanes: ~Copyable, @unchecked Sendable {
    typealias Vector = SIMD8<Int32>

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

    /// Lanes `8 · vector` to `8 · vector + 7`.
    subscript(vector vector: Int) -> Vector {
        get {
            precondition(UInt(bitPattern: vector) < UInt(bitPattern: count) >> 3, "BUG: no such lanes")
            // Within the value's own memory and aligned to 32: `count` is a multiple of eight.
            return unsafe memory.load(fromByteOffset: vector &* 32, as: Vector.self)
        }
        set {
            precondition(UInt(bitPattern: vector) < UInt(bitPattern: count) >> 3, "BUG: no such lanes")
            unsafe memory.storeBytes(of: newValue, toByteOffset: vector &* 32, as: Vector.self)
        }
    }
}

extension SIMD8<Int32> {
    /// Lane by lane the greater one. `pointwiseMax` is a loop over lanes in Swift 6.3.
    @inline(__always) func greater(_ other: Self) -> Self { replacing(with: other, where: other .> self) }
    /// Lane by lane the lesser one.
    @inline(__always) func lesser(_ other: Self) -> Self { replacing(with: other, where: other .< self) }
}

extension SIMDMask<SIMD8<Int32>> {
    /// The first lane that is set, 8 when none is.
    @inline(__always) var first: Int {
        for lane in 0..<8 where self[lane] { return lane }
        return 8
    }
}
