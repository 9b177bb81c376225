// The ticket keys that are valid now: a few records in a context's memory, looked up by name in OpenSSL's ticket callback. Each
// context has its own, on its loop's thread. Keys are wiped when they are replaced and when the context goes.

internal import CUringTLS
internal import Glibc

/// One key, laid out for the callback: no allocation and no reference counting per ticket.
@unsafe struct TicketKeyRecord {
    /// OpenSSL's tickets begin with a name of 16 bytes.
    static let nameBytes = 16

    var name: (UInt64, UInt64) = (0, 0)
    var aes: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    var hmac: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    /// AES-128 with a 16-byte HMAC key, as in nginx's 48-byte files.
    var isShort = false
}

/// The valid keys. `records[sealing]` seals; every one opens.
@unsafe struct TicketKeys {
    /// Files of a fleet: more than this many generations have no use.
    static let countMax = 16

    private let records: UnsafeMutablePointer<TicketKeyRecord>
    private(set) var count = 0
    private(set) var sealing = 0
    private var epoch = Int64.min

    init() {
        unsafe records = .allocate(capacity: Self.countMax)
        unsafe records.initialize(repeating: TicketKeyRecord(), count: Self.countMax)
    }

    func destroy() {
        unsafe OPENSSL_cleanse(records, Self.countMax &* MemoryLayout<TicketKeyRecord>.stride)
        unsafe records.deallocate()
    }

    /// Brings the keys up to the time. Answers whether any changed. Cheap when nothing has to.
    mutating func update(_ source: SessionTickets, nowSeconds: Int64) -> Bool {
        switch source {
        case .off: return false
        case .keys(let keys, _):
            guard unsafe epoch == Int64.min else { return false }
            unsafe epoch = 0
            unsafe load(keys)
            return true
        case .derived(let secret, let rotateSeconds):
            let now = unsafe Self.epoch(of: nowSeconds, rotateSeconds: rotateSeconds)
            guard unsafe now != epoch else { return false }
            unsafe epoch = now
            unsafe derive(secret, epoch: now)
            return true
        }
    }

    static func epoch(of nowSeconds: Int64, rotateSeconds: Int64) -> Int64 { max(nowSeconds, 0) / max(rotateSeconds, 1) }

    /// The key that sealed a ticket whose first 16 bytes are at `name`.
    func find(_ name: UnsafePointer<UInt8>) -> UnsafeMutablePointer<TicketKeyRecord>? {
        // Names are no secret, they travel in clear: an early end of the comparison tells nothing.
        for index in unsafe 0..<count where unsafe memcmp(&records[index].name, name, TicketKeyRecord.nameBytes) == 0 {
            return unsafe records + index
        }
        return nil
    }

    var current: UnsafeMutablePointer<TicketKeyRecord>? { unsafe count > 0 ? records + sealing : nil }

    private mutating func wipe() {
        unsafe OPENSSL_cleanse(records, Self.countMax &* MemoryLayout<TicketKeyRecord>.stride)
        unsafe count = 0
        unsafe sealing = 0
    }

    private mutating func load(_ keys: [TicketKey]) {
        unsafe wipe()
        for key in unsafe keys.prefix(Self.countMax) {
            unsafe key.bytes.withBytes { bytes in
                let record = unsafe records + count
                let isShort = bytes.count == 48
                unsafe record.pointee.isShort = isShort
                // 48 bytes: name, AES, HMAC; 80 bytes: name, HMAC, AES. That is how nginx reads them.
                guard let base = bytes.baseAddress else { return }
                unsafe memcpy(&record.pointee.name, base, 16)
                unsafe memcpy(&record.pointee.aes, base + (isShort ? 16 : 48), isShort ? 16 : 32)
                unsafe memcpy(&record.pointee.hmac, base + (isShort ? 32 : 16), isShort ? 16 : 32)
            }
            unsafe count += 1
        }
    }

    /// Previous, current and next epoch: an instance whose clock is off by less than one epoch is understood.
    private mutating func derive(_ secret: SecretBytes, epoch: Int64) {
        unsafe wipe()
        for at in [epoch, epoch - 1, epoch + 1] where at >= 0 {
            guard unsafe Self.derive(secret, epoch: at, into: records + count) else { continue }
            unsafe count += 1
        }
    }

    /// HKDF-SHA256 (RFC 5869) of the secret; the info says what for and which epoch, so no two epochs share bytes.
    private static func derive(_ secret: SecretBytes, epoch: Int64, into record: UnsafeMutablePointer<TicketKeyRecord>) -> Bool {
        var info = Array("uring-server session ticket v1".utf8)
        unsafe withUnsafeBytes(of: epoch.bigEndian) { unsafe info += $0 }
        var material: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        let done = unsafe withUnsafeMutableBytes(of: &material) { bytes in
            unsafe secret.withBytes { secret in unsafe hkdf(secret, info: &info, infoCount: info.count, into: bytes) }
        }
        unsafe record.pointee.name = (material.0, material.1)
        unsafe record.pointee.aes = (material.2, material.3, material.4, material.5)
        unsafe record.pointee.hmac = (material.6, material.7, material.8, material.9)
        unsafe record.pointee.isShort = false
        unsafe OPENSSL_cleanse(&material, MemoryLayout.size(ofValue: material))
        return done
    }

    private static func hkdf(
        _ secret: UnsafeBufferPointer<UInt8>, info: UnsafePointer<UInt8>, infoCount: Int, into output: UnsafeMutableRawBufferPointer
    ) -> Bool {
        // All memory is the caller's, for this call.
        guard let context = unsafe EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, nil) else { return false }
        defer { unsafe EVP_PKEY_CTX_free(context) }
        var count = output.count
        guard unsafe EVP_PKEY_derive_init(context) == 1, unsafe EVP_PKEY_CTX_set_hkdf_md(context, EVP_sha256()) == 1,
            unsafe EVP_PKEY_CTX_set1_hkdf_key(context, secret.baseAddress, CInt(secret.count)) == 1,
            unsafe EVP_PKEY_CTX_add1_hkdf_info(context, info, CInt(infoCount)) == 1,
            unsafe EVP_PKEY_derive(context, output.baseAddress?.assumingMemoryBound(to: UInt8.self), &count) == 1
        else { return false }
        return count == output.count
    }
}
