// Balancer+Update: the loop's own picture of its servers, made anew when the shared state changed, an ejection ended or a slow start went on. O(n), and rare.

internal import Synchronization

extension Balancer {
    /// Looks at all servers again. `acquire` calls it when it must.
    mutating func update(now: UInt64) {
        // Before the words: what changes while they are read raises it again.
        seenEpoch = shared.epoch.load(ordering: .acquiring)
        let healthy = countHealthy(now: now)
        isPanicking = panics(healthy)
        validUntil = .max
        settle(primary, raise(primary, now))
        settle(backup, raise(backup, now))
        primary = tallied(primary)
        backup = tallied(backup)
        if settings.method == .randomTwo && primary.live > 0 { rebuildAlias() }
    }

    private struct Healthy {
        var primaries = 0
        /// Primaries that are not draining: what a panic would use.
        var candidates = 0
        var backups = 0
    }

    private func countHealthy(now: UInt64) -> Healthy {
        var healthy = Healthy()
        for server in servers.indices {
            let word = shared.word(server)
            guard !word.isDraining else { continue }
            let isUsable = !word.isUnhealthy && !word.isEjected(at: now)
            if servers[server].isBackup {
                healthy.backups += isUsable ? 1 : 0
            } else {
                healthy.candidates += 1
                healthy.primaries += isUsable ? 1 : 0
            }
        }
        return healthy
    }

    /// Too few of those that are no backups can be used. With none of them, backups that are healthy are better than servers that are not.
    private func panics(_ healthy: Healthy) -> Bool {
        guard settings.panicThresholdPercent > 0, healthy.candidates > 0 else { return false }
        if healthy.primaries == 0 && healthy.backups > 0 { return false }
        return healthy.primaries * 100 < healthy.candidates * Int(settings.panicThresholdPercent)
    }

    /// Sets the weights of a tier's servers. Those that were not live before have theirs with the sign reversed, until `settle`; whether there are any.
    private mutating func raise(_ tier: Tier, _ now: UInt64) -> Bool {
        var hasNew = false
        for lane in tier.lanes.prefix(tier.servers) {
            let server = Int(serverOf[lane])
            let word = shared.word(server)
            let isHealthy = !word.isUnhealthy && !word.isEjected(at: now)
            if word.ejectedUntil > now { validUntil = min(validUntil, word.ejectedUntil) }
            let isLive = !word.isDraining && (isHealthy || isPanicking && !servers[server].isBackup)
            hasNew = hasNew || isLive && weight[lane] == 0
            if isLive { weight[lane] = weight[lane] == 0 ? -weightNow(server, now) : weightNow(server, now) } else { weight[lane] = 0 }
        }
        return hasNew
    }

    private mutating func weightNow(_ server: Int, _ now: UInt64) -> Int32 {
        let percent = settings.slowStart.percent(since: shared.since(server), now: now)
        if percent < 100 { validUntil = min(validUntil, settings.slowStart.nextStep(after: now)) }
        return Int32(servers[server].weight * percent)
    }

    /// Gives those that are new the mean lag of the others: neither owed what they missed, nor behind those whose lags a change of weights has shifted.
    private mutating func settle(_ tier: Tier, _ hasNew: Bool) {
        let mean = hasNew ? meanLag(tier) : 0
        for lane in tier.lanes.prefix(tier.servers) {
            let wasHidden = step[lane] == 0
            if weight[lane] < 0 {
                weight[lane] = -weight[lane]
                savedLag[lane] = mean
            } else if !wasHidden {
                savedLag[lane] = lag[lane]
            }
            let isSelectable = weight[lane] > 0 && !isFull(lane)
            lag[lane] = isSelectable ? savedLag[lane] : Self.hiddenLag
            step[lane] = isSelectable ? weight[lane] : 0
            load[lane] = isSelectable ? loadNow(lane) : Self.hiddenLoad
        }
    }

    private func meanLag(_ tier: Tier) -> Int32 {
        var sum = 0
        var count = 0
        for lane in tier.lanes.prefix(tier.servers) where weight[lane] > 0 {
            sum += Int(step[lane] == 0 ? savedLag[lane] : lag[lane])
            count += 1
        }
        return count == 0 ? 0 : Int32(sum / count)
    }

    private func tallied(_ tier: Tier) -> Tier {
        var tier = tier
        (tier.total, tier.live, tier.selectable) = (0, 0, 0)
        for lane in tier.lanes.prefix(tier.servers) {
            tier.live += weight[lane] > 0 ? 1 : 0
            tier.selectable += step[lane] > 0 ? 1 : 0
            tier.total += step[lane]
        }
        return tier
    }

    /// Of all that are live: what is at its bound for a moment is drawn again.
    private mutating func rebuildAlias() {
        var total: UInt64 = 0
        for lane in primary.lanes.prefix(primary.servers) { total += UInt64(weight[lane]) }
        alias.rebuild(weight, count: primary.servers, total: total)
    }
}
