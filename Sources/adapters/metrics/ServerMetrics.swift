// ServerMetrics: a server's figures for swift-metrics. Exchanges are added up by each loop and handed over once in a while; the rest is read from loops' snapshots.

#if Metrics
public import CoreMetrics
internal import Synchronization
public import UringServer

/// Counts a server's requests, connections, handshakes and loops for whatever backend `MetricsSystem` was given.
///
///     let metrics = ServerMetrics()
///     var application = Application(handler: handler)
///     metrics.observe(&application)
///     let running = try Server(listen: ["127.0.0.1:8080"], application: application).start()
///     try await metrics.collect(from: running, every: .seconds(10))          // until its task is cancelled
///
/// A request costs a few additions in its loop's own memory: no allocation, no lock, no call into the backend. Its loop hands them over at the latest
/// `Application.flushInterval` after the first. docs/users/ecosystem.md lists the metrics.
public final class ServerMetrics: Sendable {
    let factory: any MetricsFactory
    let prefix: String
    private let figures: Mutex<[Int: LoopFigures]> = Mutex([:])

    /// - Parameters:
    ///   - factory: makes the metrics; the default is the program's.
    ///   - prefix: what all names begin with.
    public init(factory: any MetricsFactory = MetricsSystem.factory, prefix: String = "http_server") {
        (self.factory, self.prefix) = (factory, prefix)
    }

    /// Has the application's exchanges counted. Whoever observed them, or flushed, before still does.
    /// - Parameter loops: most loops that are counted, more than the server has: each has its table from the start.
    public func observe(_ application: inout Application, loops: Int = 256) {
        let tables = (0..<max(1, loops)).map { LoopTally(loop: $0, self) }
        let (observed, flushed) = (application.observe, application.flush)
        application.observe = { request, record in
            observed?(request, record)
            if record.loop < tables.count { tables[record.loop].add(record) }
        }
        application.flush = { loop in
            flushed?(loop)
            if loop < tables.count { tables[loop].flush() }
        }
    }

    /// Takes over figures of loops: what has changed since they were given last.
    public func record(_ snapshots: [LoopSnapshot]) {
        figures.withLock { figures in
            for snapshot in snapshots { figures[snapshot.loop, default: LoopFigures(loop: snapshot.loop, self)].take(snapshot) }
        }
    }

    /// Records a server's loops now and then, until its task is cancelled.
    ///
    /// Asking the loops takes as long as their longest turn, in which this call's thread waits.
    public func collect(from running: RunningServer, every interval: Duration = .seconds(10)) async throws {
        while true {
            record(running.snapshots())
            try await Task.sleep(for: interval)
        }
    }

    func counter(_ name: String, _ dimensions: [(String, String)]) -> Counter { Counter(label: prefix + "_" + name, dimensions: dimensions, factory: factory) }
    func gauge(_ name: String, _ dimensions: [(String, String)]) -> Gauge { Gauge(label: prefix + "_" + name, dimensions: dimensions, factory: factory) }
    func timer(_ name: String, _ dimensions: [(String, String)]) -> CoreMetrics.Timer { Timer(label: prefix + "_" + name, dimensions: dimensions, factory: factory) }
}
#else
@available(*, unavailable, message: "enable the trait Metrics of uring-server: .package(url: …, from: …, traits: [\"Metrics\"])")
public final class ServerMetrics {}
#endif
