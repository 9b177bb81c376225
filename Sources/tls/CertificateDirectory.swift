// Which certificates answer which server name. Built when a context is made, read in OpenSSL's server name callback on the
// loop's thread, without allocating.

internal import Glibc

/// Sets of certificates by name: entries of different key kinds that share a name answer for it side by side.
struct CertificatePlan {
    /// Indexes into the configuration's certificates. The first set is the default.
    private(set) var sets: [[Int]] = []
    private(set) var setOfName: [String: Int] = [:]

    init(_ certificates: [TLSCertificate]) {
        var names: [String] = []
        var members: [String: [Int]] = [:]
        for (index, certificate) in certificates.enumerated() {
            for name in certificate.names {
                if members[name] == nil { names.append(name) }
                // Of the same kind, the first in the configuration answers.
                let isTaken = members[name, default: []].contains { certificates[$0].keyKind == certificate.keyKind }
                if !isTaken { members[name, default: []].append(index) }
            }
        }
        // The default: the first certificate, with those that stand beside it for its first name.
        sets.append(certificates[0].names.first.flatMap { members[$0] } ?? [0])
        for name in names {
            let set = members[name] ?? []
            setOfName[name] = sets.firstIndex(of: set) ?? sets.count
            if setOfName[name] == sets.count { sets.append(set) }
        }
    }
}

/// An open-addressed table from names to numbers.
@unsafe struct NameTable {
    /// A name in DNS has 253 characters at the most (RFC 1035 2.3.4).
    static let nameBytesMax = 253

    @unsafe private struct Slot {
        var name: UnsafeMutablePointer<UInt8>?
        var count = 0
        var value = 0
    }

    private let slots: UnsafeMutablePointer<Slot>
    private let mask: Int

    init(_ values: [String: Int]) {
        // At most half full, so that a search ends soon.
        var capacity = 8
        while capacity < values.count * 2 { capacity *= 2 }
        unsafe mask = capacity - 1
        unsafe slots = .allocate(capacity: capacity)
        unsafe slots.initialize(repeating: Slot(), count: capacity)
        for (name, value) in values { unsafe insert(name, value) }
    }

    func destroy() {
        for index in unsafe 0...mask { unsafe slots[index].name?.deallocate() }
        unsafe slots.deallocate()
    }

    private func insert(_ name: String, _ value: Int) {
        let bytes = Array(name.utf8)
        let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(bytes.count, 1))
        for (index, byte) in bytes.enumerated() { unsafe copy[index] = byte }
        var at = unsafe Self.hash(copy, bytes.count) & mask
        while unsafe slots[at].name != nil { at = unsafe (at + 1) & mask }
        unsafe slots[at] = Slot(name: copy, count: bytes.count, value: value)
    }

    /// The value of the name itself, or of the wildcard that stands for its first label (RFC 6125 6.4.3). `name` is lower case.
    func find(_ name: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int? {
        if let found = unsafe exactly(name, count) { return found }
        var dot = 0
        while unsafe dot < count && name[dot] != 0x2e { dot &+= 1 }
        guard dot > 0 && dot < count else { return nil }
        // "*" in place of the label's last character: the wildcard's name lies in the same memory. Put back afterwards.
        let kept = unsafe name[dot &- 1]
        unsafe name[dot &- 1] = 0x2a
        defer { unsafe name[dot &- 1] = kept }
        return unsafe exactly(name + (dot &- 1), count &- (dot &- 1))
    }

    private func exactly(_ name: UnsafePointer<UInt8>, _ count: Int) -> Int? {
        var at = unsafe Self.hash(name, count) & mask
        while let candidate = unsafe slots[at].name {
            if unsafe slots[at].count == count && memcmp(candidate, name, count) == 0 { return unsafe slots[at].value }
            at = unsafe (at &+ 1) & mask
        }
        return nil
    }

    /// FNV-1a. The names are the operator's, so nobody can choose them to collide; a search for a client's name ends at the first gap.
    private static func hash(_ name: UnsafePointer<UInt8>, _ count: Int) -> Int {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for index in 0..<count { hash = unsafe (hash ^ UInt64(name[index])) &* 0x100_0000_01b3 }
        return Int(truncatingIfNeeded: hash ^ hash >> 32)
    }
}
