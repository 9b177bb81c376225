// ProvidedBuffers: the kernel's side of a provided-buffer ring, with a record of who owns each buffer. Used by SimulatedKernel.

internal import CUring
internal import Glibc

/// Reads the ring's tail as the kernel does. A buffer that the program has published is filled with a pattern; whoever still reads it
/// sees nonsense, and whoever still writes it is found out when the buffer is picked.
@safe
final class ProvidedBuffers {
    private static let poison: UInt8 = 0xE7

    private enum Owner { case program, kernel }

    /// The program's memory, valid until it destroys its kernel.
    private let ring: UnsafePointer<ur_buf_ring>
    private let entries: UInt32
    private var head: UInt16 = 0
    private var seenTail: UInt16 = 0
    private var owners: [Owner] = []
    private var addresses: [UInt64] = []
    private var lengths: [UInt32] = []
    private let violation: (String) -> Void

    init(_ ring: UnsafePointer<ur_buf_ring>, entries: UInt32, violation: @escaping (String) -> Void) {
        unsafe self.ring = unsafe ring
        self.entries = entries
        self.violation = violation
    }

    /// Buffers that have been published once and are the program's now.
    var heldByProgram: Int {
        readTail()
        return owners.indices.count { addresses[$0] != 0 && owners[$0] == .program }
    }

    /// False when the program has unmapped the ring under the kernel. Linux pins the pages and would not notice; here it would crash.
    func isMapped() -> Bool {
        var residency: UInt8 = 0
        let page = unsafe UnsafeMutableRawPointer(bitPattern: UInt(bitPattern: ring) & ~4095)
        return unsafe mincore(page, 4096, &residency) == 0
    }

    private func readTail() {
        let tail = unsafe ur_buf_ring_tail(ring)
        guard tail != seenTail else { return }
        if UInt32(tail &- head) > entries { violation("the buffer ring holds \(tail &- head) entries and has room for \(entries)") }
        while seenTail != tail {
            unsafe publish(ur_buf_ring_at(ring, UInt32(seenTail) & (entries - 1)).pointee)
            seenTail &+= 1
        }
    }

    private func publish(_ buffer: io_uring_buf) {
        let id = Int(buffer.bid)
        while owners.count <= id {
            owners.append(.program)
            addresses.append(0)
            lengths.append(0)
        }
        if owners[id] == .kernel { violation("buffer \(id) was published while the kernel owned it") }
        if addresses[id] != 0 && addresses[id] != buffer.addr { violation("buffer \(id) was published with another address") }
        guard let bytes = unsafe UnsafeMutableRawPointer(bitPattern: UInt(buffer.addr)), buffer.len > 0 else {
            return violation("buffer \(id) was published without memory")
        }
        (owners[id], addresses[id], lengths[id]) = (.kernel, buffer.addr, buffer.len)
        unsafe memset(bytes, Int32(Self.poison), Int(buffer.len))
    }

    var isEmpty: Bool {
        readTail()
        return head == seenTail
    }

    /// The next buffer's memory; it stays the kernel's until `commit`.
    func peek() -> UnsafeMutableRawBufferPointer? {
        guard !isEmpty else { return nil }
        let buffer = unsafe ur_buf_ring_at(ring, UInt32(head) & (entries - 1)).pointee
        let id = Int(buffer.bid)
        let bytes = unsafe UnsafeMutableRawBufferPointer(start: UnsafeMutableRawPointer(bitPattern: UInt(buffer.addr)), count: Int(buffer.len))
        if unsafe !isPoisoned(UnsafeRawBufferPointer(bytes)) {
            violation("buffer \(id) was written while the kernel owned it")
            unsafe memset(bytes.baseAddress!, Int32(Self.poison), bytes.count)
        }
        return unsafe bytes
    }

    /// The buffer of the last `peek` is the program's from now on. Returns its id.
    func commit() -> UInt16 {
        let id = unsafe ur_buf_ring_at(ring, UInt32(head) & (entries - 1)).pointee.bid
        owners[Int(id)] = .program
        head &+= 1
        return id
    }

    private func isPoisoned(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let start = bytes.baseAddress, bytes.count > 1 else { return true }
        // Equal to itself shifted by one, and its first byte right: all bytes right.
        return unsafe bytes[0] == Self.poison && memcmp(start, start + 1, bytes.count - 1) == 0
    }
}
