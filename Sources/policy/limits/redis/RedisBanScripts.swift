// Bans of a fleet in Redis: what runs there for one, for its end, and for a page of all. Texts; RedisClient sends them.
//
// KEYS[1]: a sorted set of prefixes by their end, in seconds of Redis's clock, +inf for good. KEYS[2]: a hash of their reasons. KEYS[3]: the time of the last change in µs, so that whoever knows it asks for
// nothing else. A count would do as long as Redis forgets nothing; one that has restarted empty would count the same numbers again.

package enum RedisBanScripts {
    /// More are the business of a packet filter; and each instance reads all of them after a change.
    package static var entriesMax: Int { 10_000 }
    /// Of one page: with the longest reasons it stays below what RESPParser takes as one string.
    package static var pageMax: Int { 50 }

    /// ARGV: prefix, seconds that it lasts (0: for good), reason, most entries. Answers `ok` or `full`.
    package static let put: StaticString = """
        local t=redis.call('TIME')
        if not redis.call('ZSCORE',KEYS[1],ARGV[1]) and redis.call('ZCARD',KEYS[1])>=tonumber(ARGV[4]) then return 'full' end
        local u='+inf'
        if tonumber(ARGV[2])>0 then u=string.format('%.0f',t[1]+ARGV[2]) end
        redis.call('ZADD',KEYS[1],u,ARGV[1])
        redis.call('HSET',KEYS[2],ARGV[1],ARGV[3])
        redis.call('SET',KEYS[3],string.format('%.0f',t[1]*1000000+t[2]))
        return 'ok'
        """

    /// ARGV: prefix. Answers `ok`, whether there was one or not.
    package static let lift: StaticString = """
        local t=redis.call('TIME')
        redis.call('ZREM',KEYS[1],ARGV[1])
        redis.call('HDEL',KEYS[2],ARGV[1])
        redis.call('SET',KEYS[3],string.format('%.0f',t[1]*1000000+t[2]))
        return 'ok'
        """

    /// ARGV: the number that is known, where to begin, most entries. Answers lines: the number, alone when it is the one that is known; then for each ban the seconds left (-1: for good), the prefix, the reason. Those that
    /// are over are dropped on the way.
    package static let page: StaticString = """
        local t=redis.call('TIME')
        for _,m in ipairs(redis.call('ZRANGEBYSCORE',KEYS[1],'-inf',t[1],'LIMIT',0,500)) do
        redis.call('ZREM',KEYS[1],m)
        redis.call('HDEL',KEYS[2],m)
        end
        local v=redis.call('GET',KEYS[3]) or '0'
        if v==ARGV[1] and ARGV[2]=='0' then return v end
        local r=redis.call('ZRANGEBYSCORE',KEYS[1],'('..t[1],'+inf','WITHSCORES','LIMIT',ARGV[2],ARGV[3])
        local o={v}
        for i=1,#r,2 do
        local left=-1
        if r[i+1]~='inf' then left=math.max(1,math.floor(r[i+1]-t[1])) end
        o[#o+1]=left..' '..r[i]..' '..string.sub(redis.call('HGET',KEYS[2],r[i]) or '',1,200)
        end
        return table.concat(o,'\\n')
        """
}

/// A page of `RedisBanScripts.page`, read.
package struct RedisBanPage: Sendable {
    /// As it was written.
    package let version: String
    package private(set) var entries: [BanEntry] = []
    /// Lines that were there, those that mean nothing among them: no more than `pageMax` of them end the reading.
    package private(set) var lines = 0

    /// - Parameter now: ns since 1970, from which ends are counted.
    /// - Returns: nil for what is no page.
    package init?(_ bytes: Span<UInt8>, now: UInt64) {
        var raw: [UInt8] = []
        raw.reserveCapacity(bytes.count)
        for at in bytes.indices { raw.append(bytes[at]) }
        let text = String(decoding: raw, as: UTF8.self)
        let parts = text.utf8.split(separator: 0x0a, omittingEmptySubsequences: false).map { Substring($0) }
        guard let first = parts.first, !first.isEmpty, first.utf8.count <= 20, first.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
        version = String(first)
        lines = parts.count - 1
        for part in parts.dropFirst() {
            let words = part.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
            // Somebody else may write there too: what is no ban is passed over.
            guard words.count == 3, let left = Int64(words[0]), left == -1 || left > 0, case .success(let prefix) = Prefix.strict(String(words[1])) else { continue }
            entries.append(BanEntry(prefix, until: left < 0 ? .max : Self.end(now, UInt64(left)), source: .redis, reason: String(words[2])))
        }
    }

    private static func end(_ now: UInt64, _ seconds: UInt64) -> UInt64 {
        let (ns, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, carried) = now.addingReportingOverflow(ns)
        return overflow || carried ? .max - 1 : sum
    }
}
