// WebSocketOptions: what a WebSocket of the server allows and expects. Plain values; any thread.

internal import UringHTTP
internal import UringWebSocket

/// Limits, times and extensions of the WebSockets of one handler. The defaults suit text messages between browsers and an application.
public struct WebSocketOptions: Sendable {
    /// Sizes and counts.
    public var limits = Limits()
    /// Subprotocols that are spoken, by name (RFC 6455 section 1.9). The first in the client's order is chosen; when none is, the socket opens without.
    public var protocols: [String] = []
    /// Whose pages may connect.
    public var origins = Origins.sameHost
    /// Default: off.
    public var compression = Compression.off
    /// Silence after which a client is asked by PING whether it is there. `.zero` = never.
    public var pingInterval = Duration.seconds(30)
    /// Silence after that which means that it is gone.
    public var pingTimeout = Duration.seconds(20)
    /// How long a client may take to answer a Close, and to read what was sent before it.
    public var closeTimeout = Duration.seconds(5)
    /// Closes a socket (1000) without a message in either direction for so long, however well the client answers PING. `.zero` = never.
    public var idleTimeout = Duration.zero

    /// The defaults.
    public init() {}

    /// What clients may do, and how much is kept for them.
    public struct Limits: Sendable {
        /// Bytes of a message, after decompression: 1009 beyond. A message in pieces is kept in memory until it is whole.
        public var messageBytes = 1 << 20
        /// Bytes of a frame as it is sent: 1009 beyond.
        public var frameBytes = 1 << 20
        /// Frames of one message: 1008 beyond.
        public var fragments = 65_536
        /// PING frames in 10 seconds: 1008 beyond. PONGs that nobody asked for have the same limit of their own.
        public var pings = 200
        /// Messages that wait for an async handler (`AsyncWebSocket`), 1 or more, from which on no more are received: the client is held back. The same at 64 KiB of them.
        public var unreadMessages = 16
        /// Bytes that may wait to be sent to a client that reads too slowly. The message that would be beyond is not sent (`slowClients`). On HTTP/2 what
        /// the connection already has for its socket does not count, which is 64 KiB or so for all its streams.
        public var queuedBytes = 1 << 20
        /// What becomes of such a client.
        public var slowClients = SlowClients.close
        /// The defaults.
        public init() {}
    }

    /// What becomes of a client that reads too slowly.
    public enum SlowClients: Sendable {
        /// It is told 1008, and is gone when it has not read that within `closeTimeout`.
        case close
        /// It stays, without that message: `send` answers `.refused`.
        case refuse
    }

    /// Scripts of any page may open a WebSocket to any server, with the visitor's cookies; only the Origin field, which browsers always send, tells
    /// which page it was (RFC 6455 section 10.2). Clients that are no browsers send none, and are let in whatever stands here.
    public enum Origins: Sendable, Equatable {
        /// Pages of the host and port that the request names. A page on http may connect to a server on https, and the other way round: behind a proxy
        /// that ends TLS nobody here could tell.
        case sameHost
        /// Pages of these origins, as browsers write them: `https://example.com`, `http://localhost:3000`.
        case only([String])
        /// Everybody: for sockets that give strangers nothing they could not have without.
        case any
    }

    /// permessage-deflate (RFC 7692), where the client offers it.
    public struct Compression: Sendable, Equatable {
        /// Whether it is agreed to.
        public var isOn: Bool
        /// Whether messages to the client may refer to earlier ones: smaller, and up to 170 KiB for each open socket. Without it the loop's compressors
        /// are shared, and an idle socket holds none.
        public var keepsContext = false
        /// The same for messages of the client: up to 40 KiB for each open socket.
        public var clientKeepsContext = false
        /// The most that the windows may be, 9 to 15: 2 to that power bytes of history.
        public var windowBits = 15

        /// On or off, with the defaults.
        public init(isOn: Bool) { self.isOn = isOn }
        /// Messages are sent as they are.
        public static var off: Compression { Compression(isOn: false) }
        /// Messages of 256 bytes and more are compressed by themselves.
        public static var on: Compression { Compression(isOn: true) }
    }
}

extension WebSocketOptions {
    var policy: WebSocketPolicy {
        var deflate = WebSocketDeflatePolicy(isEnabled: compression.isOn)
        deflate.serverTakesContextOver = compression.keepsContext
        deflate.clientTakesContextOver = compression.clientKeepsContext
        deflate.serverWindowBitsMax = Int32(clamping: compression.windowBits)
        deflate.clientWindowBitsMax = Int32(clamping: compression.windowBits)
        return WebSocketPolicy(protocols: protocols.map { Array($0.utf8) }, deflate: deflate)
    }

    var engineLimits: WebSocketLimits {
        var engine = WebSocketLimits()
        engine.messageBytesMax = max(limits.messageBytes, 0)
        engine.frameBytesMax = max(limits.frameBytes, 0)
        engine.fragmentsMax = UInt32(clamping: limits.fragments)
        (engine.pingsMax, engine.pongsMax) = (UInt16(clamping: limits.pings), UInt16(clamping: limits.pings))
        return engine
    }

    var keepAlive: WebSocketKeepAlive {
        var times = WebSocketKeepAlive()
        times.afterNs = ServerOptions.nanoseconds(pingInterval)
        times.timeoutNs = ServerOptions.nanoseconds(pingTimeout)
        times.closeNs = ServerOptions.nanoseconds(closeTimeout)
        return times
    }
}

extension WebSocketOptions.Origins {
    /// - Parameters:
    ///   - origin: the value of Origin; nil when there is none.
    ///   - authority: host and port that the request is for.
    func allow(_ origin: UnsafeBufferPointer<UInt8>?, authority: UnsafeBufferPointer<UInt8>) -> Bool {
        // The request's bytes, readable for this call.
        guard let origin = unsafe origin else { return true }
        switch self {
        case .any: return true
        case .only(let allowed): return allowed.contains { unsafe Self.isSame($0.utf8, origin) }
        case .sameHost:
            guard let colon = unsafe origin.firstIndex(of: UInt8(ascii: ":")), origin.count > colon + 3,
                unsafe origin[colon + 1] == UInt8(ascii: "/") && origin[colon + 2] == UInt8(ascii: "/")
            else { return false }
            // "null", of pages without an origin, has no colon. A port that goes without saying may be said on either side.
            let port: StaticString = colon == 5 ? ":443" : ":80"
            let page = unsafe Self.without(port, UnsafeBufferPointer(rebasing: origin[(colon + 3)...]))
            let host = unsafe Self.without(port, authority)
            return unsafe !page.isEmpty && Self.isSame(page, host)
        }
    }

    private static func without(_ port: StaticString, _ host: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8> {
        let length = port.utf8CodeUnitCount
        // A literal lives as long as the program.
        guard host.count > length, unsafe host.suffix(length).elementsEqual(UnsafeBufferPointer(start: port.utf8Start, count: length)) else { return unsafe host }
        return unsafe UnsafeBufferPointer(rebasing: host.dropLast(length))
    }

    /// Letters of schemes and hosts have no case.
    private static func isSame(_ a: some Sequence<UInt8>, _ b: some Sequence<UInt8>) -> Bool {
        a.elementsEqual(b) { lowercasedASCII($0) == lowercasedASCII($1) }
    }
}
