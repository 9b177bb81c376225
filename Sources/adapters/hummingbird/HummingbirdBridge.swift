// HummingbirdBridge: a request of this server, answered by a Hummingbird responder. One per application; called on loops' threads.

#if Hummingbird
internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import UringHTTPTypes
internal import UringServer

final class HummingbirdBridge<Responder: HTTPResponder>: Sendable where Responder.Context: InitializableFromSource<ApplicationRequestContextSource> {
    private let responder: Responder
    private let logger: Logger
    /// The configuration names the server: what handlers set gives way.
    private let ownsServerField: Bool
    private let caches = LoopCaches()

    init(responder: Responder, logger: Logger, ownsServerField: Bool) {
        (self.responder, self.logger, self.ownsServerField) = (responder, logger, ownsServerField)
    }

    func handle(_ request: borrowing UringServer.Request, _ response: inout UringServer.Response) async throws {
        let cache = caches.cache(request)
        var logger = logger
        logger[metadataKey: "hb.request.id"] = .stringConvertible(RequestID())
        let channel = cache.channel(request)
        let incoming = HummingbirdCore.Request(head: HTTPRequest(request, names: cache.names), body: Self.body(request))
        let answer = try await withLogger(logger) { logger in
            do {
                return try await responder.respond(to: incoming, context: Responder.Context(source: ApplicationRequestContextSource(channel: channel, logger: logger)))
            } catch {
                logger.debug("Unrecognised Error", metadata: ["error.type": "\(error)"])
                return HummingbirdCore.Response(status: .internalServerError)
            }
        }
        writeHead(answer, request.method == .head, response)
        guard request.method != .head else { return }
        try await Self.writeBody(answer, &response)
    }

    // MARK: the request

    private static func body(_ request: borrowing UringServer.Request) throws -> RequestBody {
        let bytes = request.body
        guard !bytes.isEmpty else { return RequestBody(buffer: ByteBuffer()) }
        return RequestBody(buffer: ByteBuffer(copying: bytes))
    }

    // MARK: the response

    private func writeHead(_ answer: HummingbirdCore.Response, _ isHead: Bool, _ response: borrowing UringServer.Response) {
        response.status = HTTPStatus(answer.status)
        for field in answer.headers {
            switch field.name {
            case .contentLength where !isHead: continue  // the server counts itself
            case .server where ownsServerField: continue
            case .connection: if field.value.lowercased() == "close" { response.closeConnection() }
            default: response.headers.add(dynamicName: field.name.rawName, field.value)
            }
        }
    }

    private static func writeBody(_ answer: HummingbirdCore.Response, _ response: inout UringServer.Response) async throws {
        let written = CollectedBody()
        try await answer.body.write(CollectingWriter(body: written))
        for buffer in written.buffers {
            // SAFETY: the buffer's memory is readable during this call; its bytes are copied.
            unsafe buffer.withUnsafeReadableBytes { unsafe response.write(Span(_unsafeElements: $0.bindMemory(to: UInt8.self))) }
        }
    }
}

/// A small body, kept until it is whole: then it leaves together with its head.
final class CollectedBody {
    var buffers: [ByteBuffer] = []
    var trailers: HTTPFields?
}

struct CollectingWriter: ResponseBodyWriter {
    let body: CollectedBody
    mutating func write(_ buffer: ByteBuffer) async throws { body.buffers.append(buffer) }
    consuming func finish(_ trailingHeaders: HTTPFields?) async throws { body.trailers = trailingHeaders }
}

extension ByteBuffer {
    init(copying view: borrowing ByteView) {
        self.init()
        reserveCapacity(view.count)
        // SAFETY: the view's memory is readable during this call; its bytes are copied.
        unsafe view.span.withUnsafeBytes { unsafe _ = writeBytes($0) }
    }
}
#endif
