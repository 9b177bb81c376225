// The mask of client frames (RFC 6455 5.3), taken off in place. Caller's memory; no state; any thread.

enum WebSocketMask {
    /// Takes the mask off `count` bytes. `mask` has the key for the first byte lowest; answers the key for the byte behind the last.
    @inline(__always)
    static func remove(_ mask: UInt32, from bytes: UnsafeMutablePointer<UInt8>, count: Int) -> UInt32 {
        // Caller's memory: `count` bytes readable and writable for this call; every access below ends at or before `count`.
        let memory = UnsafeMutableRawPointer(bytes)
        var at = 0
        let word = UInt64(mask) &* 0x1_0000_0001
        if count >= 64 {
            // Vectors of the baseline instruction set, four at a time; bench/websocket measures it.
            let vector = SIMD2<UInt64>(repeating: word)
            repeat {
                for lane in 0..<4 {
                    let place = at &+ 16 &* lane
                    let clear = unsafe memory.loadUnaligned(fromByteOffset: place, as: SIMD2<UInt64>.self) ^ vector
                    unsafe memory.storeBytes(of: clear, toByteOffset: place, as: SIMD2<UInt64>.self)
                }
                at &+= 64
            } while count &- at >= 64
        }
        while count &- at >= 8 {
            let clear = unsafe memory.loadUnaligned(fromByteOffset: at, as: UInt64.self) ^ word
            unsafe memory.storeBytes(of: clear, toByteOffset: at, as: UInt64.self)
            at &+= 8
        }
        if count &- at >= 4 {
            let clear = unsafe memory.loadUnaligned(fromByteOffset: at, as: UInt32.self) ^ mask
            unsafe memory.storeBytes(of: clear, toByteOffset: at, as: UInt32.self)
            at &+= 4
        }
        var key = mask
        while at < count {
            unsafe bytes[at] ^= UInt8(truncatingIfNeeded: key)
            key = (key &>> 8) | (key &<< 24)
            at &+= 1
        }
        return key
    }
}
