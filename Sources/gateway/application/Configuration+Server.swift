// From a configuration to what the server library takes. Plain values, but for host names, which are looked up here: at start and on a
// reload, never on a loop.

internal import Glibc
package import UringServer

extension Configuration {
    package var serverOptions: ServerOptions {
        var options = ServerOptions()
        options.loops = loops.selection
        options.timeouts.header = Self.duration(timeouts.headerNs)
        options.timeouts.body = Self.duration(timeouts.bodyNs)
        options.timeouts.handler = Self.duration(timeouts.handlerNs)
        options.timeouts.write = Self.duration(timeouts.writeNs)
        options.timeouts.idle = Self.duration(timeouts.idleNs)
        options.timeouts.linger = Self.duration(timeouts.lingerNs)
        options.timeouts.bodyRate = .init(
            bytesPerSecond: Int(clamping: timeouts.bodyBytesPerSecondMin), grace: Self.duration(timeouts.rateGraceNs))
        options.timeouts.writeRate = .init(
            bytesPerSecond: Int(clamping: timeouts.writeBytesPerSecondMin), grace: Self.duration(timeouts.rateGraceNs))
        options.limits.connections = limits.connections
        options.limits.connectionsPerAddress = limits.connectionsPerAddress
        options.limits.requestsPerConnection = limits.requestsPerConnection
        options.limits.requestLineBytes = limits.requestLineBytes
        options.limits.headerBytes = limits.headerBytes
        options.limits.headerCount = limits.headerCount
        options.limits.bodyBytes = limits.bodyBytes == 0 ? .max : Int(clamping: limits.bodyBytes)
        options.http2.streams = http2.streams
        options.http2.streamWindowBytes = http2.streamWindowBytes
        options.http2.connectionWindowBytes = http2.connectionWindowBytes
        options.http2.pingAfter = Self.duration(http2.pingAfterNs)
        options.http2.pingTimeout = Self.duration(http2.pingTimeoutNs)
        options.flightRecorderEvents = isSampled ? flightRecorder.events : 0
        options.samplesPhases = isSampled
        options.drainTimeout = Self.duration(timeouts.drainNs)
        return options
    }

    /// nil: as long as it takes.
    package var drainLimit: Duration? { timeouts.drainNs == 0 ? nil : Self.duration(timeouts.drainNs) }

    /// - Throws: when a host name has no address.
    func serverListeners(_ door: ProxyDoor) throws -> [Listener] {
        try listeners.map { wanted in
            var listener = try wanted.listener()
            if wanted.expectsProxyProtocol { listener.preamble = door.preamble(wanted.address, trusted: trustedProxies) }
            return listener
        }
    }

    static func duration(_ nanoseconds: UInt64) -> Duration { .nanoseconds(Int64(clamping: nanoseconds)) }
}

extension LoopSelection {
    package var selection: UringServer.LoopSelection {
        switch self {
        case .auto: .automatic
        case .count(let count): .count(count)
        case .cores(let cores): .cores(cores)
        }
    }

    package init(_ selection: UringServer.LoopSelection) {
        switch selection {
        case .automatic: self = .auto
        case .count(let count): self = .count(count)
        case .cores(let cores): self = .cores(cores)
        }
    }
}

extension ListenerConfiguration {
    package func listener() throws -> Listener {
        var listener = Listener(try address.numeric(), tls: tls?.options, http2: http2.mode)
        listener.backlog = backlog
        listener.isIPv6Only = isIPv6Only
        if case .unix = address { listener.unixMode = unixMode }
        return listener
    }
}

extension HTTP2Versions {
    var mode: HTTP2Mode {
        switch self {
        case .off: .off
        case .on: .on
        case .only: .only
        }
    }
}

extension TLSSettings {
    package var options: TLSOptions {
        var options: TLSOptions
        switch certificates {
        case .selfSigned: options = .selfSigned()
        case .files(let files): options = TLSOptions(certificates: files.map { .files(cert: $0.certificate, key: $0.key, ocsp: $0.ocsp) })
        }
        options.alpn = alpn.compactMap(TLSOptions.ApplicationProtocol.init)
        switch clientAuthentication {
        case .none: break
        case .optional(let path): options.clientAuth = .optional(ca: .file(path))
        case .required(let path): options.clientAuth = .required(ca: .file(path))
        }
        switch tickets {
        case .off: options.sessionTickets.keys = .off
        case .generated: break
        case .secret(let path): options.sessionTickets.keys = .secret(.file(path))
        case .keys(let paths): options.sessionTickets.keys = .keys(paths.map { .file($0) })
        }
        options.sessionTickets.rotate = Configuration.duration(ticketRotateNs)
        options.sessionCache.entries = cacheEntries
        options.sessionCache.lifetime = Configuration.duration(cacheLifetimeNs)
        options.minVersion = versionMin == .tls13 ? .tls13 : .tls12
        options.handshakeTimeout = Configuration.duration(handshakeTimeoutNs)
        options.handshakes = handshakesMax
        return options
    }
}

extension Configuration {
    /// All that is listened on, the administration too, with hosts as numbers where they can be had.
    package var listenAddresses: [String] {
        (listeners.map(\.address) + (admin.map { [$0.address] } ?? [])).map { (try? $0.numeric()) ?? $0.description }
    }
}

extension ListenAddress {
    /// The address with its host as a number. A name stands for its first IPv4 address, or its first IPv6 address when it has no other.
    package func numeric() throws -> String {
        switch self {
        case .ipv4, .unix: return description
        case .ipv6(_, let zone, _):
            guard zone.isEmpty else {
                throw GatewayError("cannot listen on \(self): addresses of one link (%\(zone)) are not supported; use another address of the interface")
            }
            return description
        case .name(let name, let port):
            guard let host = Self.lookUp(name, AF_INET) ?? Self.lookUp(name, AF_INET6).map({ "[\($0)]" }) else {
                throw GatewayError("cannot listen on \(self): the name has no address; write the address itself, or add the name to /etc/hosts")
            }
            return "\(host):\(port)"
        }
    }

    private static func lookUp(_ name: String, _ family: CInt) -> String? {
        var hints = unsafe addrinfo()
        unsafe hints.ai_family = family
        unsafe hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard unsafe getaddrinfo(name, nil, &hints, &list) == 0, let first = unsafe list else { return nil }
        // The list is ours until freeaddrinfo; the text is copied.
        defer { unsafe freeaddrinfo(first) }
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let code = unsafe getnameinfo(
            first.pointee.ai_addr, first.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
        guard code == 0 else { return nil }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
