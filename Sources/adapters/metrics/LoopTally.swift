// LoopTally: one loop's exchanges since it handed them over last, by route. Its loop's thread only; allocates when a route is seen first.

#if Metrics
internal import CoreMetrics
internal import UringServer

final class LoopTally: @unchecked Sendable {
    /// Beyond this many routes a loop counts them together, as `other`.
    private static let routesMax = 256
    /// Power of two above twice the routes: a search ends after few steps.
    private static let places = 1024

    private let metrics: ServerMetrics
    private var routes: [RouteTally] = []
    /// Index into `routes` plus one, at a place that the address of the name chooses; 0 = free.
    private var table = [UInt16](repeating: 0, count: LoopTally.places)
    private var other: RouteTally?

    init(loop: Int, _ metrics: ServerMetrics) { self.metrics = metrics }

    func add(_ record: ExchangeRecord) {
        let address = Self.address(record.route)
        var place = Int(truncatingIfNeeded: (UInt64(address) &* 0x9E37_79B9_7F4A_7C15) &>> 54)
        while table[place] != 0 {
            let index = Int(table[place]) - 1
            if routes[index].address == address { return routes[index].add(record) }
            place = (place + 1) & (Self.places - 1)
        }
        guard routes.count < Self.routesMax else {
            if other == nil { other = RouteTally(address: 0, route: "other", metrics) }
            other!.add(record)
            return
        }
        routes.append(RouteTally(address: address, route: record.route.map { "\($0)" } ?? "none", metrics))
        table[place] = UInt16(routes.count)
        routes[routes.count - 1].add(record)
    }

    func flush() {
        for index in routes.indices { routes[index].flush() }
        other?.flush()
    }

    /// Names live as long as the process, each at its own address.
    private static func address(_ route: RouteName?) -> UInt {
        // SAFETY: only the address is taken.
        guard let route else { return 0 }
        return unsafe route.bytes.withUnsafeBufferPointer { UInt(bitPattern: $0.baseAddress) }
    }
}

private struct RouteTally {
    /// Durations that are kept until they are handed over. A backend takes them one by one.
    private static let samplesMax = 1024

    let address: UInt
    private var counts: InlineArray<5, UInt64> = .init(repeating: 0)
    private var bytes: UInt64 = 0
    private var samples: [UInt64] = []
    private let counters: [Counter]
    private let byteCounter: Counter
    private let timer: CoreMetrics.Timer

    init(address: UInt, route: String, _ metrics: ServerMetrics) {
        self.address = address
        samples.reserveCapacity(Self.samplesMax)
        counters = (1...5).map { metrics.counter("requests", [("route", route), ("status", "\($0)xx")]) }
        byteCounter = metrics.counter("response_bytes", [("route", route)])
        timer = metrics.timer("request_duration", [("route", route)])
    }

    mutating func add(_ record: ExchangeRecord) {
        counts[min(max(Int(record.status) / 100, 1), 5) - 1] &+= 1
        bytes &+= record.bytes
        if samples.count == Self.samplesMax { recordSamples() }
        samples.append(record.nanoseconds)
    }

    mutating func flush() {
        for index in counts.indices where counts[index] > 0 {
            counters[index].increment(by: counts[index])
            counts[index] = 0
        }
        if bytes > 0 { byteCounter.increment(by: bytes) }
        bytes = 0
        recordSamples()
    }

    private mutating func recordSamples() {
        for sample in samples { timer.recordNanoseconds(sample) }
        samples.removeAll(keepingCapacity: true)
    }
}
#endif
