// The configuration as plain values: complete, valid and without a trace of the YAML it came from. Made by
// `ConfigLoader` (or built in code by the quick commands), handed to every loop, never changed afterwards: a reload makes
// a new one. Times are in nanoseconds, sizes in bytes; 0 switches a limit or timeout off where the option table says so.

package struct Configuration: Sendable, Equatable {
    package var loops: LoopSelection
    package var listeners: [ListenerConfiguration]
    /// Nil: no administration listener.
    package var admin: AdminConfiguration?
    package var flightRecorder = FlightConfiguration()
    /// Off only to measure what the recorder, the look at turns and the dashboard's samples cost together (bench/sampling): no key of the file.
    package var isSampled = true
    package var http2: HTTP2Configuration
    package var timeouts: TimeoutConfiguration
    package var limits: LimitConfiguration
    /// Nil: no access log.
    package var accessLog: AccessLogConfiguration?
    package var logLevel: LogLevel
    package var routes: [RouteConfiguration]
    /// In the order of the file; each name once.
    package var upstreams: [UpstreamConfiguration] = []
    package var addresses = AddressConfiguration()
    package var trustedProxies: [AddressPrefix] = []
    /// Nil: connections may grow as they like.
    package var surge: SurgeConfiguration?
    /// In the order of the file; each name once.
    package var redis: [RedisConfiguration] = []
    /// Nil: no spans are sent.
    package var tracing: TracingConfiguration?
    /// Nil: requests have no id.
    package var requestID: RequestIdentifierConfiguration?
    package var deadline: DeadlineConfiguration
    /// Takes effect at start.
    package var hasSupervisor = false
    package var expectations: [ExpectationConfiguration] = []
    /// What the file and the defaults say, secrets left out; an empty object when no file was read.
    package var effective = EffectiveConfiguration(.object([]))

    /// A configuration with the table's defaults: what the commands without a file start from.
    package init(listeners: [ListenerConfiguration], routes: [RouteConfiguration]) {
        let defaults = ConfigurationBuilder.defaults
        loops = .auto
        self.listeners = listeners
        admin = nil
        http2 = HTTP2Configuration(defaults.group("http2"))
        timeouts = TimeoutConfiguration(defaults.group("timeouts"))
        limits = LimitConfiguration(defaults.group("limits"))
        accessLog = nil
        logLevel = .info
        self.routes = routes
        deadline = DeadlineConfiguration(defaults.group("deadline"))
    }

    package func upstream(_ name: String) -> UpstreamConfiguration? { upstreams.first { $0.name == name } }
    package func redis(_ name: String) -> RedisConfiguration? { redis.first { $0.name == name } }
}

package enum LoopSelection: Sendable, Equatable {
    /// From the affinity mask and the CPU quota.
    case auto
    case count(Int)
    case cores([Int])
}

/// Whether a listener speaks HTTP/2: not, beside HTTP/1.1, or alone.
package enum HTTP2Versions: String, Sendable { case off, on, only }

package struct ListenerConfiguration: Sendable, Equatable {
    package var address: ListenAddress
    package var backlog: Int
    /// Means something for IPv6 addresses only.
    package var isIPv6Only: Bool
    /// Permission bits; means something for Unix sockets only.
    package var unixMode: UInt32
    /// Nil: in clear.
    package var tls: TLSSettings?
    /// With TLS only where ALPN offers it too.
    package var http2: HTTP2Versions
    /// Whether connections begin with a PROXY protocol header; only from `trustedProxies` when there are any.
    package var expectsProxyProtocol: Bool

    package init(address: ListenAddress) {
        self.init(address: address, ConfigurationBuilder.listenerDefaults)
    }
}

package struct AdminConfiguration: Sendable, Equatable {
    package var address: ListenAddress
    /// Empty: everybody who reaches the address may.
    package var tokens: [Secret] = []
    /// Whether the kernel counts TCP connections and round trips for it.
    package var tracesTCP = false
}

/// What loops keep of what they did last, and where it is written to. There without an administration too.
package struct FlightConfiguration: Sendable, Equatable {
    /// For each loop; 0: nothing is kept.
    package var events = 32_768
    /// Older events are left out of a dump.
    package var withinNs: UInt64 = 30_000_000_000
    /// Nil: `FlightDirectory.standard`.
    package var directory: String?
    /// Files that are kept there.
    package var files = 8

    package init() {}
}

package struct TimeoutConfiguration: Sendable, Equatable {
    package var headerNs: UInt64
    package var bodyNs: UInt64
    package var handlerNs: UInt64
    package var writeNs: UInt64
    package var idleNs: UInt64
    package var drainNs: UInt64
    package var lingerNs: UInt64
    package var bodyBytesPerSecondMin: UInt64
    package var writeBytesPerSecondMin: UInt64
    package var rateGraceNs: UInt64
}

package struct LimitConfiguration: Sendable, Equatable {
    package var connections: Int
    package var connectionsPerAddress: Int
    package var requestsPerConnection: Int
    package var requestLineBytes: Int
    package var headerBytes: Int
    package var headerCount: Int
    package var bodyBytes: UInt64
}

package struct AccessLogConfiguration: Sendable, Equatable {
    package enum Format: String, Sendable { case json, combined }

    package var path: String
    package var format: Format
    package var bufferBytes: Int
    package var flushNs: UInt64
    /// Of the requests that were not answered with 5xx.
    package var sample = Percentage.hundred
}

/// The names of swift-log, which this type does not depend on.
package enum LogLevel: String, Sendable, CaseIterable {
    case trace, debug, info, notice, warning, error, critical
}

package struct RouteConfiguration: Sendable, Equatable {
    package enum Action: Sendable, Equatable {
        case respond(RespondConfiguration)
        case files(FilesConfiguration)
        case redirect(RedirectConfiguration)
        case proxy(ProxyConfiguration)
    }

    package var name: String
    package var match: RouteMatchRule
    package var action: Action
    /// Nil: no Strict-Transport-Security.
    package var hsts: HSTSConfiguration?
    package var filters = RouteFilters()

    package init(name: String, match: RouteMatchRule = RouteMatchRule(), action: Action, hsts: HSTSConfiguration? = nil) {
        self.name = name
        self.match = match
        self.action = action
        self.hsts = hsts
    }
}

package struct RespondConfiguration: Sendable, Equatable {
    package struct Header: Sendable, Equatable {
        package var name: String
        package var value: String

        package init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    /// 200 to 599.
    package var status: Int
    /// In the order of the file, a content-type included when there is a body. No header that frames the message.
    package var headers: [Header]
    package var body: [UInt8]

    package init(status: Int = 200, headers: [Header] = [], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }
}

package struct FilesConfiguration: Sendable, Equatable {
    package enum Coding: String, Sendable { case br, zstd, gzip }
    package enum Symlinks: String, Sendable { case inside, deny }

    /// A directory; relative paths were completed with the directory of the configuration file.
    package var root: String
    package var index: [String]
    package var cacheControl: String?
    /// In order of preference.
    package var precompressed: [Coding]
    package var symlinks: Symlinks

    package init(
        root: String, index: [String] = ["index.html"], cacheControl: String? = nil, precompressed: [Coding] = [],
        symlinks: Symlinks = .inside
    ) {
        self.root = root
        self.index = index
        self.cacheControl = cacheControl
        self.precompressed = precompressed
        self.symlinks = symlinks
    }
}
