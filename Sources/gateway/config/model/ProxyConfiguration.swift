// What a route with `proxy` does with a request: where it goes, how it is changed on its way, and back. Plain values, read by every loop.

package struct ProxyConfiguration: Sendable, Equatable {
    /// The name of an upstream that exists.
    package var upstream: String
    /// From the end of the request to the response's header section; nil: what the upstream says; 0: no limit.
    package var responseTimeoutNs: UInt64?
    package var path: PathRewrite?
    package var host: HostRewrite
    package var requestHeaders: HeaderEdits
    package var responseHeaders: HeaderEdits
    /// What the upstream says, with what the route overrides.
    package var retry: RetryConfiguration
    package var mirror: MirrorConfiguration?
    package var forwarded: ForwardedFields
    /// How much of a request's body is collected before the upstream is asked; 0: nothing.
    package var requestBufferBytes: UInt64
    package var webSocket: Bool
    /// Nil: what `limits` says; 0: no limit.
    package var bodyBytesMax: UInt64?

    /// A proxy with the table's defaults to an upstream with the table's defaults.
    package init(upstream: String) {
        self.init(upstream: upstream, ConfigurationBuilder.proxyDefaults, retry: RetryConfiguration(ConfigurationBuilder.retryDefaults))
    }
}

/// What is sent as the path. The query always goes along unchanged.
package enum PathRewrite: Sendable, Equatable {
    /// `strip` is taken off the front when the path begins with it (whole segments), then `add` put there. Either may be empty. The
    /// result begins with a slash.
    case prefix(strip: String, add: String)
    case template(PathTemplate)
}

/// A path with places: `/users/{id}`, `/internal{path}`, `/files/{rest}`.
package struct PathTemplate: Sendable, Hashable {
    package enum Part: Sendable, Hashable {
        case literal(String)
        /// The whole normalised path of the request, with its slash.
        case path
        /// What `*` of the pattern took, without the slash before it.
        case rest
        /// The segment that `{name}` of the pattern took.
        case capture(String)
    }

    package let parts: [Part]

    /// As for one pattern of the route: captures become numbers of segments. Nil when the pattern lacks one.
    package func bound(to pattern: PathPattern) -> [BoundPart]? {
        let parts = parts.compactMap { part -> BoundPart? in
            switch part {
            case .literal(let text): .literal(text)
            case .path: .path
            case .rest: pattern.hasTail ? .rest(after: pattern.segments.count) : nil
            case .capture(let name): pattern.parameters[name].map { .segment($0) }
            }
        }
        return parts.count == self.parts.count ? parts : nil
    }

    package enum BoundPart: Sendable, Hashable {
        case literal(String)
        case path
        /// What stands behind so many segments and the slash after them.
        case rest(after: Int)
        /// Counted from 0, between the slashes of the normalised path.
        case segment(Int)
    }
}

package enum HostRewrite: Sendable, Equatable {
    /// As the client sent it.
    case preserve
    /// The host name of the server's address, with its port unless it is the scheme's.
    case upstream
    /// With a port when the file has one.
    case name(String)
}

package struct MirrorConfiguration: Sendable, Equatable {
    package var upstream: String
    package var share: Percentage
}

package enum ForwardedFields: String, Sendable {
    /// X-Forwarded-For, -Proto and -Host.
    case xForwarded = "x-forwarded"
    /// RFC 7239.
    case forwarded
    case both
    /// None is written; what clients sent is removed.
    case off

    package var writesXForwarded: Bool { self == .xForwarded || self == .both }
    package var writesForwarded: Bool { self == .forwarded || self == .both }
}
