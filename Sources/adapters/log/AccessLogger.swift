// Access lines and request loggers, by swift-log. The loops' threads.

#if Log
public import Logging
public import UringServer

extension Application {
    /// Reports and logs by one logger: what goes wrong (`LoggerReporter`), and a line for every finished exchange.
    ///
    ///     var application = Application(handler: handler)
    ///     application.log(to: Logger(label: "web"))
    ///
    /// Whoever observed exchanges before still does.
    /// - Parameters:
    ///   - logger: its handler is called on the loops' threads, which it must not hold.
    ///   - access: the level of the exchanges' lines; nil = none. Below the logger's own level a line costs a comparison.
    public mutating func log(to logger: Logger, access: Logger.Level? = .info) {
        reporter = LoggerReporter(logger)
        guard let access else { return }
        let before = observe
        observe = { request, record in
            before?(request, record)
            guard access >= logger.logLevel else { return }
            logger.log(level: access, "request", metadata: Self.metadata(request, record))
        }
    }

    private static func metadata(_ request: borrowing Request, _ record: ExchangeRecord) -> Logger.Metadata {
        var metadata: Logger.Metadata = [
            "method": "\(String(request.methodName))", "path": "\(String(request.path))", "status": "\(record.status)", "bytes": "\(record.bytes)",
            "us": "\(record.nanoseconds / 1000)", "peer": "\(request.remoteAddress)", "loop": "\(record.loop)",
        ]
        if let route = record.route { metadata["route"] = "\(route)" }
        if let id = RequestIdentity.received(request) { metadata[RequestIdentity.key] = "\(id)" }
        return metadata
    }
}

extension Logger {
    /// This logger with the request's id in its metadata, for what is logged on the request's account.
    ///
    ///     router.get("/orders/{id}") { request, response in
    ///         let logger = logger.with(request)
    ///         logger.info("asked for an order")
    ///     }
    ///
    /// The id is the client's `X-Request-Id`, when it is one that may stand in a log (letters, digits, `-._~:/+=`, 128 at most), otherwise a new one. Copies the logger: some allocations.
    /// - Parameter key: of the metadata.
    public func with(_ request: borrowing Request, key: String = RequestIdentity.key) -> Logger {
        var logger = self
        logger[metadataKey: key] = "\(RequestIdentity.received(request) ?? RequestIdentity.make(request))"
        return logger
    }
}

/// Ids of requests.
public enum RequestIdentity {
    /// `request.id`.
    public static let key = "request.id"
    private static let lengthMax = 128

    /// The client's, when it can be trusted to be one word.
    static func received(_ request: borrowing Request) -> String? {
        guard let id = request.headers["x-request-id"], !id.isEmpty, id.count <= lengthMax else { return nil }
        for index in 0..<id.count where !isHarmless(id[index]) { return nil }
        return String(id)
    }

    private static func isHarmless(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: ":"): true
        case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: "/"), UInt8(ascii: "+"), UInt8(ascii: "="): true
        default: false
        }
    }

    /// The connection's number, as probes and traces have it, and a random part.
    static func make(_ request: borrowing Request) -> String {
        String(request.connectionID, radix: 16) + "-" + String(UInt64.random(in: 0...UInt64.max), radix: 16)
    }
}
#endif
