// Figures of Redis servers (RedisServer), for /metrics. Nothing where nothing uses one. Any thread but a serving loop's.

internal import UringBase
internal import UringPolicy

extension MetricsPage {
    mutating func writeRedis(_ sink: inout ByteSink) {
        guard !figures.redis.isEmpty else { return }
        writer.begin("uringd_redis_connected_loops", .gauge, help: "Loops that are connected to a server of `redis`; 0: it is down.", to: &sink)
        for redis in figures.redis { writer.sample([Label("server", redis.name)], UInt64(redis.connected), to: &sink) }
        writer.begin("uringd_redis_connects", .counter, help: "Connections to a server of `redis` that stood, login included.", to: &sink)
        for redis in figures.redis { writer.sample([Label("server", redis.name)], redis.connects, to: &sink) }
        writer.begin("uringd_redis_requests", .counter, help: "Questions to a server of `redis`.", to: &sink)
        for redis in figures.redis { writer.sample([Label("server", redis.name)], redis.requests, to: &sink) }
        writer.begin("uringd_redis_failures", .counter, help: "Questions that got no answer, by reason.", to: &sink)
        for redis in figures.redis {
            for (reason, count) in redis.troubles { writer.sample([Label("server", redis.name), Label("reason", reason)], count, to: &sink) }
        }
        writer.begin("uringd_rate_limit_uncounted", .counter, help: "Requests that a rate limit could not count because Redis did not answer, by limit and what became of them.", to: &sink)
        for limit in figures.uncounted {
            writer.sample([Label("limit", limit.route), Label("verdict", "admitted")], limit.admitted, to: &sink)
            writer.sample([Label("limit", limit.route), Label("verdict", "refused")], limit.refused, to: &sink)
        }
    }
}
