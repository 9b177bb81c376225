// RequestLogHandler: an application's log handler with a request's id, which is made into text only when somebody logs or looks. A value of three words; any thread.

#if Hummingbird
internal import Hummingbird
internal import Logging

/// Setting metadata on a handler copies its dictionary, and some handlers render it at once. That would be a tenth of a request's cost, for requests that seldom log.
struct RequestLogHandler: LogHandler {
    /// The name that Hummingbird's contexts look for (`RequestContext.id`).
    static let key = "hb.request.id"

    /// Shared by all requests until one changes its own.
    final class Base: Sendable {
        let handler: any LogHandler
        init(_ handler: any LogHandler) { self.handler = handler }
    }

    private var base: Base
    private let id: RequestID
    /// The base is this request's alone, and has the id in its metadata.
    private var isOwn = false

    init(_ base: Base, id: RequestID) { (self.base, self.id) = (base, id) }

    private var value: Logger.MetadataValue { .stringConvertible(id) }

    private mutating func change(_ body: (inout any LogHandler) -> Void) {
        var handler = base.handler
        if !isOwn { handler[metadataKey: Self.key] = value }
        body(&handler)
        (base, isOwn) = (Base(handler), true)
    }

    func log(event: LogEvent) {
        if isOwn { return base.handler.log(event: event) }
        var event = event
        event.metadata = (event.metadata ?? [:]).merging([Self.key: value]) { given, _ in given }
        base.handler.log(event: event)
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { !isOwn && key == Self.key ? value : base.handler[metadataKey: key] }
        set { change { $0[metadataKey: key] = newValue } }
    }
    var metadata: Logger.Metadata {
        get { isOwn ? base.handler.metadata : base.handler.metadata.merging([Self.key: value]) { _, id in id } }
        set { change { $0.metadata = newValue } }
    }
    var metadataProvider: Logger.MetadataProvider? {
        get { base.handler.metadataProvider }
        set { change { $0.metadataProvider = newValue } }
    }
    var logLevel: Logger.Level {
        get { base.handler.logLevel }
        set { change { $0.logLevel = newValue } }
    }
}
#endif
