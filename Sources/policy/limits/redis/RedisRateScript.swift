// The rate limiter of a fleet: what Redis runs for one decision. Text and its digest; RedisClient sends it.

/// GCRA in one round trip, in whole microseconds of Redis's own clock, so that clocks of the fleet do not matter. What is kept for a key is the time at which its debts are paid, and Redis forgets it then.
///
/// KEYS[1]: the client. ARGV: interval in µs, burst, cost. Answers allowed (0 or 1), remaining, µs until all is there again, µs until the same request is allowed (-1: never).
/// A debt of more than a burst (a policy changed, or Redis's clock went back) counts as a burst; a value that is no number counts as none.
package enum RedisRateScript {
    package static let source: StaticString = """
        local t=redis.call('TIME')
        local now=t[1]*1000000+t[2]
        local i,b,n=tonumber(ARGV[1]),tonumber(ARGV[2]),tonumber(ARGV[3])
        local all=i*b
        local debt=(tonumber(redis.call('GET',KEYS[1])) or now)-now
        if debt<0 then debt=0 elseif debt>all then debt=all end
        local left=math.floor((all-debt)/i)
        if n>b then return {0,left,debt,-1} end
        local after=debt+i*n
        if after>all then return {0,left,debt,after-all} end
        if n>0 then redis.call('SET',KEYS[1],string.format('%.0f',now+after),'PX',math.ceil(after/1000)) end
        return {1,math.floor((all-after)/i),after,0}
        """
    /// SHA-1 of the source, by which Redis knows it.
    package static let digest: StaticString = "baf782d08c3a3fd93bb2fec9e4f69bf6e0d25216"

    /// Redis counts in µs: a rate above a million a second is held to a million.
    package static func intervalMicroseconds(_ policy: RatePolicy) -> UInt64 { policy.interval / 1000 + (policy.interval % 1000 == 0 ? 0 : 1) }
}
