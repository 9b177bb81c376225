// Sessions of TLS 1.2 clients that cannot do tickets, by session id. The one thing that loops share: a lock is taken only in
// handshakes that make or offer such a session. OpenSSL's serialised sessions, bounded in bytes and in time.

internal import CUringTLS
internal import Glibc
internal import UringBase

/// A bounded store of serialised sessions. Every loop's context uses the same one.
package final class TLSSessionCache: Sendable {
    /// Locks that loops can hold at the same time; enough for them not to meet.
    private static let shardCount = 16
    /// Bookkeeping of an entry: dictionary slot, key, array header.
    private static let entryOverheadBytes = 160

    private struct ID: Hashable {
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        var count: UInt8 = 0

        /// At most 32 bytes are looked at, as many as a session id has (RFC 5246 7.4.1.2).
        init(_ bytes: UnsafePointer<UInt8>, _ byteCount: Int) {
            let length = min(max(byteCount, 0), 32)
            unsafe memcpy(&words, bytes, length)
            count = UInt8(length)
        }

        static func == (a: ID, b: ID) -> Bool { a.words == b.words && a.count == b.count }

        func hash(into hasher: inout Hasher) {
            hasher.combine(words.0)
            hasher.combine(words.1)
        }
    }

    private struct Entry {
        let session: SecretBytes
        let sequence: UInt64
        let expires: Int64
    }

    private struct Shard {
        var entries: [ID: Entry] = [:]
        /// Insertion order, for eviction; an id whose sequence is not its entry's any more is skipped.
        var order: [(id: ID, sequence: UInt64)] = []
        var orderHead = 0
        var sequence: UInt64 = 0
        var bytes = 0
    }

    private let shards: [ShardBox]
    private final class ShardBox: Sendable { let mutex = Locked(Shard()) }

    package let bytesMax: Int
    package let lifetimeSeconds: Int64

    /// - Parameters:
    ///   - bytesMax: of all sessions together, bookkeeping included. The default has room for about 20 000.
    ///   - lifetimeSeconds: RFC 5246 F.1.4 suggests a day at the most.
    package init(bytesMax: Int = 8 << 20, lifetimeSeconds: Int64 = 3600) {
        self.bytesMax = bytesMax
        self.lifetimeSeconds = min(max(lifetimeSeconds, 1), 86400)
        shards = (0..<Self.shardCount).map { _ in ShardBox() }
    }

    private func shard(_ id: ID) -> ShardBox { shards[Int(truncatingIfNeeded: id.words.0 & UInt64(Self.shardCount - 1))] }

    /// Keeps a session, and drops the oldest ones of its shard that have no room any more.
    func insert(id: UnsafePointer<UInt8>, idCount: Int, session: SecretBytes, nowSeconds: Int64) {
        let key = unsafe ID(id, idCount)
        let shardBytesMax = bytesMax / Self.shardCount
        let cost = session.count + Self.entryOverheadBytes
        guard cost <= shardBytesMax else { return }
        let expires = nowSeconds + lifetimeSeconds
        shard(key).mutex.withLock { shard in
            Self.remove(key, &shard)
            while shard.bytes + cost > shardBytesMax, Self.evictOldest(&shard) {}
            shard.sequence += 1
            shard.entries[key] = Entry(session: session, sequence: shard.sequence, expires: expires)
            shard.order.append((key, shard.sequence))
            Self.sweep(&shard)
            shard.bytes += cost
        }
    }

    /// The session, unless there is none or its time is over.
    func find(id: UnsafePointer<UInt8>, idCount: Int, nowSeconds: Int64) -> SecretBytes? {
        let key = unsafe ID(id, idCount)
        return shard(key).mutex.withLock { shard in
            guard let entry = shard.entries[key] else { return nil }
            guard entry.expires > nowSeconds else {
                Self.remove(key, &shard)
                return nil
            }
            return entry.session
        }
    }

    func remove(id: UnsafePointer<UInt8>, idCount: Int) {
        let key = unsafe ID(id, idCount)
        shard(key).mutex.withLock { Self.remove(key, &$0) }
    }

    /// Bytes and sessions kept now, for metrics.
    package var usage: (bytes: Int, sessions: Int) {
        shards.reduce(into: (0, 0)) { sum, box in
            let part = box.mutex.withLock { ($0.bytes, $0.entries.count) }
            sum.0 += part.0
            sum.1 += part.1
        }
    }

    private static func remove(_ id: ID, _ shard: inout Shard) {
        guard let entry = shard.entries.removeValue(forKey: id) else { return }
        shard.bytes -= entry.session.count + entryOverheadBytes
    }

    /// False when nothing is left.
    private static func evictOldest(_ shard: inout Shard) -> Bool {
        while shard.orderHead < shard.order.count {
            let (id, sequence) = shard.order[shard.orderHead]
            shard.orderHead += 1
            compact(&shard)
            if shard.entries[id]?.sequence == sequence {
                remove(id, &shard)
                return true
            }
        }
        return false
    }

    /// Sessions that were removed or replaced leave their place in the order behind: when those are the majority, they go.
    private static func sweep(_ shard: inout Shard) {
        guard shard.order.count - shard.orderHead > 2 * shard.entries.count + 64 else { return }
        shard.order = shard.order[shard.orderHead...].filter { shard.entries[$0.id]?.sequence == $0.sequence }
        shard.orderHead = 0
    }

    /// The array is a queue: its used-up front goes when it is the larger half.
    private static func compact(_ shard: inout Shard) {
        guard shard.orderHead > 64, shard.orderHead * 2 > shard.order.count else { return }
        shard.order.removeFirst(shard.orderHead)
        shard.orderHead = 0
    }
}
